package deploy_test

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"

	"github.com/homing-dev/homing/internal/app"
)

// variable is a line of config.env: set, or commented out with its default.
var variable = regexp.MustCompile(`^(#?)([A-Z][A-Z0-9_]*)=(.*)$`)

// TestEveryVariable wants every variable of Homing in config.env, the default of
// those that are not set, and none that Homing does not have.
func TestEveryVariable(t *testing.T) {
	want := map[string]string{}
	for _, v := range app.Variables() {
		want[v.Name] = v.Default
	}
	for line := range strings.Lines(read(t, manifests+"/base/config.env")) {
		m := variable.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		value, known := want[m[2]]
		switch {
		case !known:
			t.Errorf("config.env names %s, which Homing does not have, or names it twice", m[2])
		case m[1] == "#" && m[3] != value:
			t.Errorf("config.env gives the default of %s as %q; it is %q", m[2], m[3], value)
		case m[1] == "" && m[3] == value:
			t.Errorf("config.env sets %s to its default: put a # before it", m[2])
		}
		delete(want, m[2])
	}
	for name := range want {
		t.Errorf("config.env does not name %s", name)
	}
}

// TestEnvironments hands the environment of every container to the code that
// reads it in the process.
func TestEnvironments(t *testing.T) {
	for _, b := range allBuilds(t) {
		for _, o := range b.objects {
			pods, ok := o.pods()
			if !ok || !pods.ours() {
				continue
			}
			for _, c := range pods.Spec.Containers {
				env, err := b.environ(c)
				if err != nil {
					t.Errorf("%s: %s: %v", b.name, o, err)
					continue
				}
				opt, err := app.FromEnviron(env)
				if err != nil {
					t.Errorf("%s: %s: %v", b.name, o, err)
					continue
				}
				checkOthers(t, b.name+": "+o.String(), env)
				if isRole(c) {
					checkPorts(t, b.name+": "+o.String(), c, opt)
				}
			}
		}
	}
}

// isRole reports whether a container runs the api or a worker.
func isRole(c container) bool {
	return slices.Equal(c.Command, []string{"/api"}) || slices.Equal(c.Command, []string{"/worker"})
}

// checkOthers looks at the variables that are not of Homing's own options.
func checkOthers(t *testing.T, where string, env []string) {
	t.Helper()
	sandbox := read(t, "../../cmd/sandbox/main.go")
	for _, pair := range env {
		name, _, _ := strings.Cut(pair, "=")
		switch {
		case strings.HasPrefix(name, "HOMING_"), name == "GOMEMLIMIT":
		case strings.HasPrefix(name, "OTEL_"):
			if !slices.Contains(otelVariables(), name) {
				t.Errorf("%s: %s is none of OpenTelemetry's", where, name)
			}
		case strings.HasPrefix(name, "SANDBOX_"):
			if !strings.Contains(sandbox, `env:"`+name+`"`) {
				t.Errorf("%s: the sandbox does not have %s", where, name)
			}
		default:
			t.Errorf("%s: nobody reads %s", where, name)
		}
	}
}

// otelVariables are those of the OpenTelemetry specification that matter here.
func otelVariables() []string {
	return []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_TRACES_SAMPLER",
		"OTEL_TRACES_SAMPLER_ARG", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME",
	}
}

// checkPorts wants the ports of a container to be those that its process listens
// on, and its probes to ask the ops port.
func checkPorts(t *testing.T, where string, c container, opt app.Options) {
	t.Helper()
	want := map[string]int{"ops": port(t, opt.OpsAddr)}
	if c.Command[0] == "/api" {
		want["http"] = port(t, opt.APIAddr)
	}
	for _, p := range c.Ports {
		if want[p.Name] != p.Port {
			t.Errorf("%s: port %s is %d, the process listens on %d", where, p.Name, p.Port, want[p.Name])
		}
		delete(want, p.Name)
	}
	for name, port := range want {
		t.Errorf("%s: the process listens on %d, and there is no port %s", where, port, name)
	}
	for path, p := range map[string]*probe{"/healthz": c.Liveness, "/readyz": c.Readiness} {
		if p == nil || p.HTTP.Port != "ops" || p.HTTP.Path != path {
			t.Errorf("%s: no probe asks %s of the ops port", where, path)
		}
	}
}

