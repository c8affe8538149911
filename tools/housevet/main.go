// Command housevet holds the analyzers that the house adds to go vet. It is run
// by go vet itself (go vet -vettool=tools/bin/housevet ./...), so its results
// are cached with the build.
package main

import (
	"log"
	"strings"

	"github.com/nishanths/exhaustive/passes/exhaustive"
	"github.com/polyfloyd/go-errorlint/errorlint"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/nilness"
	"golang.org/x/tools/go/analysis/passes/unusedwrite"
	"golang.org/x/tools/go/analysis/unitchecker"
)

func main() {
	unitchecker.Main(
		enumerations(),
		outsideTests(errorlint.NewAnalyzer()), // wrapped errors are matched by errors.Is and errors.As
		nilness.Analyzer,                      // nil dereferences that control flow proves
		unusedwrite.Analyzer,                  // writes to a copy that nobody reads
	)
}

// enumerations wants every value, or a default, in a switch over one of our own
// exported enumerations (outcomes, reasons, classes): a new value must not fall
// through in silence.
func enumerations() *analysis.Analyzer {
	for flag, value := range map[string]string{
		"check":    "switch",
		"d":        "true", // a default case is enough
		"typeonly": `^github\.com/homing-dev/homing/.*\.[A-Z]\w*$`,
	} {
		if err := exhaustive.Analyzer.Flags.Set(flag, value); err != nil {
			log.Fatalf("housevet: the flag %q of exhaustive: %v", flag, err)
		}
	}
	return exhaustive.Analyzer
}

// outsideTests keeps an analyzer quiet about test files: a test may insist on
// the very error that an API promises.
func outsideTests(a *analysis.Analyzer) *analysis.Analyzer {
	quiet, run := *a, a.Run
	quiet.Run = func(pass *analysis.Pass) (any, error) {
		product := *pass
		product.Report = func(d analysis.Diagnostic) {
			if !strings.HasSuffix(pass.Fset.Position(d.Pos).Filename, "_test.go") {
				pass.Report(d)
			}
		}
		return run(&product)
	}
	return &quiet
}
