package tenants_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homing-dev/homing/internal/tenants"
)

func TestDemo(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".homing", "tenants.yaml")
	demo, err := tenants.NewDemo(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := tenants.WriteDemo(path, demo); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	set, err := tenants.Load(path, environment)
	if err != nil {
		t.Fatalf("the demo's file is refused: %v", err)
	}
	if tenant, ok := set.Authenticate(demo.APIKey.Reveal()); !ok || tenant.ID != tenants.DemoTenant {
		t.Errorf("Authenticate: %v, %v", tenant, ok)
	}
	if tenant, ok := set.ByWABA(demo.WABA); !ok || tenant.Token().Reveal() != demo.AccessToken.Reveal() {
		t.Errorf("ByWABA: %v, %v", tenant, ok)
	}
	if !set.VerifyToken(demo.VerifyToken.Reveal()) {
		t.Error("the verify token is refused")
	}
	if _, ok := set.VerifySignature([]byte("x"), sign(demo.AppSecret.Reveal(), "x")); !ok {
		t.Error("the app secret is refused")
	}

	again, err := tenants.ReadDemo(path, environment)
	if err != nil {
		t.Fatal(err)
	}
	if reveal(again) != reveal(demo) {
		t.Errorf("read back another demo")
	}
	if err := tenants.WriteDemo(path, demo); !errors.Is(err, fs.ErrExist) {
		t.Errorf("written over: %v", err)
	}
}

func TestDemosDiffer(t *testing.T) {
	one, err1 := tenants.NewDemo(bytes.NewReader(bytes.Repeat([]byte{1}, 64)))
	two, err2 := tenants.NewDemo(rand.Reader)
	if err1 != nil || err2 != nil || one.APIKey.Reveal() == two.APIKey.Reveal() || one.AccessToken.Reveal() == two.AccessToken.Reveal() {
		t.Errorf("two installs share secrets: %v, %v", err1, err2)
	}
	if _, err := tenants.NewDemo(strings.NewReader("short")); err == nil {
		t.Error("no error without randomness")
	}
}

func TestReadDemoOfAnEditedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tenants.yaml")
	write(t, path, minimal)
	if _, err := tenants.ReadDemo(path, environment); err == nil || !strings.Contains(err.Error(), "has no tenant demo") {
		t.Errorf("without the tenant: %v", err)
	}
	keys := `["sha256:` + sha("x") + `", "env:ACME_KEY"]`
	write(t, path, strings.NewReplacer("id: acme", "id: demo", `["s3cr3t-acme-key"]`, keys).Replace(minimal))
	demo, err := tenants.ReadDemo(path, environment)
	if err != nil || demo.APIKey.Reveal() != acmeKey || !demo.AppSecret.IsZero() {
		t.Errorf("key %q, %v", demo.APIKey.Reveal(), err)
	}
}

func reveal(d tenants.Demo) [6]string {
	return [6]string{d.DatasetID, d.WABA, d.APIKey.Reveal(), d.AccessToken.Reveal(), d.VerifyToken.Reveal(), d.AppSecret.Reveal()}
}
