package app

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/pkg/events"
)

// storeClicks repeats what the webhooks wrote, for the clicks whose webhook
// could not reach Redis.
func (a *App) storeClicks(ctx context.Context, store *clicks.Store) {
	tracer := a.telemetry.Tracer()
	err := a.queue.ConsumeClicks(ctx, func(ctx context.Context, c []events.Click) error {
		end := traceClicks(tracer, c)
		err := store.Put(ctx, c)
		end(err)
		if err != nil {
			return err
		}
		a.telemetry.Metrics.ClicksStored(len(c))
		return nil
	})
	if err != nil && ctx.Err() == nil {
		a.fail(fmt.Errorf("app: consuming clicks ended: %w", err))
	}
}

// traceClicks goes on with the traces of the clicks that have one, which are few.
func traceClicks(tracer trace.Tracer, stored []events.Click) (end func(error)) {
	var spans []trace.Span
	for i := range stored {
		if stored[i].Trace == "" {
			continue
		}
		carrier := propagation.MapCarrier{"traceparent": stored[i].Trace}
		parent := propagation.TraceContext{}.Extract(context.Background(), carrier)
		_, span := tracer.Start(parent, "process homing.click", trace.WithSpanKind(trace.SpanKindConsumer),
			trace.WithAttributes(
				attribute.String("messaging.system", "nats"),
				attribute.String("messaging.operation.type", "process"),
				attribute.String("messaging.operation.name", "process"),
				attribute.String("messaging.destination.name", "homing.click"),
				attribute.String("homing.tenant", stored[i].Tenant),
			))
		spans = append(spans, span)
	}
	return func(err error) {
		for _, span := range spans {
			if err != nil {
				span.SetStatus(codes.Error, "not stored")
			}
			span.End()
		}
	}
}
