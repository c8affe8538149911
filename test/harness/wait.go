package harness

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// poll is how often a test looks whether something has happened.
const poll = 20 * time.Millisecond

// Eventually fails the test unless f returns nil within a time.
func Eventually(t testing.TB, within time.Duration, what string, f func() error) {
	t.Helper()
	if err := wait(within, f); err != nil {
		t.Fatalf("%s: not within %s: %v", what, within, err)
	}
}

func wait(within time.Duration, f func() error) error {
	deadline := time.After(within)
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return err
		}
	}
}

// Parallel lets so many tests run at once, unless -parallel says otherwise: they
// wait more than they compute.
func Parallel(n int) {
	if f := flag.Lookup("test.parallel"); f != nil {
		_ = f.Value.Set(strconv.Itoa(n)) // it is a number
	}
}

// Pass lets time pass, for what has no end that could be waited for.
func Pass(d time.Duration) { <-time.After(d) }

// ports hands out each port once. They lie below those that a kernel gives to
// outgoing connections, which could otherwise take a port between two runs of
// the process that it belongs to.
var ports = struct {
	sync.Mutex
	given map[int]bool
}{given: map[int]bool{}}

// Addr returns a loopback address that nobody listens on. A process that was just
// forked has a copy of every socket until it executes its program, and would keep
// the port taken after the probe is closed: hence the fork lock.
func Addr(t testing.TB) string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	for try := range 1000 {
		port := 10_000 + rand.IntN(20_000)
		if try < 200 {
			// Test binaries run side by side, under neighbouring process ids.
			port = 10_000 + os.Getpid()%200*100 + rand.IntN(100)
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if ports.given[port] {
			continue
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		_ = l.Close()
		ports.given[port] = true
		return addr
	}
	t.Fatal("no port is free")
	return ""
}
