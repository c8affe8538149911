package deploy_test

import (
	"regexp"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"
)

// An image that stays what it is: by its digest, or by the tag of one release. A
// shorter tag, such as 8 or 2.15-alpine, moves with every release.
var (
	byDigest  = regexp.MustCompile(`^[^@\s]+@sha256:[0-9a-f]{64}$`)
	byRelease = regexp.MustCompile(`^[^@\s]+:v?\d+\.\d+\.\d+(-[a-z0-9.]+)?$`)
)

func pinned(image string) bool { return byDigest.MatchString(image) || byRelease.MatchString(image) }

// builtHere reports whether an image is one that a laptop makes for itself.
func builtHere(image string) bool {
	return strings.HasPrefix(image, "homing") && strings.HasSuffix(image, ":dev")
}

func TestPinned(t *testing.T) {
	for image, want := range map[string]bool{
		"registry.example.com/homing:v0.1.0":           true,
		"registry.example.com:5000/homing@" + digest:   true,
		"registry.example.com/homing:v0.1.0@" + digest: true,
		"nats:2.15.2-alpine":                           true,
		"homing":                                       false,
		"registry.example.com:5000/homing":             false,
		"homing:latest":                                false,
		"homing:v0":                                    false,
		"homing:main":                                  false,
		"valkey/valkey:8.1":                            false,
		"nats:2.15-alpine":                             false,
		"homing@sha256:":                               false,
		"homing@sha256:5f2c":                           false,
		"homing:v0.1.0@" + strings.ToUpper(digest):     false,
		"homing:v0.1.0@" + strings.Replace(digest, "f", "g", 1): false,
	} {
		if got := pinned(image); got != want {
			t.Errorf("%s: %v", image, got)
		}
	}
}

// TestOtherImages looks at those that no manifest of ours names: of the NATS chart,
// and of the build.
func TestOtherImages(t *testing.T) {
	var values struct {
		Container struct{ Image struct{ Tag string } }
	}
	if err := yaml.Unmarshal([]byte(read(t, "../../deploy/nats/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	if image := "nats:" + values.Container.Image.Tag; !pinned(image) {
		t.Errorf("deploy/nats runs %s", image)
	}
	m := regexp.MustCompile(`(?m)^ARG GO_IMAGE=(\S+)$`).FindStringSubmatch(read(t, checkout+"/Dockerfile"))
	if m == nil || !pinned(m[1]) {
		t.Errorf("the Dockerfile builds with %q", m)
	}
}
