package observe_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	yaml "go.yaml.in/yaml/v3"
)

const (
	dashboardFile = "../../deploy/grafana/homing.json"
	rulesFile     = "../../deploy/prometheus/rules.yaml"
	runbookFile   = "../../docs/runbook.md"
)

// query is a PromQL expression and where it stands.
type query struct{ where, expr string }

// dashboard returns the queries of the dashboard.
func dashboard(t *testing.T) []query {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	var all []query
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all = append(all, query{"panel " + p.Title, target.Expr})
		}
	}
	if len(all) == 0 {
		t.Fatal("the dashboard asks nothing")
	}
	return all
}

// rule is a rule of rules.yaml.
type rule struct {
	Record, Alert, Expr string
	Labels, Annotations map[string]string
}

func rules(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// clusterRules are those over metrics of Kubernetes.
func clusterRules(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile("../../deploy/k8s/components/prometheus-rules/kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var object struct {
		Spec struct{ Groups []struct{ Rules []rule } }
	}
	if err := yaml.Unmarshal(text, &object); err != nil || len(object.Spec.Groups) != 1 {
		t.Fatalf("%v: %v", object, err)
	}
	return object.Spec.Groups[0].Rules
}

// TestQueriesFitWhatIsShown holds every query of dashboard and rules against the
// metrics, labels and label values that a run shows.
func TestQueriesFitWhatIsShown(t *testing.T) {
	t.Parallel()
	l := startLaptop(t)
	l.live()
	known := knownSeries(shown(t, l))
	queries := dashboard(t)
	for _, r := range rules(t) {
		if r.Record != "" {
			known[r.Record] = nil
			queries = append(queries, query{"rule " + r.Record, r.Expr})
		} else {
			queries = append(queries, query{"alert " + r.Alert, r.Expr})
		}
	}
	for _, q := range queries {
		for _, complaint := range check(q.expr, known) {
			t.Errorf("%s: %s\n\t%s", q.where, complaint, q.expr)
		}
	}
}

// knownSeries are the series' names with their labels and the values of those.
func knownSeries(found map[string]*dto.MetricFamily) map[string]map[string][]string {
	known := map[string]map[string][]string{}
	for name, f := range found {
		labels := map[string][]string{"job": nil, "instance": nil}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = append(labels[l.GetName()], l.GetValue())
			}
		}
		names := []string{name}
		if f.GetType() == dto.MetricType_HISTOGRAM {
			names = []string{name + "_bucket", name + "_sum", name + "_count"}
		}
		for _, n := range names {
			known[n] = maps.Clone(labels)
			if strings.HasSuffix(n, "_bucket") {
				for _, b := range f.GetMetric()[0].GetHistogram().GetBucket() {
					known[n]["le"] = append(known[n]["le"], fmt.Sprint(b.GetUpperBound()))
				}
			}
		}
	}
	return known
}

var (
	selector = regexp.MustCompile(`\b((?:homing|go|process|target)[a-z0-9_:]*)\b(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)(=~|!=|!~|=)"([^"]*)"`)
	grouping = regexp.MustCompile(`\bby \(([^)]*)\)`)
	quoted   = regexp.MustCompile(`"[^"]*"`)
)

// check tells what in a query no run shows. Reasons and outcomes that need an
// accident, and the 5xx, are not asked of it.
func check(expr string, known map[string]map[string][]string) []string {
	var complaints []string
	labels := map[string]bool{}
	found := false
	for _, m := range selector.FindAllStringSubmatchIndex(expr, -1) {
		if inside(quoted.FindAllStringIndex(expr, -1), m[0]) {
			continue
		}
		found = true
		name := expr[m[2]:m[3]]
		have, ok := known[name]
		if !ok {
			complaints = append(complaints, name+" is not shown")
			continue
		}
		for label := range have {
			labels[label] = true
		}
		if m[4] < 0 {
			continue
		}
		for _, want := range matcher.FindAllStringSubmatch(expr[m[4]:m[5]], -1) {
			values, ok := have[want[1]]
			if !ok {
				complaints = append(complaints, name+" has no label "+want[1])
				continue
			}
			if want[1] == "job" || want[1] == "code" || want[1] == "reason" || strings.HasPrefix(want[2], "!") {
				continue
			}
			pattern := regexp.MustCompile("^(?:" + strings.ReplaceAll(want[3], `\\`, `\`) + ")$")
			if !slices.ContainsFunc(values, pattern.MatchString) {
				complaints = append(complaints, fmt.Sprintf("%s never has %s", name, want[0]))
			}
		}
	}
	if !found {
		complaints = append(complaints, "no metric is asked for")
	}
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(m[1], ",") {
			if label = strings.TrimSpace(label); !labels[label] {
				complaints = append(complaints, "nothing has the label "+label)
			}
		}
	}
	return complaints
}

func inside(spans [][]int, at int) bool {
	return slices.ContainsFunc(spans, func(s []int) bool { return s[0] <= at && at < s[1] })
}

func TestCheckFindsMistakes(t *testing.T) {
	t.Parallel()
	known := map[string]map[string][]string{"homing_x_total": {"result": {"ok"}, "job": nil}}
	for expr, want := range map[string]string{
		`sum by (result) (rate(homing_x_total{result="ok"}[5m]))`: "",
		`rate(homing_y_total[5m])`:                                "homing_y_total is not shown",
		`homing_x_total{tenant="a"}`:                              "homing_x_total has no label tenant",
		`homing_x_total{result="fine"}`:                           `homing_x_total never has result="fine"`,
		`sum by (tenant) (homing_x_total)`:                        "nothing has the label tenant",
		`vector(1)`:                                               "no metric is asked for",
		`homing_x_total{job=~".*homing.*"}`:                       "",
	} {
		if got := strings.Join(check(expr, known), "; "); got != want {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}

// TestAlertsHaveRunbooks: each alert links to a section of its own, and none of
// the runbook is about an alert that is gone.
func TestAlertsHaveRunbooks(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(runbookFile)
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for part := range strings.SplitSeq(string(text), "\n## ") {
		name, body, _ := strings.Cut(part, "\n")
		sections[name] = body
	}
	cases, err := os.ReadFile(strings.Replace(rulesFile, "rules.yaml", "rules_test.yaml", 1))
	if err != nil {
		t.Fatal(err)
	}
	ofCluster := clusterRules(t)
	for _, r := range slices.Concat(rules(t), ofCluster) {
		if r.Alert == "" {
			continue
		}
		body, ok := sections[r.Alert]
		delete(sections, r.Alert)
		for _, part := range []string{"**What it means.**", "**How to see it.**", "**What to do.**"} {
			if !ok || !strings.Contains(body, part) {
				t.Errorf("the runbook does not tell of %s: %s", r.Alert, part)
			}
		}
		if want := "https://github.com/homing-dev/homing/blob/main/docs/runbook.md#" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
			t.Errorf("%s links to %q, want %q", r.Alert, r.Annotations["runbook_url"], want)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Labels["severity"] != "page" && r.Labels["severity"] != "ticket" {
			t.Errorf("%s lacks a summary, a description or a severity", r.Alert)
		}
		ours := !slices.ContainsFunc(ofCluster, func(o rule) bool { return o.Alert == r.Alert })
		if ours && !strings.Contains(string(cases), r.Alert) {
			t.Errorf("rules_test.yaml has no case for %s", r.Alert)
		}
	}
	for name := range sections {
		if strings.HasPrefix(name, "Homing") {
			t.Errorf("the runbook tells of %s, which does not exist", name)
		}
	}
}
