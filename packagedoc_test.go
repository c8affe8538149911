package homing_test

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestPackageComments wants exactly one package comment per package, so that
// there is one place to read and nothing to contradict it.
func TestPackageComments(t *testing.T) {
	for _, complaint := range packageComments(checkout(t)) {
		t.Error(complaint)
	}
}

func packageComments(files []source) []string {
	folders := map[string][]source{}
	for _, file := range files {
		dir := path.Dir(file.path)
		folders[dir] = append(folders[dir], file)
	}
	var complaints []string
	for dir, files := range folders {
		var commented []string
		for _, file := range files {
			text := file.ast.Doc.Text()
			if text == "" {
				continue
			}
			commented = append(commented, path.Base(file.path))
			want := "Package " + file.ast.Name.Name + " "
			if file.ast.Name.Name == "main" {
				want = "Command " + path.Base(dir) + " "
			}
			if !strings.HasPrefix(text, want) {
				complaints = append(complaints, fmt.Sprintf("%s: the package comment begins with %q", file.path, want))
			}
		}
		if len(commented) != 1 {
			complaints = append(complaints, fmt.Sprintf("%s: wants one package comment, has %d %v", dir, len(commented), commented))
		}
	}
	slices.Sort(complaints)
	return complaints
}

func TestPackageCommentsChecker(t *testing.T) {
	tests := map[string]struct {
		files map[string]string // path: text
		want  int
	}{
		"one": {files: map[string]string{"a/doc.go": "// Package a is.\npackage a\n", "a/b.go": "package a\n", "a/a_test.go": "package a_test\n"}},
		"none": {
			files: map[string]string{"a/a.go": "package a\n"},
			want:  1,
		},
		"a detached comment is none": {
			files: map[string]string{"a/a.go": "// Package a is.\n\npackage a\n"},
			want:  1,
		},
		"two": {
			files: map[string]string{"a/a.go": "// Package a is.\npackage a\n", "a/b.go": "// Package a was.\npackage a\n"},
			want:  1,
		},
		"wrong words": {
			files: map[string]string{"a/a.go": "// This package is.\npackage a\n"},
			want:  1,
		},
		"command":       {files: map[string]string{"cmd/api/main.go": "// Command api is.\npackage main\n"}},
		"wrong command": {files: map[string]string{"cmd/api/main.go": "// Package main is.\npackage main\n"}, want: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var files []source
			for path, text := range test.files {
				files = append(files, mustParse(t, path, text))
			}
			if got := packageComments(files); len(got) != test.want {
				t.Errorf("got %d complaints, want %d: %q", len(got), test.want, got)
			}
		})
	}
}
