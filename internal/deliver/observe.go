package deliver

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
	"github.com/homing-dev/homing/pkg/graphapi"
)

// Metrics is told what happens; the contexts carry the span that it belongs to.
type Metrics interface {
	// Outcome counts a terminal outcome; age is the time since acceptance.
	Outcome(ctx context.Context, tenant string, o events.Outcome, r events.Reason, age time.Duration)
	// Call counts a call to Meta; class is "ok" or a graphapi.Class.
	Call(ctx context.Context, class string, events int, took time.Duration)
	// Claim counts the answer to a claim.
	Claim(r dedup.Result)
	// ClickLookup counts a click look-up: found or none.
	ClickLookup(ctx context.Context, result string)
}

type noMetrics struct{}

func (noMetrics) Outcome(context.Context, string, events.Outcome, events.Reason, time.Duration) {}
func (noMetrics) Call(context.Context, string, int, time.Duration)                              {}
func (noMetrics) Claim(dedup.Result)                                                            {}
func (noMetrics) ClickLookup(context.Context, string)                                           {}

// startSpan continues the trace of a sampled event; nil for the others, which
// cost nothing.
func (b *batch) startSpan(it *item) trace.Span {
	if it.msg.Trace.Parent == "" {
		return nil
	}
	carrier := propagation.MapCarrier{"traceparent": it.msg.Trace.Parent, "tracestate": it.msg.Trace.State}
	ctx := propagation.TraceContext{}.Extract(context.Background(), carrier)
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return nil
	}
	_, span := b.Tracer.Start(ctx, "process homing.ev", trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(
			attribute.String("messaging.system", "nats"),
			attribute.String("messaging.operation.type", "process"),
			attribute.String("homing.tenant", it.msg.Tenant),
			attribute.String("homing.event_id", it.msg.EventID),
			attribute.String("homing.event_name", string(it.msg.EventName)),
			attribute.String("homing.accept", it.msg.Accept),
		))
	return span
}

// startCall starts the span of a call to Meta: a child of the first event that
// is traced, linked to from all of them.
func (b *batch) startCall(items []*item) (context.Context, trace.Span) {
	ctx := b.ctx
	for _, it := range items {
		if it.span != nil {
			ctx = trace.ContextWithSpan(ctx, it.span)
			break
		}
	}
	return b.Tracer.Start(ctx, "POST {version}/{dataset}/events", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("homing.tenant", b.tenantID), attribute.Int("messaging.batch.message_count", len(items))))
}

func (b *batch) endCall(span trace.Span, items []*item, result graphapi.Result, err *graphapi.Error) {
	fbtrace := result.FbtraceID
	if err != nil {
		fbtrace = err.FbtraceID
		span.SetStatus(codes.Error, err.Class.String())
		span.SetAttributes(attribute.Int("http.response.status_code", err.Status),
			attribute.Int("homing.graph.code", err.Code), attribute.Int("homing.graph.subcode", err.Subcode))
	}
	span.SetAttributes(attribute.String("homing.class", className(err)), attribute.String("homing.fbtrace_id", fbtrace))
	for _, it := range items {
		it.callSpan = span.SpanContext()
	}
	span.End()
}

// finish ends the spans of the batch's events.
func (b *batch) finish() {
	for _, it := range b.items {
		if it.span == nil {
			continue
		}
		if it.callSpan.IsValid() {
			it.span.AddLink(trace.Link{SpanContext: it.callSpan})
		}
		it.span.SetAttributes(
			attribute.String("homing.outcome", string(it.fate.outcome)),
			attribute.String("homing.reason", string(it.fate.reason)),
			attribute.Int("homing.attempt", it.attempts),
			attribute.String("homing.fbtrace_id", it.fate.fbtrace),
		)
		it.span.End()
	}
}

// context carries the item's span, if it has one.
func (it *item) context(ctx context.Context) context.Context {
	if it.span == nil {
		return ctx
	}
	return trace.ContextWithSpan(ctx, it.span)
}
