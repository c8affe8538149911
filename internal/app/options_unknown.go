package app

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

const prefix = "HOMING_"

// ofService matches what Kubernetes puts into every container for a Service
// whose name starts with "homing-".
var ofService = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT|_PORT$|_PORT_[0-9]+_TCP`)

// unknownVariables refuses what looks like ours and is not: a misspelt variable
// would be a default that nobody asked for.
func unknownVariables(given map[string]string) []error {
	known := make(map[string]bool)
	for _, v := range Variables() {
		known[v.Name] = true
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !strings.HasPrefix(name, prefix) || known[name] || ofService.MatchString(name) {
			continue
		}
		if near := nearest(name); near != "" {
			errs = append(errs, fmt.Errorf("%s: is not a variable of Homing: did you mean %s?", name, near))
		} else {
			errs = append(errs, fmt.Errorf("%s: is not a variable of Homing", name))
		}
	}
	return errs
}

// nearest returns the variable that name may be a slip of, or none.
func nearest(name string) string {
	const slip = 3 // edits
	best, least := "", slip+1
	for _, v := range Variables() {
		if d := distance(name, v.Name); d < least {
			best, least = v.Name, d
		}
	}
	return best
}

// distance is the number of single-byte edits between a and b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
