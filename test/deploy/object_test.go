package deploy_test

import (
	"fmt"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// object is one Kubernetes object.
type object struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct {
		Name, Namespace     string
		Labels, Annotations map[string]string
	}
	Data map[string]string
	Spec map[string]any
}

func (o object) String() string { return o.Kind + "/" + o.Metadata.Name }

// podTemplate is the part of a workload that becomes pods, as far as the tests
// look.
type podTemplate struct {
	Metadata struct{ Labels map[string]string }
	Spec     struct {
		ServiceAccountName string `yaml:"serviceAccountName"`
		AutomountToken     *bool  `yaml:"automountServiceAccountToken"`
		ServiceLinks       *bool  `yaml:"enableServiceLinks"`
		Grace              int    `yaml:"terminationGracePeriodSeconds"`
		HostNetwork        bool   `yaml:"hostNetwork"`
		HostPID            bool   `yaml:"hostPID"`
		Security           struct {
			NonRoot bool                  `yaml:"runAsNonRoot"`
			User    int                   `yaml:"runAsUser"`
			Seccomp struct{ Type string } `yaml:"seccompProfile"`
		} `yaml:"securityContext"`
		Init       []container `yaml:"initContainers"`
		Containers []container
		Volumes    []volume
		Spread     []struct {
			TopologyKey string `yaml:"topologyKey"`
		} `yaml:"topologySpreadConstraints"`
	}
}

type volume struct {
	Name   string
	Secret struct {
		Name string `yaml:"secretName"`
	}
	Rest map[string]any `yaml:",inline"`
}

type container struct {
	Name, Image   string
	Command, Args []string
	Env           []struct{ Name, Value string }
	EnvFrom       []struct {
		ConfigMap struct{ Name string } `yaml:"configMapRef"`
		Secret    struct{ Name string } `yaml:"secretRef"`
	} `yaml:"envFrom"`
	Ports []struct {
		Name string
		Port int `yaml:"containerPort"`
	}
	Liveness  *probe `yaml:"livenessProbe"`
	Readiness *probe `yaml:"readinessProbe"`
	Lifecycle struct {
		PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
	}
	Resources struct{ Requests, Limits map[string]string }
	Security  struct {
		Escalation   *bool `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRoot bool  `yaml:"readOnlyRootFilesystem"`
		NonRoot      bool  `yaml:"runAsNonRoot"`
		Capabilities struct{ Add, Drop []string }
	} `yaml:"securityContext"`
	Mounts []struct {
		Name, MountPath, SubPath string
		ReadOnly                 bool
	} `yaml:"volumeMounts"`
}

type probe struct {
	HTTP struct{ Path, Port string } `yaml:"httpGet"`
	TCP  struct{ Port string }       `yaml:"tcpSocket"`
	// In seconds; zero is the default of Kubernetes, 10 and 1.
	Period  int `yaml:"periodSeconds"`
	Timeout int `yaml:"timeoutSeconds"`
}

// pods returns the template of a workload's pods.
func (o object) pods() (podTemplate, bool) {
	spec := o.Spec
	switch o.Kind {
	case "CronJob":
		job, _ := spec["jobTemplate"].(map[string]any)
		spec, _ = job["spec"].(map[string]any)
	case "Deployment", "StatefulSet", "DaemonSet", "Job":
	default:
		return podTemplate{}, false
	}
	var p podTemplate
	convert(spec["template"], &p)
	return p, true
}

// convert reads a part of an object as something more definite. What does not
// fit is a mistake in the test: the schemas were checked elsewhere.
func convert(from, to any) {
	text, err := yaml.Marshal(from)
	if err == nil {
		err = yaml.Unmarshal(text, to)
	}
	if err != nil {
		panic(fmt.Sprintf("%T from %v: %v", to, from, err))
	}
}

func (b build) find(kind, name string) (object, bool) {
	at := slices.IndexFunc(b.objects, func(o object) bool { return o.Kind == kind && o.Metadata.Name == name })
	if at < 0 {
		return object{}, false
	}
	return b.objects[at], true
}

// ours reports whether a pod runs a binary of Homing: not a store of the laptop's.
func (p podTemplate) ours() bool {
	return strings.HasPrefix(p.Metadata.Labels["app.kubernetes.io/name"], "homing")
}

// environ is what a container's process gets, in the form of os.Environ.
func (b build) environ(c container) ([]string, error) {
	var env []string
	for _, from := range c.EnvFrom {
		config, ok := b.find("ConfigMap", from.ConfigMap.Name)
		if !ok {
			return nil, fmt.Errorf("container %s: there is no ConfigMap %q", c.Name, from.ConfigMap.Name)
		}
		for name, value := range config.Data {
			env = append(env, name+"="+value)
		}
	}
	for _, e := range c.Env {
		env = append(env, e.Name+"="+e.Value)
	}
	return env, nil
}