func port(t *testing.T, addr string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// metricName finds metrics of Homing in an expression.
var metricName = regexp.MustCompile(`\bhoming_[a-z_]+`)

// TestMetrics wants every metric that the manifests ask for to be one that the
// processes have.
func TestMetrics(t *testing.T) {
	instruments := map[string]bool{}
	files, err := filepath.Glob("../../internal/telemetry/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		for _, m := range regexp.MustCompile(`"(homing\.[a-z_.]+)"`).FindAllStringSubmatch(read(t, file), -1) {
			instruments[strings.ReplaceAll(m[1], ".", "_")] = true
		}
	}
	asked := map[string]bool{}
	for _, b := range allBuilds(t) {
		for _, o := range b.objects {
			for _, query := range queries(o) {
				for _, name := range metricName.FindAllString(query, -1) {
					asked[name] = true
				}
			}
		}
	}
	for _, rule := range adapterRules(t) {
		for _, name := range metricName.FindAllString(rule.Query, -1) {
			asked[name] = true
		}
	}
	if !asked["homing_backlog_oldest_seconds"] {
		t.Errorf("nothing scales on the age of the backlog: %v", asked)
	}
	for name := range asked {
		if !strings.Contains(name, ":") && !isMetric(name, instruments) {
			t.Errorf("the manifests ask for %s, which no process has", name)
		}
	}
}

// TestBothScaleAlike wants KEDA and the adapter to ask the same of what waits for
// a worker: new events, and retries that are due.
func TestBothScaleAlike(t *testing.T) {
	namespace := regexp.MustCompile(`,?namespace="homing"|,?<<\.LabelMatchers>>`)
	ask := func(query string) string { return strings.ReplaceAll(namespace.ReplaceAllString(query, ""), "{}", "") }
	worker, _ := overlay(t, "base+keda").find("ScaledObject", "homing-worker")
	var keda, adapter []string
	for _, query := range queries(worker) {
		keda = append(keda, ask(query))
	}
	for _, rule := range adapterRules(t) {
		if strings.HasPrefix(rule.Name.As, "homing_worker_") {
			adapter = append(adapter, ask(rule.Query))
		}
	}
	want := []string{
		`max(homing_backlog_events{stream="HOMING_EVENTS"}) + max(homing_retries_due)`,
		"max(homing_backlog_oldest_seconds)",
	}
	if !slices.Equal(keda, want) || !slices.Equal(adapter, want) {
		t.Errorf("KEDA asks\n%q, the adapter\n%q, want\n%q", keda, adapter, want)
	}
}

// isMetric reports whether a series comes of an instrument: Prometheus adds
// units and the parts of a histogram.
func isMetric(name string, instruments map[string]bool) bool {
	for _, part := range []string{"", "_bucket", "_sum", "_count"} {
		for _, unit := range []string{"", "_total", "_seconds", "_bytes"} {
			if bare, ok := strings.CutSuffix(name, unit+part); ok && instruments[bare] {
				return true
			}
		}
	}
	return false
}

// queries are the expressions of an object over metrics.
func queries(o object) []string {
	var found []string
	switch o.Kind {
	case "ScaledObject":
		var spec struct {
			Triggers []struct{ Metadata map[string]string }
		}
		convert(o.Spec, &spec)
		for _, trigger := range spec.Triggers {
			found = append(found, trigger.Metadata["query"])
		}
	case "PrometheusRule":
		var spec struct {
			Groups []struct {
				Rules []struct{ Expr string }
			}
		}
		convert(o.Spec, &spec)
		for _, group := range spec.Groups {
			for _, rule := range group.Rules {
				found = append(found, rule.Expr)
			}
		}
	}
	return found
}

type adapterRule struct {
	Name  struct{ As string }
	Query string `yaml:"metricsQuery"`
}

func adapterRules(t *testing.T) []adapterRule {
	t.Helper()
	var values struct {
		Rules struct{ External []adapterRule }
	}
	if err := yaml.Unmarshal([]byte(read(t, manifests+"/components/hpa/adapter-values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	return values.Rules.External
}

// TestAdapterServesTheHPA wants a rule of the adapter for each external metric.
func TestAdapterServesTheHPA(t *testing.T) {
	var offered, asked []string
	for _, rule := range adapterRules(t) {
		offered = append(offered, rule.Name.As)
	}
	for _, o := range overlay(t, "base+hpa").objects {
		if o.Kind != "HorizontalPodAutoscaler" {
			continue
		}
		var spec struct {
			Metrics []struct {
				External struct{ Metric struct{ Name string } }
			}
		}
		convert(o.Spec, &spec)
		for _, m := range spec.Metrics {
			if name := m.External.Metric.Name; name != "" {
				asked = append(asked, name)
			}
		}
	}
	slices.Sort(offered)
	slices.Sort(asked)
	if len(asked) == 0 || !slices.Equal(offered, asked) {
		t.Errorf("the adapter offers %q, the HPA asks for %q", offered, asked)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
