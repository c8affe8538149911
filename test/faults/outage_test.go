//go:build faults

package faults

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/homing-dev/homing/internal/sandbox"
	"github.com/homing-dev/homing/test/harness"
)

// TestKilledAtRandom kills the api and the workers at any moment. What was in a
// call then may be held, and nothing else.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	lots := lots(t)
	s := start(t, harness.Options{Keep: true, Workers: 2})
	l := startLoad(s, "kill", 8, 10*time.Millisecond)
	victims := append([]*harness.Process{s.API}, s.Workers...)
	for range choose(6, 50) {
		l.await(t, int64(20+lots.IntN(100)))
		harness.Pass(time.Duration(lots.IntN(20)) * time.Millisecond)
		victims[lots.IntN(len(victims))].Signal(syscall.SIGKILL)
	}
	l.await(t, 50)
	l.finish(s)
	t.Logf("%d killed", s.Kills())
}

// outage is a server that stops working under load and comes back. No worker
// dies, and Meta's answers arrive: nothing may be unsure, unless an outage lasts
// so long that the queue gives up on the workers.
type outage struct {
	name  string
	begin func(*harness.Stack)
	end   func(*harness.Stack)
	lasts time.Duration // at least
	// doubt notes, while the workers stand still, what may be unsure after an
	// outage that is longer than AckWait; nil: nothing.
	doubt func(*harness.Stack)
}

// brief is over before a worker gives up settling what it has, which it does a
// second before AckWait is over; long is not.
const (
	brief = time.Second
	long  = 6 * time.Second
)

func outages() []outage {
	nothing := func(*harness.Stack) {}
	claimed := func(s *harness.Stack) { s.DoubtClaimed("Redis was away for longer than AckWait") }
	handedOut := func(s *harness.Stack) {
		s.DoubtHandedOut("Redis was away for longer than AckWait and came back another")
	}
	kill, restart := func(s *harness.Stack) { s.Redis.Kill() }, func(s *harness.Stack) { s.Redis.Start(); s.Redis.Await() }
	freeze, thaw := func(s *harness.Stack) { s.Redis.Pause() }, func(s *harness.Stack) { s.Redis.Resume(); s.Redis.Await() }
	return []outage{
		{
			name: "nats killed", lasts: brief,
			begin: func(s *harness.Stack) { s.NATS.Kill() },
			end:   func(s *harness.Stack) { s.NATS.Start(); s.NATS.Await() },
		},
		{name: "redis killed", lasts: brief, begin: kill, end: restart},
		{name: "redis killed for long", lasts: long, begin: kill, end: restart, doubt: handedOut},
		{name: "redis flushed", begin: func(s *harness.Stack) { s.Redis.Flush() }, end: nothing},
		{name: "redis replaced", begin: func(s *harness.Stack) { s.Redis.Replace() }, end: nothing},
		{name: "redis frozen", lasts: brief, begin: freeze, end: thaw},
		{name: "redis frozen for long", lasts: choose(long, 30*time.Second), begin: freeze, end: thaw, doubt: claimed},
	}
}

func TestOutages(t *testing.T) {
	for _, o := range outages() {
		t.Run(strings.ReplaceAll(o.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			s := start(t, harness.Options{Workers: 2})
			l := startLoad(s, "order", 8, 20*time.Millisecond)
			for range choose(1, 3) {
				l.await(t, 200)
				o.happen(s)
			}
			l.await(t, 100)
			l.finish(s)
		})
	}
}

func (o outage) happen(s *harness.Stack) {
	if o.doubt == nil {
		o.begin(s)
		harness.Pass(o.lasts)
		o.end(s)
		return
	}
	s.Still(func() { o.doubt(s); o.begin(s) })
	harness.Pass(o.lasts)
	s.Still(func() {
		o.end(s)
		harness.Pass(settling)
		o.doubt(s) // what was on its way to Redis has arrived
	})
}

// settling is how long a server takes, at most, over what waits in its sockets.
const settling = 200 * time.Millisecond

// TestFlushedUnderPressure takes Redis's memory while thousands of events are in
// the worker's hands. The worker knows what it did with each, so nothing is held.
func TestFlushedUnderPressure(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Options{})
	s.Fault(sandbox.Fault{Action: sandbox.Action{Latency: 100 * time.Millisecond}})
	tapAll(s)
	var promises harness.Promises
	const count, batch = 4000, 500
	for first := 0; first < count; first += batch {
		convertBatch(s, &promises, first, batch)
		if first == count/2 {
			s.Redis.Flush()
		}
	}
	f := s.Judge(&promises, within)
	s.AwaitSpans()
	t.Log(f)
	if want := (harness.Findings{Delivered: count}); f != want {
		t.Errorf("%s, want %s", f, want)
	}
}

// convertBatch posts purchases in one request.
func convertBatch(s *harness.Stack, p *harness.Promises, first, count int) {
	s.T.Helper()
	var events []map[string]any
	for n := first; n < first+count; n++ {
		id := fmt.Sprintf("order-%d", n)
		events = append(events, harness.Conversion("Purchase", id, harness.Phone(n%people)))
		p.Add(s.Tenants[0], "Purchase", id, clidOf(n%people))
	}
	if a, err := s.Insist(s.Tenants[0], harness.PathEvents, events); err != nil || a.Body.Accepted != count {
		s.T.Fatalf("%d %d accepted, %v", a.Code, a.Body.Accepted, err)
	}
}

// TestMetaFails lets Meta refuse calls and events, and counts the calls it takes
// to deliver all others all the same.
func TestMetaFails(t *testing.T) {
	t.Parallel()
	lots := lots(t)
	s := start(t, harness.Options{})
	const count, batch = 4000, 500
	bad := map[string]bool{}
	for len(bad) < count/200 {
		id := fmt.Sprintf("order-%d", lots.IntN(count))
		if !bad[id] {
			s.Fault(poison(id, 0))
		}
		bad[id] = true
	}
	s.Fault(sandbox.Fault{Match: sandbox.Match{Probability: 0.10, Seed: lots.Uint64()}, Action: sandbox.Action{Status: 503, Code: 2, Transient: true}})
	s.Fault(sandbox.Fault{Match: sandbox.Match{Probability: 0.01, Seed: lots.Uint64()}, Action: sandbox.Action{Status: 429, Code: 4}})

	tapAll(s)
	s.Workers[0].Terminate(within) // full batches are what is counted
	var promises harness.Promises
	for first := 0; first < count; first += batch {
		convertBatch(s, &promises, first, batch)
	}
	s.Workers[0].Start()
	f := s.Judge(&promises, within)
	if want := (harness.Findings{Delivered: count - len(bad), Dead: len(bad)}); f != want {
		t.Errorf("%s, want %s", f, want)
	}
	calls := float64(s.Meta.Stats().Calls) / count
	t.Logf("%.3f calls an event", calls)
	if calls >= 0.10 {
		t.Errorf("%.3f calls an event, want less than 0.10", calls)
	}
}
