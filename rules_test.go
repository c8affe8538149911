// Package homing_test keeps the rules of the house: which package may import
// which, one package comment per package, and a few habits that reviews would
// otherwise have to repeat. Every rule carries its reason, and every checker is
// itself tested on small inputs that must fail.
package homing_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the import path of the checkout.
const module = "github.com/homing-dev/homing"

// source is one Go file, parsed.
type source struct {
	path string // slash-separated, relative to the root of the checkout
	text []byte
	fset *token.FileSet
	ast  *ast.File
}

func parseSource(path string, text []byte) (source, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
	return source{path: path, text: text, fset: fset, ast: f}, err
}

// at places a complaint: file:line: text.
func (s source) at(pos token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", s.path, s.fset.Position(pos).Line, fmt.Sprintf(format, args...))
}

func (s source) lines() int { return bytes.Count(s.text, []byte("\n")) }

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// in reports whether the file is in the folder dir or below it.
func (s source) in(dir string) bool { return strings.HasPrefix(s.path, dir+"/") }

// importName is the name by which the file knows the package importPath: its
// base, or the name given in the import; empty when it is not imported.
func (s source) importName(importPath string) string {
	for _, spec := range s.ast.Imports {
		if strings.Trim(spec.Path.Value, `"`) != importPath {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(importPath)
	}
	return ""
}

// isSelector reports whether e is pkg.name, for one of names; any name when
// there are none.
func isSelector(e ast.Expr, pkg string, names ...string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok || pkg == "" {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == pkg && (len(names) == 0 || slices.Contains(names, sel.Sel.Name))
}

// checkout parses every Go file of the module.
func checkout(t *testing.T) []source {
	t.Helper()
	var files []source
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if skipDir(filepath.ToSlash(name)) {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := parseSource(filepath.ToSlash(name), text)
		files = append(files, file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("found only %d Go files: run the tests in the root of the checkout", len(files))
	}
	return files
}

// skipDir leaves out what is not source of this module; tools/ is one of its own.
func skipDir(name string) bool {
	base := path.Base(name)
	return name == "tools" || name == "bin" || base == "testdata" ||
		(base != "." && strings.HasPrefix(base, "."))
}

// mustParse is parseSource for the small inputs of the checkers' own tests.
func mustParse(t *testing.T, path, text string) source {
	t.Helper()
	file, err := parseSource(path, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return file
}
