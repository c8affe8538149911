package ingest

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/events"
)

// publishFor bounds the wait for PubAcks; the queue's own limit is shorter.
const publishFor = 8 * time.Second

// publish makes the items durable. A settled duplicate is not published; one
// that is still on its way is, for what Redis says of it proves nothing.
func (s *Server) publish(ctx context.Context, items []*item) {
	var going []*item
	for _, it := range items {
		if it.live() && !it.settled() {
			going = append(going, it)
		}
	}
	if len(going) == 0 {
		return
	}
	var lost, unsure []*item
	for i, r := range s.send(ctx, going) {
		it := going[i]
		if it.heard(r) && it.unanswered {
			unsure = append(unsure, it)
		}
	}
	if len(unsure) > 0 {
		// JetStream holds an earlier acceptance of the key, but with Memory silent
		// nobody knows whether that one ended without a delivery: store this one
		// too, and let the worker judge.
		for _, it := range unsure {
			it.accept, it.apart = s.newID(), true
		}
		for i, r := range s.send(ctx, unsure) {
			unsure[i].heard(r)
		}
	}
	for _, it := range going {
		switch {
		case it.refused != nil:
			lost = append(lost, it)
		case it.acceptance:
			s.metrics.Accepted(ctx, it.tenant.ID)
		}
	}
	s.forget(ctx, lost)
}

// heard notes what the queue said of the item, and reports whether it holds an
// earlier acceptance in its stead.
func (it *item) heard(r queue.Result) bool {
	switch {
	case r.Err != nil:
		it.refused = queueRefusal(r.Err)
	case r.Duplicate:
		it.duplicate = true
	default:
		it.acceptance = true
	}
	return r.Err == nil && r.Duplicate
}

// send publishes all items and waits for all of them, under one span that the
// events carry with them.
func (s *Server) send(ctx context.Context, items []*item) []queue.Result {
	results := make([]queue.Result, len(items))
	if s.backlog.OverShare(items[0].tenant.ID) {
		for i := range results {
			results[i].Err = queue.ErrFull
		}
		return results
	}
	ctx, span := s.startSend(ctx, "homing.ev", len(items))
	defer span.End()

	acceptances, trace := make([]queue.Acceptance, len(items)), traceOf(ctx)
	for i, it := range items {
		acceptances[i] = it.envelope(trace)
	}
	copy(results, s.queue.PublishMany(s.publishDue.within(publishFor), acceptances))
	for i := range results {
		if err := results[i].Err; err != nil {
			span.RecordError(err)
			span.SetStatus(codes.Error, "not stored")
			s.logger.LogAttrs(ctx, slog.LevelWarn, "event not stored",
				slog.String("tenant", items[i].tenant.ID), slog.String("event_id", items[i].event.ID),
				slog.String("accept", items[i].accept),
				slog.String("error", err.Error()))
		}
	}
	return results
}

// startSend starts the span of a publish, which what is published carries along.
func (s *Server) startSend(ctx context.Context, destination string, n int) (context.Context, trace.Span) {
	ctx, span := s.startChild(ctx, "send "+destination, trace.WithSpanKind(trace.SpanKindProducer))
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("messaging.system", "nats"),
			attribute.String("messaging.operation.type", "send"),
			attribute.String("messaging.operation.name", "send"),
			attribute.String("messaging.destination.name", destination),
			attribute.Int("messaging.batch.message_count", n),
		)
	}
	return ctx, span
}

// envelope is the item as the queue takes it.
func (it *item) envelope(t queue.Trace) queue.Acceptance {
	return queue.Acceptance{
		Envelope: queue.Envelope{
			Tenant: it.tenant.ID, Accept: it.accept,
			EventName: it.event.Name, EventID: it.event.ID,
			AcceptedAt: it.at, Trace: t,
		},
		MsgID: it.msgID(),
		Data:  events.EncodeEvent(&it.event),
	}
}

// traceOf returns the trace context of ctx as it travels in headers.
func traceOf(ctx context.Context) (t queue.Trace) {
	propagation.TraceContext{}.Inject(ctx, &t)
	return t
}
