package deduptest

import (
	"time"

	"github.com/homing-dev/homing/pkg/dedup"
)

func releaseCases() []testCase {
	return []testCase{
		{"release: an event whose claim is given back is queued", func(k *kit) {
			m := event("a", 1)
			for given := range 7 {
				k.release(m, k.claim(m, dedup.Fresh))
				k.stands(k.queued(m, given+1))
				m = redelivered(m)
			}
			k.unsure(k.claim(m, dedup.Fresh).Record, false)
			k.settle(m, k.claim(redelivered(m), dedup.Interrupted), decided("held", "delivery_unknown"), true)
		}},
		{"release: after an incident what was handed out before stays interrupted", func(k *kit) {
			m := redelivered(event("a", 1))
			k.mark(dedup.Marker{IncidentAt: k.Now()})
			for range 7 {
				k.release(m, k.claim(m, dedup.Interrupted))
			}
			k.claim(m, dedup.Interrupted)
		}},
		{"release: another acceptance may claim what was given back", func(k *kit) {
			m := event("a", 1)
			k.release(m, k.claim(m, dedup.Fresh))
			k.decide(event("b", 2), decided("delivered", ""))
			k.claim(redelivered(m), dedup.Duplicate)
		}},
		{"release: what waits unclaimed shows over what was given back", func(k *kit) {
			m := event("a", 1)
			k.release(m, k.claim(m, dedup.Fresh))
			k.shows(m, "parked")
			k.Advance(time.Second)
			c := k.claim(m, dedup.Fresh)
			k.Advance(time.Second)
			k.release(m, c)
			k.stands(k.queued(m, 2))
		}},
		{"release: a claim of a waiting key waits again", func(k *kit) {
			m := event("a", 1)
			want := k.settle(m, k.claim(m, dedup.Fresh), waiting(), true)
			k.release(copied(m, 2), k.claim(copied(m, 2), dedup.Fresh))
			want.Tries++
			k.stands(want)
			k.claim(copied(m, 2), dedup.Fresh)
		}},
		{"release: an interrupted claim stays interrupted, and no try is counted", func(k *kit) {
			m := event("a", 1)
			want := k.claim(m, dedup.Fresh)
			for range 7 {
				m = redelivered(m)
				k.release(m, k.claim(m, dedup.Interrupted))
				k.stands(want.Record)
			}
		}},
		{"release: a replay finds its dead letter again", func(k *kit) {
			m := event("a", 1)
			want := k.decide(m, decided("dead", "expired"))
			r := replayed(m, 9, dedup.ReplayDead)
			k.release(r, k.claim(r, dedup.Fresh))
			want.Tries++
			k.stands(want)
			k.claim(redelivered(r), dedup.Fresh)
		}},
		{"release: what is another's by now is left alone", func(k *kit) {
			m := event("a", 1)
			late := k.claim(m, dedup.Fresh)
			owner := k.claim(redelivered(m), dedup.Interrupted)
			k.release(m, late)
			k.stands(owner.Record)
		}},
		{"release: a claim that holds nothing is passed over", func(k *kit) {
			m := event("a", 1)
			owner := k.claim(m, dedup.Fresh)
			b := event("b", 2)
			k.release(b, k.claim(b, dedup.Taken))
			k.release(b, dedup.Claim{})
			k.stands(owner.Record)
		}},
		{"release: may be repeated", func(k *kit) {
			m := event("a", 1)
			c := k.claim(m, dedup.Fresh)
			k.release(m, c)
			k.release(m, c)
			k.stands(k.queued(m, 1))
		}},
	}
}

// queued is the record of an event whose claim was given back.
func (k *kit) queued(m dedup.Message, times int) dedup.Record {
	return dedup.Record{
		State: dedup.Queued, Accept: m.Accept, Round: m.Round, Tries: times, Note: m.Note,
		At: k.Now().UTC().Truncate(time.Millisecond),
	}
}
