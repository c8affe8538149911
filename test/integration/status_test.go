package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/homing-dev/homing/internal/sandbox"
	"github.com/homing-dev/homing/test/harness"
)

func TestStatusOfEveryOutcome(t *testing.T) {
	t.Parallel()
	s := start(t)
	acme, globex := s.Tenants[0], s.Tenants[1]
	event := func(name, id string) sandbox.Match {
		return sandbox.Match{Dataset: "1001", EventName: name, EventID: id}
	}
	s.Fault(sandbox.Fault{Match: event("Purchase", "dead"), Action: sandbox.Action{Status: 400, Code: 100, Subcode: 2804019}})
	s.Fault(sandbox.Fault{Match: event("Purchase", "held"), Action: sandbox.Action{Cut: sandbox.CutBeforeAnswer, Counted: true}})
	s.Fault(sandbox.Fault{Match: event("Purchase", "retrying"), Action: sandbox.Action{Status: 503, Code: 2, Transient: true}})
	s.Fault(sandbox.Fault{Match: sandbox.Match{Dataset: "1002"}, Action: sandbox.Action{Status: 400, Code: 190}})

	post := func(t harness.Tenant, id, clid string) {
		body := harness.Conversion("Purchase", id, harness.Phone(9))
		if clid != "" {
			body["ctwa_clid"] = clid
		}
		s.MustTake(t, harness.PathEvent, body)
	}
	for _, tt := range []struct{ id, clid, status, reason string }{
		{"delivered", "clid-1", "delivered", ""},
		{"no-click", "", "no_click", "no_ctwa_click_id_for_phone"},
		{"dead", "clid-2", "dead", "rejected_by_meta"},
		{"held", "clid-3", "held", "delivery_unknown"},
		{"retrying", "clid-4", "retrying", "transient"},
	} {
		post(acme, tt.id, tt.clid)
		a := s.AwaitStatus(acme, "Purchase", tt.id, tt.status)
		if a.Body.Reason != tt.reason || a.Body.Clid != tt.clid || a.Body.EventID != tt.id {
			t.Errorf("%s: %s", tt.id, a.Text)
		}
	}
	post(globex, "parked", "clid-5")
	if a := s.AwaitStatus(globex, "", "parked", "parked"); a.Body.Reason != "auth" || a.Body.Attempts != 0 {
		t.Errorf("parked: %s", a.Text)
	}
	if a, err := s.Status(acme, "", "nobody"); err != nil || a.Code != http.StatusNotFound || a.Body.Reason != "unknown_event" {
		t.Errorf("unknown: %d %s %v", a.Code, a.Text, err)
	}
	checkLetters(t, s.Letters())

	s.Meta.ClearFaults()
	s.AwaitStatus(acme, "Purchase", "retrying", "delivered")
	s.AwaitStatus(globex, "Purchase", "parked", "delivered")
	if n := s.Meta.Count(acme.Dataset, "Purchase", "held"); n != 1 {
		t.Errorf("Meta has the held event %d times", n)
	}
	metrics := s.Metrics(s.Workers[0])
	for _, line := range []string{
		`homing_outcomes_total{outcome="dead",reason="rejected_by_meta",tenant="acme"} 1`,
		`homing_outcomes_total{outcome="held",reason="delivery_unknown",tenant="acme"} 1`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("the worker's metrics lack %s", line)
		}
	}
}

// checkLetters wants one dead and one held letter with all their headers.
func checkLetters(t *testing.T, letters []*jetstream.RawStreamMsg) {
	t.Helper()
	reasons := map[string]string{}
	for _, l := range letters {
		for _, name := range []string{
			"Homing-Id", "Homing-Origin", "Homing-Round", "Homing-Event-Name", "Homing-Event-Id", "Homing-Attempt",
			"Homing-Accepted-At", "traceparent", "Homing-Reason", "Homing-Error", "Homing-Dead-At",
		} {
			if l.Header.Get(name) == "" {
				t.Errorf("letter %d lacks %s: %v", l.Sequence, name, l.Header)
			}
		}
		reason := l.Header.Get("Homing-Reason")
		if reason == "rejected_by_meta" && l.Header.Get("Homing-Fbtrace-Id") == "" {
			t.Errorf("letter %d lacks Meta's trace id", l.Sequence)
		}
		if reason == "delivery_unknown" && l.Header.Get("Homing-Unsure") != "1" {
			t.Errorf("letter %d is held and not unsure", l.Sequence)
		}
		reasons[l.Header.Get("Homing-Event-Id")] = reason
	}
	if len(letters) != 2 || reasons["dead"] != "rejected_by_meta" || reasons["held"] != "delivery_unknown" {
		t.Errorf("the dead letters are %v", reasons)
	}
}

func TestTenantsAreReloaded(t *testing.T) {
	t.Parallel()
	s := start(t)
	acme := s.Tenants[0]
	rotated := acme
	rotated.Key = "another-key-of-acme-Ty66"
	lead := harness.Conversion("Lead", "lead-1", harness.Phone(1))
	s.MustPost(rotated, harness.PathEvent, lead, http.StatusUnauthorized)

	s.BreakTenants()
	harness.Eventually(t, within, "the bad file is refused", func() error {
		if !strings.Contains(s.Metrics(s.API), `homing_config_reloads_total{result="`) {
			return errNotYet
		}
		return nil
	})
	s.MustTake(acme, harness.PathEvent, lead)

	s.Tenants = append([]harness.Tenant{rotated}, s.Tenants[1:]...)
	s.WriteTenants(s.Tenants)
	harness.Eventually(t, within, "the new key works", func() error {
		a, err := s.Post(rotated, harness.PathEvent, lead)
		if err == nil && a.Code/100 != 2 {
			err = errNotYet
		}
		return err
	})
	s.MustPost(acme, harness.PathEvent, lead, http.StatusUnauthorized)
	s.Tenants = append(s.Tenants, acme) // its key must not leak either
}

func TestProcessesEndWithZero(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, p := range append(s.Workers, s.API) {
		if code := p.Terminate(40 * time.Second); code != 0 {
			t.Errorf("%s ended with %d", p.Name, code)
		}
	}
}
