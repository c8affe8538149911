// Package deduptest proves that a dedup.Store keeps the tables of its package,
// and lends tests a Redis server.
package deduptest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/homing-dev/homing/pkg/dedup"
)

// Harness is a store under test with what surrounds it.
type Harness struct {
	// Store is empty, but for its marker: a store that never had an incident.
	Store dedup.Store
	// AckWait is the one that the store was made with, and its MaxTries is 5.
	AckWait time.Duration
	// Advance moves the store's clock.
	Advance func(time.Duration)
	// Now reads the store's clock.
	Now func() time.Time
	// Wipe makes the store forget everything, its marker included.
	Wipe func()
	// Garble overwrites the record of a key with what no store wrote.
	Garble func(key string)
}

// Case is one requirement.
type Case struct {
	Name string
	Run  func(testing.TB, Harness)
}

// Cases returns every requirement on a store.
func Cases() []Case {
	var all []Case
	for _, group := range [][]testCase{claimCases(), incidentCases(), verdictCases(), releaseCases(), lookCases(), deferCases(), restoreCases()} {
		for _, c := range group {
			all = append(all, Case{c.name, func(t testing.TB, h Harness) {
				t.Helper()
				c.run(&kit{TB: t, Harness: h})
			}})
		}
	}
	return all
}

// Run runs every case on a store of its own.
func Run(t *testing.T, open func(testing.TB) Harness) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, open(t)) })
	}
}

type testCase struct {
	name string
	run  func(*kit)
}

// kit is what a case works with. Its key is always the same one.
type kit struct {
	testing.TB
	Harness
}

const key = "4be1c0ffee"

// event is the first delivery of an acceptance's message in HOMING_EVENTS.
func event(accept string, seq uint64) dedup.Message {
	return dedup.Message{
		Key: key, Accept: accept, Stream: "HOMING_EVENTS", Seq: seq, Deliveries: 1,
		Note: dedup.Note{Name: "Purchase", Clid: "ARAk clid%", TraceID: "0af7651916cd43dd8448eb211c80319c"},
	}
}

func redelivered(m dedup.Message) dedup.Message {
	m.Deliveries++
	return m
}

// copied is m as it comes back from HOMING_RETRY.
func copied(m dedup.Message, seq uint64) dedup.Message {
	m.Stream, m.Seq, m.Deliveries = "HOMING_RETRY", seq, 1
	return m
}

// replayed is m as an operator sends it again.
func replayed(m dedup.Message, seq uint64, kind dedup.Replay) dedup.Message {
	m = copied(m, seq)
	m.Round++
	m.Replay = kind
	return m
}

func decided(outcome, reason string) dedup.Record {
	return dedup.Record{State: dedup.Decided, Outcome: outcome, Reason: reason}
}

func waiting() dedup.Record {
	return dedup.Record{State: dedup.Waiting, Outcome: "retrying", Reason: "transient"}
}

// claim claims for m and wants the result.
func (k *kit) claim(m dedup.Message, want dedup.Result) dedup.Claim {
	k.Helper()
	claims, err := k.Store.Claim(context.Background(), []dedup.Message{m})
	if err != nil {
		k.Fatalf("Claim: %v", err)
	}
	if claims[0].Result != want {
		k.Fatalf("Claim(accept %s, round %d, %s %d, delivery %d) = %v, want %v; record %+v",
			m.Accept, m.Round, m.Stream, m.Seq, m.Deliveries, claims[0].Result, want, claims[0].Record)
	}
	return claims[0]
}

// settle settles m's claim and wants the verdict to stand, or not.
func (k *kit) settle(m dedup.Message, c dedup.Claim, next dedup.Record, stands bool) dedup.Record {
	k.Helper()
	settled, err := k.Store.Settle(context.Background(), []dedup.Verdict{{Message: &m, Claim: &c, Next: next}})
	if err != nil {
		k.Fatalf("Settle: %v", err)
	}
	if settled[0].Stands != stands {
		k.Fatalf("Settle(%s) stands: %t, want %t; record %+v", next.Outcome, settled[0].Stands, stands, settled[0].Record)
	}
	return *settled[0].Record
}

// decide brings the key to a decision of m.
func (k *kit) decide(m dedup.Message, next dedup.Record) dedup.Record {
	k.Helper()
	return k.settle(m, k.claim(m, dedup.Fresh), next, true)
}

func (k *kit) release(m dedup.Message, c dedup.Claim) {
	k.Helper()
	if err := k.Store.Release(context.Background(), []dedup.Message{m}, []dedup.Claim{c}); err != nil {
		k.Fatalf("Release: %v", err)
	}
}

func (k *kit) get() dedup.Record {
	k.Helper()
	found, err := k.Store.Get(context.Background(), []string{key})
	if err != nil {
		k.Fatalf("Get: %v", err)
	}
	return found[0]
}

// stands wants the key's record to be want.
func (k *kit) stands(want dedup.Record) {
	k.Helper()
	k.same(k.get(), want)
}

func (k *kit) same(got, want dedup.Record) {
	k.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		k.Fatalf("record differs (-want +got):\n%s", diff)
	}
}

// unsure wants r's flag.
func (k *kit) unsure(r dedup.Record, want bool) {
	k.Helper()
	if r.Unsure != want {
		k.Fatalf("unsure = %t, want %t; record %+v", r.Unsure, want, r)
	}
}

func (k *kit) mark(m dedup.Marker) {
	k.Helper()
	if err := k.Store.Mark(context.Background(), m); err != nil {
		k.Fatalf("Mark: %v", err)
	}
}
