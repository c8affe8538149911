package ops

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/homing-dev/homing/internal/queue"
)

// Audit proves that no acceptance was lost: each has exactly one of waiting,
// retrying, parked, or a terminal outcome. It keeps one byte per acceptance.
//
// Events move while it reads. A move publishes the copy before it takes away the
// original, so reading in the direction of the moves sees most of them; what is
// left looks lost or doubled for a moment, and is looked at again.
type Audit struct {
	Queue *queue.Queue
	// AckWait bounds how long a worker that died leaves an event in two places.
	AckWait time.Duration
	// Pause waits between two looks; nil is a timer.
	Pause func(ctx context.Context, d time.Duration) error
}

// AuditOptions say what is audited.
type AuditOptions struct {
	Since, Until time.Time // of acceptance; zero is no bound
	Tenant       string    // empty: every tenant
	// Patience is for how long a number that looks lost or doubled is looked at
	// again. A doubled one gets up to 2 x AckWait while workers hold events.
	Patience time.Duration
	// Progress is told what is being read; nil is nobody.
	Progress func(what string)
}

// Counts is how many acceptances stand where.
type Counts struct {
	Accepted  uint64 `json:"accepted"`
	Delivered uint64 `json:"delivered"`
	Duplicate uint64 `json:"duplicate"`
	NoClick   uint64 `json:"no_click"`
	Dead      uint64 `json:"dead"`
	Held      uint64 `json:"held"`
	Waiting   uint64 `json:"waiting"`
	Retrying  uint64 `json:"retrying"`
	Parked    uint64 `json:"parked"`
	Nowhere   uint64 `json:"nowhere"`
	Twice     uint64 `json:"twice"`
	// Forgotten ones ended so long ago that the ledger no longer says how.
	Forgotten uint64 `json:"forgotten"`
}

// TenantCounts is the Counts of one tenant. Whose the lost ones are nobody
// knows, so its Nowhere and Forgotten are 0.
type TenantCounts struct {
	Tenant string `json:"tenant"`
	Counts
}

// Double is an acceptance that is in more than one place.
type Double struct {
	Number uint64   `json:"number"`
	Tenant string   `json:"tenant"`
	Where  []string `json:"where"`
}

// AuditReport is the result of an audit.
type AuditReport struct {
	First   uint64         `json:"first"` // number audited; greater than Last when there is none
	Last    uint64         `json:"last"`
	Total   Counts         `json:"total"`
	Tenants []TenantCounts `json:"tenants"`
	// Nowhere holds the numbers that are nowhere, as many runs as are listed.
	Nowhere []Range  `json:"nowhere"`
	Twice   []Double `json:"twice"`
	// Unreadable are messages of the ledger that could not be decoded, and Stray
	// copies on their way that don't tell their number.
	Unreadable uint64 `json:"unreadable"`
	Stray      uint64 `json:"stray"`
}

// OK reports whether every acceptance is accounted for.
func (r *AuditReport) OK() bool {
	return r.Total.Nowhere == 0 && r.Total.Twice == 0 && r.Unreadable == 0
}

const (
	maxRuns    = 1000 // runs of lost numbers that are listed
	maxLookups = 500  // single messages; for more the stream is read again
	firstLook  = time.Second
	lastLook   = 10 * time.Second // at most between two looks
)

// Run audits.
func (a Audit) Run(ctx context.Context, opt AuditOptions) (*AuditReport, error) {
	if opt.Progress == nil {
		opt.Progress = func(string) {}
	}
	h, err := a.Queue.Horizon(ctx)
	if err != nil {
		return nil, err
	}
	s := &sweep{queue: a.Queue, book: newBook(h, opt.Since, opt.Until), progress: opt.Progress}
	if err := s.all(ctx); err != nil {
		return nil, err
	}
	if err := a.lookAgain(ctx, s, opt); err != nil {
		return nil, err
	}
	return s.report(opt.Tenant), nil
}

// lookAgain reads on until nothing looks wrong, or patience is over.
func (a Audit) lookAgain(ctx context.Context, s *sweep, opt AuditOptions) error {
	pause := pauser(a.Pause).or()
	for waited, wait := time.Duration(0), firstLook; ; wait = min(2*wait, lastLook) {
		nowhere, _, _ := s.book.unseen(0)
		twice := len(s.book.twice)
		if nowhere == 0 && twice == 0 {
			return nil
		}
		if left := opt.Patience - waited; left <= 0 {
			// A worker that died with an event leaves it where it was until
			// JetStream hands it to another one.
			if twice == 0 || opt.Patience <= 0 || waited >= 2*a.AckWait {
				return nil
			}
			held, err := a.Queue.AckPending(ctx)
			if err != nil || held == 0 {
				return err
			}
		}
		opt.Progress(fmt.Sprintf("looking again for %d numbers that are nowhere and %d that are twice", nowhere, twice))
		if err := pause(ctx, wait); err != nil {
			return err
		}
		waited += wait
		if err := s.again(ctx); err != nil {
			return err
		}
	}
}

