package deploy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	humanize "github.com/dustin/go-humanize"
	yaml "go.yaml.in/yaml/v3"

	"github.com/homing-dev/homing/internal/app"
)

// TestPods holds every pod against the house's rules for pods.
func TestPods(t *testing.T) {
	for _, b := range allBuilds(t) {
		n := 0
		for _, o := range b.objects {
			if pods, ok := o.pods(); ok {
				n++
				for _, complaint := range checkPods(b, pods) {
					t.Errorf("%s: %s: %s", b.name, o, complaint)
				}
			}
		}
		if n < 3 {
			t.Errorf("%s has %d workloads", b.name, n)
		}
	}
}

func checkPods(b build, p podTemplate) (complaints []string) {
	want := func(ok bool, format string, args ...any) {
		if !ok {
			complaints = append(complaints, fmt.Sprintf(format, args...))
		}
	}
	s := p.Spec
	want(s.AutomountToken != nil && !*s.AutomountToken, "has a token of its service account")
	want(s.ServiceLinks != nil && !*s.ServiceLinks, "is given the addresses of all Services")
	want(s.Security.NonRoot && s.Security.User > 0, "may be root")
	want(s.Security.Seccomp.Type == "RuntimeDefault", "has no seccomp profile")
	want(!s.HostNetwork && !s.HostPID, "shares the node's namespaces")
	want(!p.ours() || s.ServiceAccountName != "" || p.Metadata.Labels["app.kubernetes.io/name"] == "homing-sandbox", "has no service account")
	for _, c := range append(s.Init, s.Containers...) {
		want(c.Security.ReadOnlyRoot, "%s can write to its root", c.Name)
		want(c.Security.Escalation != nil && !*c.Security.Escalation, "%s can gain privileges", c.Name)
		want(slices.Equal(c.Security.Capabilities.Drop, []string{"ALL"}) && len(c.Security.Capabilities.Add) == 0, "%s has capabilities", c.Name)
		want(pinned(c.Image) || b.name == "dev" && builtHere(c.Image), "%s runs %s, which may be anything tomorrow", c.Name, c.Image)
		want(!strings.HasPrefix(b.name, "base") || !p.ours() || strings.HasSuffix(c.Image, "@"+digest), "%s runs %s, and was to run a digest", c.Name, c.Image)
		for _, r := range []string{"cpu", "memory"} {
			want(c.Resources.Requests[r] != "" && c.Resources.Limits[r] != "", "%s has no request or limit of %s", c.Name, r)
		}
		for _, e := range c.Env {
			if e.Name == "GOMEMLIMIT" {
				limit, e1 := humanize.ParseBytes(c.Resources.Limits["memory"])
				soft, e2 := humanize.ParseBytes(e.Value)
				want(e1 == nil && e2 == nil && float64(soft) > .8*float64(limit) && float64(soft) < .95*float64(limit),
					"GOMEMLIMIT of %s is %s, its memory limit %s", c.Name, e.Value, c.Resources.Limits["memory"])
			}
		}
		for _, m := range c.Mounts {
			want(m.SubPath == "", "%s mounts %s by subPath, which never changes", c.Name, m.Name)
		}
		for _, from := range c.EnvFrom {
			want(from.Secret.Name == "", "%s has the Secret %s in its environment", c.Name, from.Secret.Name)
		}
		if isRole(c) {
			complaints = append(complaints, checkRole(b, p, c)...)
		}
	}
	return complaints
}

// stop is how long a process may take to stop: see internal/app.
const stop = 45 * time.Second

// checkRole holds the api and the workers against what their lifecycle needs.
func checkRole(b build, p podTemplate, c container) (complaints []string) {
	env, err := b.environ(c)
	if err != nil {
		return []string{err.Error()}
	}
	opt, err := app.FromEnviron(env)
	if err != nil {
		return []string{err.Error()}
	}
	grace := time.Duration(p.Spec.Grace) * time.Second
	wait := time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
	if c.Command[0] == "/api" && wait == 0 {
		complaints = append(complaints, "proxies get no time to forget the pod")
	}
	if c.Command[0] == "/worker" && grace <= opt.BatchDeadline {
		complaints = append(complaints, fmt.Sprintf("the grace period, %s, is not longer than a batch may take, %s", grace, opt.BatchDeadline))
	}
	if grace <= wait+stop {
		complaints = append(complaints, fmt.Sprintf("the grace period, %s, is too short for %s of preStop and %s of stopping", grace, wait, stop))
	}
	if len(p.Spec.Spread) < 2 {
		complaints = append(complaints, "is not spread over zones and nodes")
	}
	return complaints
}

