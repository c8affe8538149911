package telemetry

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
	"github.com/homing-dev/homing/pkg/graphapi"
)

// Metrics are the instruments of the contract. Their Prometheus names follow
// from their names and units here.
type Metrics struct {
	accepted, rejected, outcomes, attempts metric.Int64Counter
	clicksStored, lookups, claims          metric.Int64Counter
	webhooks, reloads, incidents           metric.Int64Counter
	call, age, request                     metric.Float64Histogram
	batch                                  metric.Int64Histogram
	sets                                   sync.Map // of label pairs -> *labels
	tenants                                *tenantLabels
	levels                                 atomic.Pointer[Levels]
}

func newMetrics(m metric.Meter) (*Metrics, error) {
	var errs []error
	counter := func(name, what string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithDescription(what))
		errs = append(errs, err)
		return c
	}
	seconds := func(name, what string, buckets ...float64) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(what), metric.WithExplicitBucketBoundaries(buckets...))
		errs = append(errs, err)
		return h
	}
	ms := &Metrics{
		tenants:      newTenantLabels(maxTenants),
		accepted:     counter("homing.events.accepted", "Events stored in JetStream, by tenant."),
		rejected:     counter("homing.events.rejected", "Events and requests refused, by reason."),
		outcomes:     counter("homing.outcomes", "Terminal outcomes."),
		attempts:     counter("homing.attempts", "Calls to Meta, by class of answer."),
		clicksStored: counter("homing.clicks.stored", "Clicks put into the click store."),
		lookups:      counter("homing.click.lookups", "Click look-ups, by result."),
		claims:       counter("homing.claims", "Claims, by result."),
		webhooks:     counter("homing.webhooks", "WhatsApp webhooks, by result."),
		reloads:      counter("homing.config.reloads", "Reloads of the tenants file, by result."),
		incidents:    counter("homing.redis.incidents", "Times that Redis lost its memory with events in flight."),
		call: seconds("homing.graph.request.duration", "Calls to Meta.",
			.025, .05, .1, .2, .4, .6, 1, 1.5, 3, 5, 10, 20),
		age: seconds("homing.event.age", "Acceptance to terminal outcome, by outcome.",
			.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43200, 172800, 604800),
		request: seconds("homing.http.request.duration", "Requests served, by route and status.",
			.0005, .001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 5),
	}
	var err error
	ms.batch, err = m.Int64Histogram("homing.graph.batch.events", metric.WithDescription("Events in one call to Meta."),
		metric.WithExplicitBucketBoundaries(1, 2, 5, 10, 25, 50, 100, 200, 400, 700, 1000))
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("telemetry: instruments: %w", err)
	}
	if err := ms.newGauges(m); err != nil {
		return nil, err
	}
	ms.begin()
	return ms, nil
}

// begin shows every series of a closed set of labels from the start: what
// appears with its first count has no increase that an alert could see.
func (m *Metrics) begin() {
	ctx := context.Background()
	m.clicksStored.Add(ctx, 0)
	m.incidents.Add(ctx, 0)
	m.attempts.Add(ctx, 0, m.with("class", "ok").add...)
	for c := graphapi.NotSent; c <= graphapi.Unknown; c++ {
		m.attempts.Add(ctx, 0, m.with("class", c.String()).add...)
	}
	for r := dedup.Unanswered; r <= dedup.Duplicate; r++ {
		m.claims.Add(ctx, 0, m.with("result", r.String()).add...)
	}
	for _, r := range []string{"found", "none", "unavailable", "skipped"} {
		m.lookups.Add(ctx, 0, m.with("result", r).add...)
	}
	for _, r := range []string{"stored", "ignored", "unauthorized", "refused", "unavailable", "verified", "forbidden", "unknown_waba", "no_person", "invalid_click"} {
		m.webhooks.Add(ctx, 0, m.with("result", r).add...)
	}
	for _, r := range []string{"ok", "error"} {
		m.reloads.Add(ctx, 0, m.with("result", r).add...)
	}
}

