package deploy_test

import (
	"os"
	"strings"
	"testing"
)

// TestPrometheusRule wants the object of the Prometheus operator to hold the rules
// of deploy/prometheus, word for word. `make prometheus-rule` writes it.
func TestPrometheusRule(t *testing.T) {
	const target = manifests + "/components/prometheus-rules/rules.yaml"
	want := `# Made by ` + "`make prometheus-rule`" + ` from deploy/prometheus/rules.yaml: change that.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: homing
  labels:
    app.kubernetes.io/name: homing
    app.kubernetes.io/part-of: homing
spec:
`
	_, rules, found := strings.Cut(read(t, "../../deploy/prometheus/rules.yaml"), "\ngroups:\n")
	if !found {
		t.Fatal("deploy/prometheus/rules.yaml has no groups")
	}
	for line := range strings.Lines("groups:\n" + rules) {
		if strings.TrimSpace(line) != "" {
			line = "  " + line
		}
		want += line
	}
	if os.Getenv("UPDATE") == "true" {
		if err := os.WriteFile(target, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, target); got != want {
		t.Errorf("%s is not deploy/prometheus/rules.yaml: run make prometheus-rule", target)
	}
}
