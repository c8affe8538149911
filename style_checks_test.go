package homing_test

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
)

func checkSize(f source) []string {
	if n := f.lines(); n > maxLines {
		return list(f.at(f.ast.Package, "%d lines, at most %d", n, maxLines))
	}
	return nil
}

func checkMainSize(f source) []string {
	if ok, _ := path.Match("cmd/*/main.go", f.path); ok && f.lines() > maxMainLines {
		return list(f.at(f.ast.Package, "%d lines, at most %d", f.lines(), maxMainLines))
	}
	return nil
}

func checkPackageName(f source) []string {
	name := strings.TrimSuffix(f.ast.Name.Name, "_test")
	if slices.Contains(list("common", "helper", "helpers", "misc", "model", "models", "shared", "util", "utils"), name) {
		return list(f.at(f.ast.Package, "a package named %s", name))
	}
	return nil
}

func checkInit(f source) []string {
	var complaints []string
	for _, decl := range f.ast.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			complaints = append(complaints, f.at(fn.Pos(), "func init"))
		}
	}
	return complaints
}

// calls returns a complaint for every call that bad objects to.
func calls(f source, bad func(*ast.CallExpr) bool) []string {
	var complaints []string
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && bad(call) {
			complaints = append(complaints, f.at(call.Pos(), "a call of %s", calleeName(call)))
		}
		return true
	})
	return complaints
}

func calleeName(call *ast.CallExpr) string {
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		return fun.Sel.Name
	default:
		return ""
	}
}

// checkSettling knows no types, so it goes by the names of JetStream's methods.
func checkSettling(f source) []string {
	if f.isTest() || f.in("internal/queue") {
		return nil
	}
	settling := list("Ack", "DoubleAck", "Nak", "NakWithDelay", "InProgress", "Term", "TermWithReason")
	return calls(f, func(call *ast.CallExpr) bool {
		_, method := call.Fun.(*ast.SelectorExpr)
		return method && slices.Contains(settling, calleeName(call))
	})
}

func checkPrinting(f source) []string {
	if f.isTest() || f.in("cmd") {
		return nil
	}
	fmtName, logName, slogName := f.importName("fmt"), f.importName("log"), f.importName("log/slog")
	return calls(f, func(call *ast.CallExpr) bool {
		return isSelector(call.Fun, fmtName, "Print", "Printf", "Println") ||
			(isSelector(call.Fun, logName) && calleeName(call) != "New") ||
			isSelector(call.Fun, slogName, "Debug", "Info", "Warn", "Error", "Default", "SetDefault",
				"DebugContext", "InfoContext", "WarnContext", "ErrorContext", "Log", "LogAttrs")
	})
}

func checkUnfinished(f source) []string {
	marker := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX)\b`)
	var complaints []string
	for _, group := range f.ast.Comments {
		for _, comment := range group.List {
			if word := marker.FindString(comment.Text); word != "" {
				complaints = append(complaints, f.at(comment.Pos(), "a comment says %s", word))
			}
		}
	}
	return complaints
}

// checkSleep lets a test sleep in fake time only: within a function handed to
// synctest.Test, or one that such a function uses.
func checkSleep(f source) []string {
	if !f.isTest() {
		return nil
	}
	timeName, synctestName := f.importName("time"), f.importName("testing/synctest")
	bubbles := fakeTime(f, synctestName)
	return calls(f, func(call *ast.CallExpr) bool {
		return isSelector(call.Fun, timeName, "Sleep") &&
			!slices.ContainsFunc(bubbles, func(n ast.Node) bool { return n.Pos() <= call.Pos() && call.Pos() < n.End() })
	})
}

// fakeTime returns the parts of f that run in a synctest bubble.
func fakeTime(f source, synctestName string) []ast.Node {
	bodies := map[string]ast.Node{}
	for _, decl := range f.ast.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok {
			bodies[fn.Name.Name] = fn
		}
	}
	var found []ast.Node
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && isSelector(call.Fun, synctestName, "Test", "Run") {
			found = append(found, call)
		}
		return true
	})
	for i := 0; i < len(found); i++ { // found grows by what its members use
		ast.Inspect(found[i], func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && bodies[id.Name] != nil {
				found = append(found, bodies[id.Name])
				delete(bodies, id.Name)
			}
			return true
		})
	}
	return found
}

// checkDocumented wants words on everything exported. Methods that exist for a
// well-known interface speak for themselves.
func checkDocumented(f source) []string {
	if f.isTest() || f.ast.Name.Name == "main" {
		return nil
	}
	wellKnown := list("Error", "Unwrap", "Is", "As", "String", "GoString", "Format", "LogValue", "MarshalJSON",
		"MarshalText", "UnmarshalJSON", "UnmarshalText", "UnmarshalYAML", "ServeHTTP", "Len", "Less", "Swap")
	var complaints []string
	missing := func(pos token.Pos, name string) {
		complaints = append(complaints, f.at(pos, "%s is exported and has no comment", name))
	}
	for _, decl := range f.ast.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			method := decl.Recv != nil
			if decl.Name.IsExported() && decl.Doc == nil &&
				(!method || receiverIsExported(decl) && !slices.Contains(wellKnown, decl.Name.Name)) {
				missing(decl.Pos(), decl.Name.Name)
			}
		case *ast.GenDecl:
			if decl.Doc != nil {
				continue // of the group, or of the only one
			}
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					if spec.Name.IsExported() && spec.Doc == nil && spec.Comment == nil {
						missing(spec.Pos(), spec.Name.Name)
					}
				case *ast.ValueSpec:
					if spec.Names[0].IsExported() && spec.Doc == nil && spec.Comment == nil {
						missing(spec.Pos(), spec.Names[0].Name)
					}
				}
			}
		}
	}
	return complaints
}

func receiverIsExported(fn *ast.FuncDecl) bool {
	exported := false
	ast.Inspect(fn.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && !exported {
			exported = id.IsExported()
			return false
		}
		return true
	})
	return exported
}
