package deliver_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/internal/deliver"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
	"github.com/homing-dev/homing/pkg/graphapi"
)

// busyMeta is a pass whose call is under way until finish is called, which returns
// what became of it.
func (f *fixture) busyMeta(d *deliver.Deliverer, m *queue.Message) (finish func() deliver.Decision) {
	f.t.Helper()
	called, answer := make(chan struct{}), make(chan struct{})
	f.graph.answer = func(_ graphapi.Call, ids []string) error {
		if ids[0] == m.EventID {
			close(called)
			<-answer
		}
		return nil
	}
	got := make(chan deliver.Decision, 1)
	go func() { got <- d.Deliver(f.t.Context(), m.Tenant, []*queue.Message{m})[0] }()
	<-called
	return func() deliver.Decision {
		close(answer)
		return <-got
	}
}

// count counts the steps of a kind.
func (s *steps) count(kind string) (n int) {
	for _, step := range s.all() {
		if len(step) >= len(kind) && step[:len(kind)] == kind {
			n++
		}
	}
	return n
}

// until waits until something is so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.After(10 * time.Second); !so(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("never: %s", what)
		}
	}
}

// toLookUp is an event whose click the worker looks for, and finds.
func (f *fixture) toLookUp(id string) *queue.Message {
	f.clicks.found = clicks.Found{Clid: "clid", WABA: "112"}
	e := f.event(events.Lead, id)
	e.Clid, e.WABA = "", ""
	return f.message(e)
}

// A batch without a place is read, and claims nothing; one of another tenant does
// not wait for it.
func TestClaimsWaitForAPlace(t *testing.T) {
	f := setup(t)
	f.opt.Places = deliver.NewPlaces(1)
	d := deliver.New(f.opt)
	first, second := f.toLookUp("order-1"), f.toLookUp("order-2")
	finish := f.busyMeta(d, first)
	got := make(chan deliver.Decision, 1)
	go func() { got <- d.Deliver(t.Context(), "acme", []*queue.Message{second})[0] }()
	until(t, "the second is read", func() bool { return f.steps.count("lookup") == 2 })
	select {
	case <-got:
		t.Fatal("the second did not wait")
	case <-time.After(20 * time.Millisecond):
	}
	if n := f.steps.count("claim"); n != 1 || f.record(second).State != dedup.None {
		t.Errorf("%d claims: %v", n, f.steps.all())
	}
	if a, b := finish(), <-got; a.Action != queue.Ack || b.Action != queue.Ack {
		t.Errorf("%+v, %+v", a, b)
	}
	if steps := f.steps.all(); f.graph.taken["order-1"] != 1 || f.graph.taken["order-2"] != 1 || len(f.journal.lines) != 2 {
		t.Errorf("Meta has %v: %v", f.graph.taken, steps)
	}
}

// slowJournal lets the first line wait.
type slowJournal struct {
	*journal
	begun   atomic.Bool
	writing chan struct{}
	resume  chan struct{}
}

func (j *slowJournal) Record(ctx context.Context, tenant string, lines []events.Settlement) error {
	if j.begun.CompareAndSwap(false, true) {
		close(j.writing)
		<-j.resume
	}
	return j.journal.Record(ctx, tenant, lines)
}

// What is settled has its answer, and keeps nobody from calling.
func TestSettlingTakesNoPlace(t *testing.T) {
	f := setup(t)
	f.opt.Places = deliver.NewPlaces(1)
	slow := &slowJournal{journal: f.journal, writing: make(chan struct{}), resume: make(chan struct{})}
	f.opt.Journal = slow
	d := deliver.New(f.opt)
	first, second := f.message(f.event(events.Lead, "order-1")), f.message(f.event(events.Lead, "order-2"))
	got := make(chan deliver.Decision, 1)
	go func() { got <- d.Deliver(t.Context(), "acme", []*queue.Message{first})[0] }()
	<-slow.writing
	if b := d.Deliver(t.Context(), "acme", []*queue.Message{second})[0]; b.Action != queue.Ack || f.graph.taken["order-2"] != 1 {
		t.Errorf("%+v, Meta has %v", b, f.graph.taken)
	}
	close(slow.resume)
	if a := <-got; a.Action != queue.Ack {
		t.Errorf("%+v", a)
	}
}

