package telemetry

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// keyTrace is the key of the trace id in log lines.
const keyTrace = "trace_id"

// WithTrace adds the trace id of the context to the lines that don't tell one.
func WithTrace(next slog.Handler) slog.Handler { return traceHandler{next} }

type traceHandler struct{ slog.Handler }

func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		told := false
		r.Attrs(func(a slog.Attr) bool {
			told = a.Key == keyTrace
			return !told
		})
		if !told {
			r = r.Clone()
			r.AddAttrs(slog.String(keyTrace, sc.TraceID().String()))
		}
	}
	return h.Handler.Handle(ctx, r)
}

func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs)}
}

func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name)}
}
