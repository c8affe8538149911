package observe_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/homing-dev/homing/internal/sandbox"
	"github.com/homing-dev/homing/test/harness"
)

const sendEvent = "/api/v1/app/meta-ads/capi/send-event"

// alert is one that Prometheus tells of.
type alert struct {
	State               string
	Labels, Annotations map[string]string
}

// firing returns the alerts that call somebody now.
func (p *prometheus) firing() ([]alert, error) {
	var data struct{ Alerts []alert }
	err := p.get("/api/v1/alerts", nil, &data)
	return slices.DeleteFunc(data.Alerts, func(a alert) bool { return a.State != "firing" }), err
}

// awaitAlerts waits until exactly these alerts fire.
func (p *prometheus) awaitAlerts(names ...string) []alert {
	p.t.Helper()
	var found []alert
	harness.Eventually(p.t, patience, fmt.Sprintf("%q fire, and nothing else", names), func() (err error) {
		if found, err = p.firing(); err != nil {
			return err
		}
		var got []string
		for _, a := range found {
			got = append(got, a.Labels["alertname"])
		}
		slices.Sort(got)
		if !slices.Equal(got, names) {
			err = fmt.Errorf("%q", got)
		}
		return err
	})
	return found
}

// leadsTo wants the runbook's section of an alert, found by the alert's own link,
// to name these: what the test then goes on with.
func (a alert) leadsTo(t *testing.T, words ...string) {
	t.Helper()
	text, err := os.ReadFile(runbookFile)
	if err != nil {
		t.Fatal(err)
	}
	_, anchor, _ := strings.Cut(a.Annotations["runbook_url"], "docs/runbook.md#")
	for section := range strings.SplitSeq(string(text), "\n## ") {
		if title, body, _ := strings.Cut(section, "\n"); strings.ToLower(title) == anchor {
			for _, word := range words {
				if !strings.Contains(body, word) {
					t.Errorf("the runbook's %s does not name %s", title, word)
				}
			}
			return
		}
	}
	t.Errorf("%s links to %q, which the runbook does not have", a.Labels["alertname"], a.Annotations["runbook_url"])
}

// awaitLog waits for a line of the log with all of these.
func (l *laptop) awaitLog(parts ...string) {
	l.t.Helper()
	harness.Eventually(l.t, patience, fmt.Sprintf("a line with %q", parts), func() error {
		for line := range strings.Lines(l.log.String()) {
			if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
				return nil
			}
		}
		return errors.New("there is none")
	})
}

// send posts an event of acme's.
func (l *laptop) send(id string) {
	l.t.Helper()
	l.do("POST", sendEvent, apiKey, `{"event_name":"AddToCart","event_id":"`+id+`","ctwa_clid":"clid"}`, 0)
}

// awaitDelivered waits until Meta has an event of acme's.
func (l *laptop) awaitDelivered(id string) {
	l.t.Helper()
	harness.Eventually(l.t, patience, id+" is delivered", func() error {
		if n := l.meta.Load().Count("1001", "AddToCart", id); n != 1 {
			return fmt.Errorf("Meta has it %d times", n)
		}
		return nil
	})
}

// startAlerting starts a laptop that is well, and a Prometheus with the rules.
func startAlerting(t *testing.T, env ...string) (*laptop, *prometheus) {
	t.Helper()
	l := startLaptop(t, env...)
	l.send("well")
	l.awaitDelivered("well")
	p := startPrometheus(t, l.app.OpsAddr(), shortRules(t))
	p.awaitAlerts()
	return l, p
}

// TestAlertRevokedToken: Meta takes acme's token no more, and takes the new one.
func TestAlertRevokedToken(t *testing.T) {
	t.Parallel()
	l, p := startAlerting(t)
	l.know("token-acme-2")
	l.send("refused")
	a := p.awaitAlerts("HomingTenantGatedByAuth")[0]
	if a.Labels["tenant"] != "acme" || a.Labels["severity"] != "page" {
		t.Errorf("labels %v", a.Labels)
	}
	a.leadsTo(t, "`graph.call`", "`class=auth`", "code and subcode", "tenants file", "The gate opens by itself")
	l.awaitLog(`"graph.call"`, `"class":"auth"`, `"tenant":"acme"`, `"code":190`)

	l.writeTenants(strings.Replace(tenantsFile, "token-acme", "token-acme-2", 1))
	l.awaitDelivered("refused")
	p.awaitAlerts()
}

// TestAlertRedisStopped: Redis goes, and comes back.
func TestAlertRedisStopped(t *testing.T) {
	t.Parallel()
	l, p := startAlerting(t)
	l.redis.Stop()
	a := p.awaitAlerts("HomingDependencyDown")[0]
	if a.Labels["dependency"] != "redis" || a.Labels["severity"] != "page" {
		t.Errorf("labels %v", a.Labels)
	}
	a.leadsTo(t, "`/readyz`", "Redis", "Bring the same one back", "homing audit")
	if body := l.ops("GET", "/readyz", "", 503); !strings.Contains(body, "redis") {
		t.Errorf("/readyz does not tell why: %s", body)
	}
	l.send("meanwhile")

	if err := l.redis.Start(); err != nil {
		t.Fatal(err)
	}
	// It is the same one with all that it knew: no incident, only a look at what
	// the ledger took meanwhile.
	p.awaitAlerts()
	l.awaitLog(`"redis.rebuilt"`)
	l.awaitDelivered("meanwhile")
}

// TestAlertMetaSlow: calls take longer than five seconds.
func TestAlertMetaSlow(t *testing.T) {
	t.Parallel()
	l, p := startAlerting(t, "HOMING_BATCH_SIZE=1", "HOMING_TENANT_CONCURRENCY=16")
	if _, err := l.meta.Load().AddFault(sandbox.Fault{Action: sandbox.Action{Latency: 5200 * time.Millisecond}}); err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		l.send(fmt.Sprint("slow-", n))
	}
	a := p.awaitAlerts("HomingMetaSlow")[0]
	if a.Labels["severity"] != "ticket" {
		t.Errorf("labels %v", a.Labels)
	}
	a.leadsTo(t, "`graph.call` with `duration`", "homing_graph_request_duration_seconds")
	l.awaitLog(`"graph.call"`, `"duration":`)

	l.meta.Load().ClearFaults()
	p.awaitAlerts()
	l.awaitDelivered("slow-99")
}
