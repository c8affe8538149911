package homing_test

import (
	"strings"
	"testing"
)

const (
	maxLines     = 450 // a file that needs more holds two things
	wishedLines  = 400
	maxMainLines = 80 // of cmd/*/main.go: parse, build options, run
)

// styleRule is one habit, checked file by file.
type styleRule struct {
	name  string
	why   string
	check func(source) []string
	// samples prove that the rule can fail, and that it does not fail too much.
	samples []sample
}

type sample struct {
	path string
	text string
	want int // complaints
}

func styleRules() []styleRule {
	return []styleRule{
		{"file size", "a reader keeps one file in mind", checkSize, []sample{
			{"internal/a/a.go", "package a\n" + strings.Repeat("\n", maxLines-1), 0},
			{"internal/a/a.go", "package a\n" + strings.Repeat("\n", maxLines), 1},
		}},
		{"size of main", "what is in main cannot be tested", checkMainSize, []sample{
			{"cmd/api/main.go", "package main\n" + strings.Repeat("\n", maxMainLines-1), 0},
			{"cmd/api/main.go", "package main\n" + strings.Repeat("\n", maxMainLines), 1},
			{"cmd/homing/list.go", "package main\n" + strings.Repeat("\n", maxMainLines), 0},
		}},
		{"package name", "a drawer without a label fills up", checkPackageName, []sample{
			{"internal/a/a.go", "package queue", 0},
			{"internal/a/a.go", "package util", 1},
			{"internal/a/a_test.go", "package helpers_test", 1},
		}},
		{"sleep in a test", "a sleep is either too short or too long; wait for a signal, or use fake time", checkSleep, []sample{
			{"internal/a/a_test.go", `package a
				import "time"
				func wait() { time.Sleep(time.Second) }`, 1},
			{"internal/a/a_test.go", `package a
				import clock "time"
				func wait() { clock.Sleep(1) }`, 1},
			{"internal/a/a_test.go", `package a
				import ("testing"; "testing/synctest"; "time")
				func TestA(t *testing.T) { synctest.Test(t, func(t *testing.T) { time.Sleep(time.Hour); pass() }) }
				func TestB(t *testing.T) { synctest.Test(t, bubble) }
				func bubble(t *testing.T) { time.Sleep(time.Hour) }
				func pass() { time.Sleep(time.Hour) }`, 0},
			{"internal/a/a_test.go", `package a
				import ("testing"; "testing/synctest"; "time")
				func TestA(t *testing.T) { synctest.Test(t, func(t *testing.T) {}) }
				func TestB(t *testing.T) { time.Sleep(1) }`, 1},
			{"internal/a/a.go", `package a
				import "time"
				func wait() { time.Sleep(time.Second) }`, 0},
		}},
		{"init", "an import has no effect; two instances live in one process", checkInit, []sample{
			{"internal/a/a.go", "package a\nfunc init() {}", 1},
			{"internal/a/a.go", "package a\ntype T int\nfunc (T) init() {}", 0},
		}},
		{"settling", "a handler returns a verdict; internal/queue alone settles", checkSettling, []sample{
			{"internal/deliver/a.go", "package deliver\nfunc f(m jetstream.Msg) error { return m.Ack() }", 1},
			{"internal/deliver/a.go", "package deliver\nfunc f(m jetstream.Msg) { m.NakWithDelay(2); m.Term() }", 2},
			{"internal/deliver/a.go", "package deliver\nfunc f() queue.Action { return queue.Ack }", 0},
			{"internal/queue/a.go", "package queue\nfunc f(m jetstream.Msg) error { return m.Ack() }", 0},
		}},
		{"printing", "a package is handed its logger or its writer", checkPrinting, []sample{
			{"internal/a/a.go", "package a\nimport \"fmt\"\nfunc f() { fmt.Println() }", 1},
			{"internal/a/a.go", "package a\nimport \"fmt\"\nfunc f(w io.Writer) { fmt.Fprintln(w) }", 0},
			{"internal/a/a.go", "package a\nimport \"log\"\nfunc f() { log.Fatal() }", 1},
			{"internal/a/a.go", "package a\nimport \"log/slog\"\nfunc f(log *slog.Logger) { log.Info(\"x\") }", 0},
			{"internal/a/a.go", "package a\nimport \"log/slog\"\nfunc f() { slog.Info(\"x\"); slog.Default() }", 2},
			{"internal/a/a.go", "package a\nimport \"log/slog\"\nfunc f() { slog.New(slog.DiscardHandler) }", 0},
			{"cmd/homing/a.go", "package main\nimport \"fmt\"\nfunc f() { fmt.Println() }", 0},
		}},
		{"unfinished work", "what is left to do stands where people look for work, not in the code", checkUnfinished, []sample{
			{"internal/a/a.go", "package a\n// " + "TODO: more.\nvar x int", 1},
			{"internal/a/a.go", "package a\n// Todos are things to do.\nvar x = \"" + "TODO\"", 0},
		}},
		{"documentation", "what others may use says what it does", checkDocumented, []sample{
			{"internal/a/a.go", "package a\nfunc F() {}", 1},
			{"internal/a/a.go", "package a\n// F does.\nfunc F() {}", 0},
			{"internal/a/a.go", "package a\n// T is.\ntype T[K any] int\nfunc (t *T[K]) M() {}", 1},
			{"internal/a/a.go", "package a\n// T is.\ntype T int\nfunc (T) String() string { return \"\" }", 0},
			{"internal/a/a.go", "package a\ntype t int\nfunc (t) M() {}", 0},
			{"internal/a/a.go", "package a\nconst (\n\tA = 1 // one\n\tB = 2\n)", 1},
			{"internal/a/a.go", "package a\n// The numbers.\nconst (\n\tA = 1\n\tB = 2\n)", 0},
			{"cmd/api/main.go", "package main\ntype Flags struct{}", 0},
		}},
	}
}

func TestStyle(t *testing.T) {
	files := checkout(t)
	for _, rule := range styleRules() {
		for _, file := range files {
			for _, complaint := range rule.check(file) {
				t.Errorf("%s: %s", complaint, rule.why)
			}
		}
	}
	for _, file := range files {
		if n := file.lines(); n > wishedLines && n <= maxLines {
			t.Logf("%s: %d lines; time to think of splitting it", file.path, n)
		}
	}
}

func TestStyleRules(t *testing.T) {
	for _, rule := range styleRules() {
		t.Run(rule.name, func(t *testing.T) {
			failed := false
			for _, s := range rule.samples {
				got := rule.check(mustParse(t, s.path, s.text))
				if len(got) != s.want {
					t.Errorf("%s:\n%s\ngot %d complaints, want %d: %q", s.path, s.text, len(got), s.want, got)
				}
				failed = failed || s.want > 0
			}
			if !failed {
				t.Error("no sample shows that the rule can fail")
			}
		})
	}
}
