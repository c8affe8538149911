package observe_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/homing-dev/homing/test/harness"
)

// family is what a metric looks like from outside.
type family struct {
	Type    string
	Labels  string // sorted
	Buckets string
}

// families reads /metrics.
func families(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	found, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func shape(f *dto.MetricFamily) family {
	labels := map[string]bool{}
	var buckets []string
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = true
		}
		if buckets == nil {
			for _, b := range m.GetHistogram().GetBucket() {
				if le := strconv.FormatFloat(b.GetUpperBound(), 'g', -1, 64); le != "+Inf" {
					buckets = append(buckets, le)
				}
			}
		}
	}
	return family{
		Type: strings.ToLower(f.GetType().String()), Labels: strings.Join(slices.Sorted(maps.Keys(labels)), " "),
		Buckets: strings.Join(buckets, " "),
	}
}

// shown waits until a run has shown everything there is, and returns it.
func shown(t *testing.T, l *laptop) map[string]*dto.MetricFamily {
	t.Helper()
	var found map[string]*dto.MetricFamily
	harness.Eventually(t, patience, "every metric is shown", func() error {
		found = families(t, l.ops("GET", "/metrics", "", 200))
		for name := range documented(t) {
			if found[name] == nil {
				return fmt.Errorf("%s is not shown", name)
			}
		}
		return nil
	})
	return found
}

var row = regexp.MustCompile("(?m)^\\| `(homing_[a-z0-9_]+)` \\| ([a-z]+) \\|([^|]*)\\|([^|]*)\\|[^|]+\\|$")

// documented reads docs/metrics.md.
func documented(t *testing.T) map[string]family {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]family{}
	plain := strings.NewReplacer("`", "", ",", "")
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		labels := strings.Fields(plain.Replace(m[3]))
		slices.Sort(labels)
		told[m[1]] = family{m[2], strings.Join(labels, " "), strings.Join(strings.Fields(plain.Replace(m[4])), " ")}
	}
	if len(told) == 0 {
		t.Fatal("docs/metrics.md tells of no metric")
	}
	return told
}

// TestMetricsAreDocumented fails when a metric is added or removed on one side
// only, or differs in type, labels or buckets.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	l := startLaptop(t)
	l.live()
	got := map[string]family{}
	for name, f := range shown(t, l) {
		switch {
		case strings.HasPrefix(name, "homing_"):
			got[name] = shape(f)
			if f.GetHelp() == "" {
				t.Errorf("%s has no help", name)
			}
		case !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") && !strings.HasPrefix(name, "promhttp_") && name != "target_info":
			t.Errorf("%s is shown, and docs/metrics.md tells of no such kind", name)
		}
	}
	if diff := cmp.Diff(documented(t), got); diff != "" {
		t.Errorf("docs/metrics.md and a run differ (-documented +shown):\n%s", diff)
	}
}

// TestContractsMetricsAreShown holds a run against the list that others rely on.
func TestContractsMetricsAreShown(t *testing.T) {
	t.Parallel()
	const contract = `
counter   homing_events_accepted_total tenant
counter   homing_events_rejected_total reason
counter   homing_outcomes_total tenant outcome reason
counter   homing_attempts_total class
histogram homing_graph_request_duration_seconds
histogram homing_graph_batch_events
histogram homing_event_age_seconds
gauge     homing_backlog_events stream
gauge     homing_backlog_oldest_seconds
gauge     homing_parked_events
gauge     homing_tenant_gate tenant state
counter   homing_clicks_stored_total
counter   homing_click_lookups_total result
gauge     homing_dead_letters
gauge     homing_dead_letters_oldest_seconds
counter   homing_claims_total result
counter   homing_webhooks_total result
gauge     homing_event_deadline_seconds
gauge     homing_backlog_bytes stream
gauge     homing_backlog_limit_bytes stream
gauge     homing_retries_pending
counter   homing_config_reloads_total result
counter   homing_redis_incidents_total
gauge     homing_audit_unaccounted
histogram homing_http_request_duration_seconds route code
gauge     go_goroutines
gauge     go_build_info`
	told := documented(t)
	for line := range strings.Lines(strings.TrimSpace(contract)) {
		words := strings.Fields(line)
		f, ok := told[words[1]]
		if !ok && strings.HasPrefix(words[1], "homing_") {
			t.Errorf("%s is missing", words[1])
			continue
		}
		for _, label := range words[2:] {
			if !slices.Contains(strings.Fields(f.Labels), label) {
				t.Errorf("%s has labels %q, no %s", words[1], f.Labels, label)
			}
		}
		if ok && f.Type != words[0] {
			t.Errorf("%s is a %s, want a %s", words[1], f.Type, words[0])
		}
	}
}

// TestLogLevelChanges: a person at night wants more lines, and then fewer.
func TestLogLevelChanges(t *testing.T) {
	t.Parallel()
	l := startLaptop(t, "HOMING_LOG_LEVEL=error")
	if got := l.ops("GET", "/loglevel", "", 200); !strings.Contains(got, `"error"`) {
		t.Errorf("begins with %s", got)
	}
	l.do("GET", "/nowhere", "", "", 404)
	if strings.Contains(l.log.String(), `"request"`) {
		t.Error("a request was logged at level error")
	}
	l.ops("PUT", "/loglevel", "info\n", 200)
	l.do("GET", "/nowhere", "", "", 404)
	l.awaitLog(`"request"`)
	l.ops("PUT", "/loglevel", "loud", 400)
	l.ops("PUT", "/loglevel", strings.Repeat("x", 1000), 400)
	if got := l.ops("GET", "/loglevel", "", 200); !strings.Contains(got, `"info"`) {
		t.Errorf("ends with %s", got)
	}
}
