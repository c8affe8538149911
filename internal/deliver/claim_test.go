package deliver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
	"github.com/homing-dev/homing/pkg/graphapi"
)

func TestInterrupted(t *testing.T) {
	t.Run("hold: held without a call", func(t *testing.T) {
		f := setup(t)
		m := f.message(f.event(events.Purchase, "order-1"))
		f.claimOf(m)
		got := f.deliver(f.again(m))[0]
		if rec := f.record(m); got.Action != queue.Ack || rec.Outcome != "held" || rec.Reason != "delivery_unknown" || !rec.Unsure {
			t.Errorf("decision %+v, record %+v", got, rec)
		}
		if len(f.graph.calls) != 0 || len(f.journal.letters) != 1 {
			t.Errorf("%d calls, %d letters", len(f.graph.calls), len(f.journal.letters))
		}
	})
	t.Run("resend: sent, and unsure", func(t *testing.T) {
		f := setup(t)
		m := f.message(f.event(events.Lead, "order-1"))
		f.claimOf(m)
		got := f.deliver(f.again(m))[0]
		if rec := f.record(m); got.Action != queue.Ack || rec.Outcome != "delivered" || !rec.Unsure {
			t.Errorf("decision %+v, record %+v", got, rec)
		}
		if f.graph.taken["order-1"] != 1 || !f.journal.lines[0].Unsure {
			t.Errorf("Meta has %v, ledger %+v", f.graph.taken, f.journal.lines)
		}
	})
	t.Run("five workers died: held", func(t *testing.T) {
		f := setup(t)
		m := f.message(f.event(events.Lead, "order-1"))
		f.claimOf(m)
		for range 4 {
			m = f.again(m)
			claims, err := f.store.Store.Claim(t.Context(), []dedup.Message{{
				Key: string(events.MakeKey("acme", events.Lead, "order-1")), Accept: m.Accept, Stream: m.Stream, Seq: m.Seq, Deliveries: m.Deliveries,
			}})
			if err != nil || claims[0].Result != dedup.Interrupted {
				t.Fatalf("%+v, %v", claims, err)
			}
		}
		got := f.deliver(f.again(m))[0]
		if rec := f.record(m); got.Action != queue.Ack || rec.Outcome != "held" || rec.Reason != "attempts_exhausted" || len(f.graph.calls) != 0 {
			t.Errorf("decision %+v, record %+v, %d calls", got, rec, len(f.graph.calls))
		}
	})
}

func TestHandedOutTooOftenWithoutAClaim(t *testing.T) {
	for deliveries, want := range map[uint64]string{20: "delivered", 21: "dead"} {
		f := setup(t)
		m := f.message(f.event(events.Lead, "order-1"))
		m.Deliveries = deliveries
		f.deliver(m)
		if rec := f.record(m); rec.Outcome != want || want == "dead" && rec.Reason != "attempts_exhausted" {
			t.Errorf("delivery %d: record %+v", deliveries, rec)
		}
	}
}

func TestTaken(t *testing.T) {
	for deliveries, want := range map[uint64]queue.Action{1: queue.Nak, 9: queue.Nak, 10: queue.Retry} {
		f := setup(t)
		owner := f.message(f.event(events.Lead, "order-1"))
		f.claimOf(owner)
		m := f.message(f.event(events.Lead, "order-1"))
		m.Deliveries = deliveries
		got := f.deliver(m)[0]
		if got.Action != want || want == queue.Nak && got.Delay != 2*time.Second || want == queue.Retry && !got.At.Equal(f.clock.now().Add(2*time.Second)) {
			t.Errorf("delivery %d: %+v", deliveries, got)
		}
		if rec := f.record(m); rec.State != dedup.Claimed || rec.Accept != owner.Accept || len(f.graph.calls) != 0 {
			t.Errorf("delivery %d: record %+v, %d calls", deliveries, rec, len(f.graph.calls))
		}
	}
}

func TestSameKeyTwiceInOneBatch(t *testing.T) {
	f := setup(t)
	one, two := f.message(f.event(events.Lead, "order-1")), f.message(f.event(events.Lead, "order-1"))
	got := f.deliver(one, two)
	if got[0].Action != queue.Ack || got[1].Action != queue.Nak || got[1].Delay != 2*time.Second || f.graph.taken["order-1"] != 1 {
		t.Errorf("decisions %+v, Meta has %v", got, f.graph.taken)
	}
	if got := f.deliver(f.again(two))[0]; got.Action != queue.Ack || f.graph.taken["order-1"] != 1 {
		t.Errorf("the second later: %+v, Meta has %v", got, f.graph.taken)
	}
}

