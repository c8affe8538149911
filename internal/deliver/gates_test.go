package deliver_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/internal/deliver"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup/deduptest"
	"github.com/homing-dev/homing/pkg/events"
	"github.com/homing-dev/homing/pkg/graphapi"
)

// worker is one worker's gates; all of a test share a Redis and a clock.
func twoWorkers(t *testing.T) (a, b *deliver.Gates, c *clock) {
	t.Helper()
	rdb := deduptest.Redis(t)
	c = &clock{t: time.Now()}
	return newGates(rdb, c), newGates(rdb, c), c
}

func refresh(t *testing.T, gates ...*deliver.Gates) {
	t.Helper()
	for _, g := range gates {
		if err := g.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// expect checks a tenant's state and how many of 100 events would pass.
func expect(t *testing.T, g *deliver.Gates, state deliver.GateState, reason events.Reason) {
	t.Helper()
	if s, r := g.State("acme"); s != state || r != reason {
		t.Errorf("the gate is %s (%s), want %s (%s)", s, r, state, reason)
	}
}

func TestWhatClosesAGate(t *testing.T) {
	for name, tt := range map[string]struct {
		failures []graphapi.Class
		reason   events.Reason
	}{
		"auth":                        {[]graphapi.Class{graphapi.Auth}, events.ReasonAuth},
		"throttled":                   {[]graphapi.Class{graphapi.Throttled}, events.ReasonThrottled},
		"four not sent":               {slicesOf(graphapi.NotSent, 4), ""},
		"five not sent":               {slicesOf(graphapi.NotSent, 5), events.ReasonUnreachable},
		"five, one of which arrived":  {append(slicesOf(graphapi.NotSent, 4), graphapi.Transient, graphapi.NotSent), ""},
		"five, one of which was read": {append(slicesOf(graphapi.NotSent, 4), graphapi.Unknown, graphapi.NotSent), ""},
		"refused":                     {slicesOf(graphapi.Invalid, 9), ""},
		"transient":                   {slicesOf(graphapi.Transient, 9), ""},
	} {
		t.Run(name, func(t *testing.T) {
			a, b, _ := twoWorkers(t)
			for i, class := range tt.failures {
				last := i == len(tt.failures)-1
				if closed := a.Failed(t.Context(), "acme", failure(class)); closed != (last && tt.reason != "") {
					t.Errorf("after failure %d it says closed: %v", i+1, closed)
				}
			}
			refresh(t, b)
			for _, g := range []*deliver.Gates{a, b} {
				if tt.reason == "" {
					expect(t, g, deliver.GateOpen, "")
					continue
				}
				expect(t, g, deliver.GateClosed, tt.reason)
				if n, reason := g.Pass(t.Context(), "acme", 100); n != 0 || reason != tt.reason {
					t.Errorf("%d pass, %s", n, reason)
				}
				if n, _ := g.Pass(t.Context(), "umbra", 100); n != 100 {
					t.Errorf("of another tenant %d pass", n)
				}
			}
		})
	}
}

func slicesOf(c graphapi.Class, n int) (list []graphapi.Class) {
	for range n {
		list = append(list, c)
	}
	return list
}

func TestSuccessCountsAnew(t *testing.T) {
	a, _, _ := twoWorkers(t)
	for range 3 {
		for range 4 {
			a.Failed(t.Context(), "acme", failure(graphapi.NotSent))
		}
		a.Succeeded(t.Context(), "acme", graphapi.Usage{})
	}
	expect(t, a, deliver.GateOpen, "")
}

func TestRetryAfterIsHonoured(t *testing.T) {
	for asked, closed := range map[time.Duration]time.Duration{0: time.Minute, 30 * time.Second: time.Minute, time.Hour: time.Hour} {
		a, _, c := twoWorkers(t)
		err := failure(graphapi.Throttled)
		err.RetryAfter = asked
		a.Failed(t.Context(), "acme", err)
		c.forward(closed - time.Millisecond)
		expect(t, a, deliver.GateClosed, events.ReasonThrottled)
		c.forward(time.Millisecond)
		expect(t, a, deliver.GateHalfOpen, events.ReasonThrottled)
	}
}

func TestNearQuotaClosesEarly(t *testing.T) {
	for percent, state := range map[float64]deliver.GateState{94.9: deliver.GateOpen, 95: deliver.GateClosed} {
		a, _, c := twoWorkers(t)
		a.Succeeded(t.Context(), "acme", graphapi.Usage{Percent: percent, RegainIn: 10 * time.Minute})
		if got, _ := a.State("acme"); got != state {
			t.Errorf("at %v %% it is %s", percent, got)
		}
		c.forward(10*time.Minute - time.Second)
		if got, _ := a.State("acme"); got != state {
			t.Errorf("at %v %%, 10 minutes later, it is %s", percent, got)
		}
	}
}

func TestOneWorkerTriesAHalfOpenGate(t *testing.T) {
	a, b, c := twoWorkers(t)
	a.Failed(t.Context(), "acme", failure(graphapi.Auth))
	refresh(t, a, b)
	c.forward(time.Minute)
	expect(t, a, deliver.GateHalfOpen, events.ReasonAuth)
	expect(t, b, deliver.GateHalfOpen, events.ReasonAuth)
	if n, _ := b.Pass(t.Context(), "acme", 100); n != 10 {
		t.Errorf("%d try", n)
	}
	for _, g := range []*deliver.Gates{a, b} {
		if n, reason := g.Pass(t.Context(), "acme", 100); n != 0 || reason != events.ReasonAuth {
			t.Errorf("while one tries %d more pass (%s)", n, reason)
		}
	}

	// It failed: closed for twice as long, for both.
	b.Failed(t.Context(), "acme", failure(graphapi.Auth))
	refresh(t, a)
	c.forward(2*time.Minute - time.Second)
	expect(t, a, deliver.GateClosed, events.ReasonAuth)
	c.forward(time.Second)
	expect(t, a, deliver.GateHalfOpen, events.ReasonAuth)

	// The next try succeeds: open at once here, at the next look there.
	if n, _ := a.Pass(t.Context(), "acme", 3); n != 3 {
		t.Errorf("%d try", n)
	}
	a.Succeeded(t.Context(), "acme", graphapi.Usage{})
	expect(t, a, deliver.GateOpen, "")
	refresh(t, b)
	expect(t, b, deliver.GateOpen, "")
	if n, _ := b.Pass(t.Context(), "acme", 100); n != 100 {
		t.Errorf("%d pass an open gate", n)
	}
}

// Another worker than the one that closed the gate may be the one to try: it has
// not counted five failures itself.
func TestFailedTryClosesAgain(t *testing.T) {
	a, b, c := twoWorkers(t)
	for range 5 {
		a.Failed(t.Context(), "acme", failure(graphapi.NotSent))
	}
	refresh(t, b)
	c.forward(time.Minute)
	if n, _ := b.Pass(t.Context(), "acme", 100); n != 10 {
		t.Fatalf("%d try", n)
	}
	if !b.Failed(t.Context(), "acme", failure(graphapi.NotSent)) {
		t.Error("the try was not sent, and the gate is not closed")
	}
	expect(t, b, deliver.GateClosed, events.ReasonUnreachable)
}

// A try that arrived shows that Meta can be reached and knows the token.
func TestTryThatArrivedOpens(t *testing.T) {
	for _, class := range []graphapi.Class{graphapi.Transient, graphapi.Invalid, graphapi.Unknown} {
		a, _, c := twoWorkers(t)
		a.Failed(t.Context(), "acme", failure(graphapi.Auth))
		c.forward(time.Minute)
		if a.Failed(t.Context(), "acme", failure(class)) {
			t.Errorf("%s closes", class)
		}
		expect(t, a, deliver.GateOpen, "")
	}
}

// Of calls that were under way together, one closes the gate for as long as Meta
// asked; those that end after it don't open it again.
func TestCallsUnderWayDoNotOpen(t *testing.T) {
	for name, end := range map[string]func(g *deliver.Gates){
		"taken":  func(g *deliver.Gates) { g.Succeeded(t.Context(), "acme", graphapi.Usage{}) },
		"failed": func(g *deliver.Gates) { g.Failed(t.Context(), "acme", failure(graphapi.Transient)) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b, c := twoWorkers(t)
			throttled := failure(graphapi.Throttled)
			throttled.RetryAfter = 10 * time.Minute
			a.Failed(t.Context(), "acme", throttled)
			refresh(t, b)
			end(a)
			end(b)
			refresh(t, a, b)
			c.forward(10*time.Minute - time.Second)
			expect(t, a, deliver.GateClosed, events.ReasonThrottled)
			expect(t, b, deliver.GateClosed, events.ReasonThrottled)
		})
	}
}

// What Meta asked for stands, whatever else closes the gate meanwhile and whoever
// learns it. Only a new secret is an answer to it.
func TestNoClosingIsShortened(t *testing.T) {
	for name, later := range map[string]func(g *deliver.Gates){
		"auth":              func(g *deliver.Gates) { g.Failed(t.Context(), "acme", failure(graphapi.Auth)) },
		"throttled, sooner": func(g *deliver.Gates) { g.Failed(t.Context(), "acme", failure(graphapi.Throttled)) },
		"unreachable": func(g *deliver.Gates) {
			for range 5 {
				g.Failed(t.Context(), "acme", failure(graphapi.NotSent))
			}
		},
		"usage": func(g *deliver.Gates) {
			g.Succeeded(t.Context(), "acme", graphapi.Usage{Percent: 99, RegainIn: time.Minute})
		},
	} {
		for who, refreshed := range map[string]bool{"who knows": true, "who does not know yet": false} {
			t.Run(name+", by a worker "+who, func(t *testing.T) {
				a, b, c := twoWorkers(t)
				throttled := failure(graphapi.Throttled)
				throttled.RetryAfter = time.Hour
				a.Failed(t.Context(), "acme", throttled)
				if refreshed {
					refresh(t, b)
				}
				later(b)
				refresh(t, a, b)
				c.forward(time.Hour - time.Second)
				for _, g := range []*deliver.Gates{a, b} {
					if state, reason := g.State("acme"); state != deliver.GateClosed {
						t.Errorf("the gate is %s (%s) before the hour is over", state, reason)
					}
				}
				b.Open(t.Context(), "acme")
				refresh(t, a)
				expect(t, a, deliver.GateOpen, "")
			})
		}
	}
}

// A try that succeeds does not open what another worker was told to close.
func TestATryDoesNotOpenWhatWasClosedMeanwhile(t *testing.T) {
	a, b, c := twoWorkers(t)
	a.Failed(t.Context(), "acme", failure(graphapi.NotSent))
	a.Failed(t.Context(), "acme", failure(graphapi.Auth))
	refresh(t, b)
	c.forward(time.Minute)
	b.Succeeded(t.Context(), "acme", graphapi.Usage{Percent: 99, RegainIn: time.Hour})
	a.Succeeded(t.Context(), "acme", graphapi.Usage{})
	expect(t, a, deliver.GateClosed, events.ReasonThrottled)
	refresh(t, b)
	expect(t, b, deliver.GateClosed, events.ReasonThrottled)
}

// A look that began before this worker closed a gate ends after it.
func TestALookThatIsLateDoesNotOpen(t *testing.T) {
	rdb := deduptest.Redis(t)
	c := &clock{t: time.Now()}
	g := newGates(rdb, c)
	rdb.AddHook(&afterReading{then: func() { g.Failed(t.Context(), "acme", failure(graphapi.Throttled)) }})
	refresh(t, g)
	expect(t, g, deliver.GateClosed, events.ReasonThrottled)
	refresh(t, g)
	expect(t, g, deliver.GateClosed, events.ReasonThrottled)
}

// afterReading does something after the gates were read, before that is known.
type afterReading struct {
	then func()
	once sync.Once
}

func (*afterReading) DialHook(next redis.DialHook) redis.DialHook { return next }
func (*afterReading) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *afterReading) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if cmd.Name() == "hgetall" {
			h.once.Do(h.then)
		}
		return err
	}
}

