package deduptest

import "github.com/homing-dev/homing/pkg/dedup"

func releaseCases() []testCase {
	return []testCase{
		{"release: a fresh claim leaves no trace", func(k *kit) {
			m := event("a", 1)
			k.release(m, k.claim(m, dedup.Fresh))
			k.stands(dedup.Record{})
			k.unsure(k.claim(redelivered(m), dedup.Fresh).Record, false)
		}},
		{"release: a claim of a waiting key waits again", func(k *kit) {
			m := event("a", 1)
			want := k.settle(m, k.claim(m, dedup.Fresh), waiting(), true)
			k.release(copied(m, 2), k.claim(copied(m, 2), dedup.Fresh))
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
			k.stands(dedup.Record{})
		}},
	}
}
