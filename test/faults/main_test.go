//go:build faults

// Package faults kills processes, cuts lines and makes Meta misbehave, and then
// counts: what was promised, what Meta has, and what the ledger says of it.
//
// With -short it takes a few minutes. A seed is printed by every test that draws
// lots; FAULTS_SEED repeats it.
package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/homing-dev/homing/test/harness"
)

var binaries *harness.Binaries

func TestMain(m *testing.M) {
	var err error
	if binaries, err = harness.NewBinaries("faults"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	harness.Parallel(6)
	code := m.Run()
	binaries.Remove()
	os.Exit(code)
}

// within is how long everything may take to come to its end.
const within = 90 * time.Second

func start(t *testing.T, opt harness.Options) *harness.Stack {
	t.Helper()
	opt.Binaries = binaries
	return harness.Start(t, opt)
}

// lots draws lots that can be drawn again.
func lots(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("FAULTS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("FAULTS_SEED: %v", err)
		}
	}
	t.Logf("FAULTS_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// choose returns the first in a short run, the second in a whole one.
func choose[T any](short, whole T) T {
	if testing.Short() {
		return short
	}
	return whole
}

// clidOf is the click of the n-th person.
func clidOf(n int) string { return fmt.Sprintf("clid-%d", n) }

// people is how many persons convert, each after a click.
const people = 4

// tapAll lets everybody click.
func tapAll(s *harness.Stack) {
	for n := range people {
		for _, tenant := range s.Tenants {
			s.Tap(tenant, harness.Click{Phone: harness.Phone(n), Clid: clidOf(n), At: time.Now()})
		}
	}
}

// names returns what is posted in turn: the first is held when nobody knows
// whether Meta has it, the second sent again.
func names() []string { return []string{"Purchase", "AddToCart"} }

// convert posts the n-th conversion of a tenant until it is taken.
func convert(s *harness.Stack, p *harness.Promises, tenant harness.Tenant, id string, n int) error {
	name := names()[n%2]
	a, err := s.Insist(tenant, harness.PathEvent, harness.Conversion(name, id, harness.Phone(n%people)))
	if err != nil {
		return fmt.Errorf("%s: %d %s: %w", id, a.Code, a.Text, err)
	}
	p.Add(tenant, name, id, clidOf(n%people))
	return nil
}

// convertAll posts several conversions at once, and waits until all are taken.
func convertAll(s *harness.Stack, p *harness.Promises, prefix string, count int) {
	var wg sync.WaitGroup
	for n := range count {
		wg.Go(func() {
			if err := convert(s, p, s.Tenants[n/2%2], fmt.Sprintf("%s-%d", prefix, n), n); err != nil {
				s.T.Error(err)
			}
		})
	}
	wg.Wait()
}

// load posts conversions until it is stopped.
type load struct {
	prefix   string
	promises harness.Promises
	stop     chan struct{}
	clients  sync.WaitGroup
	count    atomic.Int64
}

// startLoad lets clients post, each so often, ids that begin alike.
func startLoad(s *harness.Stack, prefix string, clients int, every time.Duration) *load {
	tapAll(s)
	l := &load{prefix: prefix, stop: make(chan struct{})}
	for c := range clients {
		l.clients.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-l.stop:
					return
				case <-tick.C:
				}
				if err := convert(s, &l.promises, s.Tenants[c%2], fmt.Sprintf("%s-%d-%d", prefix, c, n), n); err != nil {
					s.T.Error(err)
				}
				l.count.Add(1)
			}
		})
	}
	return l
}

// await waits for so many more conversions.
func (l *load) await(t *testing.T, more int64) {
	t.Helper()
	want := l.count.Load() + more
	harness.Eventually(t, within, "conversions are taken", func() error {
		if n := l.count.Load(); n < want {
			return fmt.Errorf("%d of %d", n, want)
		}
		return nil
	})
}

// finish stops the clients and judges. Every event has to be delivered, but for
// those of which the stack has a doubt: they may be held.
func (l *load) finish(s *harness.Stack) harness.Findings {
	s.T.Helper()
	close(l.stop)
	l.clients.Wait()
	f := s.Judge(&l.promises, within)
	s.T.Logf("%s: %d events: %s; %d may be unsure", l.prefix, l.promises.Len(), f, s.Doubts())
	if f.Dead+f.NoClick > 0 {
		s.T.Errorf("%s: events ended without a delivery", l.prefix)
	}
	return f
}