// Begin shows the series of a tenant from the start.
func (m *Metrics) Begin(tenant string) {
	ctx, tenant := context.Background(), m.tenants.of(tenant)
	m.accepted.Add(ctx, 0, m.with("tenant", tenant).add...)
	for _, o := range []struct {
		outcome events.Outcome
		reason  events.Reason
	}{
		{events.Delivered, events.ReasonNone},
		{events.Duplicate, events.ReasonNone},
		{events.Held, events.ReasonDeliveryUnknown},
		{events.Held, events.ReasonAttemptsExhausted},
	} {
		m.outcomes.Add(ctx, 0, m.with("tenant", tenant, "outcome", string(o.outcome), "reason", string(o.reason)).add...)
	}
}

// labels is an attribute set as the instruments take it: a list made for each count
// would be an object each.
type labels struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

// with returns the labels of pairs, made once.
func (m *Metrics) with(pairs ...string) *labels {
	key := [6]string{}
	copy(key[:], pairs)
	if set, ok := m.sets.Load(key); ok {
		return set.(*labels)
	}
	attrs := make([]attribute.KeyValue, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		attrs = append(attrs, attribute.String(pairs[i], pairs[i+1]))
	}
	set := metric.WithAttributeSet(attribute.NewSet(attrs...))
	made := &labels{add: []metric.AddOption{set}, record: []metric.RecordOption{set}}
	m.sets.Store(key, made)
	return made
}

// Accepted counts a stored event.
func (m *Metrics) Accepted(ctx context.Context, tenant string) {
	m.accepted.Add(ctx, 1, m.with("tenant", m.tenants.of(tenant)).add...)
}

// Rejected counts a refused event or request.
func (m *Metrics) Rejected(ctx context.Context, reason string) {
	m.rejected.Add(ctx, 1, m.with("reason", reason).add...)
}

// Outcome counts a terminal outcome.
func (m *Metrics) Outcome(ctx context.Context, tenant string, o events.Outcome, r events.Reason, age time.Duration) {
	m.outcomes.Add(ctx, 1, m.with("tenant", m.tenants.of(tenant), "outcome", string(o), "reason", string(r)).add...)
	m.age.Record(ctx, age.Seconds(), m.with("outcome", string(o)).record...)
}

// Call counts a call to Meta.
func (m *Metrics) Call(ctx context.Context, class string, events int, took time.Duration) {
	m.attempts.Add(ctx, 1, m.with("class", class).add...)
	m.batch.Record(ctx, int64(events))
	m.call.Record(ctx, took.Seconds())
}

// Claim counts the answer to a claim.
func (m *Metrics) Claim(r dedup.Result) {
	m.claims.Add(context.Background(), 1, m.with("result", r.String()).add...)
}

// ClickLookup counts a click look-up: found, none, unavailable or skipped.
func (m *Metrics) ClickLookup(ctx context.Context, result string) {
	m.lookups.Add(ctx, 1, m.with("result", result).add...)
}

// ClicksStored counts clicks put into the store.
func (m *Metrics) ClicksStored(n int) { m.clicksStored.Add(context.Background(), int64(n)) }

// Webhook counts a webhook.
func (m *Metrics) Webhook(ctx context.Context, result string) {
	m.webhooks.Add(ctx, 1, m.with("result", result).add...)
}

// Request records a served request.
func (m *Metrics) Request(ctx context.Context, route string, code int, took time.Duration) {
	m.request.Record(ctx, took.Seconds(), m.with("route", route, "code", strconv.Itoa(code)).record...)
}

// Reload counts a reload of the tenants file.
func (m *Metrics) Reload(err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.reloads.Add(context.Background(), 1, m.with("result", result).add...)
}

// Incident counts a Redis that lost its memory.
func (m *Metrics) Incident() { m.incidents.Add(context.Background(), 1) }
