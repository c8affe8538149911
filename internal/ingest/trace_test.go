package ingest

import (
	"net/http"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/homing-dev/homing/internal/queue"
)

// TestTraceTravelsWithTheEvent follows one trace: request, publish, message,
// status and log line.
func TestTraceTravelsWithTheEvent(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	h := newHarness(t)
	h.server.tracer = provider.Tracer("test")

	ctx, server := provider.Tracer("test").Start(t.Context(), "POST", trace.WithSpanKind(trace.SpanKindServer))
	h.post(sendEventPath, leadOne, func(r *http.Request) { *r = *r.WithContext(ctx) }).wants(t, 200, "")
	server.End()

	ended := spans.Ended()
	if len(ended) != 3 || ended[0].Name() != "look up click" || ended[1].Name() != "send homing.ev" || ended[1].SpanKind() != trace.SpanKindProducer {
		t.Fatalf("spans %v", ended)
	}
	look, producer, request := ended[0], ended[1], ended[2]
	if look.Parent().SpanID() != request.SpanContext().SpanID() || producer.Parent().SpanID() != request.SpanContext().SpanID() {
		t.Error("the look and the publish are no children of the request")
	}
	sc := producer.SpanContext()
	a, _ := h.published()
	if want := "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-01"; a.Trace != (queue.Trace{Parent: want}) {
		t.Errorf("message has %+v, want %s", a.Trace, want)
	}
	if got := h.get(statusPath + "e1"); got.body["trace_id"] != sc.TraceID().String() {
		t.Errorf("status has trace_id %v", got.body["trace_id"])
	}
	told := map[string]string{}
	for _, kv := range request.Attributes() {
		told[string(kv.Key)] = kv.Value.AsString()
	}
	if told["homing.tenant"] != "acme" || told["homing.event_id"] != "e1" {
		t.Errorf("the request's span says %v", told)
	}
}

func TestNoTraceNoHeaders(t *testing.T) {
	h := newHarness(t)
	h.post(sendEventPath, leadOne).wants(t, 200, "")
	if a, _ := h.published(); a.Trace != (queue.Trace{}) {
		t.Errorf("trace %+v", a.Trace)
	}
}
