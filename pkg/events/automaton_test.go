package events

import (
	"fmt"
	"regexp"
	"testing"
)

// The automaton says of every short string what Go's own matcher says.
func TestAutomaton(t *testing.T) {
	patterns := []string{
		`1`, `12?3`, `(?:0|90)(?:(1[245]|31)(\d{2}))?`, `([57]\d{2})$|1`, `[^\d\D]`, ``, `\d{2,4}`, `2[13-5]|(?:40){2}`,
		`0*1+`, `(?:3|4$)5?`, `[6-8]\d\d?$`,
	}
	a, err := compileAutomaton(patterns)
	if err != nil {
		t.Fatal(err)
	}
	type pair struct{ whole, start *regexp.Regexp }
	var res []pair
	for _, p := range patterns {
		// A beginning that is not empty: the longest one that matches, if any.
		start := regexp.MustCompile("^(?:" + p + ")")
		start.Longest()
		res = append(res, pair{regexp.MustCompile("^(?:" + p + ")$"), start})
	}
	for n, width := 1, 0; width <= 4; n, width = n*10, width+1 {
		for i := range n {
			digits := ""
			if width > 0 {
				digits = fmt.Sprintf("%0*d", width, i)
			}
			whole, beginning := a.run(digits)
			for bit, re := range res {
				if got, want := whole>>bit&1 == 1, re.whole.MatchString(digits); got != want {
					t.Fatalf("%s matches %q: %v, want %v", patterns[bit], digits, got, want)
				}
				if got, want := beginning>>bit&1 == 1, len(re.start.FindString(digits)) > 0; got != want {
					t.Fatalf("%s matches the beginning of %q: %v, want %v", patterns[bit], digits, got, want)
				}
			}
		}
	}
}

func TestAutomatonRefuses(t *testing.T) {
	for name, patterns := range map[string][]string{
		"no pattern":         {`(`},
		"looks around":       {`1\b2`},
		"looks back":         {`^1`},
		"too many patterns":  make([]string, maxPatterns+1),
		"needs a state each": {`\d*1\d{16}`},
	} {
		if _, err := compileAutomaton(patterns); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
