package crash_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/homing-dev/homing/internal/crash"
)

// side says where an edge needs a point.
type side int

const (
	both side = iota
	before
	after
)

// edge is a call behind which the world is not what it was.
type edge struct {
	pkg  string // below internal/
	call string // the end of the call's selector
	side side
	in   string // the only function that counts; empty for all
	why  string
}

func edges() []edge {
	return []edge{
		{pkg: "ingest", call: "memory.Look", why: "writes the note of a key"},
		{pkg: "ingest", call: "memory.Forget", why: "takes the note back"},
		{pkg: "clicks", call: "pipe.Exec", in: "flush", why: "writes clicks"},
		{pkg: "deliver", call: "Claims.Claim", why: "makes keys ours"},
		{pkg: "deliver", call: "Claims.Release", why: "gives keys up"},
		{pkg: "deliver", call: "Claims.Settle", why: "decides"},
		{pkg: "deliver", call: "Graph.Send", why: "Meta has it, or not"},
		{pkg: "recovery", call: "to.Restore", why: "writes decisions again"},
		{pkg: "recovery", call: "Claims.Mark", why: "declares the memory whole"},
		{pkg: "queue", call: "q.publish", side: before, why: "a message is on its way"},
		{pkg: "queue", call: "q.await", side: after, why: "a message is durable"},
		{pkg: "queue", call: "nc.Publish", why: "an ack or a nak"},
		{pkg: "queue", call: "Purge", why: "empties a lane"},
		{pkg: "queue", call: "DeleteMsg", why: "takes a letter away"},
	}
}

func TestEveryEdgeHasItsPoints(t *testing.T) {
	for _, e := range edges() {
		found := 0
		for _, fn := range functions(t, filepath.Join("..", e.pkg)) {
			if e.in != "" && fn.Name.Name != e.in {
				continue
			}
			n, complaints := e.check(fn)
			found += n
			for _, c := range complaints {
				t.Errorf("internal/%s: %s: %s: %s", e.pkg, fn.Name.Name, c, e.why)
			}
		}
		if found == 0 {
			t.Errorf("internal/%s has no call of %s any more: change the table", e.pkg, e.call)
		}
	}
}

func TestEveryPointIsUsed(t *testing.T) {
	used := map[string]bool{}
	for _, dir := range []string{"clicks", "deliver", "ingest", "queue", "recovery"} {
		for _, fn := range functions(t, filepath.Join("..", dir)) {
			for _, p := range pointsIn(fn) {
				used[p.name] = true
			}
		}
	}
	declared := constants(t)
	if len(declared) != len(crash.Points()) {
		t.Errorf("%d points are declared, Points returns %d", len(declared), len(crash.Points()))
	}
	for name, value := range declared {
		if !used[name] {
			t.Errorf("crash.%s is at no place", name)
		}
		if !slices.Contains(crash.Points(), crash.Point(value)) {
			t.Errorf("Points leaves out %s", name)
		}
	}
}

func TestCheckCanFail(t *testing.T) {
	const src = `package a
		func good() { crash.At(crash.BeforeClaim); x.Claims.Claim(); crash.At(crash.AfterClaim) }
		func bare() { x.Claims.Claim() }
		func late() { x.Claims.Claim(); crash.At(crash.AfterClaim) }
		func kept() { crash.At(crash.BeforeClaim); defer crash.At(crash.AfterClaim); x.Claims.Claim() }`
	f, err := parser.ParseFile(token.NewFileSet(), "a.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"good": 0, "bare": 2, "late": 1, "kept": 0}
	for _, d := range f.Decls {
		fn := d.(*ast.FuncDecl)
		if n, complaints := (edge{call: "Claims.Claim"}).check(fn); n != 1 || len(complaints) != want[fn.Name.Name] {
			t.Errorf("%s: %d calls, complaints %q, want %d", fn.Name.Name, n, complaints, want[fn.Name.Name])
		}
	}
}

// TestPointsCostNothing shows that the product has no trace of the points: At is
// inlined to nothing, and what kills is not in the build.
func TestPointsCostNothing(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "build", "-gcflags=-m=2", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if want := "can inline At with cost 0"; !strings.Contains(string(out), want) {
		t.Errorf("the compiler does not say %q:\n%s", want, out)
	}
	out, err = exec.CommandContext(t.Context(), "go", "list", "-f", "{{.GoFiles}}", ".").CombinedOutput()
	if want := "[off.go points.go]"; err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("the default build is of %s, want %s (%v)", out, want, err)
	}
}

// check returns how many of the edge's calls a function has, and what they lack.
func (e edge) check(fn *ast.FuncDecl) (calls int, complaints []string) {
	points := pointsIn(fn)
	ast.Inspect(fn, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || !strings.HasSuffix("."+dotted(call.Fun), "."+e.call) {
			return true
		}
		calls++
		has := func(prefix string, on func(token.Pos) bool) bool {
			return slices.ContainsFunc(points, func(p place) bool { return strings.HasPrefix(p.name, prefix) && on(p.pos) })
		}
		if e.side != after && !has("Before", func(p token.Pos) bool { return p < call.Pos() }) {
			complaints = append(complaints, fmt.Sprintf("no point before %s", e.call))
		}
		if e.side != before && !has("After", func(p token.Pos) bool { return p > call.Pos() }) {
			complaints = append(complaints, fmt.Sprintf("no point after %s", e.call))
		}
		return true
	})
	return calls, complaints
}

// place is a point where it stands.
type place struct {
	name string
	pos  token.Pos
}

func pointsIn(fn *ast.FuncDecl) []place {
	var found []place
	ast.Inspect(fn, func(n ast.Node) bool {
		at := n
		if d, ok := n.(*ast.DeferStmt); ok {
			at = d.Call
		}
		call, ok := at.(*ast.CallExpr)
		if !ok || dotted(call.Fun) != "crash.At" {
			return true
		}
		if name, ok := strings.CutPrefix(dotted(call.Args[0]), "crash."); ok {
			pos := n.Pos()
			if at != n {
				pos = fn.End() // deferred
			}
			found = append(found, place{name, pos})
		}
		return at == n // a deferred one is not looked at again
	})
	return found
}

// dotted spells out a selector, as far as it is one.
func dotted(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return dotted(e.X) + "." + e.Sel.Name
	default:
		return ""
	}
}

func functions(t *testing.T, dir string) []*ast.FuncDecl {
	t.Helper()
	var fns []*ast.FuncDecl
	for _, f := range parse(t, filepath.Join(dir, "*.go")) {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				fns = append(fns, fn)
			}
		}
	}
	return fns
}

func parse(t *testing.T, pattern string) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no Go files in %s (%v)", pattern, err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// constants returns the names and values of the declared points.
func constants(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, f := range parse(t, "points.go") {
		ast.Inspect(f, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok {
				found[spec.Names[0].Name] = strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`)
			}
			return true
		})
	}
	return found
}