// TestOpsPortIsPrivate looks for a way to the ops port from outside.
func TestOpsPortIsPrivate(t *testing.T) {
	for _, b := range allBuilds(t) {
		for _, o := range b.objects {
			switch o.Kind {
			case "Service", "Ingress", "HTTPRoute":
				text, err := yaml.Marshal(o.Spec)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(text), "ops") || strings.Contains(string(text), "9090") {
					t.Errorf("%s: %s leads to the ops port:\n%s", b.name, o, text)
				}
			}
		}
	}
}

// TestRollouts wants the api to be whole while it is replaced, and both to stand
// a drained node.
func TestRollouts(t *testing.T) {
	for _, b := range allBuilds(t) {
		for _, name := range []string{"homing-api", "homing-worker"} {
			o, ok := b.find("Deployment", name)
			if !ok {
				t.Errorf("%s has no %s", b.name, name)
				continue
			}
			var spec struct {
				Strategy struct {
					RollingUpdate struct {
						MaxUnavailable string `yaml:"maxUnavailable"`
						MaxSurge       string `yaml:"maxSurge"`
					} `yaml:"rollingUpdate"`
				}
			}
			convert(o.Spec, &spec)
			if r := spec.Strategy.RollingUpdate; r.MaxUnavailable != "0" || r.MaxSurge == "0" {
				t.Errorf("%s: %s loses pods in a rollout: %+v", b.name, o, r)
			}
			if _, ok := b.find("PodDisruptionBudget", name); !ok {
				t.Errorf("%s: %s has no PodDisruptionBudget", b.name, o)
			}
		}
	}
}

// TestScaling wants one owner of the number of pods, a least and a most.
func TestScaling(t *testing.T) {
	for _, name := range []string{"prod", "base+keda", "base+hpa"} {
		b := overlay(t, name)
		for _, target := range []string{"homing-api", "homing-worker"} {
			if o, _ := b.find("Deployment", target); o.Spec["replicas"] != nil {
				t.Errorf("%s: %s sets replicas, too", name, o)
			}
			n := 0
			for _, o := range b.objects {
				if (o.Kind == "ScaledObject" || o.Kind == "HorizontalPodAutoscaler") && o.Metadata.Name == target {
					n++
					if o.Kind == "ScaledObject" && (o.Spec["minReplicaCount"] == nil || o.Spec["maxReplicaCount"] == nil || o.Spec["fallback"] == nil) {
						t.Errorf("%s: %s has no least, most or fallback", name, o)
					}
				}
			}
			if n != 1 {
				t.Errorf("%s: %d objects scale %s", name, n, target)
			}
		}
	}
}

// TestNetworkPolicies wants everything to be refused that is not allowed, and
// only workers to reach the internet.
func TestNetworkPolicies(t *testing.T) {
	for _, name := range []string{"dev", "prod"} {
		denied := false
		for _, o := range overlay(t, name).objects {
			if o.Kind != "NetworkPolicy" {
				continue
			}
			var spec struct {
				PodSelector struct {
					MatchLabels map[string]string `yaml:"matchLabels"`
					Expressions []any             `yaml:"matchExpressions"`
				} `yaml:"podSelector"`
				Types   []string `yaml:"policyTypes"`
				Ingress []map[string]any
				Egress  []map[string]any
			}
			convert(o.Spec, &spec)
			everyone := len(spec.PodSelector.MatchLabels) == 0 && len(spec.PodSelector.Expressions) == 0
			if everyone && len(spec.Ingress)+len(spec.Egress) == 0 && slices.Equal(spec.Types, []string{"Ingress", "Egress"}) {
				denied = true
			} else if everyone {
				t.Errorf("%s: %s allows something to every pod", name, o)
			}
			for _, rule := range append(spec.Ingress, spec.Egress...) {
				if rule["ports"] == nil || rule["to"] == nil && rule["from"] == nil {
					t.Errorf("%s: %s allows every port, or everybody: %v", name, o, rule)
				}
				text, _ := yaml.Marshal(rule)
				if strings.Contains(string(text), "0.0.0.0/0") && spec.PodSelector.MatchLabels["app.kubernetes.io/component"] != "worker" {
					t.Errorf("%s: %s leads others than workers to the internet", name, o)
				}
			}
		}
		if !denied {
			t.Errorf("%s does not deny by default", name)
		}
	}
}
