package homing_test

import (
	"strings"
	"testing"

	"github.com/homing-dev/homing/internal/app"
)

// TestDocCheckers shows that the checks of the documentation can fail.
func TestDocCheckers(t *testing.T) {
	table := func(heading string, rows ...string) page {
		return page{"a.md", "# " + heading + "\n\n| | |\n|---|---|\n" + strings.Join(rows, "\n") + "\n"}
	}
	vars := []app.Variable{{Name: "A", Default: "1", Meaning: "one"}, {Name: "B", Meaning: "two"}}
	routes := list("GET /api/v1/x/{event_id}", "POST /api/v1/y")
	files := []source{
		mustParse(t, "pkg/events/a.go", "package events\nconst (\n\tX Reason = \"x\"\n\tNone Reason = \"\"\n\tO Outcome = \"o\"\n)"),
		mustParse(t, "internal/a/a.go", "package a\nimport \""+module+"/pkg/events\"\nconst y events.Reason = \"y\"\nconst z Reason = \"z\"\nconst key = \"homing:k:\""),
		mustParse(t, "internal/telemetry/a.go", "package telemetry\nfunc f() { counter(\"homing.a.b\", \"what\"); attribute.String(\"homing.tenant\", \"x\") }"),
	}
	links := func(text string) []string {
		p := page{"docs/a.md", text + "\n# Here\n"}
		all := []page{p, {"README.md", "# There\n"}}
		return checkLinks(p, all, func(name string) bool { return name == "pkg/x/x.go" || name == "README.md" })
	}
	reasons := func(rows ...string) []string {
		return differ(table("Reasons", rows...).column("Reasons", 0), constants(files, "Reason"), "it")
	}
	tests := map[string]struct {
		got  []string
		want []string // a part of each complaint, in order
	}{
		"variables":          {checkVariables(table("Configuration", "| `A` | `1` | one |", "| `B` |  | two |"), vars), nil},
		"variable missing":   {checkVariables(table("Configuration", "| `A` | `1` | one |"), vars), list("does not tell of | `B`")},
		"another default":    {checkVariables(table("Configuration", "| `A` | `2` | one |", "| `B` |  | two |"), vars), list("does not tell of | `A` | `1`", "tells of | `A` | `2`")},
		"variable gone":      {checkVariables(table("Configuration", "| `A` | `1` | one |", "| `B` |  | two |", "| `C` | | |"), vars), list("tells of | `C`")},
		"routes":             {checkMentioned(page{"a.md", "`GET /api/v1/x/{event_id}` /api/v1/x/order-1 curl -X POST http://127.0.0.1:8080/api/v1/y -d"}, routes), nil},
		"route missing":      {checkMentioned(page{"a.md", "`GET /api/v1/x/{event_id}`"}, routes), list("does not mention POST /api/v1/y")},
		"route gone":         {checkMentioned(page{"a.md", "`GET /api/v1/x/{event_id}` `POST /api/v1/y` /webhooks/z"}, routes), list("mentions /webhooks/z")},
		"reasons":            {reasons("| `x` | |", "| `y` | |"), nil},
		"reason missing":     {reasons("| `x` | |"), list("does not tell of y")},
		"reason gone":        {reasons("| `x`, `y` | |", "| `z` | |"), list("tells of z")},
		"outcomes":           {differ(list("o"), constants(files, "Outcome"), "it"), nil},
		"metrics":            {differ(withoutUnits(list("homing_a_b_total"), instruments(files)), instruments(files), "it"), nil},
		"metric gone":        {differ(withoutUnits(list("homing_a_b_total", "homing_c_seconds"), instruments(files)), instruments(files), "it"), list("tells of homing_c")},
		"metric in bytes":    {withoutUnits(list("homing_d_bytes", "homing_d_bytes_total"), list("homing_d_bytes")), list("homing_d_bytes", "homing_d_bytes")},
		"metric missing":     {differ(nil, instruments(files), "it"), list("does not tell of homing_a_b")},
		"keys":               {differ(list("homing:k:"), redisKeys(files), "it"), nil},
		"links":              {links("[a](#here) [b](../README.md#there) [c](../pkg/x/x.go) [d](https://x.org/y) `pkg/x/x.go`"), nil},
		"broken link":        {links("[a](b.md)"), list("links to docs/b.md")},
		"broken anchor":      {links("[a](#nowhere) [b](../README.md#here)"), list("no heading nowhere", "no heading here")},
		"file gone":          {links("see `pkg/x/y.go`"), list("names pkg/x/y.go")},
		"code is not a link": {links("```\n[a](b.md)\n```"), nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if len(test.got) != len(test.want) {
				t.Fatalf("got %d complaints, want %d: %q", len(test.got), len(test.want), test.got)
			}
			for i, want := range test.want {
				if !strings.Contains(test.got[i], want) {
					t.Errorf("complaint %q does not say %q", test.got[i], want)
				}
			}
		})
	}
}
