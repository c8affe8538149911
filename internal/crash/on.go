//go:build faults

package crash

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// variable names the point at which this process dies, and at which pass of it:
// POINT or POINT:N, N from 1.
const variable = "CRASH_AT"

// charge is what the environment of a process asks for.
type charge struct {
	point Point
	left  atomic.Int64 // passes
}

// armed reads the environment once: a process has one.
var armed = sync.OnceValue(func() *charge {
	c, err := parse(os.Getenv(variable))
	if err != nil {
		panic(err) // a test that waits for a crash that cannot come
	}
	return c
})

func parse(text string) (*charge, error) {
	c := new(charge)
	if text == "" {
		return c, nil
	}
	name, times, _ := strings.Cut(text, ":")
	c.point = Point(name)
	if !slices.Contains(Points(), c.point) {
		return nil, fmt.Errorf("crash: %s: there is no point %q", variable, name)
	}
	n := 1
	if times != "" {
		var err error
		if n, err = strconv.Atoi(times); err != nil || n < 1 {
			return nil, fmt.Errorf("crash: %s: %q is not a number of passes", variable, times)
		}
	}
	c.left.Store(int64(n))
	return c, nil
}

// At kills the process, as the kernel or a power cut would, when CRASH_AT asks
// for this pass of p.
func At(p Point) {
	if c := armed(); c.point != p || c.left.Add(-1) != 0 {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal may take a moment; nothing is done in it
}
