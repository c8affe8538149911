package tenants_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/homing-dev/homing/internal/tenants"
)

// following is a Directory whose Run is on its way, inside a synctest bubble.
type following struct {
	*tenants.Directory
	mu      sync.Mutex // of what Run tells
	log     bytes.Buffer
	reloads []error
	changes []string // ids whose secrets changed, per swap
}

func follow(t *testing.T, path string) *following {
	t.Helper()
	f := &following{}
	dir, err := tenants.Open(tenants.Config{
		Path:      path,
		LookupEnv: environment,
		Interval:  time.Second,
		Logger:    slog.New(slog.NewTextHandler(f, nil)),
		OnReload: func(err error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.reloads = append(f.reloads, err)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Directory = dir
	dir.Subscribe(func(old, new *tenants.Set) {
		ids := []string{}
		for _, tenant := range new.SecretsChangedSince(old) {
			ids = append(ids, tenant.ID)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.changes = append(f.changes, strings.Join(ids, ","))
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- dir.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return f
}

// Write takes the log.
func (f *following) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.Write(line)
}

// looks lets n looks at the files go by, in the bubble's time. While Run waits
// for the next one, the test may read what it told: the lock orders the two.
func (f *following) looks(n int) {
	f.fence()
	time.Sleep(time.Duration(n)*time.Second + time.Millisecond)
	synctest.Wait()
	f.fence()
}

func (f *following) fence() {
	f.mu.Lock()
	defer f.mu.Unlock()
}

func (f *following) dataset() string {
	acme, ok := f.Tenant("acme")
	if !ok {
		return "no acme"
	}
	return acme.DatasetID
}

func with(old, new string) string { return strings.Replace(minimal, old, new, 1) }

func TestDirectoryFollowsAnEdit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "tenants.yaml")
		write(t, path, minimal)
		f := follow(t, path)
		before := f.Set()

		f.looks(3)
		if len(f.reloads) != 0 {
			t.Fatalf("%d reloads of the same file", len(f.reloads))
		}
		write(t, path, with("1111", "3333"))
		f.looks(1)
		if got := f.dataset(); got != "1111" {
			t.Errorf("after one look: dataset %s; it may be half written", got)
		}
		f.looks(1)
		if got := f.dataset(); got != "3333" {
			t.Errorf("after two looks: dataset %s", got)
		}
		if acme, _ := before.Tenant("acme"); acme.DatasetID != "1111" {
			t.Error("the old set changed")
		}
		if diff := cmp.Diff([]string{"acme"}, f.changes); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
		write(t, path, with("1111", "3333")+"    rate_limit: 5\n")
		f.looks(2)
		if diff := cmp.Diff([]string{"acme", ""}, f.changes); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
		if len(f.reloads) != 2 || f.reloads[0] != nil || f.reloads[1] != nil {
			t.Errorf("reloads: %v", f.reloads)
		}
	})
}

func TestDirectoryWaitsForAFileToSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "tenants.yaml")
		write(t, path, minimal)
		f := follow(t, path)
		for i := range 5 { // a slow writer: another length at every look
			write(t, path, with("1111", "3333")+strings.Repeat("#", i))
			f.looks(1)
		}
		if got := f.dataset(); got != "1111" || len(f.reloads) != 0 {
			t.Errorf("dataset %s after %d reloads of a file in the making", got, len(f.reloads))
		}
		f.looks(1)
		if got := f.dataset(); got != "3333" {
			t.Errorf("dataset %s", got)
		}
	})
}

func TestDirectoryKeepsTheOldSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "tenants.yaml")
		write(t, path, minimal)
		f := follow(t, path)

		write(t, path, with("id: acme", "id: ACME"))
		f.looks(10)
		if _, ok := f.Authenticate(acmeKey); !ok {
			t.Error("a bad file took the old set away")
		}
		if len(f.reloads) != 1 || f.reloads[0] == nil {
			t.Errorf("reloads: %v, want one error", f.reloads)
		}
		if n := strings.Count(f.log.String(), "level=ERROR"); n != 1 {
			t.Errorf("the error was logged %d times", n)
		}
		write(t, path, with("1111", "x"))
		f.looks(2)
		if len(f.reloads) != 2 {
			t.Errorf("another bad file: %d reloads", len(f.reloads))
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		f.looks(5)
		if len(f.reloads) != 3 || f.dataset() != "1111" {
			t.Errorf("no file: %d reloads, dataset %s", len(f.reloads), f.dataset())
		}
		write(t, path, with("1111", "3333"))
		f.looks(2)
		if got := f.dataset(); got != "3333" {
			t.Errorf("mended: dataset %s", got)
		}
		assertNoSecret(t, "the log", f.log.String())
	})
}

