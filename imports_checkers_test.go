package homing_test

import (
	"strings"
	"testing"
)

// deps makes a graph out of lines "package: import import | testimport".
func deps(lines ...string) graph {
	g := graph{}
	for _, line := range lines {
		name, rest, _ := strings.Cut(line, ":")
		imports, testImports, _ := strings.Cut(rest, "|")
		p := pkg{ImportPath: full(name)}
		for _, i := range strings.Fields(imports) {
			p.Imports = append(p.Imports, full(i))
		}
		for _, i := range strings.Fields(testImports) {
			p.TestImports = append(p.TestImports, full(i))
		}
		g[p.ImportPath] = p
	}
	return g
}

func TestImportCheckers(t *testing.T) {
	may := []importRule{
		{"pkg/a", nil, "the lowest"},
		{"pkg/b", list("pkg/a"), "one arrow"},
		{"test/...", list("..."), "sees everything"},
	}
	never := []reachRule{{list("pkg/b"), list("x.org/evil", "internal/secret"), "no evil"}}
	tests := map[string]struct {
		graph graph
		want  []string // a part of each complaint, in order
	}{
		"in order": {graph: deps("pkg/a: fmt", "pkg/b: pkg/a", "test/load: pkg/a pkg/b")},
		"wrong way": {
			graph: deps("pkg/a: pkg/b", "pkg/b:"),
			want:  list("pkg/a must not import pkg/b: the lowest"),
		},
		"new package": {
			graph: deps("pkg/a:", "pkg/b:", "internal/new:"),
			want:  list("internal/new: no import rule"),
		},
		"package gone": {
			graph: deps("pkg/a:"),
			want:  list("pkg/b: an import rule without a package"),
		},
		"suite": {graph: deps("pkg/a: | pkg/a/atest", "pkg/a/atest: pkg/a internal/embedded", "pkg/b:")},
		"suite reaches too far": {
			graph: deps("pkg/a:", "pkg/a/atest: pkg/b", "pkg/b:"),
			want:  list("pkg/a/atest must not import pkg/b"),
		},
		"suite in the product": {
			graph: deps("pkg/a:", "pkg/a/atest:", "pkg/b: pkg/a/atest"),
			want:  list("pkg/b imports pkg/a/atest outside its tests"),
		},
		"reached from afar": {
			graph: deps("pkg/a: y.org/lib", "pkg/b: pkg/a", "y.org/lib: x.org/evil/v2", "x.org/evil/v2:"),
			want:  list("pkg/b must not reach x.org/evil/v2: no evil; the way: pkg/b -> pkg/a -> y.org/lib -> x.org/evil/v2"),
		},
		"a like name is not below": {graph: deps("pkg/a:", "pkg/b: x.org/evilest", "x.org/evilest:")},
		"met in a test": {
			graph: deps("pkg/a:", "pkg/b: | internal/secret/deep"),
			want:  list("pkg/b: a test must not import " + module + "/internal/secret/deep"),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := append(checkMayImport(test.graph, may), checkNeverReach(test.graph, never)...)
			got = append(got, checkNeverMeet(test.graph, never)...)
			if len(got) != len(test.want) {
				t.Fatalf("got %d complaints, want %d: %q", len(got), len(test.want), got)
			}
			for i, want := range test.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("complaint %q does not say %q", got[i], want)
				}
			}
		})
	}
}

// TestRulesGiveReasons keeps the tables worth reading.
func TestRulesGiveReasons(t *testing.T) {
	for _, rule := range mayImport() {
		if rule.why == "" {
			t.Errorf("mayImport: %s has no reason", rule.pkg)
		}
	}
	for _, rule := range append(neverReach(), neverMeet()...) {
		if rule.why == "" {
			t.Errorf("%v never %v has no reason", rule.from, rule.never)
		}
	}
}
