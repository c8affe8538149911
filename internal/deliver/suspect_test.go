package deliver_test

import (
	"testing"
	"time"

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
	for range 20 {
		if got, dead := f.dies(neighbour, killer); !dead {
			t.Fatalf("delivery %d: %+v", killer.Deliveries, got)
		}
		killer, neighbour = f.again(killer), f.again(neighbour)
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

// A full stream hands an event back for days, a rolling restart what it holds: that
// is not to die of it.
func TestHandedOutOftenIsNotDead(t *testing.T) {
	f := setup(t)
	m := f.message(f.event(events.Lead, "order-1"))
	f.gates.Failed(t.Context(), "acme", failure(graphapi.Throttled))
	for range 60 {
		if got := f.deliver(m)[0]; got.Action == queue.Ack {
			t.Fatalf("delivery %d: %+v", m.Deliveries, got)
		}
		m = f.again(m) // it could not be parked
	}
	f.gates.Open(t.Context(), "acme")
	f.deliver(m)
	if rec := f.record(m); rec.Outcome != "delivered" {
		t.Errorf("delivery %d: %+v", m.Deliveries, rec)
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
			m.Deliveries = 11
			for range 10 {
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
	if got := f.deliver(m)[0]; got.Action != queue.Nak || got.Delay < 2*time.Second || len(f.clicks.queries) != 0 {
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
