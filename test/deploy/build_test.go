package deploy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	yaml "go.yaml.in/yaml/v3"
)

const manifests = "../../deploy/k8s"

// onBase are sets of components that are built on the base, beside the overlays:
// every component by itself, and those that prod leaves out together.
func onBase(t *testing.T) map[string][]string {
	t.Helper()
	found, err := filepath.Glob(manifests + "/components/*/kustomization.yaml")
	if err != nil || len(found) == 0 {
		t.Fatalf("no components: %v", err)
	}
	sets := map[string][]string{
		"base": nil,
		"rest": {"hpa", "ingress", "network-policy", "external-secrets", "otel", "priority-class"},
	}
	for _, path := range found {
		name := filepath.Base(filepath.Dir(path))
		sets[name] = []string{name}
	}
	return sets
}

// build is one thing that Kustomize makes.
type build struct {
	name    string
	text    []byte
	objects []object
}

// builds are made once for all tests.
var builds struct {
	once sync.Once
	all  []build
	err  error
}

// allBuilds returns every overlay, and every set of components on the base.
func allBuilds(t *testing.T) []build {
	t.Helper()
	sets, command := onBase(t), kustomize(t)
	builds.once.Do(func() { builds.all, builds.err = buildAll(command, t.TempDir(), sets) })
	if builds.err != nil {
		t.Fatal(builds.err)
	}
	return builds.all
}

// kustomize is the command that builds: that of kubectl, or by itself.
func kustomize(t *testing.T) []string {
	t.Helper()
	if kubectl, err := exec.LookPath("kubectl"); err == nil {
		return []string{kubectl, "kustomize"}
	}
	return []string{need(t, tools+"kustomize", advice), "build"}
}

func buildAll(kustomize []string, dir string, sets map[string][]string) ([]build, error) {
	// In a copy, since a kustomization can't reach what lies beside it.
	if err := os.CopyFS(dir, os.DirFS(manifests)); err != nil {
		return nil, err
	}
	for name, components := range sets {
		if err := writeOverlay(dir, name, components); err != nil {
			return nil, err
		}
	}
	var all []build
	overlays, err := filepath.Glob(dir + "/overlays/*")
	if err != nil {
		return nil, err
	}
	for _, overlay := range overlays {
		cmd := exec.Command(kustomize[0], kustomize[1], overlay)
		var problems bytes.Buffer
		cmd.Stderr = &problems
		text, err := cmd.Output()
		name := filepath.Base(overlay)
		if err != nil || problems.Len() > 0 {
			return nil, fmt.Errorf("kustomize %s: %w\n%s", name, err, &problems)
		}
		objects, err := decode(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, build{name, text, objects})
	}
	return all, nil
}

// digest is as a registry tells it, of an image that there is not.
const digest = "sha256:5f2c1a0000000000000000000000000000000000000000000000000000000000"

func writeOverlay(dir, name string, components []string) error {
	text := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: homing\nresources: [../../base]\n" +
		"images: [{name: homing, newTag: v0.1.0, digest: \"" + digest + "\"}]\ncomponents:\n"
	for _, c := range components {
		text += "  - ../../components/" + c + "\n"
	}
	folder := filepath.Join(dir, "overlays", "base+"+name)
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o644)
}

// overlay returns one build by its name.
func overlay(t *testing.T, name string) build {
	t.Helper()
	for _, b := range allBuilds(t) {
		if b.name == name {
			return b
		}
	}
	t.Fatalf("there is no overlay %q", name)
	return build{}
}

// need finds a tool. Without it the test is skipped, on a laptop only.
func need(t *testing.T, name, advice string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		if path, err = filepath.Abs(path); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("no %s, and CI=true: %s: %v", name, advice, err)
	}
	t.Skipf("SKIPPED: THERE IS NO %s: %s", strings.ToUpper(name), advice)
	return ""
}

func decode(text []byte) ([]object, error) {
	var all []object
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var o object
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
}

// TestOverlays wants the overlays and components that the documentation names,
// and in the overlays what makes them what they are.
func TestOverlays(t *testing.T) {
	var names []string
	for _, b := range allBuilds(t) {
		names = append(names, b.name)
	}
	want := []string{"dev", "prod"}
	for _, set := range slices.Sorted(maps.Keys(onBase(t))) {
		want = append(want, "base+"+set)
	}
	slices.Sort(want)
	slices.Sort(names)
	if !slices.Equal(names, want) {
		t.Errorf("built %q, want %q", names, want)
	}
	if o, ok := overlay(t, "prod").find("Deployment", "homing-worker"); !ok || o.Spec["replicas"] != nil {
		t.Error("prod sets the number of workers, which KEDA does")
	}
	for _, kind := range []string{"Secret"} {
		for _, o := range overlay(t, "prod").objects {
			if o.Kind == kind {
				t.Errorf("prod holds a %s, %s: it must come from elsewhere", kind, o.Metadata.Name)
			}
		}
	}
}
