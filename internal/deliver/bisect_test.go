package deliver_test

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/events"
	"github.com/homing-dev/homing/pkg/graphapi"
)

// refusing answers like Meta: one bad event sinks its batch.
func refusing(bad map[string]bool) func(graphapi.Call, []string) error {
	return func(_ graphapi.Call, ids []string) error {
		for _, id := range ids {
			if bad[id] {
				return failure(graphapi.Invalid)
			}
		}
		return nil
	}
}

// checkBisected checks that exactly the bad ones of a batch are dead, and that
// Meta took each of the others once.
func (f *fixture) checkBisected(msgs []*queue.Message, bad map[string]bool) {
	f.t.Helper()
	for _, m := range msgs {
		want, taken := "delivered", 1
		if bad[m.EventID] {
			want, taken = "dead", 0
		}
		if rec := f.record(m); rec.Outcome != want || rec.Note.Attempts != 1 || f.graph.taken[m.EventID] != taken {
			f.t.Errorf("%s is %s after %d attempts, Meta took it %d times", m.EventID, rec.Outcome, rec.Note.Attempts, f.graph.taken[m.EventID])
		}
	}
	if len(f.journal.letters) != len(bad) || len(f.journal.lines) != len(msgs) {
		f.t.Errorf("%d letters, %d lines", len(f.journal.letters), len(f.journal.lines))
	}
}

func TestOneBadEventOfAThousand(t *testing.T) {
	for _, at := range []int{0, 1, 499, 500, 998, 999} {
		f := setup(t)
		msgs := f.messages(1000)
		bad := map[string]bool{msgs[at].EventID: true}
		f.graph.answer = refusing(bad)
		for i, d := range f.deliver(msgs...) {
			if d.Action != queue.Ack {
				t.Fatalf("event %d: %+v", i, d)
			}
		}
		f.checkBisected(msgs, bad)
		most := 2*int(math.Ceil(math.Log2(1000))) + 1
		if further := len(f.graph.calls) - 1; further > most {
			t.Errorf("bad event at %d: %d further calls, want at most %d", at, further, most)
		} else if at == 999 && further > most/2 {
			// Every left half is clean, so no right half needs to be asked.
			t.Errorf("the last one is bad: %d further calls, want at most %d", further, most/2)
		}
	}
}

func TestSeveralBadEvents(t *testing.T) {
	f := setup(t)
	rapid.Check(t, func(rt *rapid.T) {
		f.begin()
		n := rapid.IntRange(1, 40).Draw(rt, "events")
		msgs := f.messages(n)
		bad := map[string]bool{}
		for _, i := range rapid.SliceOfDistinct(rapid.IntRange(0, n-1), rapid.ID).Draw(rt, "bad") {
			bad[msgs[i].EventID] = true
		}
		f.graph.answer = refusing(bad)
		f.deliver(msgs...)
		f.checkBisected(msgs, bad)
		if len(f.graph.calls) > 2*n {
			rt.Errorf("%d calls for %d events", len(f.graph.calls), n)
		}
	})
}

// What goes wrong in the middle of a bisection concerns only those in the call.
func TestTroubleInMidBisection(t *testing.T) {
	for name, tt := range map[string]struct {
		class    graphapi.Class
		action   queue.Action
		attempts int
		rest     queue.Action // of the half that had not been asked yet
	}{
		"transient": {graphapi.Transient, queue.Retry, 1, queue.Ack},
		"not sent":  {graphapi.NotSent, queue.Retry, 1, queue.Ack},
		"unknown":   {graphapi.Unknown, queue.Retry, 1, queue.Ack},
		// A closed gate is not asked twice.
		"auth":      {graphapi.Auth, queue.Park, 0, queue.Park},
		"throttled": {graphapi.Throttled, queue.Park, 1, queue.Park},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			msgs := f.messages(4)
			bad := refusing(map[string]bool{"e003": true})
			f.graph.answer = func(c graphapi.Call, ids []string) error {
				if len(f.graph.calls) == 2 { // e000 and e001
					return failure(tt.class)
				}
				return bad(c, ids)
			}
			got := f.deliver(msgs...)
			for i := range 2 {
				if got[i].Action != tt.action || attempts(got[i]) != tt.attempts {
					t.Errorf("e%03d: %+v, want %v after %d attempts", i, got[i], tt.action, tt.attempts)
				}
			}
			if got[2].Action != tt.rest || got[3].Action != tt.rest {
				t.Errorf("the other half: %+v, want %v", got[2:], tt.rest)
			}
			if rec := f.record(msgs[3]); tt.rest == queue.Ack && rec.Outcome != "dead" {
				t.Errorf("the bad one: %+v", rec)
			}
		})
	}
}

// The right half is taken for bad unseen only if Meta took the left one.
func TestRightHalfIsAskedWhenTheLeftIsNotClean(t *testing.T) {
	f := setup(t)
	msgs := f.messages(2)
	bad := map[string]bool{"e000": true}
	f.graph.answer = refusing(bad)
	f.deliver(msgs...)
	f.checkBisected(msgs, bad)
	if len(f.graph.calls) != 3 {
		t.Errorf("%d calls", len(f.graph.calls))
	}
}

func TestBodyLimitSplits(t *testing.T) {
	f := setup(t)
	var msgs []*queue.Message
	for i := range 40 {
		e := f.event(events.Lead, fmt.Sprintf("big-%d", i))
		e.CustomData = json.RawMessage(fmt.Sprintf(`{"content_name":"%040000d"}`, i))
		msgs = append(msgs, f.message(e))
	}
	for _, d := range f.deliver(msgs...) {
		if d.Action != queue.Ack {
			t.Errorf("decision %+v", d)
		}
	}
	for i, c := range f.graph.calls {
		size := 0
		for _, e := range c.Events {
			size += len(e) + 1
		}
		if size > 1_000_000-1000 {
			t.Errorf("call %d: %d bytes", i, size)
		}
	}
	if len(f.graph.calls) != 2 || len(f.graph.taken) != 40 {
		t.Errorf("%d calls, Meta has %d", len(f.graph.calls), len(f.graph.taken))
	}
}
