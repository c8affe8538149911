// Package integration looks at the whole of Homing from outside, process by
// process, with nothing but the contract in hand.
package integration

import (
	"fmt"
	"os"
	"testing"

	"github.com/homing-dev/homing/test/harness"
)

var binaries *harness.Binaries

func TestMain(m *testing.M) {
	var err error
	if binaries, err = harness.NewBinaries(""); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	harness.Parallel(6)
	code := m.Run()
	binaries.Remove()
	os.Exit(code)
}

// start starts a stack for t.
func start(t *testing.T, env ...string) *harness.Stack {
	t.Helper()
	return harness.Start(t, harness.Options{Binaries: binaries, Env: env})
}
