package ingest

import (
	"net/http"
	"testing"

	"go.opentelemetry.io/otel/codes"
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

	const caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	h.post(sendEventPath, leadOne, header("traceparent", caller)).wants(t, 200, "")

	ended := spans.Ended()
	if len(ended) != 3 || ended[0].Name() != "look up click" || ended[1].Name() != "send homing.ev" || ended[1].SpanKind() != trace.SpanKindProducer ||
		ended[2].Name() != "POST "+sendEventPath || ended[2].SpanKind() != trace.SpanKindServer {
		t.Fatalf("spans %v", ended)
	}
	look, producer, request := ended[0], ended[1], ended[2]
	if look.Parent().SpanID() != request.SpanContext().SpanID() || producer.Parent().SpanID() != request.SpanContext().SpanID() {
		t.Error("the look and the publish are no children of the request")
	}
	if parent := request.Parent(); parent.TraceID().String() != "0af7651916cd43dd8448eb211c80319c" || parent.SpanID().String() != "b7ad6b7169203331" {
		t.Errorf("the request is a child of %v", parent)
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
		told[string(kv.Key)] = kv.Value.String()
	}
	for key, want := range map[string]string{
		"homing.tenant": "acme", "homing.event_id": "e1", "homing.event_name": "Lead", "homing.accept": a.Accept,
		"http.request.method": "POST", "http.route": sendEventPath, "url.path": sendEventPath, "url.scheme": "http",
		"http.response.status_code": "200", "server.address": "example.com", "network.peer.address": "192.0.2.1",
		"network.protocol.version": "1.1",
	} {
		if told[key] != want {
			t.Errorf("the request's span says %s = %q, want %q", key, told[key], want)
		}
	}
}

// TestTraceOfAFailure: a span that ends in our fault says so, and an invented
// path does not name one.
func TestTraceOfAFailure(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	h := newHarness(t)
	h.server.tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	h.queue.refuseAll(queue.ErrFull)
	h.post(sendEventPath, leadOne).wants(t, http.StatusServiceUnavailable, "queue_full")
	h.post("/made/up", leadOne).wants(t, http.StatusNotFound, "not_found")
	var servers []sdktrace.ReadOnlySpan
	for _, s := range spans.Ended() {
		if s.SpanKind() == trace.SpanKindServer {
			servers = append(servers, s)
		}
	}
	if len(servers) != 2 || servers[0].Status().Code != codes.Error || servers[1].Status().Code != codes.Unset || servers[1].Name() != "HTTP" {
		t.Errorf("spans %v", servers)
	}
}

func TestNoTraceNoHeaders(t *testing.T) {
	h := newHarness(t)
	h.post(sendEventPath, leadOne).wants(t, 200, "")
	if a, _ := h.published(); a.Trace != (queue.Trace{}) {
		t.Errorf("trace %+v", a.Trace)
	}
}