// TestDirectoryFollowsASymlinkSwap does what a kubelet does to a ConfigMap: the
// file is a link through "..data", a link that is replaced in one step.
func TestDirectoryFollowsASymlinkSwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		mount := func(version, dataset, token string) {
			real := filepath.Join(dir, version)
			if err := os.Mkdir(real, 0o700); err != nil {
				t.Fatal(err)
			}
			text := strings.Replace(with("1111", dataset), acmeToken, "file:"+filepath.Join(dir, "token"), 1)
			write(t, filepath.Join(real, "tenants.yaml"), text)
			write(t, filepath.Join(real, "token"), token)
			link(t, version, filepath.Join(dir, "..data"))
		}
		mount("..1", "1111", "first")
		link(t, "..data/tenants.yaml", filepath.Join(dir, "tenants.yaml"))
		link(t, "..data/token", filepath.Join(dir, "token"))
		f := follow(t, filepath.Join(dir, "tenants.yaml"))

		mount("..2", "3333", "second")
		f.looks(2)
		if got := f.dataset(); got != "3333" {
			t.Errorf("dataset %s", got)
		}
		if got := mustTenant(t, f.Set(), "acme").Token().Reveal(); got != "second" {
			t.Errorf("token %s", got)
		}
		if len(f.reloads) != 1 {
			t.Errorf("%d reloads", len(f.reloads))
		}
	})
}

// link makes a symbolic link, or replaces one in one step.
func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestDirectoryFollowsSecretFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path, token := filepath.Join(dir, "tenants.yaml"), filepath.Join(dir, "token")
		write(t, token, "first")
		write(t, path, strings.Replace(minimal, acmeToken, "file:"+token, 1))
		f := follow(t, path)
		reveal := func() string { return mustTenant(t, f.Set(), "acme").Token().Reveal() }

		write(t, token, "other") // as long as before
		f.looks(2)
		if got := reveal(); got != "other" {
			t.Errorf("token %q", got)
		}
		if err := os.Remove(token); err != nil {
			t.Fatal(err)
		}
		f.looks(3)
		if got := reveal(); got != "other" || len(f.reloads) != 2 || f.reloads[1] == nil {
			t.Errorf("token %q, reloads %v", got, f.reloads)
		}
		write(t, token, "third")
		f.looks(2)
		if got := reveal(); got != "third" {
			t.Errorf("token %q: a missing file that appears is a change", got)
		}
		if diff := cmp.Diff([]string{"acme", "acme"}, f.changes); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
	})
}

func TestSubscribeCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "tenants.yaml")
		write(t, path, minimal)
		f := follow(t, path)
		var calls atomic.Int32
		cancel := f.Subscribe(func(_, _ *tenants.Set) { calls.Add(1) })
		write(t, path, with("1111", "3333"))
		f.looks(2)
		cancel()
		cancel()
		write(t, path, with("1111", "4444"))
		f.looks(2)
		if calls.Load() != 1 || f.dataset() != "4444" {
			t.Errorf("%d calls, dataset %s", calls.Load(), f.dataset())
		}
	})
}

func TestOpenRefusesABadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tenants.yaml")
	write(t, path, "tenants: []\n")
	if d, err := tenants.Open(tenants.Config{Path: path}); err == nil || d != nil {
		t.Errorf("got %v, %v", d, err)
	}
}

func TestDirectoryLooksUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tenants.yaml")
	write(t, path, minimal+"webhooks: {whatsapp: {verify_token: v, app_secrets: [a]}}\n")
	d, err := tenants.Open(tenants.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if tenant, ok := d.ByWABA("111"); !ok || tenant.ID != "acme" {
		t.Errorf("ByWABA: %v, %v", tenant, ok)
	}
	if !d.VerifyToken("v") || len(d.All()) != 1 {
		t.Errorf("VerifyToken %v, %d tenants", d.VerifyToken("v"), len(d.All()))
	}
	if scope, ok := d.VerifySignature(nil, sign("a", "")); !ok || !scope.Allows("111") {
		t.Error("VerifySignature refuses a good one")
	}
}
