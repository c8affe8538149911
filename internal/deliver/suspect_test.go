package deliver_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/internal/deliver"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
	"github.com/homing-dev/homing/pkg/graphapi"
)

// dies delivers as a worker does that dies of it.
func (f *fixture) dies(msgs ...*queue.Message) (decisions []deliver.Decision, dead bool) {
	f.t.Helper()
	defer func() { dead = recover() != nil }()
	return f.deliver(msgs...), false
}

// One event kills whoever looks for its click, and takes the others of its batch
// along: it alone is ended, at the 21st delivery, and it is not read then.
func TestWhatKillsItsReaderIsEndedUnread(t *testing.T) {
	f := setup(t)
	f.clicks.onLook = func() { panic("out of memory") }
	killer, neighbour := f.unpinned(), f.message(f.event(events.Lead, "order-2"))
	for delivery := range 20 {
		with := []*queue.Message{killer}
		if delivery > 0 { // it came a little later
			with = append(with, neighbour)
			neighbour = f.again(neighbour)
		}
		if got, dead := f.dies(with...); !dead {
			t.Fatalf("delivery %d: %+v", killer.Deliveries, got)
		}
		killer = f.again(killer)
	}
	got, dead := f.dies(neighbour, killer)
	if dead || got[0].Action != queue.Ack || got[1].Action != queue.Ack {
		t.Fatalf("delivery 21: %+v, died: %t", got, dead)
	}
	if rec := f.record(killer); rec.Outcome != "dead" || rec.Reason != "attempts_exhausted" {
		t.Errorf("the killer: %+v", rec)
	}
	if rec := f.record(neighbour); rec.Outcome != "delivered" || rec.Unsure {
		t.Errorf("its neighbour: %+v", rec)
	}
	if n := len(f.journal.letters); n != 1 || string(f.journal.letters[0].Message.Data) != string(killer.Data) {
		t.Errorf("%d letters, want one with the bytes as they came", n)
	}
}

// A full HOMING_PARKED hands an event back for days: that is not to die of it.
func TestWithoutRoomToParkItGoesRound(t *testing.T) {
	for name, tt := range map[string]struct {
		deliveries uint64
		full       bool
		want       queue.Action
	}{
		"a few times":         {9, false, queue.Park},
		"often":               {10, false, queue.Retry},
		"often, and no retry": {10, true, queue.Park},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			f.opt.RetriesFull = func() bool { return tt.full }
			f.gates.Failed(t.Context(), "acme", failure(graphapi.Throttled))
			m := f.message(f.event(events.Lead, "order-1"))
			m.Deliveries = tt.deliveries
			got := f.deliver(m)[0]
			if got.Action != tt.want || attempts(got) != 0 {
				t.Errorf("decision %+v", got)
			}
			if rec := f.record(m); rec.State == dedup.Decided || rec.State == dedup.Claimed {
				t.Errorf("record %+v", rec)
			}
		})
	}
}

// Deaths count only in a row, and what is known of the key has the last word.
func TestSuspectsAreJudgedByTheirRecord(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(f *fixture, m *queue.Message)
		want   string
	}{
		"nothing is known":         {func(*fixture, *queue.Message) {}, "dead"},
		"claimed by a dead worker": {func(f *fixture, m *queue.Message) { f.claimOf(m) }, "held"},
		"delivered": {func(f *fixture, m *queue.Message) {
			f.clicks.onLook = nil
			f.clicks.found.Clid = "ARAk"
			f.deliver(m)
		}, "delivered"},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			m := f.unpinned()
			tt.before(f, m)
			f.clicks.onLook = func() { panic("out of memory") }
			for m.Deliveries = 11; m.Deliveries <= 20; m.Deliveries++ {
				f.dies(m)
			}
			if _, dead := f.dies(m); dead {
				t.Fatal("read once more")
			}
			if rec := f.record(m); rec.State != dedup.Decided || rec.Outcome != tt.want {
				t.Errorf("record %+v, want %s", rec, tt.want)
			}
		})
	}
}

// Without a mark nobody reads a suspect, and nobody ends it.
func TestSuspectsWaitForRedis(t *testing.T) {
	f := setup(t)
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { _ = rdb.Close() })
	f.opt.Suspects = deliver.NewSuspects(rdb)
	m := f.unpinned()
	m.Deliveries = 30
	if got := f.deliver(m)[0]; got.Action != queue.Retry || len(f.clicks.queries) != 0 {
		t.Errorf("decision %+v after %d look-ups", got, len(f.clicks.queries))
	}
}

// An event that a dead worker left unsure is not sent more often than one that this
// worker did.
func TestUnknownsOfAnInterruptedEventCount(t *testing.T) {
	f := setup(t)
	m := f.message(f.event(events.Lead, "order-1"))
	waits := f.message(f.event(events.Lead, "order-1"))
	waits.Unsure, waits.Unknowns = true, 3
	f.graph.answer = always(failure(graphapi.Transient))
	f.deliver(waits) // W, with three unknowns
	f.claimOf(m)     // of another acceptance, by a worker that dies
	f.graph.answer = always(failure(graphapi.Unknown))
	f.deliver(f.again(m))
	if rec := f.record(m); rec.Outcome != "held" || rec.Reason != "delivery_unknown" {
		t.Errorf("record %+v, want it held after the fourth unknown", rec)
	}
}
