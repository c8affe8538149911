//go:build faults

package faults

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/homing-dev/homing/internal/sandbox"
	"github.com/homing-dev/homing/test/harness"
)

// TestKilledAtRandom kills the api and the workers at any moment.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	lots := lots(t)
	s := start(t, harness.Options{Keep: true, Workers: 2})
	l := startLoad(s, 8, 10*time.Millisecond)
	victims := append([]*harness.Process{s.API}, s.Workers...)
	for range choose(6, 50) {
		l.await(t, int64(20+lots.IntN(100)))
		harness.Pass(time.Duration(lots.IntN(20)) * time.Millisecond)
		victims[lots.IntN(len(victims))].Signal(syscall.SIGKILL)
	}
	l.await(t, 50)
	f := l.finish(s)
	kills, inFlight := s.Kills()
	t.Logf("%d killed, with %d events in flight", kills, inFlight)
	if f.Held > inFlight {
		t.Errorf("%d events are held, and only %d were in flight", f.Held, inFlight)
	}
	if f.Dead+f.NoClick > 0 {
		t.Error("events ended without a delivery")
	}
}

// outage is something that stops working under load and comes back.
type outage struct {
	name  string
	begin func(*harness.Stack)
	end   func(*harness.Stack)
	lasts time.Duration // at least
	// unknown says that answers may be lost, of calls to Meta or of claims, so that
	// events may be held.
	unknown bool
}

func outages() []outage {
	nothing := func(*harness.Stack) {}
	return []outage{
		{
			name: "nats killed", lasts: time.Second,
			begin: func(s *harness.Stack) { s.NATS.Kill() },
			end:   func(s *harness.Stack) { s.NATS.Start(); s.NATS.Await() },
		},
		{
			name: "redis killed", lasts: time.Second,
			begin: func(s *harness.Stack) { s.Redis.Kill() },
			end:   func(s *harness.Stack) { s.Redis.Start(); s.Redis.Await() }, unknown: true,
		},
		{name: "redis flushed", begin: func(s *harness.Stack) { s.Redis.Flush() }, end: nothing, unknown: true},
		{name: "redis replaced", begin: func(s *harness.Stack) { s.Redis.Replace() }, end: nothing, unknown: true},
		{
			name: "redis frozen", lasts: choose(3*time.Second, 30*time.Second),
			begin: func(s *harness.Stack) { s.Redis.Pause() },
			end:   func(s *harness.Stack) { s.Redis.Resume() }, unknown: true,
		},
		{
			name: "nats cut off", lasts: 2 * time.Second,
			begin: func(s *harness.Stack) { s.NATSLine.Cut() },
			end:   func(s *harness.Stack) { s.NATSLine.Mend() },
		},
		{
			name: "nats lost", lasts: choose(3*time.Second, 15*time.Second),
			begin: func(s *harness.Stack) { s.NATSLine.Freeze() },
			end:   func(s *harness.Stack) { s.NATSLine.Mend() }, unknown: true,
		},
		{
			name: "redis cut off", lasts: 2 * time.Second,
			begin: func(s *harness.Stack) { s.RedisLine.Cut() },
			end:   func(s *harness.Stack) { s.RedisLine.Mend() }, unknown: true,
		},
		{
			name: "redis lost", lasts: choose(3*time.Second, 15*time.Second),
			begin: func(s *harness.Stack) { s.RedisLine.Freeze() },
			end:   func(s *harness.Stack) { s.RedisLine.Mend() }, unknown: true,
		},
		{
			name: "meta cut off", lasts: 2 * time.Second,
			begin: func(s *harness.Stack) { s.MetaLine.Cut() },
			end:   func(s *harness.Stack) { s.MetaLine.Mend() }, unknown: true,
		},
		{
			name: "meta lost", lasts: 3 * time.Second,
			begin: func(s *harness.Stack) { s.MetaLine.Freeze() },
			end:   func(s *harness.Stack) { s.MetaLine.Mend() }, unknown: true,
		},
	}
}

func TestOutages(t *testing.T) {
	for _, o := range outages() {
		t.Run(strings.ReplaceAll(o.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			s := start(t, harness.Options{Workers: 2, CutNATS: true, CutRedis: true, CutMeta: true})
			l := startLoad(s, 8, 20*time.Millisecond)
			for range choose(1, 3) {
				l.await(t, 200)
				o.begin(s)
				harness.Pass(o.lasts)
				o.end(s)
			}
			l.await(t, 100)
			f := l.finish(s)
			if f.Dead+f.NoClick > 0 {
				t.Error("events ended without a delivery")
			}
			if !o.unknown && f.Held > 0 {
				t.Errorf("%d events are held, and no answer was lost", f.Held)
			}
		})
	}
}

// TestFlushedUnderPressure takes Redis's memory while thousands of events are in
// the worker's hands: only those in calls to Meta at that moment may be held.
func TestFlushedUnderPressure(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Options{})
	s.Fault(sandbox.Fault{Action: sandbox.Action{Latency: 100 * time.Millisecond}})
	tapAll(s)
	var promises harness.Promises
	const count, batch = 4000, 500
	most := 0
	for first := 0; first < count; first += batch {
		convertBatch(s, &promises, first, batch)
		if first == count/2 {
			most = s.Claimed() + 2*200 // what is claimed while we count
			s.Redis.Flush()
		}
	}
	f := s.Judge(&promises, within)
	t.Logf("%s; about %d were in flight", f, most)
	if f.Held > most || f.Dead+f.NoClick+f.Doubles > 0 {
		t.Errorf("%s; at most %d were in flight", f, most)
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

// TestRollingRestarts deploys again and again under load.
func TestRollingRestarts(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Options{Workers: 2})
	tapAll(s)
	l := startLoad(s, 8, 20*time.Millisecond)
	for n := range choose(4, 20) {
		for _, p := range []*harness.Process{s.Workers[n%2], s.API} {
			l.await(t, 30)
			if code := p.Terminate(within); code != 0 {
				t.Errorf("%s ended with %d", p.Name, code)
			}
			p.Start()
			s.AwaitReady(p)
		}
	}
	l.await(t, 30)
	f := l.finish(s)
	if want := (harness.Findings{Delivered: f.Delivered}); f != want {
		t.Errorf("%s; want all delivered", f)
	}
	attempts(t, s)
}

// attempts wants one attempt for every event: a restart is none.
func attempts(t *testing.T, s *harness.Stack) {
	t.Helper()
	var wg sync.WaitGroup
	for _, e := range s.Meta.Events(sandbox.Filter{Limit: 200}) {
		wg.Go(func() {
			tenant := s.Tenants[0]
			if e.Dataset != tenant.Dataset {
				tenant = s.Tenants[1]
			}
			a, err := s.Status(tenant, e.Name, e.ID)
			if err != nil || a.Code != http.StatusOK || a.Body.Attempts != 1 {
				t.Errorf("%s: %d %s %v; want one attempt", e.ID, a.Code, a.Text, err)
			}
		})
	}
	wg.Wait()
}
