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
	var lost []*item
	for i, r := range s.send(ctx, going) {
		it := going[i]
		switch {
		case r.Err != nil:
			it.refused = queueRefusal(r.Err)
			lost = append(lost, it)
		case r.Duplicate:
			it.duplicate = true
		default:
			it.acceptance = true
			s.metrics.Accepted(ctx, it.tenant.ID)
		}
	}
	s.forget(ctx, lost)
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
	ctx, cancel := context.WithTimeout(ctx, publishFor)
	defer cancel()
	ctx, span := s.startSend(ctx, "homing.ev", len(items))
	defer span.End()

	acceptances := make([]queue.Acceptance, len(items))
	for i, it := range items {
		acceptances[i] = it.envelope(traceOf(ctx))
	}
	copy(results, s.queue.PublishMany(ctx, acceptances))
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
	return s.tracer.Start(ctx, "send "+destination, trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(
			attribute.String("messaging.system", "nats"),
			attribute.String("messaging.operation.type", "send"),
			attribute.String("messaging.operation.name", "send"),
			attribute.String("messaging.destination.name", destination),
			attribute.Int("messaging.batch.message_count", n),
		))
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
func traceOf(ctx context.Context) queue.Trace {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return queue.Trace{Parent: carrier.Get("traceparent"), State: carrier.Get("tracestate")}
}