// A client that posts one event again and again is settled at once, not with one
// copy in two seconds.
func TestManyCopiesOfWhatIsSettled(t *testing.T) {
	f := setup(t)
	f.deliver(f.message(f.event(events.Lead, "order-1")))
	copies := make([]*queue.Message, 50)
	for i := range copies {
		copies[i] = f.message(f.event(events.Lead, "order-1"))
	}
	for i, got := range f.deliver(copies...) {
		if got.Action != queue.Ack {
			t.Errorf("copy %d: %+v", i, got)
		}
	}
	if n := len(f.journal.lines); n != 51 || f.graph.taken["order-1"] != 1 {
		t.Errorf("%d lines in the ledger, Meta has %v", n, f.graph.taken)
	}
	for _, line := range f.journal.lines[1:] {
		if line.Outcome != events.Duplicate {
			t.Errorf("%+v", line)
		}
	}
}

func TestDuplicateIsALineInTheLedger(t *testing.T) {
	f := setup(t)
	first, second := f.message(f.event(events.Lead, "order-1")), f.message(f.event(events.Lead, "order-1"))
	f.deliver(first)
	got := f.deliver(second)[0]
	if got.Action != queue.Ack || f.graph.taken["order-1"] != 1 || len(f.journal.lines) != 2 {
		t.Fatalf("decision %+v, Meta has %v, ledger %+v", got, f.graph.taken, f.journal.lines)
	}
	if line := f.journal.lines[1]; line.Outcome != events.Duplicate || line.Accept != second.Accept || line.Origin != second.Origin {
		t.Errorf("ledger %+v", line)
	}
	if rec := f.record(first); rec.Accept != first.Accept || rec.Outcome != "delivered" {
		t.Errorf("the record changed: %+v", rec)
	}
}

func TestSettledRepeatsTheEffects(t *testing.T) {
	f := setup(t)
	f.graph.answer = always(failure(graphapi.Invalid))
	m := f.message(f.event(events.Lead, "order-1"))
	f.deliver(m)
	f.clock.forward(time.Minute)
	m = f.again(m)
	m.Attempt = 0
	got := f.deliver(m)[0]
	if got.Action != queue.Ack || len(f.graph.calls) != 1 {
		t.Errorf("decision %+v, %d calls", got, len(f.graph.calls))
	}
	if len(f.journal.letters) != 2 || len(f.journal.lines) != 2 {
		t.Fatalf("letters %+v, ledger %+v", f.journal.letters, f.journal.lines)
	}
	if diff := cmp.Diff(f.journal.lines[0], f.journal.lines[1]); diff != "" {
		t.Errorf("the lines differ (-first +second):\n%s", diff)
	}
	if a, b := f.journal.letters[0], f.journal.letters[1]; a.Reason != b.Reason || !a.At.Equal(b.At) || a.FbtraceID != b.FbtraceID {
		t.Errorf("the letters differ: %+v, %+v", a, b)
	}
}

