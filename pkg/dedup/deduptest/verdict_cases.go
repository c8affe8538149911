package deduptest

import (
	"context"

	"github.com/homing-dev/homing/pkg/dedup"
)

func verdictCases() []testCase {
	return []testCase{
		{"delivered: replaces our claim and is sure", func(k *kit) {
			m := event("a", 1)
			c := k.claim(m, dedup.Fresh)
			next := decided("delivered", "")
			next.Note = dedup.Note{Name: "Purchase", Attempts: 1, FbtraceID: "A1b"}
			got := k.settle(m, c, next, true)
			k.unsure(got, false)
			k.stands(got)
			if got.Accept != "a" || got.Note != next.Note || got.At.IsZero() {
				k.Fatalf("record %+v, want a's with the note of the verdict", got)
			}
		}},
		{"delivered: over a waiting record is unsure", func(k *kit) {
			m := event("a", 1)
			late := k.claim(m, dedup.Fresh)
			k.Advance(2 * k.AckWait)
			copy := copied(m, 2)
			k.settle(copy, k.claim(copy, dedup.Interrupted), waiting(), true)
			got := k.settle(m, late, decided("delivered", ""), true)
			k.unsure(got, true)
			k.stands(got)
		}},
		{"delivered: over a foreign claim is unsure", func(k *kit) {
			m := event("a", 1)
			late := k.claim(m, dedup.Fresh)
			k.Advance(2 * k.AckWait)
			k.claim(copied(m, 2), dedup.Interrupted)
			k.unsure(k.settle(m, late, decided("delivered", ""), true), true)
		}},
		{"delivered: over a sure foreign claim is unsure", func(k *kit) {
			m := event("a", 1)
			late := k.claim(m, dedup.Fresh)
			k.Wipe()
			k.mark(dedup.Marker{})
			k.claim(event("b", 2), dedup.Fresh)
			got := k.settle(m, late, decided("delivered", ""), true)
			k.unsure(got, true)
			k.stands(got)
		}},
		{"delivered: twice is unsure", func(k *kit) {
			m := event("a", 1)
			late := k.claim(m, dedup.Fresh)
			k.Wipe()
			k.mark(dedup.Marker{})
			b := event("b", 2)
			k.unsure(k.decide(b, decided("delivered", "")), false)
			k.unsure(k.settle(m, late, decided("delivered", ""), true), true)
		}},
		{"delivered: over a garbled record is unsure", func(k *kit) {
			m := event("a", 1)
			c := k.claim(m, dedup.Fresh)
			k.Garble(key)
			k.unsure(k.settle(m, c, decided("delivered", ""), true), true)
			k.claim(redelivered(m), dedup.Settled)
		}},
		{"delivered: over a dead one is what counts", func(k *kit) {
			m := event("a", 1)
			late := k.claim(m, dedup.Fresh)
			k.Wipe()
			k.mark(dedup.Marker{})
			k.decide(event("b", 2), decided("dead", "expired"))
			got := k.settle(m, late, decided("delivered", ""), true)
			k.unsure(got, false)
			k.stands(got)
		}},
		{"delivered: never clears unsure", func(k *kit) {
			m := event("a", 1)
			k.claim(m, dedup.Fresh)
			m = redelivered(m)
			k.unsure(k.settle(m, k.claim(m, dedup.Interrupted), decided("delivered", ""), true), true)
		}},
		{"repeated: a settle whose answer was lost stands as it was", func(k *kit) {
			for _, next := range []dedup.Record{decided("delivered", ""), decided("dead", "expired"), waiting()} {
				m := event("a", 1)
				m.Key = key + next.Outcome
				c := k.claim(m, dedup.Fresh)
				first := k.settle(m, c, next, true)
				k.Advance(k.AckWait / 4)
				k.same(k.settle(m, c, next, true), first)
			}
		}},
		{"not taken: our claim becomes waiting", func(k *kit) {
			m := event("a", 1)
			next := waiting()
			next.NextAt = m.Note.AcceptedAt
			got := k.settle(m, k.claim(m, dedup.Fresh), next, true)
			k.stands(got)
			k.claim(copied(m, 2), dedup.Fresh)
		}},
		{"not taken: without a record nothing is written", func(k *kit) {
			m := event("a", 1)
			c := k.claim(m, dedup.Fresh)
			k.Wipe()
			k.settle(m, c, waiting(), true)
			k.stands(dedup.Record{})
		}},
		{"not taken: what is another's is left alone", func(k *kit) {
			m := event("a", 1)
			late := k.claim(m, dedup.Fresh)
			owner := k.claim(redelivered(m), dedup.Interrupted)
			k.settle(m, late, waiting(), false)
			k.stands(owner.Record)
		}},
		{"unknown: waits unsure", func(k *kit) {
			m := event("a", 1)
			next := waiting()
			next.Unsure, next.Unknowns = true, 1
			got := k.settle(m, k.claim(m, dedup.Fresh), next, true)
			if !got.Unsure || got.Unknowns != 1 {
				k.Fatalf("record %+v, want unsure with one unknown", got)
			}
		}},
		{"dead, no_click, held: our claim or nothing becomes the decision", func(k *kit) {
			for _, outcome := range []string{"dead", "no_click", "held"} {
				for _, lost := range []bool{false, true} {
					m := event("a", 1)
					c := k.claim(m, dedup.Fresh)
					if lost {
						k.Wipe()
						k.mark(dedup.Marker{})
					}
					k.stands(k.settle(m, c, decided(outcome, "x"), true))
					k.Wipe()
					k.mark(dedup.Marker{})
				}
			}
		}},
		{"dead, no_click, held: what is another's is left alone", func(k *kit) {
			for _, outcome := range []string{"dead", "no_click", "held"} {
				m := event("a", 1)
				m.Key = key + outcome
				late := k.claim(m, dedup.Fresh)
				k.claim(redelivered(m), dedup.Interrupted)
				k.settle(m, late, decided(outcome, "x"), false)
			}
		}},
		{"dead while unsure: is held", func(k *kit) {
			for _, outcome := range []string{"dead", "no_click"} {
				m := event("a", 1)
				m.Key = key + outcome
				k.claim(m, dedup.Fresh)
				m = redelivered(m)
				got := k.settle(m, k.claim(m, dedup.Interrupted), decided(outcome, "expired"), true)
				if got.Outcome != "held" || got.Reason != "delivery_unknown" || !got.Unsure {
					k.Fatalf("record %+v, want held, delivery_unknown", got)
				}
				b := event("b", 2)
				b.Key = m.Key
				k.claim(b, dedup.Duplicate)
			}
		}},
		{"a claim that holds nothing settles nothing", func(k *kit) {
			m := event("a", 1)
			c := k.claim(m, dedup.Fresh)
			b := event("b", 2)
			k.settle(b, k.claim(b, dedup.Taken), decided("delivered", ""), false)
			k.settle(b, dedup.Claim{}, decided("delivered", ""), false)
			k.stands(c.Record)
		}},
		{"each verdict of a batch meets its own row", func(k *kit) {
			m, other := event("a", 1), event("a", 2)
			other.Key = "other"
			mine, its := k.claim(m, dedup.Fresh), k.claim(other, dedup.Fresh)
			verdicts := []dedup.Verdict{
				{Message: &m, Claim: &mine, Next: decided("delivered", "")},
				{Message: &other, Claim: &its, Next: decided("dead", "expired")},
			}
			owner := k.claim(redelivered(other), dedup.Interrupted)
			settled, err := k.Store.Settle(context.Background(), verdicts)
			if err != nil {
				k.Fatal(err)
			}
			if !settled[0].Stands || settled[1].Stands {
				k.Fatalf("settled %+v, want only the first to stand", settled)
			}
			k.same(*settled[1].Record, owner.Record)
		}},
	}
}
