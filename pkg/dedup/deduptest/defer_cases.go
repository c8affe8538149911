package deduptest

import (
	"context"
	"time"

	"github.com/homing-dev/homing/pkg/dedup"
)

// put defers m and returns what is shown of its key then.
func (k *kit) put(m dedup.Message, outcome string) dedup.Record {
	k.Helper()
	next := k.Now().Add(time.Minute).Truncate(time.Millisecond).UTC()
	d := dedup.Deferred{Message: m, Outcome: outcome, Reason: "auth", NextAt: next}
	if err := k.Store.Defer(context.Background(), []dedup.Deferred{d}); err != nil {
		k.Fatalf("Defer: %v", err)
	}
	return k.get()
}

// shows puts m off and wants to see that.
func (k *kit) shows(m dedup.Message, outcome string) dedup.Record {
	k.Helper()
	got := k.put(m, outcome)
	if got.State != dedup.Waiting || got.Outcome != outcome || got.Accept != m.Accept || got.Round != m.Round {
		k.Fatalf("shown is %+v, want %s, round %d, %s", got, m.Accept, m.Round, outcome)
	}
	return got
}

// hidden puts m off and wants to see what was there before.
func (k *kit) hidden(m dedup.Message) {
	k.Helper()
	before := k.get()
	k.same(k.put(m, "parked"), before)
}

func deferCases() []testCase {
	return []testCase{
		{"deferred: an event without a record shows that it waits, and why", func(k *kit) {
			m := event("a", 1)
			m.Unsure, m.Unknowns = true, 2
			got := k.shows(m, "parked")
			want := dedup.Record{
				State: dedup.Waiting, Accept: "a", Unsure: true, Unknowns: 2, At: got.At,
				Outcome: "parked", Reason: "auth", NextAt: got.At.Add(time.Minute), Note: m.Note,
			}
			k.same(got, want)
		}},
		{"deferred: takes the place of Q, and of what was shown before", func(k *kit) {
			k.look("a")
			k.shows(event("a", 1), "parked")
			k.Advance(time.Second)
			k.shows(copied(event("a", 1), 2), "retrying")
			k.shows(event("b", 3), "parked")
		}},
		{"deferred: a waiting key shows what came last", func(k *kit) {
			m := event("a", 1)
			k.shows(m, "retrying")
			k.Advance(time.Second)
			w := k.settle(m, k.claim(m, dedup.Fresh), waiting(), true)
			k.stands(w)
			k.Advance(time.Second)
			k.shows(copied(m, 2), "parked")
		}},
		{"deferred: no claim sees it", func(k *kit) {
			m := event("a", 1)
			m.Unsure, m.Unknowns = true, 2
			k.shows(m, "parked")
			b := event("b", 2)
			c := k.claim(b, dedup.Fresh)
			k.unsure(c.Record, false)
			if c.Before != nil || c.Record.Unknowns != 0 {
				k.Fatalf("claim %+v, want one that found nothing", c)
			}
			k.unsure(k.settle(b, c, decided("delivered", ""), true), false)
		}},
		{"deferred: a claim hides it", func(k *kit) {
			c := k.claim(event("a", 1), dedup.Fresh)
			k.hidden(event("b", 2))
			k.stands(c.Record)
		}},
		{"deferred: a decision stays what is shown", func(k *kit) {
			for _, outcome := range []string{"delivered", "dead", "no_click", "held"} {
				m := event("a", 1)
				k.shows(m, "parked")
				d := k.decide(m, decided(outcome, "x"))
				k.hidden(copied(m, 2))
				k.hidden(event("b", 3))
				k.stands(d)
				k.Wipe()
				k.mark(dedup.Marker{})
			}
		}},
		{"deferred, overtaken: a leftover does not hide the replay", func(k *kit) {
			m := event("a", 1)
			replay := replayed(m, 9, dedup.ReplayDead)
			k.shows(replay, "parked")
			k.Advance(time.Second)
			k.hidden(m)
			w := k.settle(replay, k.claim(replay, dedup.Fresh), waiting(), true)
			k.Advance(time.Second)
			k.hidden(m)
			k.stands(w)
			k.claim(m, dedup.Leftover)
		}},
		{"deferred: a garbled record is left alone", func(k *kit) {
			m := event("a", 1)
			k.Garble(key)
			k.put(m, "parked")
			k.claim(m, dedup.Taken)
		}},
		{"deferred: nothing to defer", func(k *kit) {
			if err := k.Store.Defer(context.Background(), nil); err != nil {
				k.Fatal(err)
			}
		}},
	}
}
