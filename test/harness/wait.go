package harness

import (
	"flag"
	"fmt"
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

// ports hands out each port once, from blocks that belong to this process alone
// as long as it holds their first port: test binaries run side by side.
var ports struct {
	sync.Mutex
	blocks []net.Listener // of each its first port
	next   int            // of the last block
}

const blockSize = 100

// Addr returns a loopback address that nobody listens on, and that nobody else
// is given.
func Addr(t testing.TB) string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	for {
		if ports.next%blockSize == 0 && !takeBlock() {
			t.Fatal("no port is free")
		}
		base := ports.blocks[len(ports.blocks)-1].Addr().(*net.TCPAddr).Port
		addr := fmt.Sprintf("127.0.0.1:%d", base+ports.next)
		ports.next = (ports.next + 1) % blockSize
		if free(addr) {
			return addr
		}
	}
}

// takeBlock makes a block of ports this process's own.
func takeBlock() bool {
	low, high := listenRange()
	n := (high - low) / blockSize
	for try := range n {
		base := low + (os.Getpid()+try)%n*blockSize
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base)); err == nil {
			ports.blocks, ports.next = append(ports.blocks, l), 1
			return true
		}
	}
	return false
}

// listenRange returns ports below those that the kernel gives to outgoing
// connections, which could take one between two runs of the process that it
// belongs to. Where it gives out nearly all, there is no such range.
func listenRange() (low, high int) {
	low, high = 10_000, 30_000
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return low, high // not Linux
	}
	var from, to int
	if _, err := fmt.Sscan(string(text), &from, &to); err != nil || from >= high {
		return low, high
	}
	if from >= 4000 {
		return 2000, from
	}
	return low, high
}

// free reports whether nobody listens on an address. A process that was just
// forked has a copy of every socket until it executes its program, and would keep
// the port taken after the probe is closed: hence the fork lock.
func free(addr string) bool {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	_ = l.Close()
	return true
}