func TestLeftoverOfAnOlderRoundIsAcked(t *testing.T) {
	f := setup(t)
	m := f.message(f.event(events.Lead, "order-1"))
	replayed := f.message(f.event(events.Lead, "order-1"))
	replayed.Accept, replayed.Round = m.Accept, 1
	f.deliver(replayed)
	before := len(f.steps.all())
	if got := f.deliver(m)[0]; got.Action != queue.Ack {
		t.Errorf("decision %+v", got)
	}
	if diff := cmp.Diff([]string{"claim 1"}, f.steps.all()[before:]); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestOrderOfEffects(t *testing.T) {
	tests := map[string]struct {
		event  events.Name
		answer error
		want   []string
	}{
		"delivered": {events.Lead, nil, []string{"claim 1", "post 1", "settle delivered", "record acme 1"}},
		"dead":      {events.Lead, failure(graphapi.Invalid), []string{"claim 1", "post 1", "settle dead", "bury dead", "record acme 1"}},
		"held":      {events.Purchase, failure(graphapi.Unknown), []string{"claim 1", "post 1", "settle held", "bury held", "record acme 1"}},
		"retrying":  {events.Lead, failure(graphapi.Transient), []string{"claim 1", "post 1", "settle retrying"}},
		"parked":    {events.Lead, failure(graphapi.Auth), []string{"claim 1", "post 1", "settle parked"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			f.graph.answer = always(tt.answer)
			f.deliver(f.message(f.event(tt.event, "order-1")))
			if diff := cmp.Diff(tt.want, f.steps.all()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// No ack before the outcome is durable.
func TestJournalAway(t *testing.T) {
	away := errors.New("no answer from JetStream")
	for name, tt := range map[string]struct {
		bury, write error
		steps       []string
	}{
		"dead letters": {bury: away, steps: []string{"claim 1", "post 1", "settle dead", "bury dead"}},
		"ledger":       {write: away, steps: []string{"claim 1", "post 1", "settle dead", "bury dead", "record acme 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			f.graph.answer = always(failure(graphapi.Invalid))
			f.journal.buryErr, f.journal.writeErr = tt.bury, tt.write
			m := f.message(f.event(events.Lead, "order-1"))
			if got := f.deliver(m)[0]; got.Action != queue.Forget {
				t.Errorf("decision %+v, want it forgotten", got)
			}
			if diff := cmp.Diff(tt.steps, f.steps.all()); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			f.journal.buryErr, f.journal.writeErr = nil, nil
			if got := f.deliver(f.again(m))[0]; got.Action != queue.Ack || len(f.graph.calls) != 1 {
				t.Errorf("once it is back: %+v after %d calls", got, len(f.graph.calls))
			}
		})
	}
}

func TestUnansweredClaimIsReleasedAndHandedBack(t *testing.T) {
	for _, err := range []error{errors.New("i/o timeout"), dedup.ErrIncident} {
		t.Run(err.Error(), func(t *testing.T) {
			f := setup(t)
			f.store.claimErr = err
			var alarms []error
			f.opt.Alarm = func(err error) { alarms = append(alarms, err) }
			again := f.message(f.event(events.Lead, "again"))
			again.Deliveries = 2
			got := f.deliver(f.message(f.event(events.Lead, "first")), again)
			// Handed back the first would look as if it had been sent before.
			if got[0].Action != queue.Retry || got[1].Action != queue.Nak || got[1].Delay != 2*time.Second {
				t.Errorf("decisions %+v", got)
			}
			if !slices.Equal(f.steps.all(), []string{"claim 2", "release 2"}) {
				t.Errorf("steps %v", f.steps.all())
			}
			if len(alarms) != 1 || !errors.Is(alarms[0], err) {
				t.Errorf("alarms %v", alarms)
			}
		})
	}
}

// A tenant that is served slowly has its events handed back again and again; that
// alone must not end them as attempts_exhausted.
func TestLateOftenEnoughGoesRoundThroughTheQueue(t *testing.T) {
	for name, tt := range map[string]struct {
		deliveries uint64
		full       bool
		want       queue.Action
	}{
		"a few times":              {9, false, queue.Nak},
		"often":                    {10, false, queue.Retry},
		"often, with no room left": {10, true, queue.Park},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			f.opt.RetriesFull = func() bool { return tt.full }
			m := f.message(f.event(events.Lead, "order-1"))
			m.Deliveries = tt.deliveries
			f.clock.forward(80 * time.Second)
			if got := f.deliver(m)[0]; got.Action != tt.want || attempts(got) != 0 || f.record(m).State == dedup.Claimed {
				t.Errorf("decision %+v, record %+v", got, f.record(m))
			}
		})
	}
}

// Twenty hand-outs must outlast any outage of Redis that a worker goes on in.
func TestRestsGrowWhileRedisRefuses(t *testing.T) {
	f := setup(t)
	f.store.claimErr = errors.New("OOM command not allowed when used memory > 'maxmemory'")
	m := f.again(f.message(f.event(events.Lead, "order-1")))
	var rested time.Duration
	for ; m.Deliveries < 10; m = f.again(m) {
		got := f.deliver(m)[0]
		if got.Action != queue.Nak || got.Delay < 2*time.Second || got.Delay > 2*time.Minute {
			t.Fatalf("delivery %d: %+v", m.Deliveries, got)
		}
		rested += got.Delay
	}
	if rested < 5*time.Minute {
		t.Errorf("9 deliveries take %v", rested)
	}
	// From then on its deliveries count from one again.
	if got := f.deliver(m)[0]; got.Action != queue.Retry {
		t.Errorf("delivery 10: %+v", got)
	}
}

func TestNoRequestAfterTheDeadline(t *testing.T) {
	// AckWait 90 s, a call 10 s, 5 s to spare.
	for late, sent := range map[time.Duration]bool{75 * time.Second: true, 75*time.Second + time.Millisecond: false} {
		f := setup(t)
		m := f.message(f.event(events.Lead, "order-1"))
		f.clock.forward(late)
		got := f.deliver(m)[0]
		if sent != (len(f.graph.calls) == 1) || sent != (got.Action == queue.Ack) {
			t.Errorf("after %v: %+v, %d calls", late, got, len(f.graph.calls))
		}
		if !sent && (got.Action != queue.Retry || f.record(m).State != dedup.Waiting) {
			t.Errorf("after %v: %+v, record %+v", late, got, f.record(m))
		}
	}
}

// An event may wait for its turn until a call could just start, and be late once its
// key is claimed. Handed back it would pass, after an incident, for one that a dead
// worker may have sent.
func TestLateOnceClaimedIsNoSecondDelivery(t *testing.T) {
	f := setup(t)
	m := f.message(f.event(events.Lead, "order-1"))
	f.clock.forward(75*time.Second - time.Millisecond)
	f.store.onClaim = func() { f.clock.forward(100 * time.Millisecond) }
	got := f.deliver(m)[0]
	if got.Action != queue.Retry || len(f.graph.calls) != 0 || f.record(m).State != dedup.Waiting {
		t.Fatalf("decision %+v, %d calls, record %+v", got, len(f.graph.calls), f.record(m))
	}
	f.store.onClaim = nil
	if err := f.store.Mark(t.Context(), dedup.Marker{IncidentAt: f.clock.now()}); err != nil {
		t.Fatal(err)
	}
	next := f.next(m, got)
	if got := f.deliver(next)[0]; got.Action != queue.Ack || f.record(next).Unsure || f.record(next).Outcome != string(events.Delivered) {
		t.Errorf("decision %+v, record %+v", got, f.record(next))
	}
}

// Of a batch that takes two calls, the second was never in one when it is late.
func TestLateBehindASlowCallIsNoSecondDelivery(t *testing.T) {
	f := setup(t)
	f.opt.BatchDeadline = 5 * time.Minute // not what ends this one
	var msgs []*queue.Message
	for n := range 6 {
		e := f.event(events.Lead, fmt.Sprintf("order-%d", n))
		e.CustomData = json.RawMessage(`{"note":"` + strings.Repeat("x", 200_000) + `"}`)
		msgs = append(msgs, f.message(e))
	}
	f.graph.answer = func(graphapi.Call, []string) error { f.clock.forward(80 * time.Second); return nil }
	got := f.deliver(msgs...)
	if len(f.graph.calls) != 1 {
		t.Fatalf("%d calls", len(f.graph.calls))
	}
	for n, d := range got {
		want := queue.Retry
		if n < len(f.graph.calls[0].Events) {
			want = queue.Ack
		}
		if d.Action != want {
			t.Errorf("order-%d: %v, want %v", n, d.Action, want)
		}
	}
}

// A line that stalls hands over what JetStream has handed out long ago, and to
// another worker since: this one must not send it.
func TestNoRequestForWhatTheLineHeldUp(t *testing.T) {
	for held, sent := range map[time.Duration]bool{75 * time.Second: true, 75*time.Second + time.Millisecond: false} {
		f := setup(t)
		m := f.message(f.event(events.Lead, "order-1"))
		m.Asked = m.Received.Add(-held)
		got := f.deliver(m)[0]
		if sent != (len(f.graph.calls) == 1) || sent != (got.Action == queue.Ack) {
			t.Errorf("held up for %v: %+v, %d calls", held, got, len(f.graph.calls))
		}
	}
}

func TestShutdownIsNoAttempt(t *testing.T) {
	f := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.graph.answer = func(graphapi.Call, []string) error {
		cancel()
		return &graphapi.Error{Class: graphapi.NotSent, Err: context.Canceled}
	}
	m := f.message(f.event(events.Lead, "order-1"))
	got := f.deliverIn(ctx, m)[0]
	if got.Action != queue.Nak || f.record(m).State != dedup.Queued {
		t.Errorf("decision %+v, record %+v", got, f.record(m))
	}
	f.graph.answer = nil
	if got := f.deliver(f.again(m))[0]; got.Action != queue.Ack || f.journal.lines[0].Attempts != 1 || f.journal.lines[0].Unsure {
		t.Errorf("afterwards %+v, ledger %+v", got, f.journal.lines)
	}
}
