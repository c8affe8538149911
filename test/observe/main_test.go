package observe_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/homing-dev/homing/test/harness"
)

var binaries *harness.Binaries

func TestMain(m *testing.M) {
	harness.Parallel(8) // they wait, mostly
	var err error
	if binaries, err = harness.NewBinaries(""); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	binaries.Remove()
	os.Exit(code)
}
