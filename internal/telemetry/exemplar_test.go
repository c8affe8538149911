package telemetry_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/homing-dev/homing/pkg/events"
)

// TestExemplarsNameTheTrace: from a bucket of slow events to the trace of one.
func TestExemplarsNameTheTrace(t *testing.T) {
	tel := start(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
	ctx, span := tel.Tracer().Start(t.Context(), "process")
	tel.Metrics.Outcome(ctx, "acme", events.Delivered, events.ReasonNone, 90*time.Second)
	tel.Metrics.Call(ctx, "ok", 7, time.Second)
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, r)
	for _, series := range []string{"homing_event_age_seconds_bucket", "homing_graph_request_duration_seconds_bucket", "homing_outcomes_total{"} {
		found := false
		for line := range strings.Lines(w.Body.String()) {
			found = found || strings.HasPrefix(line, series) && strings.Contains(line, `trace_id="`+span.SpanContext().TraceID().String()+`"`)
		}
		if !found {
			t.Errorf("%s has no exemplar of the trace", series)
		}
	}
}
