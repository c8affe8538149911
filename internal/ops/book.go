package ops

import (
	"cmp"
	"maps"
	"math/bits"
	"slices"
	"time"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/events"
)

// place is where an event was seen on its way; places can be combined.
type place uint8

const (
	waiting place = 1 << iota
	retrying
	parked
)

// mark is all that the book keeps of one acceptance, so that a hundred million
// of them take a hundred megabytes: the outcome in the low bits, then the places,
// then two flags. The zero mark is of an acceptance that was not seen.
type mark uint8

const (
	markOutcome mark = 1<<3 - 1
	markPlace        = 3 // shift
	markOutside mark = 1 << 6
	markRounds  mark = 1 << 7 // its rounds stand in book.rounds: it was replayed
)

// entry is a mark written out.
type entry struct {
	outcome column // of the highest round; 0 while there is none
	places  place  // of the highest round seen alive
	outside bool   // accepted before or after the time that is audited
	rounds
}

// rounds are the highest rounds seen on their way and settled.
type rounds struct{ live, settled int }

// column is where an acceptance is counted.
type column uint8

const (
	colNowhere column = iota
	colDelivered
	colDead
	colNoClick
	colHeld
	colDuplicate
	colWaiting
	colRetrying
	colParked
	colTwice
	colOutside
	columns
)

// column says where e stands. A copy of an older round than the settled one is a
// leftover that its worker will drop; one of a newer round is a replay.
func (e entry) column() column {
	alive := e.places != 0 && (e.outcome == 0 || e.live > e.settled)
	switch {
	case e.outside:
		return colOutside
	case alive && bits.OnesCount8(uint8(e.places)) > 1:
		return colTwice
	case alive && e.places == waiting:
		return colWaiting
	case alive && e.places == retrying:
		return colRetrying
	case alive:
		return colParked
	case e.places != 0 && e.live == e.settled:
		return colTwice
	default:
		return e.outcome
	}
}

// settle folds a line of the ledger into e: the highest round counts, and in it
// delivered before dead and no_click, before held, before duplicate.
func (e *entry) settle(outcome column, round int) {
	switch {
	case e.outcome == 0, round > e.settled:
		e.outcome, e.settled = outcome, round
	case round == e.settled && rank(outcome) < rank(e.outcome):
		e.outcome = outcome
	}
}

func rank(outcome column) int {
	switch outcome {
	case colDelivered:
		return 0
	case colDead, colNoClick:
		return 1
	case colHeld:
		return 2
	default:
		return 3
	}
}

func columnOf(o events.Outcome) column {
	switch o {
	case events.Delivered:
		return colDelivered
	case events.Dead:
		return colDead
	case events.NoClick:
		return colNoClick
	case events.Held:
		return colHeld
	default:
		return colDuplicate
	}
}

// book accounts for the acceptances 1 to last.
type book struct {
	last         uint64
	since, until time.Time // of acceptance; zero is no bound
	wholeSince   time.Time // of the ledger

	pages   []*[pageSize]mark
	rounds  map[uint64]rounds
	tenants map[string]*[columns]int64 // below 0 only where two messages of one number differ in their tenant
	twice   map[uint64]string          // with their tenants
	stray   uint64                     // messages that tell no number

	// What the times of acceptance tell of the numbers in between.
	before     uint64 // the highest one accepted before since
	after      uint64 // the lowest one accepted at or after until
	remembered uint64 // the lowest one accepted since the ledger is whole

	suspects map[uint64]string // when set, only these and the unseen are marked
}

const pageSize = 1 << 16

func newBook(h queue.Horizon, since, until time.Time) *book {
	b := &book{
		last: h.Acceptances, since: since, until: until, wholeSince: h.LedgerSince,
		pages:   make([]*[pageSize]mark, h.Acceptances/pageSize+1),
		rounds:  map[uint64]rounds{},
		tenants: map[string]*[columns]int64{},
		twice:   map[uint64]string{},
		after:   h.Acceptances + 1, remembered: h.Acceptances + 1,
	}
	if h.LedgerSince.IsZero() {
		b.remembered = 1
	}
	b.date(h.Acceptances, h.LastAt)
	return b
}

// see books an event that is on its way.
func (b *book) see(p place, s queue.Sighting) {
	if s.Number == 0 {
		b.stray++
		return
	}
	b.update(s.Number, s.Tenant, s.AcceptedAt, func(e *entry) {
		switch {
		case e.places == 0, s.Round > e.live:
			e.places, e.live = p, s.Round
		case s.Round == e.live:
			e.places |= p
		}
	})
}

// settled books a line of the ledger.
func (b *book) settled(s *events.Settlement) {
	b.update(s.Origin, s.Tenant, s.AcceptedAt, func(e *entry) { e.settle(columnOf(s.Outcome), s.Round) })
}

// recheck forgets where the numbers that are twice were seen. From now on only
// they and the unseen ones are booked: whatever else moves is accounted for.
func (b *book) recheck() {
	b.suspects = nil
	suspects := maps.Clone(b.twice)
	for n, tenant := range suspects {
		b.update(n, tenant, time.Time{}, func(e *entry) { e.places, e.live = 0, 0 })
	}
	b.suspects, b.stray = suspects, 0
}

