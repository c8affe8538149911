package deliver_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/internal/deliver"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/events"
)

// clickStore knows the click of every event, or of none, and whether the
// consumer of clicks has caught up.
type clickStore struct {
	steps   *steps
	found   clicks.Found
	err     error
	behind  bool
	tailErr error
	onTail  func()
	onLook  func()

	mu      sync.Mutex
	queries []clicks.Query
}

func (c *clickStore) Lookup(_ context.Context, queries []clicks.Query) ([]clicks.Found, error) {
	c.steps.add("lookup %d", len(queries))
	c.mu.Lock()
	c.queries = append(c.queries, queries...)
	c.mu.Unlock()
	if c.onLook != nil {
		c.onLook()
	}
	if c.err != nil {
		return nil, c.err
	}
	found := make([]clicks.Found, len(queries))
	for i := range found {
		found[i] = c.found
	}
	return found, nil
}

func (c *clickStore) ClicksCaughtUp(context.Context) (bool, error) {
	c.steps.add("tail")
	if c.onTail != nil {
		c.onTail()
	}
	return !c.behind, c.tailErr
}

// unpinned is an event whose click the api did not find.
func (f *fixture) unpinned() *queue.Message {
	e := f.event(events.Lead, "order-1")
	e.Clid, e.WABA = "", ""
	return f.message(e)
}

func TestClickIsLookedUpWhereNoneWasPinned(t *testing.T) {
	f := setup(t)
	f.clicks.found = clicks.Found{Clid: "clid-found", WABA: "222", At: 1}
	m := f.unpinned()
	if got := f.deliver(m)[0]; got.Action != queue.Ack {
		t.Errorf("decision %+v", got)
	}
	want := clicks.Query{
		Tenant: "acme", Persons: []events.Person{events.Person(hash("person"))},
		Before: f.clock.now().Add(-time.Hour).Unix() + 60,
	}
	if diff := cmp.Diff([]clicks.Query{want}, f.clicks.queries); diff != "" {
		t.Errorf("queries (-want +got):\n%s", diff)
	}
	if got := f.journal.lines[0].Clid; got != "clid-found" {
		t.Errorf("the ledger says %q", got)
	}
}

func TestPinnedClickIsNotLookedUp(t *testing.T) {
	f := setup(t)
	f.clicks.err = errors.New("not to be asked")
	if got := f.deliver(f.message(f.event(events.Lead, "order-1")))[0]; got.Action != queue.Ack {
		t.Errorf("decision %+v", got)
	}
	if len(f.clicks.queries) != 0 {
		t.Errorf("asked %d times", len(f.clicks.queries))
	}
}

func TestNoClickNeedsACaughtUpConsumer(t *testing.T) {
	for name, tt := range map[string]struct {
		behind  bool
		tailErr error
		wait    time.Duration // between receipt and delivery
		end     bool
	}{
		"caught up after receipt":            {wait: time.Millisecond, end: true},
		"caught up at receipt, not after it": {},
		"behind":                             {behind: true, wait: time.Second},
		"nobody answers":                     {tailErr: errors.New("away"), wait: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			f.clicks.behind, f.clicks.tailErr = tt.behind, tt.tailErr
			m := f.unpinned()
			f.clock.forward(tt.wait)
			got := f.deliver(m)[0]
			if !tt.end {
				if !got.Again || !got.At.Equal(f.clock.now().Add(time.Second)) {
					t.Errorf("decision %+v, want it again in a second", got)
				}
				return
			}
			if got.Action != queue.Ack || got.Again {
				t.Errorf("decision %+v", got)
			}
			rec := f.record(m)
			if rec.Outcome != "no_click" || rec.Reason != "no_ctwa_click_id_for_phone" || len(f.graph.calls) != 0 {
				t.Errorf("record %+v, %d calls", rec, len(f.graph.calls))
			}
			if len(f.journal.lines) != 1 || f.journal.lines[0].Outcome != events.NoClick || len(f.journal.letters) != 0 {
				t.Errorf("ledger %+v, %d dead letters", f.journal.lines, len(f.journal.letters))
			}
		})
	}
}

// The clicks that are in the store by the time of the answer count, so the
// question must come before the look.
func TestTailIsAskedBeforeTheLook(t *testing.T) {
	f := setup(t)
	f.clicks.onTail = func() { f.clicks.found = clicks.Found{Clid: "just in time"} }
	m := f.unpinned()
	f.clock.forward(time.Millisecond)
	f.deliver(m)
	if f.graph.taken["order-1"] != 1 {
		t.Errorf("steps %v: the click that came with the answer was overlooked", f.steps.all())
	}
}

