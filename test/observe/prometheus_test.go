package observe_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/homing-dev/homing/test/harness"
)

// prometheus is a real one that scrapes a laptop every second.
type prometheus struct {
	t    *testing.T
	base string
}

// startPrometheus starts one with a file of rules. Where there is none the test is
// skipped, on a laptop only.
func startPrometheus(t *testing.T, target, rules string) *prometheus {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no prometheus, and CI=true: %v", err)
		}
		t.Skipf("SKIPPED: THERE IS NO prometheus ON PATH (Debian has a package of that name): %v", err)
	}
	dir := t.TempDir()
	absolute, err := filepath.Abs(rules)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n"+
		"  - job_name: homing\n    static_configs: [{targets: [%q]}]\n", absolute, target)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := harness.Addr(t)
	p := harness.NewProcess(t, "prometheus", path, []string{"HOME=" + dir}, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr, "--enable-feature=exemplar-storage", "--log.level=warn")
	p.Start()
	prom := &prometheus{t, "http://" + addr}
	harness.Eventually(t, patience, "prometheus is ready", func() error { return prom.get("/api/v1/status/runtimeinfo", nil, nil) })
	return prom
}

// get asks the API and reads the data of its answer into to.
func (p *prometheus) get(path string, params url.Values, to any) error {
	res, err := http.Get(p.base + path + "?" + params.Encode())
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	answer := struct {
		Status, Error string
		Data          json.RawMessage
	}{}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Status != "success" {
		return fmt.Errorf("%s: %d %.200s %s", path, res.StatusCode, text, answer.Error)
	}
	if to == nil {
		return nil
	}
	return json.Unmarshal(answer.Data, to)
}

// sample is one result of an instant query.
type sample struct {
	Metric map[string]string
	Value  [2]any
}

func (p *prometheus) query(expr string) ([]sample, error) {
	var data struct{ Result []sample }
	err := p.get("/api/v1/query", url.Values{"query": {expr}}, &data)
	return data.Result, err
}

// TestRealPrometheus scrapes a run with the rules loaded, and looks at names,
// types, the dashboard, and which alert a revoked token leads to.
func TestRealPrometheus(t *testing.T) {
	t.Parallel()
	l := startLaptop(t)
	l.live()
	shown(t, l)
	prom := startPrometheus(t, l.app.OpsAddr(), rulesFile)
	t.Run("types", func(t *testing.T) { prom.checkTypes(t) })
	t.Run("rules", func(t *testing.T) { prom.checkRules(t) })
	t.Run("dashboard", func(t *testing.T) { prom.checkDashboard(t) })
	t.Run("revoked token", func(t *testing.T) {
		harness.Eventually(t, patience, "the alert is pending", func() error {
			got, err := prom.query(`ALERTS{alertname="HomingTenantGatedByAuth"}`)
			if err == nil && (len(got) != 1 || got[0].Metric["tenant"] != "umbra") {
				err = fmt.Errorf("%v", got)
			}
			return err
		})
		got, err := prom.query(`count by (alertname) (ALERTS{alertname!="HomingTenantGatedByAuth"})`)
		if err != nil || len(got) > 0 {
			t.Errorf("other alerts: %v %v", got, err)
		}
	})
}

func (p *prometheus) checkTypes(t *testing.T) {
	want := documented(t)
	var got map[string][]struct{ Type, Help string }
	harness.Eventually(t, patience, "all metrics are scraped", func() error {
		got = nil
		if err := p.get("/api/v1/metadata", nil, &got); err != nil {
			return err
		}
		for name, f := range want {
			// OpenMetrics names the family of a counter without its suffix.
			meta := got[name]
			if meta == nil {
				meta = got[strings.TrimSuffix(name, "_total")]
			}
			if len(meta) != 1 || meta[0].Type != f.Type || meta[0].Help == "" {
				return fmt.Errorf("%s is %v, want a %s", name, meta, f.Type)
			}
		}
		return nil
	})
	for name, f := range want {
		series := name
		if f.Type == "histogram" {
			series += "_bucket"
		}
		// A busy machine misses a scrape, after which nothing is there until the next.
		harness.Eventually(t, patience, series+" has samples", func() error {
			found, err := p.query("count(" + series + ")")
			if err == nil && len(found) != 1 {
				err = fmt.Errorf("%v", found)
			}
			return err
		})
	}
}

func (p *prometheus) checkRules(t *testing.T) {
	harness.Eventually(t, patience, "every rule is evaluated", func() error {
		var data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
		if err := p.get("/api/v1/rules", nil, &data); err != nil {
			return err
		}
		n := 0
		for _, g := range data.Groups {
			for _, r := range g.Rules {
				n++
				if r.Health != "ok" {
					return fmt.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
				}
			}
		}
		if n != len(rules(t)) {
			return errors.New("rules are missing")
		}
		return nil
	})
}

// checkDashboard runs every query. What needs an hour of history, or an accident,
// may find nothing.
func (p *prometheus) checkDashboard(t *testing.T) {
	mayBeEmpty := []string{"panel Click hit rate", "panel Delivered within 60 s, last hour", "panel Requests"}
	for _, q := range dashboard(t) {
		expr := strings.ReplaceAll(q.expr, "$__rate_interval", "1m")
		var found []sample
		err := error(nil)
		if slices.Contains(mayBeEmpty, q.where) {
			_, err = p.query(expr)
		} else {
			harness.Eventually(t, patience, q.where+" shows something: "+expr, func() error {
				if found, err = p.query(expr); err == nil && len(found) == 0 {
					err = errors.New("no result")
				}
				return err
			})
		}
		if err != nil {
			t.Errorf("%s: %v", q.where, err)
		}
	}
}
