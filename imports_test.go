package homing_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// mayImport says what each package of ours may import of ours: imports go one
// way, and whoever adds an arrow gives its reason here. A package that is not
// listed fails the test, and so does a line without a package. A pattern that
// ends in /... covers a tree.
//
// A package named <parent>test (a conformance suite, fixtures) needs no line: it
// may import its parent, what its parent may, and internal/embedded, and only
// tests may import it.
func mayImport() []importRule {
	return []importRule{
		{"pkg/events", nil, "the words of the domain: everyone may depend on them, so they depend on nobody"},
		{"pkg/dedup", nil, "a library of its own: it knows keys and records, not events"},
		{"pkg/graphapi", nil, "a library of its own: it knows Meta's calls, not our queue or events"},

		{"internal/crash", nil, "places to die at: in the product it is empty"},
		{"internal/gather", nil, "how questions travel together; it knows neither them nor the store"},

		{"internal/telemetry", list("pkg/events", "pkg/dedup", "pkg/graphapi"), "names of metrics, spans and log keys; their labels are the words of the libraries"},
		{"internal/tenants", list("pkg/events", "internal/telemetry"), "the only holder of secrets: few know it, it knows hardly anyone"},
		{"internal/clicks", list("pkg/events", "internal/crash", "internal/telemetry"), "a projection of one stream; whoever feeds it hands the clicks over"},
		{"internal/queue", list("pkg/events", "pkg/dedup", "internal/crash", "internal/telemetry"), "carries and settles messages and knows no handler: a handler returns a verdict"},
		{"internal/ingest", list("pkg/events", "pkg/dedup", "internal/clicks", "internal/crash", "internal/gather", "internal/queue", "internal/telemetry", "internal/tenants"), "the edge: what it accepts reaches delivery through JetStream and no other way"},
		{"internal/deliver", list("pkg/events", "pkg/dedup", "pkg/graphapi", "internal/clicks", "internal/crash", "internal/queue", "internal/telemetry", "internal/tenants"), "the way to Meta: the only one that knows both the event and the call"},
		{"internal/recovery", list("pkg/events", "pkg/dedup", "internal/crash", "internal/telemetry"), "rebuilds the projection; streams and stores reach it as interfaces of its own"},
		{"internal/ops", list("pkg/events", "pkg/dedup", "internal/clicks", "internal/queue", "internal/recovery", "internal/telemetry", "internal/tenants"), "what an operator does by hand, on the stores themselves; it serves no traffic"},
		{"internal/app", list(
			"pkg/events", "pkg/dedup", "pkg/graphapi", "internal/clicks", "internal/deliver", "internal/gather", "internal/ingest",
			"internal/ops", "internal/queue", "internal/recovery", "internal/telemetry", "internal/tenants",
		), "the composition root: the only one that sees both ends"},

		{"internal/embedded", nil, "servers to run beside us; it knows none of us"},
		{"internal/sandbox", nil, "the fake Meta judges the client, so it shares no code with it"},

		{"cmd/api", list("internal/app"), "reads the environment and runs one role"},
		{"cmd/worker", list("internal/app"), "reads the environment and runs one role"},
		{"cmd/homing", list("pkg/events", "internal/app", "internal/ops", "internal/queue", "internal/tenants"), "thin over internal/ops"},
		{"cmd/dev", list("internal/app", "internal/embedded", "internal/sandbox", "internal/tenants"), "the laptop: every role and the stand-ins in one process"},
		{"cmd/sandbox", list("internal/sandbox"), "the fake Meta alone, for other people's tests too"},

		{"test/...", list("..."), "whole-system tests see everything"},
	}
}

// neverReach says what must not be among the dependencies of a package, however
// far away.
func neverReach() []reachRule {
	shipped := list("cmd/api", "cmd/worker", "cmd/homing")
	binaries := append(list("cmd/dev", "cmd/sandbox"), shipped...)
	return []reachRule{
		{list("internal/ingest"), list("internal/deliver"), "they meet in JetStream only, so either can be down"},
		{list("internal/deliver"), list("internal/ingest"), "they meet in JetStream only, so either can be down"},
		{list("internal/queue"), list("internal/deliver", "internal/ingest"), "the queue carries; it does not know for whom"},
		{list("internal/sandbox"), list("pkg/graphapi", "pkg/events"), "a fake that shares code with the client shares its mistakes"},
		{shipped, list("internal/embedded", "internal/sandbox"), "a laptop's stand-ins never reach production"},
		{append(list("cmd/sandbox"), shipped...), list("github.com/alicebob/miniredis", "github.com/nats-io/nats-server"), "a laptop's stand-ins never reach production"},
		{binaries, list("github.com/google/go-cmp", "github.com/santhosh-tekuri/jsonschema", "go.uber.org/goleak", "pgregory.net/rapid"), "test-only modules stay out of what users run"},
		{append(list("cmd/sandbox"), shipped...), list("testing"), "a test helper got into the product"},
	}
}

// neverMeet says what not even the tests of a package may import.
func neverMeet() []reachRule {
	return []reachRule{
		{list("internal/ingest"), list("internal/deliver"), "a test over both belongs into test/"},
		{list("internal/deliver"), list("internal/ingest"), "a test over both belongs into test/"},
		{list("pkg/events", "pkg/dedup"), list("internal"), "their tests must run where only pkg/ was copied to"},
	}
}

type importRule struct {
	pkg string   // below the module
	may []string // below the module; "..." is everything
	why string
}

