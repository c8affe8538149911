package deduptest

import (
	"context"
	"fmt"
	"time"

	"github.com/homing-dev/homing/pkg/dedup"
)

// line is a decision of the ledger.
func (k *kit) line(accept string, round int, outcome string) dedup.Record {
	return dedup.Record{
		State: dedup.Decided, Accept: accept, Round: round, Outcome: outcome,
		At: k.Now().UTC().Truncate(time.Millisecond), Note: dedup.Note{Name: "Purchase"},
	}
}

func (k *kit) restore(records ...dedup.Record) {
	k.Helper()
	for _, r := range records {
		if err := k.Store.Restore(context.Background(), []dedup.Restored{{Key: key, Record: r}}); err != nil {
			k.Fatalf("Restore: %v", err)
		}
	}
}

func restoreCases() []testCase {
	return []testCase{
		{"restore: what was lost is back", func(k *kit) {
			d := k.line("a", 0, "delivered")
			k.restore(d)
			k.stands(d)
			k.claim(redelivered(event("a", 1)), dedup.Settled)
			k.claim(event("b", 2), dedup.Duplicate)
		}},
		{"restore: of one acceptance the later round, then the stronger outcome", func(k *kit) {
			held, dead, later := k.line("a", 0, "held"), k.line("a", 0, "dead"), k.line("a", 1, "held")
			k.restore(held, dead, held)
			k.stands(dead)
			k.restore(later, dead)
			k.stands(later)
		}},
		{"restore: delivered gives way to nothing", func(k *kit) {
			d := k.line("a", 0, "delivered")
			k.restore(k.line("a", 1, "dead"), d, k.line("a", 2, "dead"), k.line("b", 0, "held"), k.line("b", 0, "dead"))
			k.stands(d)
		}},
		{"restore: two acceptances delivered are a double", func(k *kit) {
			k.restore(k.line("a", 0, "delivered"), k.line("b", 0, "delivered"))
			k.unsure(k.get(), true)
		}},
		{"restore: another's held comes before another's dead", func(k *kit) {
			held := k.line("a", 0, "held")
			k.restore(k.line("b", 0, "dead"), held, k.line("c", 0, "no_click"))
			k.stands(held)
		}},
		{"restore: a duplicate says nothing of its key", func(k *kit) {
			k.restore(k.line("b", 0, "duplicate"))
			k.stands(dedup.Record{})
		}},
		{"restore: what the store would have forgotten stays forgotten", func(k *kit) {
			d := k.line("a", 0, "delivered")
			d.At = d.At.Add(-10000 * time.Hour)
			k.restore(d)
			k.stands(dedup.Record{})
		}},
		{"restore: a claim whose decision was lost is decided", func(k *kit) {
			k.claim(event("a", 1), dedup.Fresh)
			d := k.line("a", 0, "dead")
			k.restore(d)
			k.stands(d)
		}},
		{"restore: a replay under way is kept", func(k *kit) {
			m := event("a", 1)
			k.decide(m, decided("dead", "expired"))
			c := k.claim(replayed(m, 9, dedup.ReplayDead), dedup.Fresh)
			k.restore(k.line("a", 0, "dead"))
			k.stands(c.Record)
		}},
		{"restore: another's claim is kept where nothing reached Meta", func(k *kit) {
			c := k.claim(event("b", 2), dedup.Fresh)
			k.restore(k.line("a", 0, "dead"))
			k.stands(c.Record)
		}},
		{"restore: another's claim ends where Meta has the event", func(k *kit) {
			k.claim(event("b", 2), dedup.Fresh)
			k.restore(k.line("a", 0, "delivered"))
			k.unsure(k.get(), true)
			k.claim(redelivered(event("b", 2)), dedup.Duplicate)
		}},
		{"restore: another's claim ends where Meta may have the event", func(k *kit) {
			k.claim(event("b", 2), dedup.Fresh)
			held := k.line("a", 0, "held")
			k.restore(held)
			k.stands(held)
		}},
		{"restore: unsure is never cleared", func(k *kit) {
			unsure := k.line("a", 0, "delivered")
			unsure.Unsure = true
			k.restore(k.line("a", 0, "delivered"), unsure, k.line("a", 0, "delivered"))
			k.stands(unsure)
		}},
		{"restore: many at once", func(k *kit) {
			many := make([]dedup.Restored, 2345)
			for i := range many {
				many[i] = dedup.Restored{Key: fmt.Sprintf("key%d", i), Record: k.line("a", 0, "delivered")}
			}
			for range 2 {
				if err := k.Store.Restore(context.Background(), many); err != nil {
					k.Fatalf("Restore: %v", err)
				}
			}
			for _, d := range []dedup.Restored{many[0], many[999], many[1000], many[2344]} {
				m := event("b", 2)
				m.Key = d.Key
				k.claim(m, dedup.Duplicate)
			}
		}},
	}
}
