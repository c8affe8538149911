package telemetry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Levels is what waits where and how things stand, as they were when somebody
// last looked: a scrape reads it from memory. What is not known is not exposed.
type Levels struct {
	// Backlog is nil when the streams could not be asked.
	Backlog *Backlog
	// Gates holds every tenant's gate; nil where no gates are kept.
	Gates []Gate
	// Up tells for each server that we need whether it answers.
	Up map[string]bool
	// Audit is the result of the last audit; nil when there was none.
	Audit *Audit
}

// Backlog is what the streams hold.
type Backlog struct {
	Streams     []Stream
	Parked      uint64
	Retries     uint64
	RetriesDue  uint64 // of those, what any free worker could take
	DeadLetters uint64
	// The ages of what has waited longest; 0 when nothing waits.
	Oldest, OldestParked, OldestLetter time.Duration
	// Deadline is the least time that an event has left before Meta refuses it.
	Deadline time.Duration
}

// Stream is what one stream holds.
type Stream struct {
	Name string
	// Waiting is set for the streams whose messages are events on their way.
	Waiting bool
	Events  uint64
	Bytes   uint64
	Limit   int64 // in bytes; not above 0: none
}

// Gate is the state of one tenant's gate, and why it is not open.
type Gate struct{ Tenant, State, Reason string }

// Audit is the result of an audit.
type Audit struct {
	Unaccounted uint64
	Age         time.Duration
}

// SetLevels replaces what the gauges show.
func (m *Metrics) SetLevels(l *Levels) { m.levels.Store(l) }

// gauges are the instruments that show Levels.
type gauges struct {
	events, bytes, limit               metric.Int64ObservableGauge
	parked, retries, due, letters      metric.Int64ObservableGauge
	oldest, oldestParked, oldestLetter metric.Float64ObservableGauge
	deadline, auditAge                 metric.Float64ObservableGauge
	gate, up, unaccounted              metric.Int64ObservableGauge
}

func (m *Metrics) newGauges(meter metric.Meter) error {
	var errs []error
	number := func(name, what string) metric.Int64ObservableGauge {
		g, err := meter.Int64ObservableGauge(name, metric.WithDescription(what))
		errs = append(errs, err)
		return g
	}
	seconds := func(name, what string) metric.Float64ObservableGauge {
		g, err := meter.Float64ObservableGauge(name, metric.WithDescription(what), metric.WithUnit("s"))
		errs = append(errs, err)
		return g
	}
	g := gauges{
		events:       number("homing.backlog.events", "Events on their way, by stream."),
		bytes:        number("homing.backlog.bytes", "Bytes in a stream."),
		limit:        number("homing.backlog.limit.bytes", "Bytes that a stream may hold."),
		oldest:       seconds("homing.backlog.oldest", "Age of the oldest event in HOMING_EVENTS."),
		parked:       number("homing.parked.events", "Events parked until their tenant can be served."),
		oldestParked: seconds("homing.parked.oldest", "Time since acceptance of the oldest parked event."),
		retries:      number("homing.retries.pending", "Events in HOMING_RETRY."),
		due:          number("homing.retries.due", "Events that came back to HOMING_RETRY and that no worker has taken."),
		letters:      number("homing.dead.letters", "Dead letters, held ones included."),
		oldestLetter: seconds("homing.dead.letters.oldest", "Age of the oldest dead letter."),
		deadline:     seconds("homing.event.deadline", "Least time left before Meta refuses an event that waits."),
		gate:         number("homing.tenant.gate", "1 for the state of a tenant's gate."),
		up:           number("homing.dependency.up", "Whether a server that Homing needs answers."),
		unaccounted:  number("homing.audit.unaccounted", "Acceptances that the last audit found nowhere or twice."),
		auditAge:     seconds("homing.audit.age", "Time since the last audit."),
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("telemetry: instruments: %w", err)
	}
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if l := m.levels.Load(); l != nil {
			g.observe(o, l, m.tenants)
		}
		return nil
	}, g.events, g.bytes, g.limit, g.oldest, g.parked, g.oldestParked, g.retries, g.due, g.letters, g.oldestLetter,
		g.deadline, g.gate, g.up, g.unaccounted, g.auditAge)
	return err
}

func (g *gauges) observe(o metric.Observer, l *Levels, tenants *tenantLabels) {
	if b := l.Backlog; b != nil {
		g.observeBacklog(o, b)
	}
	// Tenants that share a label are counted: the value of a gate is 1 for one.
	count := make(map[Gate]int64, len(l.Gates))
	for _, gate := range l.Gates {
		gate.Tenant = tenants.of(gate.Tenant) // of the copy
		count[gate]++
	}
	for gate, n := range count {
		o.ObserveInt64(g.gate, n, metric.WithAttributes(attribute.String("tenant", gate.Tenant),
			attribute.String("state", gate.State), attribute.String("reason", gate.Reason)))
	}
	for name, up := range l.Up {
		n := int64(0)
		if up {
			n = 1
		}
		o.ObserveInt64(g.up, n, metric.WithAttributes(attribute.String("dependency", name)))
	}
	if l.Audit != nil {
		o.ObserveInt64(g.unaccounted, int64(l.Audit.Unaccounted))
		o.ObserveFloat64(g.auditAge, l.Audit.Age.Seconds())
	}
}

func (g *gauges) observeBacklog(o metric.Observer, b *Backlog) {
	for _, s := range b.Streams {
		stream := metric.WithAttributes(attribute.String("stream", s.Name))
		if s.Waiting {
			o.ObserveInt64(g.events, int64(s.Events), stream)
		}
		o.ObserveInt64(g.bytes, int64(s.Bytes), stream)
		if s.Limit > 0 {
			o.ObserveInt64(g.limit, s.Limit, stream)
		}
	}
	o.ObserveInt64(g.parked, int64(b.Parked))
	o.ObserveInt64(g.retries, int64(b.Retries))
	o.ObserveInt64(g.due, int64(b.RetriesDue))
	o.ObserveInt64(g.letters, int64(b.DeadLetters))
	o.ObserveFloat64(g.oldest, b.Oldest.Seconds())
	o.ObserveFloat64(g.oldestParked, b.OldestParked.Seconds())
	o.ObserveFloat64(g.oldestLetter, b.OldestLetter.Seconds())
	o.ObserveFloat64(g.deadline, b.Deadline.Seconds())
}
