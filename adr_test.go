package homing_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDecisionsAreIndexed wants every decision record in the index, under the
// title that it has.
func TestDecisionsAreIndexed(t *testing.T) {
	index, err := os.ReadFile("docs/adr/README.md")
	if err != nil {
		t.Fatal(err)
	}
	records, err := filepath.Glob("docs/adr/[0-9]*.md")
	if err != nil || len(records) == 0 {
		t.Fatalf("no decision records: %v", err)
	}
	for _, record := range records {
		text, err := os.ReadFile(record)
		if err != nil {
			t.Fatal(err)
		}
		title, _, _ := strings.Cut(string(text), "\n")
		number, sentence, ok := strings.Cut(strings.TrimPrefix(title, "# "), ": ")
		line := "| [" + number + "](" + filepath.Base(record) + ") | " + sentence + " | "
		if !ok || !strings.Contains(string(index), line) {
			t.Errorf("%s: the index wants a line that begins with\n%s", record, line)
		}
	}
}