func (b *book) update(n uint64, tenant string, at time.Time, change func(*entry)) {
	if n == 0 || n > b.last {
		return // accepted after the audit began
	}
	b.date(n, at)
	page := b.pages[n/pageSize]
	if page == nil {
		page = new([pageSize]mark)
		b.pages[n/pageSize] = page
	}
	m := &page[n%pageSize]
	if _, suspect := b.suspects[n]; b.suspects != nil && *m != 0 && !suspect {
		return
	}
	e := b.open(n, *m)
	from := e.column()
	e.outside = e.outside || b.isOutside(at)
	change(&e)
	*m = b.close(n, e)
	b.count(n, tenant, from, e.column())
}

func (b *book) open(n uint64, m mark) entry {
	e := entry{outcome: column(m & markOutcome), places: place(m>>markPlace) & (waiting | retrying | parked), outside: m&markOutside != 0}
	if m&markRounds != 0 {
		e.rounds = b.rounds[n]
	}
	return e
}

func (b *book) close(n uint64, e entry) mark {
	m := mark(e.outcome) | mark(e.places)<<markPlace
	if e.outside {
		m |= markOutside
	}
	if e.rounds != (rounds{}) {
		m |= markRounds
		b.rounds[n] = e.rounds
	} else if m&markRounds == 0 {
		delete(b.rounds, n)
	}
	return m
}

func (b *book) count(n uint64, tenant string, from, to column) {
	if from == to {
		return
	}
	t := b.tenants[tenant]
	if t == nil {
		t = new([columns]int64)
		b.tenants[tenant] = t
	}
	if from != colNowhere {
		t[from]--
	}
	if to != colNowhere {
		t[to]++
	}
	if from == colTwice {
		delete(b.twice, n)
	}
	if to == colTwice {
		b.twice[n] = tenant
	}
}

func (b *book) isOutside(at time.Time) bool {
	return !at.IsZero() && (at.Before(b.since) || !b.until.IsZero() && !at.Before(b.until))
}

// date learns from the time of one acceptance about its neighbours: numbers are
// given in the order of acceptance.
func (b *book) date(n uint64, at time.Time) {
	if n == 0 || at.IsZero() {
		return
	}
	if at.Before(b.since) {
		b.before = max(b.before, n)
	}
	if !b.until.IsZero() && !at.Before(b.until) {
		b.after = min(b.after, n)
	}
	if !at.Before(b.wholeSince) {
		b.remembered = min(b.remembered, n)
	}
}

// bounds are the first and the last number that the audited time covers; the
// first is greater where it covers none.
func (b *book) bounds() (first, last uint64) { return b.before + 1, b.after - 1 }

// Range is a run of acceptance numbers, both ends included.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// unseen returns the numbers that were seen nowhere, in runs: how many there
// are, the first limit runs of those that can't be, and how many are merely
// forgotten.
func (b *book) unseen(limit int) (nowhere uint64, runs []Range, forgotten uint64) {
	first, last := b.bounds()
	for n := first; n <= last; n++ {
		page := b.pages[n/pageSize]
		if page != nil && page[n%pageSize] != 0 {
			continue
		}
		to := n
		if page == nil {
			to = min(last, n|(pageSize-1))
		}
		if n < b.remembered {
			to = min(to, b.remembered-1)
			forgotten += to - n + 1
			n = to
			continue
		}
		nowhere += to - n + 1
		switch k := len(runs); {
		case k > 0 && runs[k-1].To == n-1:
			runs[k-1].To = to
		case k < limit:
			runs = append(runs, Range{n, to})
		}
		n = to
	}
	return nowhere, runs, forgotten
}

// doubles returns the numbers that were seen twice, in order.
func (b *book) doubles() []Double {
	all := make([]Double, 0, len(b.twice))
	for n, tenant := range b.twice {
		e := b.open(n, b.pages[n/pageSize][n%pageSize])
		all = append(all, Double{Number: n, Tenant: tenant, Where: e.where()})
	}
	slices.SortFunc(all, func(x, y Double) int { return cmp.Compare(x.Number, y.Number) })
	return all
}

// doublesWaiting returns those of the doubled numbers that were seen in the
// backlog, with their tenants.
func (b *book) doublesWaiting() map[uint64]string {
	found := map[uint64]string{}
	for n, tenant := range b.twice {
		if e := b.open(n, b.pages[n/pageSize][n%pageSize]); e.places&waiting != 0 {
			found[n] = tenant
		}
	}
	return found
}

func (e entry) where() []string {
	var where []string
	for i, name := range []string{"waiting", "retrying", "parked"} {
		if e.places&(1<<i) != 0 {
			where = append(where, name)
		}
	}
	if e.outcome != 0 {
		where = append(where, e.outcome.String())
	}
	return where
}

func (c column) String() string {
	return [...]string{
		"nowhere", "delivered", "dead", "no_click", "held", "duplicate", "waiting", "retrying", "parked", "twice", "outside",
	}[c]
}