// sweep reads the streams into a book.
type sweep struct {
	queue      *queue.Queue
	book       *book
	ledger     uint64 // where to go on in the ledger
	unreadable uint64
	progress   func(string)
}

// all reads everything, in the direction in which events move.
func (s *sweep) all(ctx context.Context) error {
	if err := s.sightings(ctx, queue.StreamEvents, waiting); err != nil {
		return err
	}
	return s.rest(ctx)
}

// rest reads what lies behind HOMING_EVENTS; of the ledger only what is new.
func (s *sweep) rest(ctx context.Context) error {
	if err := s.sightings(ctx, queue.StreamRetry, retrying); err != nil {
		return err
	}
	if err := s.sightings(ctx, queue.StreamParked, parked); err != nil {
		return err
	}
	s.progress("reading " + queue.StreamOutcomes)
	var err error
	s.ledger, err = s.queue.ReadLedger(ctx, "", s.ledger, func(m queue.LedgerMessage) error {
		if m.Err != nil {
			s.unreadable++
		}
		for i := range m.Lines {
			s.book.settled(&m.Lines[i])
		}
		return nil
	})
	return err
}

func (s *sweep) sightings(ctx context.Context, stream string, p place) error {
	s.progress("reading " + stream)
	return s.queue.ReadSightings(ctx, stream, func(seen queue.Sighting) error {
		s.book.see(p, seen)
		return nil
	})
}

// again reads what it takes to clear the suspicious numbers. Nothing moves into
// HOMING_EVENTS, so only those that were seen there are looked for.
func (s *sweep) again(ctx context.Context) error {
	wait := s.book.doublesWaiting()
	s.book.recheck()
	if len(wait) > maxLookups {
		return s.all(ctx)
	}
	for n, tenant := range wait {
		has, err := s.queue.HasAcceptance(ctx, n)
		if err != nil {
			return err
		}
		if has {
			s.book.see(waiting, queue.Sighting{Number: n, Tenant: tenant})
		}
	}
	return s.rest(ctx)
}

func (s *sweep) report(only string) *AuditReport {
	b := s.book
	r := &AuditReport{Twice: []Double{}, Tenants: []TenantCounts{}, Unreadable: s.unreadable, Stray: b.stray}
	r.First, r.Last = b.bounds()
	r.Total.Nowhere, r.Nowhere, r.Total.Forgotten = b.unseen(maxRuns)
	if r.Nowhere == nil {
		r.Nowhere = []Range{}
	}
	for _, tenant := range slices.Sorted(maps.Keys(b.tenants)) {
		c := countsOf(b.tenants[tenant])
		if c.Accepted == 0 || only != "" && only != tenant {
			continue
		}
		r.Tenants = append(r.Tenants, TenantCounts{tenant, c})
		r.Total.add(c)
	}
	r.Total.Accepted += r.Total.Nowhere + r.Total.Forgotten
	for _, d := range b.doubles() {
		if only == "" || only == d.Tenant {
			r.Twice = append(r.Twice, d)
		}
	}
	return r
}

func countsOf(t *[columns]int64) Counts {
	n := func(c column) uint64 { return uint64(max(t[c], 0)) }
	c := Counts{
		Delivered: n(colDelivered), Duplicate: n(colDuplicate), NoClick: n(colNoClick), Dead: n(colDead), Held: n(colHeld),
		Waiting: n(colWaiting), Retrying: n(colRetrying), Parked: n(colParked), Twice: n(colTwice),
	}
	c.Accepted = c.Delivered + c.Duplicate + c.NoClick + c.Dead + c.Held + c.Waiting + c.Retrying + c.Parked + c.Twice
	return c
}

func (c *Counts) add(o Counts) {
	c.Accepted += o.Accepted
	c.Delivered += o.Delivered
	c.Duplicate += o.Duplicate
	c.NoClick += o.NoClick
	c.Dead += o.Dead
	c.Held += o.Held
	c.Waiting += o.Waiting
	c.Retrying += o.Retrying
	c.Parked += o.Parked
	c.Twice += o.Twice
}
