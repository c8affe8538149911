package deduptest

import (
	"context"
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/homing-dev/homing/pkg/dedup"
)

func claimCases() []testCase {
	return []testCase{
		{"row 1: a message that a replay has overtaken is left over", func(k *kit) {
			m := event("a", 1)
			k.decide(m, decided("dead", "expired"))
			k.claim(replayed(m, 9, dedup.ReplayDead), dedup.Fresh)
			k.claim(redelivered(m), dedup.Leftover)
		}},
		{"row 2: a new key is fresh, and the record is the claim", func(k *kit) {
			m := event("a", 1)
			c := k.claim(m, dedup.Fresh)
			k.stands(c.Record)
			k.unsure(c.Record, false)
			want := dedup.Record{
				State: dedup.Claimed, Accept: "a", Stream: m.Stream, Seq: 1, Tries: 1,
				Nonce: c.Record.Nonce, At: c.Record.At, Note: m.Note,
			}
			k.same(c.Record, want)
		}},
		{"row 2: what the message knows is kept", func(k *kit) {
			m := event("a", 1)
			m.Unsure, m.Unknowns, m.Round = true, 2, 3
			r := k.claim(m, dedup.Fresh).Record
			if !r.Unsure || r.Unknowns != 2 || r.Round != 3 {
				k.Fatalf("record %+v lost what the message knew", r)
			}
		}},
		{"row 3: a waiting key is fresh for any acceptance, and stays unsure", func(k *kit) {
			m := event("a", 1)
			c := k.claim(m, dedup.Fresh)
			next := waiting()
			next.Unsure, next.Unknowns = true, 1
			k.settle(m, c, next, true)
			again := k.claim(event("b", 2), dedup.Fresh).Record
			k.unsure(again, true)
			if again.Accept != "b" || again.Unknowns != 1 {
				k.Fatalf("record %+v, want b's with one unknown", again)
			}
		}},
		{"row 5: the message of a worker that died is interrupted", func(k *kit) {
			m := event("a", 1)
			first := k.claim(m, dedup.Fresh)
			second := k.claim(redelivered(m), dedup.Interrupted)
			k.unsure(second.Record, true)
			if second.Record.Nonce == first.Record.Nonce {
				k.Fatal("a takeover kept the nonce of the claim it took over")
			}
			k.stands(second.Record)
		}},
		{"row 5: the sixth claim after five dead workers is exhausted", func(k *kit) {
			m := event("a", 1)
			k.claim(m, dedup.Fresh)
			for range 4 {
				m = redelivered(m)
				k.claim(m, dedup.Interrupted)
			}
			m = redelivered(m)
			k.settle(m, k.claim(m, dedup.Exhausted), decided("held", "attempts_exhausted"), true)
			k.claim(redelivered(m), dedup.Settled)
		}},
		{"row 6: another message's claim is taken", func(k *kit) {
			m := event("a", 1)
			c := k.claim(m, dedup.Fresh)
			k.claim(copied(m, 7), dedup.Taken)
			k.claim(event("b", 2), dedup.Taken)
			k.Advance(2*k.AckWait - time.Second)
			k.claim(event("b", 2), dedup.Taken)
			k.stands(c.Record)
		}},
		{"row 6: of one key twice in a call the second is taken", func(k *kit) {
			claims, err := k.Store.Claim(context.Background(), []dedup.Message{event("a", 1), event("b", 2), event("a", 1)})
			if err != nil {
				k.Fatalf("Claim: %v", err)
			}
			if claims[0].Result != dedup.Fresh || claims[1].Result != dedup.Taken || claims[2].Result != dedup.Taken {
				k.Fatalf("results %v, %v, %v; want the first alone fresh", claims[0].Result, claims[1].Result, claims[2].Result)
			}
		}},
		{"row 6: of one key twice in a call neither is taken where neither holds it", func(k *kit) {
			k.decide(event("a", 1), decided("delivered", ""))
			claims, err := k.Store.Claim(context.Background(), []dedup.Message{
				event("b", 2), copied(event("a", 1), 3), event("b", 4), replayed(event("c", 5), 6, dedup.ReplayDead),
			})
			if err != nil {
				k.Fatalf("Claim: %v", err)
			}
			for i, want := range []dedup.Result{dedup.Duplicate, dedup.Settled, dedup.Duplicate, dedup.Duplicate} {
				if c := claims[i]; c.Result != want || c.Record.Accept != "a" || c.Record.Outcome != "delivered" || c.Record.Unsure {
					k.Fatalf("claim %d: %v of %+v, want %v", i, c.Result, c.Record, want)
				}
			}
		}},
		{"row 6: of one key twice in a call the second is taken where it would hold it", func(k *kit) {
			k.decide(event("a", 1), decided("dead", "rejected_by_meta"))
			unsure := copied(event("a", 1), 3)
			unsure.Unsure = true
			claims, err := k.Store.Claim(context.Background(), []dedup.Message{unsure, event("b", 2), copied(event("a", 1), 4)})
			if err != nil {
				k.Fatalf("Claim: %v", err)
			}
			for i, want := range []dedup.Result{dedup.Settled, dedup.Taken, dedup.Settled} {
				if c := claims[i]; c.Result != want || c.Record.Unsure != (i == 0) {
					k.Fatalf("claim %d: %v of %+v, want %v", i, c.Result, c.Record, want)
				}
			}
		}},
		{"row 7: a claim that no live worker can hold is taken over", func(k *kit) {
			k.claim(event("a", 1), dedup.Fresh)
			k.Advance(2 * k.AckWait)
			c := k.claim(event("b", 2), dedup.Interrupted)
			k.unsure(c.Record, true)
			if c.Record.Accept != "b" || c.Record.Seq != 2 {
				k.Fatalf("record %+v, want b's", c.Record)
			}
		}},
		{"row 8: a dead letter is fresh again when replayed", func(k *kit) {
			m := event("a", 1)
			k.decide(m, decided("dead", "rejected_by_meta"))
			c := k.claim(replayed(m, 9, dedup.ReplayDead), dedup.Fresh)
			k.unsure(c.Record, false)
		}},
		{"row 8: a held letter is fresh and unsure when replayed as held", func(k *kit) {
			m := event("a", 1)
			k.decide(m, decided("held", "delivery_unknown"))
			c := k.claim(replayed(m, 9, dedup.ReplayHeld), dedup.Fresh)
			k.unsure(c.Record, true)
		}},
		{"row 8: a held letter replayed as dead is settled", func(k *kit) {
			m := event("a", 1)
			k.decide(m, decided("held", "delivery_unknown"))
			k.claim(replayed(m, 9, dedup.ReplayDead), dedup.Settled)
		}},
		{"row 9: a decision of this acceptance is settled", func(k *kit) {
			for i, d := range []dedup.Record{decided("delivered", ""), decided("held", "delivery_unknown"), decided("dead", "expired"), decided("no_click", "x")} {
				m := event(fmt.Sprintf("a%d", i), 1)
				m.Key = fmt.Sprintf("key%d", i)
				k.decide(m, d)
				got := k.claim(redelivered(m), dedup.Settled)
				if got.Record.Outcome != d.Outcome || got.Record.Reason != d.Reason {
					k.Fatalf("record %+v, want the decision %s", got.Record, d.Outcome)
				}
			}
		}},
		{"row 9: what was delivered is never replayed", func(k *kit) {
			m := event("a", 1)
			k.decide(m, decided("delivered", ""))
			k.claim(replayed(m, 9, dedup.ReplayHeld), dedup.Settled)
			k.claim(replayed(m, 9, dedup.ReplayDead), dedup.Settled)
		}},
		{"row 9: an unsure message of a settled key says so", func(k *kit) {
			m := event("a", 1)
			k.decide(m, decided("delivered", ""))
			late := copied(m, 5)
			late.Unsure = true
			k.unsure(k.claim(late, dedup.Settled).Record, true)
		}},
		{"row 10: a key that never reached Meta is reopened", func(k *kit) {
			for i, outcome := range []string{"dead", "no_click"} {
				m := event("a", 1)
				m.Key = fmt.Sprintf("key%d", i)
				k.decide(m, decided(outcome, "x"))
				b := event("b", 2)
				b.Key = m.Key
				k.unsure(k.claim(b, dedup.Fresh).Record, false)
			}
		}},
		{"row 11: another acceptance of a delivered or held key is a duplicate", func(k *kit) {
			for i, outcome := range []string{"delivered", "held"} {
				m := event("a", 1)
				m.Key = fmt.Sprintf("key%d", i)
				want := k.decide(m, decided(outcome, ""))
				b := event("b", 2)
				b.Key = m.Key
				c := k.claim(b, dedup.Duplicate)
				k.same(c.Record, want)
				k.settle(b, c, decided("duplicate", ""), true)
				found, err := k.Store.Get(context.Background(), []string{m.Key})
				if err != nil {
					k.Fatal(err)
				}
				k.same(found[0], want)
			}
		}},
		{"a garbled record is taken, and nothing is sent on it", func(k *kit) {
			k.Garble(key)
			k.claim(event("a", 1), dedup.Taken)
			k.stands(dedup.Record{})
		}},
		{"a message without an acceptance is never its own twin", func(k *kit) {
			m := event("", 1)
			k.decide(m, decided("delivered", ""))
			k.claim(redelivered(m), dedup.Duplicate)
		}},
		{"each event of a batch meets its own row", func(k *kit) {
			batch := make([]dedup.Message, 2500)
			for i := range batch {
				batch[i] = event(fmt.Sprintf("a%d", i), uint64(i))
				batch[i].Key = fmt.Sprintf("key%d", i)
			}
			k.decide(batch[3], decided("delivered", ""))
			k.claim(batch[4], dedup.Fresh)
			k.settle(batch[5], k.claim(batch[5], dedup.Fresh), waiting(), true)
			claims, err := k.Store.Claim(context.Background(), batch)
			if err != nil {
				k.Fatalf("Claim: %v", err)
			}
			want := map[dedup.Result]int{dedup.Fresh: 2498, dedup.Settled: 1, dedup.Interrupted: 1}
			got := map[dedup.Result]int{}
			for _, c := range claims {
				got[c.Result]++
			}
			if diff := cmp.Diff(want, got); diff != "" {
				k.Fatalf("results differ (-want +got):\n%s", diff)
			}
		}},
	}
}
