package recovery_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/homing-dev/homing/internal/recovery"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is Redis and the streams in one: what it is asked is noted.
type memory struct {
	mu       sync.Mutex
	away     bool // Redis does not answer
	full     bool // Redis takes no writes
	marker   *dedup.Marker
	runID    string
	inFlight []int // what AckPending answers, one after the other; the last one stays
	settled  []events.Settlement
	clicks   []events.Click
	readErr  error

	restored  []dedup.Restored
	put       []events.Click
	since     []time.Time // of the rebuilds
	marked    []time.Time
	incidents int
}

var errAway = errors.New("no answer")

// locked runs f while nothing else looks.
func (m *memory) locked(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *memory) Marker(context.Context) (dedup.Marker, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.away:
		return dedup.Marker{}, errAway
	case m.marker == nil:
		return dedup.Marker{}, dedup.ErrIncident
	default:
		return *m.marker, nil
	}
}

func (m *memory) Write(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return errAway
	}
	return nil
}

func (m *memory) Mark(_ context.Context, marker dedup.Marker) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return errAway
	}
	m.marker = &marker
	m.marked = append(m.marked, time.Now())
	return nil
}

func (m *memory) Restore(_ context.Context, decided []dedup.Restored) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return errAway
	}
	m.restored = append(m.restored, decided...)
	return nil
}

func (m *memory) Put(_ context.Context, clicks []events.Click) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put = append(m.put, clicks...)
	return nil
}

func (m *memory) ReadOutcomes(_ context.Context, since time.Time, f func([]events.Settlement) error) error {
	m.mu.Lock()
	m.since = append(m.since, since)
	settled, err := m.settled, m.readErr
	m.mu.Unlock()
	if err != nil || len(settled) == 0 {
		return err
	}
	return f(settled)
}

func (m *memory) ReadClicks(_ context.Context, _ time.Time, f func([]events.Click) error) error {
	m.mu.Lock()
	clicks := m.clicks
	m.mu.Unlock()
	if len(clicks) == 0 {
		return nil
	}
	return f(clicks)
}

func (m *memory) Memories(context.Context) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(len(m.settled) + len(m.clicks)), m.readErr
}

func (m *memory) AckPending(context.Context) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.inFlight) == 0 {
		return 0, nil
	}
	n := m.inFlight[0]
	if len(m.inFlight) > 1 {
		m.inFlight = m.inFlight[1:]
	}
	return n, nil
}

func (m *memory) RunID(context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.runID, nil
}

// whole is a Redis that lacks nothing.
func whole() *memory {
	return &memory{runID: "run-1", marker: &dedup.Marker{RunID: "run-1"}}
}

func guardOf(m *memory) *recovery.Guard {
	return recovery.New(recovery.Options{
		Claims: m, Clicks: m, Streams: m, RunID: m.RunID, Writes: m.Write, Wait: time.Minute,
		Incident: func() { m.locked(func() { m.incidents++ }) }, Logger: slog.New(slog.DiscardHandler),
	})
}

// settlement is a line of the ledger.
func settlement(id string, o events.Outcome) events.Settlement {
	at := time.Unix(1_800_000_000, 0).UTC()
	return events.Settlement{
		Accept: "accept-" + id, Origin: 7, Round: 1, Outcome: o, Reason: events.ReasonExpired, Unsure: true,
		Tenant: "acme", Name: events.Lead, ID: id, Attempts: 3, Clid: "clid", FbtraceID: "fb", TraceID: "trace",
		AcceptedAt: at, At: at.Add(time.Second),
	}
}
