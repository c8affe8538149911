package homing_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"net/http"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"

	"github.com/homing-dev/homing/internal/app"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/internal/tenants"
)

const readme, architecture = "README.md", "docs/architecture.md"

func complain(t *testing.T, complaints []string) {
	t.Helper()
	for _, c := range complaints {
		t.Error(c)
	}
}

// TestVariablesAreDocumented holds the README's table against the settings.
func TestVariablesAreDocumented(t *testing.T) {
	complain(t, checkVariables(readPage(t, readme), app.Variables()))
}

func checkVariables(p page, vars []app.Variable) []string {
	var want []string
	for _, v := range vars {
		value := ""
		if v.Default != "" {
			value = "`" + v.Default + "`"
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s |", v.Name, value, v.Meaning))
	}
	var got []string
	for _, row := range p.table("Configuration") {
		got = append(got, "| "+strings.Join(row, " | ")+" |")
	}
	return differ(got, want, p.path+", Configuration,")
}

// TestTenantsExampleIsRight reads the README's tenants file by the code that
// reads a real one.
func TestTenantsExampleIsRight(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/acme-token", []byte("token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	example := strings.NewReplacer(
		"/run/secrets", dir, "<64 hex digits>", strings.Repeat("ab", 32),
	).Replace(readPage(t, readme).block("yaml"))
	env := func(name string) (string, bool) { return "a-value-of-" + name, true }
	set, err := tenants.Parse("the README's example", []byte(example), env)
	if err != nil {
		t.Fatal(err)
	}
	if set.Len() == 0 {
		t.Error("the README has no example of a tenants file")
	}
}

// TestRoutesAreDocumented takes openapi.yaml for the truth, which a test of
// internal/ingest holds against what is served.
func TestRoutesAreDocumented(t *testing.T) {
	routes := routesServed(t)
	complain(t, checkMentioned(readPage(t, readme), routes))
	p := readPage(t, architecture)
	complain(t, differ(p.column("Routes", 0), routes, p.path+", Routes,"))
}

// routesServed returns the routes as "GET /path".
func routesServed(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("internal/ingest/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]yaml.Node `yaml:"paths"`
	}
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	var routes []string
	for path, operations := range document.Paths {
		for method := range operations {
			routes = append(routes, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(routes)
	if len(routes) == 0 {
		t.Fatal("openapi.yaml has no paths")
	}
	return routes
}

var pathInText = regexp.MustCompile(`/(?:api/v1|webhooks)/[a-z0-9/_{}-]*[a-z0-9}]`)

// checkMentioned wants every route of the list in the text, and no path in the
// text that is none of them.
func checkMentioned(p page, routes []string) []string {
	var complaints, paths []string
	for _, route := range routes {
		method, path, _ := strings.Cut(route, " ")
		paths = append(paths, path)
		curl := "curl -X POST http://127.0.0.1:8080" + path + " "
		if !strings.Contains(p.text, "`"+route+"`") && (method != http.MethodPost || !strings.Contains(p.text, curl)) {
			complaints = append(complaints, p.path+" does not mention "+route)
		}
	}
	for _, found := range pathInText.FindAllString(p.text, -1) {
		served := slices.ContainsFunc(paths, func(path string) bool {
			prefix, wild := strings.CutSuffix(path, "{event_id}")
			return found == path || wild && strings.HasPrefix(found, prefix)
		})
		if !served {
			complaints = append(complaints, p.path+" mentions "+found+", which is not served")
		}
	}
	return complaints
}

// TestWordsAreDocumented wants every outcome and reason in the README's tables,
// and nothing else there.
func TestWordsAreDocumented(t *testing.T) {
	files := checkout(t)
	p := readPage(t, readme)
	complain(t, differ(p.column("Outcomes", 0), constants(files, "Outcome"), p.path+", Outcomes,"))
	told := append(p.column("Reasons", 0), p.column("Refusals", 0)...)
	complain(t, differ(told, constants(files, "Reason"), p.path+", Reasons and Refusals,"))
}

// constants returns the values of all constants of a type of pkg/events, the
// empty one left out.
func constants(files []source, typeName string) []string {
	var values []string
	for _, f := range files {
		inside := f.in("pkg/events")
		if f.isTest() || !inside && f.importName(module+"/pkg/events") == "" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			id, plain := spec.Type.(*ast.Ident)
			if inside && plain && id.Name == typeName || isSelector(spec.Type, "events", typeName) {
				if s := literal(spec.Values[0]); s != "" {
					values = append(values, s)
				}
			}
			return true
		})
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// literal returns the text of a string literal; empty for anything else.
func literal(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	s, _ := strconv.Unquote(lit.Value)
	return s
}

// TestMetricsAreDocumented holds the README's table against the instruments of
// internal/telemetry.
func TestMetricsAreDocumented(t *testing.T) {
	p, names := readPage(t, readme), instruments(checkout(t))
	complain(t, differ(withoutUnits(p.column("Watching it", 0), names), names, p.path+", Watching it,"))
}

// instruments returns the names that instruments are made with, as Prometheus
// writes them but for their unit: homing.claims is homing_claims.
func instruments(files []source) []string {
	var names []string
	for _, f := range files {
		if f.isTest() || !f.in("internal/telemetry") {
			continue
		}
		calls(f, func(call *ast.CallExpr) bool {
			if len(call.Args) == 0 || isSelector(call.Fun, "attribute") {
				return false
			}
			if name := literal(call.Args[0]); strings.HasPrefix(name, "homing.") {
				names = append(names, strings.ReplaceAll(name, ".", "_"))
			}
			return false
		})
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// withoutUnits takes off what Prometheus adds to the name of an instrument.
func withoutUnits(names, instruments []string) []string {
	var bare []string
	for _, name := range names {
		for _, unit := range list("_total", "_seconds", "_bytes") {
			if !slices.Contains(instruments, name) {
				name = strings.TrimSuffix(name, unit)
			}
		}
		bare = append(bare, name)
	}
	return bare
}

// TestPackagesAreDocumented wants every package of the import rules in the tables
// of the architecture.
func TestPackagesAreDocumented(t *testing.T) {
	p := readPage(t, architecture)
	var all []string
	for _, rule := range mayImport() {
		if !strings.HasSuffix(rule.pkg, "...") {
			all = append(all, rule.pkg)
		}
	}
	complain(t, differ(append(p.column("Processes", 0), p.column("Packages", 0)...), all, p.path+", Processes and Packages,"))
}

// TestStreamsAndKeysAreDocumented holds the tables of the architecture against
// the code.
func TestStreamsAndKeysAreDocumented(t *testing.T) {
	p := readPage(t, architecture)
	var streams, subjects []string
	for _, s := range queue.Streams(queue.Config{}.WithDefaults()) {
		streams = append(streams, s.Name)
		subjects = append(subjects, s.Subjects...)
	}
	complain(t, differ(p.column("Streams", 0), streams, p.path+", Streams,"))
	complain(t, differ(p.column("Streams", 1), subjects, p.path+", Streams,"))
	complain(t, differ(p.column("Redis keys", 0), redisKeys(checkout(t)), p.path+", Redis keys,"))
}

// redisKeys returns the keys, or what they begin with, that the code uses.
func redisKeys(files []source) []string {
	var keys []string
	for _, f := range files {
		if f.isTest() || !f.in("internal") && !f.in("pkg") || f.in("pkg/dedup/deduptest") {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && strings.HasPrefix(literal(lit), "homing:") {
				keys = append(keys, literal(lit))
			}
			return true
		})
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// TestLinks follows every link within the checkout, and looks for every file
// that the documentation names.
func TestLinks(t *testing.T) {
	all := pages(t)
	for _, p := range all {
		complain(t, checkLinks(p, all, exists))
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

var (
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	namedFile = regexp.MustCompile(`^(?:\.ci|cmd|deploy|docs|internal|pkg|scripts|test|tools)/[A-Za-z0-9_./-]+$|^[a-z_]+_test\.go$`)
)

// tellsWhatIs reports whether a page tells of what is there. The others, such as
// CONTRIBUTING.md, also say where things go that are still to be made.
func tellsWhatIs(name string) bool { return name == readme || strings.HasPrefix(name, "docs/") }

func checkLinks(p page, all []page, exists func(string) bool) []string {
	var complaints []string
	prose := p.prose()
	for _, found := range link.FindAllStringSubmatch(prose, -1) {
		if strings.Contains(found[1], "://") {
			continue // of the world outside nothing is known here
		}
		file, fragment, _ := strings.Cut(found[1], "#")
		target := p.path
		if file != "" {
			target = path.Join(path.Dir(p.path), file)
		}
		at := slices.IndexFunc(all, func(other page) bool { return other.path == target })
		switch {
		case at < 0 && !exists(target):
			complaints = append(complaints, fmt.Sprintf("%s links to %s, which does not exist", p.path, target))
		case fragment != "" && (at < 0 || !slices.Contains(all[at].anchors(), fragment)):
			complaints = append(complaints, fmt.Sprintf("%s links to %s, which has no heading %s", p.path, target, fragment))
		}
	}
	if !tellsWhatIs(p.path) {
		return complaints
	}
	for _, name := range code(prose) {
		if namedFile.MatchString(name) && !exists(name) {
			complaints = append(complaints, fmt.Sprintf("%s names %s, which does not exist", p.path, name))
		}
	}
	return complaints
}
