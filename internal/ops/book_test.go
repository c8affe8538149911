package ops

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/events"
)

// The book against a plain account: every number, what it is in, and the last
// word of its ledger.
func TestBookAgainstAPlainAccount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		last := rapid.Uint64Range(0, 40).Draw(t, "last")
		b := newBook(queue.Horizon{Acceptances: last}, time.Time{}, time.Time{})
		plain := make([]account, last+1)
		for range rapid.IntRange(0, 120).Draw(t, "steps") {
			n := rapid.Uint64Range(1, 45).Draw(t, "number")
			round := rapid.IntRange(0, 2).Draw(t, "round")
			if rapid.Bool().Draw(t, "seen") {
				p := rapid.SampledFrom([]place{waiting, retrying, parked}).Draw(t, "place")
				b.see(p, queue.Sighting{Number: n, Tenant: tenantOf(n), Round: round})
				if n <= last {
					plain[n].seen = append(plain[n].seen, sight{p, round})
				}
			} else {
				o := rapid.SampledFrom([]events.Outcome{events.Delivered, events.Dead, events.NoClick, events.Held, events.Duplicate}).Draw(t, "outcome")
				b.settled(&events.Settlement{Origin: n, Tenant: tenantOf(n), Round: round, Outcome: o})
				if n <= last {
					plain[n].ended = append(plain[n].ended, end{o, round})
				}
			}
		}
		want := map[string]map[column]int64{}
		var nowhere uint64
		for n := uint64(1); n <= last; n++ {
			c := plain[n].column()
			if c == colNowhere {
				nowhere++
				continue
			}
			if want[tenantOf(n)] == nil {
				want[tenantOf(n)] = map[column]int64{}
			}
			want[tenantOf(n)][c]++
		}
		got := map[string]map[column]int64{}
		for tenant, t := range b.tenants {
			for c, n := range t {
				if n != 0 {
					if got[tenant] == nil {
						got[tenant] = map[column]int64{}
					}
					got[tenant][column(c)] = n
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		if n, _, _ := b.unseen(0); n != nowhere {
			t.Fatalf("%d nowhere, want %d", n, nowhere)
		}
	})
}

// account is the slow truth about one number.
type account struct {
	seen  []sight
	ended []end
}

type sight struct {
	place place
	round int
}

type end struct {
	outcome events.Outcome
	round   int
}

func (a account) column() column {
	live, settled := -1, -1
	for _, s := range a.seen {
		live = max(live, s.round)
	}
	for _, e := range a.ended {
		settled = max(settled, e.round)
	}
	var in place
	for _, s := range a.seen {
		if s.round == live {
			in |= s.place
		}
	}
	switch {
	case live < 0 && settled < 0:
		return colNowhere
	case live == settled:
		return colTwice
	case live > settled:
		switch in {
		case waiting:
			return colWaiting
		case retrying:
			return colRetrying
		case parked:
			return colParked
		}
		return colTwice
	}
	best := events.Duplicate
	order := map[events.Outcome]int{events.Delivered: 0, events.Dead: 1, events.NoClick: 1, events.Held: 2, events.Duplicate: 3}
	for _, e := range a.ended {
		if e.round == settled && order[e.outcome] < order[best] {
			best = e.outcome
		}
	}
	return columnOf(best)
}

func tenantOf(n uint64) string { return []string{"acme", "umbra", "initech"}[n%3] }

func TestUnseenRuns(t *testing.T) {
	const last = 3*pageSize + 10
	b := newBook(queue.Horizon{Acceptances: last}, time.Time{}, time.Time{})
	for _, n := range []uint64{1, 5, pageSize, last} {
		b.see(waiting, queue.Sighting{Number: n, Tenant: "acme"})
	}
	nowhere, runs, forgotten := b.unseen(2)
	want := []Range{{2, 4}, {6, pageSize - 1}}
	if diff := cmp.Diff(want, runs); diff != "" || nowhere != last-4 || forgotten != 0 {
		t.Errorf("nowhere %d, forgotten %d (-want +got):\n%s", nowhere, forgotten, diff)
	}
	_, runs, _ = b.unseen(10)
	if diff := cmp.Diff(append(want, Range{pageSize + 1, last - 1}), runs); diff != "" {
		t.Errorf("over pages (-want +got):\n%s", diff)
	}
}

func TestWhatTheLedgerForgotIsNotLost(t *testing.T) {
	whole := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	b := newBook(queue.Horizon{Acceptances: 10, LastAt: whole.Add(5 * time.Hour), LedgerSince: whole}, time.Time{}, time.Time{})
	// An old one that is still parked, and the first one of the ledger's time.
	b.see(parked, queue.Sighting{Number: 3, Tenant: "acme", AcceptedAt: whole.Add(-time.Hour)})
	b.settled(&events.Settlement{Origin: 7, Tenant: "acme", Outcome: events.Delivered, AcceptedAt: whole.Add(time.Hour)})
	nowhere, runs, forgotten := b.unseen(10)
	if diff := cmp.Diff([]Range{{8, 10}}, runs); diff != "" || nowhere != 3 || forgotten != 5 {
		t.Errorf("nowhere %d, forgotten %d (-want +got):\n%s", nowhere, forgotten, diff)
	}
}

// What has moved on since it was seen is not in two places.
func TestARecheckBooksOnlySuspects(t *testing.T) {
	b := newBook(queue.Horizon{Acceptances: 3}, time.Time{}, time.Time{})
	b.see(waiting, queue.Sighting{Number: 1, Tenant: "acme"})
	b.see(waiting, queue.Sighting{Number: 2, Tenant: "acme"})
	b.see(retrying, queue.Sighting{Number: 2, Tenant: "acme"})
	b.recheck()
	b.see(retrying, queue.Sighting{Number: 1, Tenant: "acme"}) // moved meanwhile
	b.see(retrying, queue.Sighting{Number: 2, Tenant: "acme"}) // was twice, is not
	b.see(parked, queue.Sighting{Number: 3, Tenant: "acme"})   // was nowhere, is here
	want := [columns]int64{colWaiting: 1, colRetrying: 1, colParked: 1}
	if diff := cmp.Diff(want, *b.tenants["acme"]); diff != "" || len(b.twice) != 0 {
		t.Errorf("twice %v (-want +got):\n%s", b.twice, diff)
	}
}

func TestStraysAreCounted(t *testing.T) {
	b := newBook(queue.Horizon{Acceptances: 1}, time.Time{}, time.Time{})
	b.see(retrying, queue.Sighting{Tenant: "acme"})
	if b.stray != 1 {
		t.Errorf("%d strays, want 1", b.stray)
	}
}

// A hundred million acceptances must fit: one byte each, and pages only where
// something was seen.
func TestBookIsSmall(t *testing.T) {
	b := newBook(queue.Horizon{Acceptances: 100_000_000}, time.Time{}, time.Time{})
	for n := uint64(99_000_000); n <= 100_000_000; n++ {
		b.settled(&events.Settlement{Origin: n, Tenant: "acme", Outcome: events.Delivered})
	}
	pages := 0
	for _, p := range b.pages {
		if p != nil {
			pages++
		}
	}
	if pages > 1_000_000/pageSize+2 || len(b.rounds) != 0 {
		t.Errorf("%d pages, %d rounds", pages, len(b.rounds))
	}
	if nowhere, _, _ := b.unseen(0); nowhere != 98_999_999 {
		t.Errorf("%d nowhere", nowhere)
	}
}
