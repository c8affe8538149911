package deduptest

import (
	"context"

	"github.com/homing-dev/homing/pkg/dedup"
)

func look(accept string) dedup.Look {
	return dedup.Look{Key: key, Accept: accept, Note: dedup.Note{Name: "Lead"}}
}

func (k *kit) look(accept string) dedup.Record {
	k.Helper()
	found, err := k.Store.Look(context.Background(), []dedup.Look{look(accept)})
	if err != nil {
		k.Fatalf("Look: %v", err)
	}
	return found[0]
}

func (k *kit) forget(accept string) {
	k.Helper()
	if err := k.Store.Forget(context.Background(), []dedup.Look{look(accept)}); err != nil {
		k.Fatalf("Forget: %v", err)
	}
}

func lookCases() []testCase {
	return []testCase{
		{"look: a new key was not there, and is queued from now on", func(k *kit) {
			k.same(k.look("a"), dedup.Record{})
			q := k.get()
			if q.State != dedup.Queued || q.Accept != "a" || q.Note.Name != "Lead" {
				k.Fatalf("record %+v, want a's Q", q)
			}
			k.same(k.look("b"), q)
			k.stands(q)
		}},
		{"look: a record hides the Q", func(k *kit) {
			k.look("a")
			m := event("a", 1)
			c := k.claim(m, dedup.Fresh)
			k.same(k.look("b"), c.Record)
			d := k.settle(m, c, decided("delivered", ""), true)
			k.same(k.look("b"), d)
		}},
		{"look: a queued key is fresh to its message and to any other", func(k *kit) {
			k.look("a")
			k.claim(event("b", 2), dedup.Fresh)
		}},
		{"forget: takes back one's own Q alone", func(k *kit) {
			k.look("a")
			k.forget("b")
			if k.get().State != dedup.Queued {
				k.Fatal("another's Forget removed the Q")
			}
			k.forget("a")
			k.stands(dedup.Record{})
			k.forget("a")
		}},
		{"look: a garbled record reads as none", func(k *kit) {
			k.Garble(key)
			k.same(k.look("a"), dedup.Record{})
		}},
		{"nothing asked, nothing answered", func(k *kit) {
			ctx := context.Background()
			if err := k.Store.Forget(ctx, nil); err != nil {
				k.Fatal(err)
			}
			if found, err := k.Store.Look(ctx, nil); err != nil || len(found) != 0 {
				k.Fatalf("Look = %v, %v", found, err)
			}
			if found, err := k.Store.Get(ctx, nil); err != nil || len(found) != 0 {
				k.Fatalf("Get = %v, %v", found, err)
			}
			if claims, err := k.Store.Claim(ctx, nil); err != nil || len(claims) != 0 {
				k.Fatalf("Claim = %v, %v", claims, err)
			}
			if settled, err := k.Store.Settle(ctx, nil); err != nil || len(settled) != 0 {
				k.Fatalf("Settle = %v, %v", settled, err)
			}
			if err := k.Store.Restore(ctx, nil); err != nil {
				k.Fatal(err)
			}
		}},
	}
}