func TestTailIsAskedOnceASecond(t *testing.T) {
	f := setup(t)
	f.clicks.behind = true
	d := deliver.New(f.opt)
	asked := func() (n int) {
		for _, s := range f.steps.all() {
			if s == "tail" {
				n++
			}
		}
		return n
	}
	m := f.unpinned()
	for i := range 10 {
		got := d.Deliver(t.Context(), "acme", []*queue.Message{m})[0]
		if !got.Again || got.At.Sub(f.clock.now()) > time.Second {
			t.Fatalf("decision %+v", got)
		}
		if want := 1 + i/5; asked() != want {
			t.Fatalf("after %d deliveries asked %d times, want %d", i+1, asked(), want)
		}
		f.clock.forward(200 * time.Millisecond)
	}
	f.clicks.behind = false
	if got := d.Deliver(t.Context(), "acme", []*queue.Message{m})[0]; got.Action != queue.Ack || got.Again {
		t.Errorf("caught up, yet %+v", got)
	}
	f.clock.forward(time.Minute)
	before := asked()
	older := f.unpinned()
	older.Received = m.Received
	d.Deliver(t.Context(), "acme", []*queue.Message{older})
	if asked() != before {
		t.Error("asked again although the answer was newer than the message")
	}
}

func TestClickGrace(t *testing.T) {
	f := setup(t)
	f.opt.ClickGrace = 3 * time.Minute
	m := f.unpinned()
	f.clock.forward(time.Second)
	accepted := m.AcceptedAt
	// A minute and a second old: it waits as long again, and one more second.
	got := f.deliver(m)[0]
	if want := f.clock.now().Add(62 * time.Second); got.Action != queue.Retry || !got.At.Equal(want) {
		t.Errorf("decision %+v, want a retry at %v", got, want)
	}
	if attempts(got) != 0 {
		t.Errorf("%d attempts counted", attempts(got))
	}
	// The last look is at the end of the grace.
	f.clock.forward(time.Minute)
	got = f.deliver(f.next(m, got))[0]
	if want := accepted.Add(3 * time.Minute); !got.At.Equal(want) && !got.Again {
		t.Errorf("decision %+v, want a retry at %v", got, want)
	}
	f.clock.forward(2 * time.Minute)
	last := f.unpinned()
	last.Envelope = m.Envelope
	f.clock.forward(time.Second)
	if got = f.deliver(last)[0]; got.Action != queue.Ack || f.record(m).Outcome != "no_click" {
		t.Errorf("after the grace %+v, %+v", got, f.record(m))
	}
}

func TestClickStoreAway(t *testing.T) {
	f := setup(t)
	f.clicks.err = errors.New("redis is away")
	var alarms []error
	f.opt.Alarm = func(err error) { alarms = append(alarms, err) }
	pinned := f.message(f.event(events.Lead, "pinned"))
	got := f.deliver(f.unpinned(), pinned)
	// Not handed back: a second delivery could pass for one that was sent.
	if want := f.clock.now().Add(2 * time.Second); got[0].Action != queue.Retry || !got[0].At.Equal(want) {
		t.Errorf("decision %+v", got[0])
	}
	if got[1].Action != queue.Ack {
		t.Errorf("the pinned neighbour: %+v", got[1])
	}
	if len(alarms) != 1 {
		t.Errorf("alarms %v", alarms)
	}
}

func TestLateByRedisIsNoSecondDelivery(t *testing.T) {
	for name, tt := range map[string]struct {
		late   func(f *fixture)
		waited bool // for its turn
		want   queue.Action
	}{
		"Redis was slow":     {func(f *fixture) { f.clicks.onLook = func() { f.clock.forward(f.opt.AckWait) } }, false, queue.Retry},
		"JetStream was slow": {func(f *fixture) { f.clicks.onTail = func() { f.clock.forward(f.opt.AckWait) } }, false, queue.Nak},
		"others were slow":   {func(*fixture) {}, true, queue.Retry},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			f.clicks.found = clicks.Found{Clid: "clid-found", WABA: "222", At: 1}
			tt.late(f)
			m := f.unpinned()
			if tt.waited {
				f.clock.forward(f.opt.AckWait)
			}
			if got := f.deliver(m)[0]; got.Action != tt.want {
				t.Errorf("%v, want %v", got.Action, tt.want)
			}
			if n := len(f.graph.calls); n != 0 {
				t.Errorf("%d calls", n)
			}
		})
	}
}