type reachRule struct {
	from  []string // below the module
	never []string // below the module, or an import path; covers what lies below it
	why   string
}

func list(s ...string) []string { return s }

func TestImports(t *testing.T) {
	g := goList(t)
	for _, complaint := range slices.Concat(
		checkMayImport(g, mayImport()),
		checkNeverReach(g, neverReach()),
		checkNeverMeet(g, neverMeet()),
	) {
		t.Error(complaint)
	}
}

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// graph holds packages by import path, ours and all they depend on.
type graph map[string]pkg

func goList(t *testing.T) graph {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	g := graph{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return g
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		g[p.ImportPath] = p
	}
}

// ours returns the names below the module, sorted; the root itself is left out.
func (g graph) ours() []string {
	var names []string
	for importPath := range g {
		if name, ok := below(importPath); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// below strips the module from an import path of ours.
func below(importPath string) (string, bool) {
	return strings.CutPrefix(importPath, module+"/")
}

// full is the import path of a name as the rules write it: ours when it lies
// below the module, a foreign one else.
func full(name string) string {
	switch first, _, _ := strings.Cut(name, "/"); first {
	case "cmd", "internal", "pkg", "test":
		return path.Join(module, name)
	default:
		return name
	}
}

// under reports whether importPath is root or lies below it.
func under(importPath, root string) bool {
	return importPath == root || strings.HasPrefix(importPath, root+"/")
}

// covers reports whether a name of ours fits a pattern of the table.
func covers(pattern, name string) bool {
	if tree, ok := strings.CutSuffix(pattern, "..."); ok {
		return strings.HasPrefix(name+"/", tree)
	}
	return pattern == name
}

// suiteOf returns the parent of a package named <parent>test.
func suiteOf(name string) (string, bool) {
	parent := path.Dir(name)
	return parent, path.Base(name) == path.Base(parent)+"test"
}

func checkMayImport(g graph, rules []importRule) []string {
	var complaints []string
	used := map[string]bool{}
	for _, name := range g.ours() {
		rule, ok := ruleFor(name, rules)
		if !ok {
			complaints = append(complaints, name+": no import rule: add one, with its reason, to mayImport")
			continue
		}
		used[rule.pkg] = true
		_, isSuite := suiteOf(name)
		for _, importPath := range g[full(name)].Imports {
			imported, ok := below(importPath)
			if !ok {
				continue
			}
			if _, suite := suiteOf(imported); suite && !isSuite && !covers("test/...", name) {
				complaints = append(complaints, fmt.Sprintf("%s imports %s outside its tests: it is for tests only", name, imported))
				continue
			}
			if !slices.ContainsFunc(rule.may, func(p string) bool { return covers(p, imported) }) {
				complaints = append(complaints, fmt.Sprintf("%s must not import %s: %s", name, imported, rule.why))
			}
		}
	}
	for _, rule := range rules {
		if !used[rule.pkg] && !strings.HasSuffix(rule.pkg, "...") {
			complaints = append(complaints, rule.pkg+": an import rule without a package: remove it from mayImport")
		}
	}
	return complaints
}

func ruleFor(name string, rules []importRule) (importRule, bool) {
	for _, rule := range rules {
		if covers(rule.pkg, name) {
			return rule, true
		}
	}
	parent, ok := suiteOf(name)
	if !ok {
		return importRule{}, false
	}
	rule, ok := ruleFor(parent, rules)
	rule.may = append(list(parent, "internal/embedded"), rule.may...)
	return rule, ok
}

func checkNeverReach(g graph, rules []reachRule) []string {
	var complaints []string
	for _, rule := range rules {
		for _, from := range rule.from {
			if _, ok := g[full(from)]; !ok {
				continue // checkMayImport tells of a package that is gone
			}
			reached := g.reach(full(from))
			for _, importPath := range slices.Sorted(maps.Keys(reached)) {
				if forbidden(importPath, rule.never) {
					complaints = append(complaints, fmt.Sprintf("%s must not reach %s: %s; the way: %s",
						from, importPath, rule.why, way(reached, importPath)))
					break // one way is enough to go and look
				}
			}
		}
	}
	return complaints
}

func checkNeverMeet(g graph, rules []reachRule) []string {
	var complaints []string
	for _, rule := range rules {
		for _, from := range rule.from {
			p := g[full(from)]
			for _, importPath := range slices.Concat(p.TestImports, p.XTestImports) {
				if forbidden(importPath, rule.never) {
					complaints = append(complaints, fmt.Sprintf("%s: a test must not import %s: %s", from, importPath, rule.why))
				}
			}
		}
	}
	return complaints
}

func forbidden(importPath string, never []string) bool {
	return slices.ContainsFunc(never, func(name string) bool { return under(importPath, full(name)) })
}

// reach returns every package that from depends on, each with the one that led
// to it.
func (g graph) reach(from string) map[string]string {
	cameFrom := map[string]string{}
	for todo := []string{from}; len(todo) > 0; {
		at := todo[0]
		todo = todo[1:]
		for _, next := range g[at].Imports {
			if _, seen := cameFrom[next]; !seen && next != from {
				cameFrom[next] = at
				todo = append(todo, next)
			}
		}
	}
	return cameFrom
}

// way spells out how to was reached.
func way(cameFrom map[string]string, to string) string {
	steps := []string{to}
	for at, ok := cameFrom[to]; ok; at, ok = cameFrom[at] {
		steps = append(steps, at)
	}
	slices.Reverse(steps)
	return strings.ReplaceAll(strings.Join(steps, " -> "), module+"/", "")
}
