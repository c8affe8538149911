package deploy_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"
)

const (
	tools   = "../../tools/k8s/bin/"
	advice  = "run: make k8s-tools"
	version = "1.30" // the newest whose schemas kubectl-validate holds
)

// TestSchemas holds every build against the schemas of Kubernetes and of the
// custom resources, without a network.
func TestSchemas(t *testing.T) {
	validate := need(t, tools+"kubectl-validate", advice)
	dir := t.TempDir()
	var files []string
	for _, b := range allBuilds(t) {
		file := filepath.Join(dir, b.name+".yaml")
		if err := os.WriteFile(file, unfold(t, b.text), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	validates := func(files ...string) (string, error) {
		cmd := exec.Command(validate, append([]string{"--version", version, "--local-crds", tools + "crds"}, files...)...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := validates(files...); err != nil {
		t.Errorf("%v\n%s", err, out)
	}

	// It can fail, too, for ours and for custom resources.
	for _, typo := range [][2]string{
		{"terminationGracePeriodSeconds", "terminationGracePeriodSecond"},
		{"maxReplicaCount", "maxReplicas"},
		{"podMetricsEndpoints", "podMetricEndpoints"},
		{"hostnames", "hostname"},
	} {
		bad := filepath.Join(dir, "bad.yaml")
		text := bytes.ReplaceAll(overlay(t, "prod").text, []byte(typo[0]+":"), []byte(typo[1]+":"))
		if err := os.WriteFile(bad, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := validates(bad); err == nil || !strings.Contains(out, typo[1]) {
			t.Errorf("%s passes for %s: %v\n%s", typo[1], typo[0], err, out)
		}
	}
}

// unfold writes the values of Secrets in one line each: Kubernetes takes base64
// that is folded, the schemas do not.
func unfold(t *testing.T, text []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	d, e := yaml.NewDecoder(bytes.NewReader(text)), yaml.NewEncoder(&out)
	for {
		var o map[string]any
		if d.Decode(&o) != nil {
			break // decoded before without a complaint: the end
		}
		if data, ok := o["data"].(map[string]any); ok && o["kind"] == "Secret" {
			for name, value := range data {
				data[name] = strings.ReplaceAll(value.(string), "\n", "")
			}
		}
		if err := e.Encode(o); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// exceptions are the checks of kube-score that do not fit, each with its reason.
func exceptions() map[string]string {
	return map[string]string{
		"container-image-pull-policy":         "tags are never moved; Always would tie every restart to the registry",
		"deployment-has-host-podantiaffinity": "topology spread constraints do the same, over zones too",
		"deployment-replicas":                 "KEDA and the HPA set the number, so the Deployments of prod have none",
	}
}

// TestScore wants nothing critical of kube-score, and in prod nothing at all.
func TestScore(t *testing.T) {
	score := need(t, tools+"kube-score", advice)
	args := []string{"score", "--output-format", "ci", "--kubernetes-version", "v" + version}
	for check, why := range exceptions() {
		if why == "" {
			t.Errorf("the exception %s has no reason", check)
		}
		args = append(args, "--ignore-test", check)
	}
	for name, bad := range map[string][]string{"dev": {"[CRITICAL]"}, "prod": {"[CRITICAL]", "[WARNING]"}} {
		cmd := exec.Command(score, append(args, "-")...)
		cmd.Stdin = bytes.NewReader(overlay(t, name).text)
		out, err := cmd.CombinedOutput()
		if !strings.Contains(string(out), "[OK]") {
			t.Errorf("%s: kube-score looked at nothing: %v\n%s", name, err, out)
		}
		for line := range strings.Lines(string(out)) {
			for _, prefix := range bad {
				if strings.HasPrefix(line, prefix) {
					t.Errorf("%s: %s", name, strings.TrimSpace(line))
				}
			}
		}
	}
}
