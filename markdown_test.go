package homing_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// page is a Markdown file as the tests of the documentation read it.
type page struct {
	path string // relative to the root of the checkout
	text string
}

func readPage(t *testing.T, path string) page {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return page{path, string(text)}
}

// pages are all that a reader may come across.
func pages(t *testing.T) []page {
	t.Helper()
	var all []page
	for _, pattern := range list("*.md", "docs/*.md", "docs/adr/*.md") {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		for _, path := range found {
			all = append(all, readPage(t, path))
		}
	}
	return all
}

// prose is the text without its fenced blocks.
func (p page) prose() string {
	var out []string
	fenced := false
	for line := range strings.Lines(p.text) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
			continue
		}
		if !fenced {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

// block returns the first fenced block of a language.
func (p page) block(language string) string {
	_, rest, _ := strings.Cut(p.text, "\n```"+language+"\n")
	text, _, _ := strings.Cut(rest, "\n```")
	return text
}

// headings returns the anchors of the page, as GitHub makes them.
func (p page) anchors() []string {
	var anchors []string
	for line := range strings.Lines(p.prose()) {
		if title := strings.TrimLeft(line, "#"); title != line && strings.HasPrefix(title, " ") {
			anchors = append(anchors, anchor(title))
		}
	}
	return anchors
}

var notInAnchors = regexp.MustCompile(`[^a-z0-9 _-]`)

func anchor(title string) string {
	title = strings.ToLower(strings.TrimSpace(title))
	return strings.ReplaceAll(notInAnchors.ReplaceAllString(title, ""), " ", "-")
}

// section returns the prose below a heading, up to the next one of any level.
func (p page) section(title string) string {
	var out []string
	inside := false
	for line := range strings.Lines(p.prose()) {
		if strings.HasPrefix(line, "#") {
			inside = anchor(strings.TrimLeft(line, "#")) == anchor(title)
			continue
		}
		if inside {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

// table returns the rows of the first table below a heading, without its head.
func (p page) table(title string) [][]string {
	var rows [][]string
	for line := range strings.Lines(p.section(title)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			if len(rows) > 0 {
				break
			}
			continue
		}
		var cells []string
		for _, cell := range strings.Split(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		rows = append(rows, cells)
	}
	return rows[min(2, len(rows)):]
}

var codeSpan = regexp.MustCompile("`([^`\n]+)`")

// code returns what stands between backticks.
func code(text string) []string {
	var spans []string
	for _, found := range codeSpan.FindAllStringSubmatch(text, -1) {
		spans = append(spans, found[1])
	}
	return spans
}

// column returns the code spans in the n-th column of a table.
func (p page) column(title string, n int) []string {
	var spans []string
	for _, row := range p.table(title) {
		if n < len(row) {
			spans = append(spans, code(row[n])...)
		}
	}
	return spans
}

// differ tells what is only on one side.
func differ(told, true []string, where string) []string {
	var complaints []string
	for _, s := range true {
		if !slices.Contains(told, s) {
			complaints = append(complaints, where+" does not tell of "+s)
		}
	}
	for _, s := range told {
		if !slices.Contains(true, s) {
			complaints = append(complaints, where+" tells of "+s+", which does not exist")
		}
	}
	return complaints
}

func TestPageParsing(t *testing.T) {
	p := page{"a.md", "# One `x`, two\n\n| a | b |\n|---|---|\n| `r1` | x |\n| `r2`, `r3` | `y` |\n\n| not | this |\n\n" +
		"```yaml\n# no heading\na: 1\n```\n\n## Next-one: 2_b\n\nword\n"}
	for name, test := range map[string]struct{ got, want []string }{
		"anchors": {p.anchors(), list("one-x-two", "next-one-2_b")},
		"column":  {p.column("One x, two", 0), list("r1", "r2", "r3")},
		"other":   {p.column("One x, two", 1), list("y")},
		"none":    {p.column("Nowhere", 0), nil},
		"section": {strings.Fields(p.section("next-one 2_b")), list("word")},
		"block":   {strings.Split(p.block("yaml"), "\n"), list("# no heading", "a: 1")},
	} {
		if !slices.Equal(test.got, test.want) {
			t.Errorf("%s: got %q, want %q", name, test.got, test.want)
		}
	}
}