func TestOpenByHand(t *testing.T) {
	a, b, _ := twoWorkers(t)
	a.Failed(t.Context(), "acme", failure(graphapi.Auth))
	refresh(t, b)
	b.Open(t.Context(), "acme")
	expect(t, b, deliver.GateOpen, "")
	refresh(t, a)
	expect(t, a, deliver.GateOpen, "")
}

func TestEachTellsWhatIsNotOpen(t *testing.T) {
	a, _, _ := twoWorkers(t)
	a.Failed(t.Context(), "acme", failure(graphapi.Auth))
	a.Succeeded(t.Context(), "umbra", graphapi.Usage{})
	var got []string
	a.Each(func(tenant string, s deliver.GateState, r events.Reason) {
		got = append(got, fmt.Sprintf("%s %s %s", tenant, s, r))
	})
	if len(got) != 1 || got[0] != "acme closed auth" {
		t.Errorf("%v", got)
	}
}

// Without Redis each worker has its own gates; nobody tries a half-open one.
func TestGatesWithoutRedis(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { _ = rdb.Close() })
	c := &clock{t: time.Now()}
	g := newGates(rdb, c)
	if n, _ := g.Pass(t.Context(), "acme", 100); n != 100 {
		t.Errorf("%d pass an open gate", n)
	}
	if !g.Failed(t.Context(), "acme", failure(graphapi.Auth)) {
		t.Error("not closed")
	}
	if err := g.Refresh(t.Context()); err == nil {
		t.Error("refresh does not tell")
	}
	expect(t, g, deliver.GateClosed, events.ReasonAuth)
	c.forward(time.Minute)
	if n, _ := g.Pass(t.Context(), "acme", 100); n != 0 {
		t.Errorf("%d try although nobody can know who else does", n)
	}
	g.Open(t.Context(), "acme")
	expect(t, g, deliver.GateOpen, "")
}

func TestClosedGateParksWithoutACallOrAClaim(t *testing.T) {
	f := setup(t)
	f.gates.Failed(t.Context(), "acme", failure(graphapi.Throttled))
	for _, d := range f.deliver(f.messages(3)...) {
		if d.Action != queue.Park || attempts(d) != 0 {
			t.Errorf("decision %+v", d)
		}
	}
	if got := f.steps.all(); len(got) != 0 {
		t.Errorf("steps %v", got)
	}
}

func TestHalfOpenGateIsTriedWithASmallBatch(t *testing.T) {
	f := setup(t)
	f.gates.Failed(t.Context(), "acme", failure(graphapi.Auth))
	f.clock.forward(time.Minute)
	count := map[queue.Action]int{}
	for _, d := range f.deliver(f.messages(30)...) {
		count[d.Action]++
	}
	if len(f.graph.calls) != 1 || count[queue.Ack] != 10 || count[queue.Park] != 20 {
		t.Errorf("%d calls, %v", len(f.graph.calls), count)
	}
	expect(t, f.gates, deliver.GateOpen, "")
}