// A worker that stops hands back what has no place yet, untouched, and ends what
// needs none.
func TestClosedPlaces(t *testing.T) {
	f := setup(t)
	f.opt.Places = deliver.NewPlaces(1)
	d := deliver.New(f.opt)
	finish := f.busyMeta(d, f.message(f.event(events.Lead, "order-1")))
	waits, broken := f.toLookUp("order-2"), f.message(f.event(events.Lead, "order-3"))
	broken.Data = []byte("{")
	got := make(chan []deliver.Decision, 1)
	go func() { got <- d.Deliver(t.Context(), "acme", []*queue.Message{waits, broken}) }()
	until(t, "the second is read", func() bool { return f.steps.count("lookup") == 1 })
	f.opt.Places.Close()
	f.opt.Places.Close()
	ds := <-got
	if ds[0].Action != queue.Nak || ds[0].Delay != 0 || f.record(waits).State != dedup.None || f.graph.taken["order-2"] != 0 {
		t.Errorf("%+v, record %+v", ds[0], f.record(waits))
	}
	if ds[1].Action != queue.Ack || len(f.journal.letters) != 1 {
		t.Errorf("%+v, %d letters", ds[1], len(f.journal.letters))
	}
	if a := finish(); a.Action != queue.Ack {
		t.Errorf("%+v", a)
	}
}

// Who waits so long that its message may soon be in other hands does not call.
func TestLateForAPlace(t *testing.T) {
	f := setup(t)
	f.opt.Places = deliver.NewPlaces(1)
	d := deliver.New(f.opt)
	finish := f.busyMeta(d, f.message(f.event(events.Lead, "order-1")))
	late := f.toLookUp("order-2")
	got := make(chan deliver.Decision, 1)
	go func() { got <- d.Deliver(t.Context(), "acme", []*queue.Message{late})[0] }()
	until(t, "the second is read", func() bool { return f.steps.count("lookup") == 1 })
	f.clock.forward(80 * time.Second)
	finish()
	if b := <-got; b.Action != queue.Retry || b.Next.Unsure || f.graph.taken["order-2"] != 0 || f.steps.count("claim") != 1 {
		t.Errorf("%+v, record %+v, Meta has %v", b, f.record(late), f.graph.taken)
	}
}

// Each tenant has its places, taken in turn, and nothing is left of who has gone.
func TestPlacesAreTakenInTurn(t *testing.T) {
	f := setup(t)
	f.opt.Places = deliver.NewPlaces(2)
	d := deliver.New(f.opt)
	var mu sync.Mutex
	var under, most int
	f.store.onClaim = func() {
		mu.Lock()
		defer mu.Unlock()
		under++
		most = max(most, under)
	}
	var order []string
	f.graph.answer = func(_ graphapi.Call, ids []string) error {
		mu.Lock()
		defer mu.Unlock()
		under--
		order = append(order, ids[0])
		return nil
	}
	var wg sync.WaitGroup
	for i := range 50 {
		m := f.message(f.event(events.Lead, fmt.Sprintf("order-%d", i)))
		wg.Go(func() { d.Deliver(t.Context(), "acme", []*queue.Message{m}) })
	}
	wg.Wait()
	slices.Sort(order)
	if n := len(slices.Compact(order)); n != 50 || most > 2 {
		t.Errorf("%d called, %d at once", n, most)
	}
	if n := f.opt.Places.Tenants(); n != 0 {
		t.Errorf("%d tenants are remembered", n)
	}
}
