package ops

import (
	"context"
	"slices"
	"time"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// Finder finds what became of an event.
type Finder struct {
	Queue  *queue.Queue
	Claims Claims
	Now    func() time.Time // nil: time.Now
	// Tenants are all there are.
	Tenants []string
}

// EventQuery names an event.
type EventQuery struct {
	ID     string
	Tenant string      // empty: any
	Name   events.Name // empty: any
	// Ledger reads the ledger even when the claim store knows the event.
	Ledger bool
	// Progress is told what is being read; nil is nobody.
	Progress func(what string)
}

// EventReport is all that is known under an event id.
type EventReport struct {
	States []EventState `json:"states"` // from the claim store
	// Ledger holds how its acceptances ended. It takes long to read, so that is
	// done only when asked for or when the claim store knows nothing.
	Ledger     []EventState `json:"ledger"`
	LedgerRead bool         `json:"ledger_read"`
	Letters    []Letter     `json:"dead_letters"`
	// StoreError says why the claim store could not be asked.
	StoreError string `json:"store_error"`
}

// Found reports whether anything is known.
func (r *EventReport) Found() bool { return len(r.States)+len(r.Ledger)+len(r.Letters) > 0 }

// EventState is how one event stands, or how one acceptance of it ended.
type EventState struct {
	Tenant        string     `json:"tenant"`
	EventName     string     `json:"event_name"`
	EventID       string     `json:"event_id"`
	Status        string     `json:"status"`
	Reason        string     `json:"reason"`
	Attempts      int        `json:"attempts"`
	Round         int        `json:"round"`
	Unsure        bool       `json:"unsure"`
	Clid          string     `json:"ctwa_clid"`
	FbtraceID     string     `json:"fbtrace_id"`
	TraceID       string     `json:"trace_id"`
	Accept        string     `json:"homing_id"`
	Number        uint64     `json:"acceptance"` // 0: the claim store does not keep it
	AcceptedAt    *time.Time `json:"accepted_at"`
	SettledAt     *time.Time `json:"settled_at"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
}

// Find looks for an event in the claim store, the dead letters and, where that
// is needed, the ledger.
func (f Finder) Find(ctx context.Context, q EventQuery) (*EventReport, error) {
	if q.Progress == nil {
		q.Progress = func(string) {}
	}
	r := &EventReport{States: []EventState{}, Ledger: []EventState{}, Letters: []Letter{}}
	states, err := f.states(ctx, q)
	if err != nil {
		r.StoreError = err.Error()
	}
	r.States = append(r.States, states...)

	q.Progress("reading " + queue.StreamDead)
	filter := Filter{Tenant: q.Tenant, EventName: q.Name}
	err = Letters{Queue: f.Queue, Now: f.Now}.List(ctx, filter, func(l *Letter) error {
		if l.EventID == q.ID {
			r.Letters = append(r.Letters, *l)
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	if r.LedgerRead = q.Ledger || len(r.States) == 0; r.LedgerRead {
		q.Progress("reading " + queue.StreamOutcomes + ", which may take a while")
		return r, f.ledger(ctx, q, r)
	}
	return r, nil
}

// states asks the claim store about every key that q may mean.
func (f Finder) states(ctx context.Context, q EventQuery) ([]EventState, error) {
	tenants := f.Tenants
	if q.Tenant != "" {
		tenants = []string{q.Tenant}
	}
	names := []events.Name{q.Name.Canonical()}
	if q.Name == "" {
		names = slices.DeleteFunc(events.Names(), func(n events.Name) bool { return n.Canonical() != n })
	}
	var asked []EventState
	var keys []string
	for _, tenant := range tenants {
		for _, name := range names {
			asked = append(asked, EventState{Tenant: tenant, EventName: string(name), EventID: q.ID})
			keys = append(keys, string(events.MakeKey(tenant, name, q.ID)))
		}
	}
	var found []EventState
	for len(keys) > 0 {
		n := min(len(keys), maxChunk)
		records, err := f.Claims.Get(ctx, keys[:n])
		if err != nil {
			return found, err
		}
		for i, rec := range records {
			if rec.State != dedup.None {
				asked[i].fill(rec)
				found = append(found, asked[i])
			}
		}
		keys, asked = keys[n:], asked[n:]
	}
	return found, nil
}

// fill tells a record in the words of the contract.
func (s *EventState) fill(r dedup.Record) {
	if r.Note.Name != "" {
		s.EventName = r.Note.Name
	}
	s.Reason, s.Attempts, s.Round, s.Unsure = r.Reason, r.Note.Attempts, r.Round, r.Unsure
	s.Clid, s.FbtraceID, s.TraceID = r.Note.Clid, r.Note.FbtraceID, r.Note.TraceID
	s.Accept, s.AcceptedAt = r.Accept, instant(r.Note.AcceptedAt)
	switch r.State {
	case dedup.Claimed:
		s.Status = "sending"
	case dedup.Waiting:
		s.Status, s.NextAttemptAt = r.Outcome, instant(r.NextAt)
		if s.Status == "" {
			s.Status = string(events.Retrying)
		}
	case dedup.Decided:
		s.Status, s.SettledAt = r.Outcome, instant(r.At)
	default:
		s.Status = "queued"
	}
}

func (f Finder) ledger(ctx context.Context, q EventQuery, r *EventReport) error {
	_, err := f.Queue.ReadLedger(ctx, q.Tenant, 0, func(m queue.LedgerMessage) error {
		for i := range m.Lines {
			l := &m.Lines[i]
			if l.ID != q.ID || q.Name != "" && l.Name.Canonical() != q.Name.Canonical() {
				continue
			}
			r.Ledger = append(r.Ledger, EventState{
				Tenant: l.Tenant, EventName: string(l.Name), EventID: l.ID,
				Status: string(l.Outcome), Reason: string(l.Reason), Attempts: l.Attempts, Round: l.Round, Unsure: l.Unsure,
				Clid: l.Clid, FbtraceID: l.FbtraceID, TraceID: l.TraceID, Accept: l.Accept, Number: l.Origin,
				AcceptedAt: instant(l.AcceptedAt), SettledAt: instant(l.At),
			})
		}
		return nil
	})
	return err
}
