package deploy_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/homing-dev/homing/test/harness"
)

const checkout = "../.."

// buildStatic builds as the Dockerfile does, from a checkout into a folder.
func buildStatic(t *testing.T, from, into string, commands ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(from, "scripts/build-static"), append([]string{into}, commands...)...)
	cmd.Env = append(os.Environ(), "VERSION=v0.0.0-test")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestBuildIsReproducible builds from two folders. `make reproducible` does it
// for all commands and without a cache.
func TestBuildIsReproducible(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "another", "checkout")
	for _, part := range []string{"go.mod", "go.sum", "cmd", "internal", "pkg", "scripts"} {
		copyPart(t, filepath.Join(checkout, part), filepath.Join(elsewhere, part))
	}
	var sums []string
	for _, from := range []string{checkout, elsewhere} {
		out := t.TempDir()
		buildStatic(t, from, out, "homing")
		binary, err := os.ReadFile(filepath.Join(out, "homing"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(binary), elsewhere) {
			t.Error("the binary tells where it was built")
		}
		sum := sha256.Sum256(binary)
		sums = append(sums, hex.EncodeToString(sum[:]))
	}
	if sums[0] != sums[1] {
		t.Errorf("built twice, %s", sums)
	}
}

func copyPart(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rest, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := filepath.Join(to, rest)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, text, info.Mode())
	})
	if err != nil {
		t.Fatal(err)
	}
}

var (
	copied = regexp.MustCompile(`(?m)^COPY --from=build ((?:/out/[a-z]+ )+)/`)
	user   = regexp.MustCompile(`(?m)^USER (\d+):(\d+)$`)
)

// TestDockerfile holds the Dockerfile against the manifests: the same user, and a
// binary for every command.
func TestDockerfile(t *testing.T) {
	text := read(t, checkout+"/Dockerfile")
	m := user.FindStringSubmatch(text)
	if m == nil {
		t.Fatal("the Dockerfile has no numeric USER")
	}
	var binaries []string
	for _, line := range copied.FindAllStringSubmatch(text, -1) {
		for _, from := range strings.Fields(line[1]) {
			binaries = append(binaries, "/"+filepath.Base(from))
		}
	}
	for _, b := range allBuilds(t) {
		for _, o := range b.objects {
			pods, ok := o.pods()
			if !ok || !pods.ours() {
				continue
			}
			if got := fmt.Sprint(pods.Spec.Security.User); got != m[1] {
				t.Errorf("%s: %s runs as %s, the image as %s", b.name, o, got, m[1])
			}
			for _, c := range pods.Spec.Containers {
				if len(c.Command) != 1 || !slices.Contains(binaries, c.Command[0]) {
					t.Errorf("%s: %s runs %q, the image has %q", b.name, o, c.Command, binaries)
				}
			}
		}
	}
}

// jail runs a command in a root that cannot be written to, as the user of the
// image: $0 is the root, then comes the command.
const jail = `mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" || exit 77
if touch "$0/x" 2>/dev/null; then exit 78; fi
exec chroot --userspec=65532:65532 "$0" "$@"`

// TestStaticBinaries runs what is in the image where nothing else is.
func TestStaticBinaries(t *testing.T) {
	unshare := need(t, "unshare", "it is in Debian's util-linux")
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("not root, and CI=true")
		}
		t.Skip("SKIPPED: ONLY ROOT CAN MAKE ANOTHER ROOT DIRECTORY")
	}
	c := newCluster(t)
	static := t.TempDir()
	buildStatic(t, checkout, static, "api", "homing", "worker")
	start := func(kind, workload, role string) *pod {
		p := c.pod(kind, workload, role)
		main := p.spec.Spec.Containers[0]
		root := t.TempDir()
		copyPart(t, filepath.Join(static, main.Command[0]), filepath.Join(root, main.Command[0]))
		copyPart(t, filepath.Join(c.root, role), filepath.Join(root, "etc/homing"))
		openUp(t, root)
		env, err := c.prod.environ(main)
		if err != nil {
			t.Fatal(err)
		}
		env = slices.Concat(env, c.env, []string{"PATH=" + os.Getenv("PATH"), "HOMING_API_ADDR=" + p.api, "HOMING_OPS_ADDR=" + p.ops})
		args := slices.Concat([]string{"--mount", "sh", "-c", jail, root}, main.Command, main.Args)
		p.Process = harness.NewProcess(t, workload, unshare, env, args...)
		p.Start()
		return p
	}
	job := start("Job", "homing-streams", "operator")
	if code := job.Exit(upWithin); code != 0 {
		t.Fatalf("the Job homing-streams: exit code %d\n%s", code, job.Output())
	}
	api, worker := start("Deployment", "homing-api", "api"), start("Deployment", "homing-worker", "worker")
	for _, p := range []*pod{api, worker} {
		main := p.spec.Spec.Containers[0]
		harness.Eventually(t, upWithin, p.Name+" is ready", func() error { return p.asks(main.Readiness) })
	}
	click := map[string]any{"phone_number": "+" + harness.Phone(1), "ctwa_clid": "clid-1"}
	if code, err := c.post(api, harness.PathClicks, click); err != nil || code != 202 {
		t.Fatalf("click: %d %v", code, err)
	}
	c.mustPost(api, "from-an-empty-root")
	c.awaitStatus(api, "from-an-empty-root", "delivered")
	for _, p := range []*pod{api, worker} {
		if code := p.Terminate(time.Duration(p.spec.Spec.Grace) * time.Second); code != 0 {
			t.Errorf("%s: exit code %d", p.Name, code)
		}
	}
}

// openUp lets everybody read below a folder.
func openUp(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chmod(path, 0o755)
	})
	if err != nil {
		t.Fatal(err)
	}
}
