package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/homing-dev/homing/pkg/events"
)

// Sighting is an acceptance that was seen on its way.
type Sighting struct {
	Number     uint64 // of the acceptance; 0 when the message doesn't tell
	Tenant     string
	Round      int
	AcceptedAt time.Time
}

// ReadSightings calls fn with every event that a stream holds: HOMING_EVENTS,
// HOMING_RETRY or HOMING_PARKED. It disturbs nobody's deliveries.
func (q *Queue) ReadSightings(ctx context.Context, stream string, fn func(Sighting) error) error {
	_, err := q.scan(ctx, stream, span{}, func(m *storedMsg) error {
		env, _ := m.envelope(stream) // what is broken in it does not matter here
		return fn(Sighting{
			Number: env.Origin, Tenant: q.tenantOfStored(m, env), Round: env.Round, AcceptedAt: env.AcceptedAt,
		})
	})
	return err
}

// tenantOfStored finds the tenant of a schedule too: its subject names the
// acceptance, and its target the tenant.
func (q *Queue) tenantOfStored(m *storedMsg, env Envelope) string {
	if target := m.header.Get(jetstream.ScheduleTargetHeader); target != "" {
		tenant, _ := tenantOf(target)
		return tenant
	}
	return env.Tenant
}

// HasAcceptance reports whether HOMING_EVENTS still holds an acceptance.
func (q *Queue) HasAcceptance(ctx context.Context, number uint64) (bool, error) {
	found := false
	_, err := q.scan(ctx, StreamEvents, span{from: number, to: number}, func(*storedMsg) error {
		found = true
		return nil
	})
	return found && number > 0, err
}

// LedgerMessage is one message of the ledger.
type LedgerMessage struct {
	Seq   uint64
	Lines []events.Settlement
	Err   error // why it can't be decoded; then there are no lines
}

// ReadLedger calls fn with the ledger of a tenant, or of all when it is empty,
// from a sequence on. It returns the sequence to go on from next time.
func (q *Queue) ReadLedger(ctx context.Context, tenant string, from uint64, fn func(LedgerMessage) error) (next uint64, err error) {
	s := span{from: from}
	if tenant != "" {
		if !isToken(tenant) {
			return from, fmt.Errorf("queue: tenant %q can't be one: ids are made of a-z, 0-9, _ and -", tenant)
		}
		s.subject = subjectOutcome(tenant)
	}
	last, err := q.scan(ctx, StreamOutcomes, s, func(m *storedMsg) error {
		lines, err := events.DecodeSettlements(m.data)
		if err != nil {
			err = fmt.Errorf("queue: %s, message %d: %w", StreamOutcomes, m.seq, err)
		}
		return fn(LedgerMessage{Seq: m.seq, Lines: lines, Err: err})
	})
	return max(from, last+1), err
}

// Horizon is what an audit has to know of the streams before it begins.
type Horizon struct {
	Acceptances uint64    // the number of the last one
	LastAt      time.Time // when it was stored; zero when there was none
	// LedgerSince is since when the ledger is whole: what was written before may
	// have grown too old and gone. Zero when that is always.
	LedgerSince time.Time
	LedgerNext  uint64 // the sequence that the ledger's next message gets
}

// Horizon asks how far acceptances and ledger reach.
func (q *Queue) Horizon(ctx context.Context) (Horizon, error) {
	var h Horizon
	accepted, err := q.js.Stream(ctx, StreamEvents)
	if err != nil {
		return h, adminError("stream "+StreamEvents, err)
	}
	ledger, err := q.js.Stream(ctx, StreamOutcomes)
	if err != nil {
		return h, adminError("stream "+StreamOutcomes, err)
	}
	state := accepted.CachedInfo().State
	h.Acceptances, h.LastAt = state.LastSeq, state.LastTime
	info := ledger.CachedInfo()
	h.LedgerNext = info.State.LastSeq + 1
	if age := info.Config.MaxAge; age > 0 && q.now().Sub(info.Created) > age {
		h.LedgerSince = q.now().Add(-age)
	}
	return h, nil
}
