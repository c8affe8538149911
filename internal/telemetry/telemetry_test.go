package telemetry_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"github.com/homing-dev/homing/internal/telemetry"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, env map[string]string) *telemetry.Telemetry {
	t.Helper()
	tel, err := telemetry.New(t.Context(), telemetry.Options{
		Service: "homing-test", Version: "v1", Getenv: func(name string) string { return env[name] },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// What can't be exported is no failure of the test's.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = tel.Shutdown(ctx)
	})
	return tel
}

// scrape is what Prometheus reads.
func scrape(t *testing.T, tel *telemetry.Telemetry) map[string]*dto.MetricFamily {
	t.Helper()
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil || w.Code != 200 {
		t.Fatalf("status %d: %v", w.Code, err)
	}
	return families
}

// sums adds up the series of a family that count anything, by their labels.
func sums(f *dto.MetricFamily) map[string]float64 {
	sums := map[string]float64{}
	for _, m := range f.GetMetric() {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetName()+"="+l.GetValue())
		}
		if v := m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetHistogram().GetSampleSum(); v != 0 {
			sums[strings.Join(labels, " ")] = v
		}
	}
	return sums
}

// everything counts one of each.
func everything(m *telemetry.Metrics) {
	ctx := context.Background()
	m.Accepted(ctx, "acme")
	m.Rejected(ctx, "invalid_json")
	m.Outcome(ctx, "acme", events.Dead, events.ReasonExpired, 3*time.Second)
	m.Call(ctx, "ok", 200, 300*time.Millisecond)
	m.Claim(dedup.Fresh)
	m.ClickLookup(ctx, "found")
	m.ClicksStored(7)
	m.Webhook(ctx, "stored")
	m.Request(ctx, "/x", 200, time.Millisecond)
	m.Reload(nil)
	m.Reload(errors.New("refused"))
	m.Incident()
}

