package telemetry_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"github.com/homing-dev/homing/internal/telemetry"
	"github.com/homing-dev/homing/pkg/dedup"
)

// samples writes a family as label values and number.
func samples(f *dto.MetricFamily) map[string]float64 {
	got := map[string]float64{}
	for _, m := range f.GetMetric() {
		key := ""
		for _, l := range m.GetLabel() {
			key += l.GetValue() + ","
		}
		got[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	return got
}

func TestLevels(t *testing.T) {
	tel := start(t, nil)
	if f := scrape(t, tel)["homing_backlog_events"]; f != nil {
		t.Errorf("a level that nobody has looked at is shown: %v", f)
	}
	tel.Metrics.SetLevels(&telemetry.Levels{
		Backlog: &telemetry.Backlog{
			Streams: []telemetry.Stream{
				{Name: "HOMING_EVENTS", Waiting: true, Events: 7, Bytes: 700, Limit: 1000},
				{Name: "HOMING_CLICKS", Events: 9, Bytes: 900, Limit: -1},
			},
			Parked: 3, Retries: 4, RetriesDue: 1, DeadLetters: 5,
			Oldest: time.Minute, OldestParked: time.Hour, OldestLetter: 2 * time.Hour, Deadline: -time.Second,
		},
		Gates: []telemetry.Gate{{Tenant: "acme", State: "closed", Reason: "auth"}, {Tenant: "umbra", State: "open"}},
		Up:    map[string]bool{"nats": true, "redis": false},
		Audit: &telemetry.Audit{Unaccounted: 2, Age: time.Minute},
	})
	families := scrape(t, tel)
	for name, want := range map[string]map[string]float64{
		"homing_backlog_events":              {"HOMING_EVENTS,": 7},
		"homing_backlog_bytes":               {"HOMING_EVENTS,": 700, "HOMING_CLICKS,": 900},
		"homing_backlog_limit_bytes":         {"HOMING_EVENTS,": 1000},
		"homing_backlog_oldest_seconds":      {"": 60},
		"homing_parked_events":               {"": 3},
		"homing_parked_oldest_seconds":       {"": 3600},
		"homing_retries_pending":             {"": 4},
		"homing_retries_due":                 {"": 1},
		"homing_dead_letters":                {"": 5},
		"homing_dead_letters_oldest_seconds": {"": 7200},
		"homing_event_deadline_seconds":      {"": -1},
		"homing_tenant_gate":                 {"auth,closed,acme,": 1, ",open,umbra,": 1},
		"homing_dependency_up":               {"nats,": 1, "redis,": 0},
		"homing_audit_unaccounted":           {"": 2},
		"homing_audit_age_seconds":           {"": 60},
	} {
		if diff := cmp.Diff(want, samples(families[name])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestTenantsAreCapped: the first thousand tenants have series of their own.
func TestTenantsAreCapped(t *testing.T) {
	tel := start(t, nil)
	var gates []telemetry.Gate
	for n := range 1003 {
		tenant := fmt.Sprint("t", n)
		tel.Metrics.Begin(tenant)
		tel.Metrics.Accepted(t.Context(), tenant)
		gates = append(gates, telemetry.Gate{Tenant: tenant, State: "open"})
	}
	tel.Metrics.SetLevels(&telemetry.Levels{Gates: gates})
	families := scrape(t, tel)
	accepted := samples(families["homing_events_accepted_total"])
	if len(accepted) != 1001 || accepted["other,"] != 3 || accepted["t7,"] != 1 {
		t.Errorf("%d series, other %v, t7 %v", len(accepted), accepted["other,"], accepted["t7,"])
	}
	if got := samples(families["homing_tenant_gate"]); got[",open,other,"] != 3 || len(got) != 1001 {
		t.Errorf("%d gates, of others %v", len(got), got[",open,other,"])
	}
	// The tenants' outcomes must not run into the SDK's own limit.
	if got := samples(families["homing_outcomes_total"]); len(got) != 4004 {
		t.Errorf("%d series of outcomes", len(got))
	}
}

// TestClosedSetsBeginAtZero: what appears with its first count has no increase.
func TestClosedSetsBeginAtZero(t *testing.T) {
	families := scrape(t, start(t, nil))
	for name, want := range map[string]int{
		"homing_attempts_total": 7, "homing_claims_total": int(dedup.Duplicate) + 1, "homing_click_lookups_total": 4,
		"homing_webhooks_total": 10, "homing_config_reloads_total": 2, "homing_redis_incidents_total": 1, "homing_clicks_stored_total": 1,
	} {
		if got := samples(families[name]); len(got) != want {
			t.Errorf("%s begins as %v, want %d series", name, got, want)
		}
	}
}
