package observe_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// quicker is by how much shorter the rules look back and wait in the tests that
// make alerts fire. Thresholds stay what they are.
const quicker = 30

// timing finds how long a rule looks back or waits: a range, an offset, `for:` and
// `interval:`. Everything else in rules.yaml is thresholds and words.
var timing = regexp.MustCompile(`(\[|\boffset |(?m:^\s+for: |^\s+interval: ))(\d+[smhd])\b`)

// shorten divides every time of rules, and rounds to seconds.
func shorten(rules string) string {
	return timing.ReplaceAllStringFunc(rules, func(found string) string {
		m := timing.FindStringSubmatch(found)
		return m[1] + fmt.Sprintf("%ds", max(1, int(timeOf(m[2])/quicker/time.Second)))
	})
}

// timeOf reads a duration as Prometheus writes it.
func timeOf(text string) time.Duration {
	n, _ := strconv.Atoi(text[:len(text)-1]) // digits, says the expression
	return time.Duration(n) * map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[text[len(text)-1]]
}

// shortRules writes the rules that the tests load.
func shortRules(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(shorten(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestShorten holds the shortened rules against the real ones: only times differ,
// each by the same factor, and none was overlooked.
func TestShorten(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	long, short := string(text), shorten(string(text))
	if timing.ReplaceAllString(long, "$1") != timing.ReplaceAllString(short, "$1") {
		t.Error("more than times was changed")
	}
	before, after := timing.FindAllStringSubmatch(long, -1), timing.FindAllStringSubmatch(short, -1)
	if len(before) != len(after) {
		t.Fatalf("%d times became %d", len(before), len(after))
	}
	for i, m := range before {
		was, is := timeOf(m[2]), timeOf(after[i][2])
		if off := was - is*quicker; is != time.Second && (off < 0 || off >= quicker*time.Second) || is > was {
			t.Errorf("%s became %s", m[2], after[i][2])
		}
	}
	// Whatever else looks like a time in an expression would stay long.
	loose := regexp.MustCompile(`\b\d+[smhdwy]\b`)
	for _, r := range rules(t) {
		if left := loose.FindAllString(timing.ReplaceAllString(r.Expr, ""), -1); left != nil {
			t.Errorf("%s%s keeps %q", r.Alert, r.Record, left)
		}
	}
	waits := 0
	for line := range strings.Lines(long) {
		if strings.HasPrefix(strings.TrimSpace(line), "for:") {
			waits++
		}
	}
	if n := strings.Count(timing.ReplaceAllString(long, "$1 "), "for:  \n"); n != waits {
		t.Errorf("%d of %d alerts wait shorter", n, waits)
	}
	if promtool, err := exec.LookPath("promtool"); err == nil {
		if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", shortRules(t)).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}