func TestNamesAndLabelsAreTheContracts(t *testing.T) {
	tel := start(t, nil)
	everything(tel.Metrics)
	families := scrape(t, tel)
	const counter, histogram = dto.MetricType_COUNTER, dto.MetricType_HISTOGRAM
	for name, want := range map[string]struct {
		kind dto.MetricType
		sums map[string]float64 // of a histogram, what was observed
	}{
		"homing_events_accepted_total":          {counter, map[string]float64{"tenant=acme": 1}},
		"homing_events_rejected_total":          {counter, map[string]float64{"reason=invalid_json": 1}},
		"homing_outcomes_total":                 {counter, map[string]float64{"outcome=dead reason=expired tenant=acme": 1}},
		"homing_attempts_total":                 {counter, map[string]float64{"class=ok": 1}},
		"homing_graph_request_duration_seconds": {histogram, map[string]float64{"": .3}},
		"homing_graph_batch_events":             {histogram, map[string]float64{"": 200}},
		"homing_event_age_seconds":              {histogram, map[string]float64{"outcome=dead": 3}},
		"homing_clicks_stored_total":            {counter, map[string]float64{"": 7}},
		"homing_click_lookups_total":            {counter, map[string]float64{"result=found": 1}},
		"homing_claims_total":                   {counter, map[string]float64{"result=fresh": 1}},
		"homing_webhooks_total":                 {counter, map[string]float64{"result=stored": 1}},
		"homing_config_reloads_total":           {counter, map[string]float64{"result=ok": 1, "result=error": 1}},
		"homing_redis_incidents_total":          {counter, map[string]float64{"": 1}},
		"homing_http_request_duration_seconds":  {histogram, map[string]float64{"code=200 route=/x": .001}},
	} {
		f := families[name]
		if f == nil {
			t.Errorf("%s is missing", name)
			continue
		}
		if diff := cmp.Diff(want.sums, sums(f)); diff != "" || f.GetType() != want.kind || f.GetHelp() == "" {
			t.Errorf("%s is a %v, help %q (-want +got):\n%s", name, f.GetType(), f.GetHelp(), diff)
		}
	}
	for _, name := range []string{"go_goroutines", "go_build_info", "process_cpu_seconds_total"} {
		if families[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestSameLabelsAreOneSeries(t *testing.T) {
	tel := start(t, nil)
	for range 3 {
		tel.Metrics.Accepted(t.Context(), "acme")
	}
	tel.Metrics.Accepted(t.Context(), "umbra")
	got := sums(scrape(t, tel)["homing_events_accepted_total"])
	if diff := cmp.Diff(map[string]float64{"tenant=acme": 3, "tenant=umbra": 1}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTwoLiveSideBySide(t *testing.T) {
	one, two := start(t, nil), start(t, nil)
	one.Metrics.Incident()
	const name = "homing_redis_incidents_total"
	if got := sums(scrape(t, one)[name]); got[""] != 1 {
		t.Errorf("one counted %v", got)
	}
	if got := sums(scrape(t, two)[name]); len(got) != 0 {
		t.Errorf("the other counted %v", got)
	}
}

func TestLevelsAreGauges(t *testing.T) {
	tel := start(t, nil)
	if f := scrape(t, tel)["homing_parked_events"]; f != nil {
		t.Errorf("what nobody has looked at is shown: %v", f)
	}
	tel.Metrics.SetLevels(&telemetry.Levels{
		Backlog: &telemetry.Backlog{
			Streams: []telemetry.Stream{
				{Name: "HOMING_EVENTS", Waiting: true, Events: 5, Bytes: 500, Limit: 1000},
				{Name: "HOMING_DEAD", Events: 6, Bytes: 600, Limit: -1},
			},
			Parked: 7, Retries: 8, DeadLetters: 9,
			Oldest: 10 * time.Second, OldestLetter: 11 * time.Second, Deadline: 12 * time.Second,
		},
		Gates: []telemetry.Gate{{Tenant: "acme", State: "closed", Reason: "auth"}},
		Audit: &telemetry.Audit{Unaccounted: 13},
	})
	families := scrape(t, tel)
	for name, want := range map[string]map[string]float64{
		"homing_backlog_events":              {"stream=HOMING_EVENTS": 5},
		"homing_backlog_bytes":               {"stream=HOMING_EVENTS": 500, "stream=HOMING_DEAD": 600},
		"homing_backlog_limit_bytes":         {"stream=HOMING_EVENTS": 1000},
		"homing_backlog_oldest_seconds":      {"": 10},
		"homing_parked_events":               {"": 7},
		"homing_retries_pending":             {"": 8},
		"homing_dead_letters":                {"": 9},
		"homing_dead_letters_oldest_seconds": {"": 11},
		"homing_event_deadline_seconds":      {"": 12},
		"homing_tenant_gate":                 {"reason=auth state=closed tenant=acme": 1},
		"homing_audit_unaccounted":           {"": 13},
	} {
		if diff := cmp.Diff(want, sums(families[name])); diff != "" || families[name].GetType() != dto.MetricType_GAUGE {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTracesAreSampledOnlyForAnExporter(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for name, tt := range map[string]struct {
		env     map[string]string
		sampled bool
	}{
		"no endpoint":           {nil, false},
		"endpoint":              {map[string]string{endpoint: "http://127.0.0.1:1"}, true},
		"endpoint of traces":    {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, true},
		"endpoint, grpc":        {map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, true},
		"disabled":              {map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, false},
		"no exporter of traces": {map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			// Never ended, so there is nothing to export to nobody.
			_, span := start(t, tt.env).Tracer().Start(t.Context(), "x")
			if got := span.SpanContext(); got.IsSampled() != tt.sampled || !got.HasTraceID() {
				t.Errorf("span %+v", got)
			}
		})
	}
}

func TestUnknownProtocolIsTold(t *testing.T) {
	env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "smoke"}
	_, err := telemetry.New(t.Context(), telemetry.Options{Service: "x", Getenv: func(n string) string { return env[n] }})
	if err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_PROTOCOL") {
		t.Errorf("error %v", err)
	}
}
