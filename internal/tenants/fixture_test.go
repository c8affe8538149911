package tenants_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homing-dev/homing/internal/tenants"
)

// The secrets of the fixtures: each holds "s3cr3t", which must show nowhere.
const (
	acmeKey    = "s3cr3t-acme-key"
	acmeKey2   = "s3cr3t-acme-key-2"
	acmeToken  = "s3cr3t-acme-token"
	acmeProof  = "s3cr3t-acme-app"
	umbraKey   = "s3cr3t-umbra-key"
	umbraToken = "s3cr3t-umbra-token"
	hookToken  = "s3cr3t hook token"
	hookAll    = "s3cr3t-hook-all"
	hookBound  = "s3cr3t-hook-bound"
)

// full uses every key of the file. %TOKEN% is a path, %SHA% a hash.
const full = `tenants:
  - id: umbra
    api_keys: ["s3cr3t-umbra-key"]
    dataset_id: 2222
    access_token: s3cr3t-umbra-token
    waba_ids: [222]
  - id: acme
    api_keys: ["env:ACME_KEY", "sha256:%SHA%"]
    dataset_id: "1111"
    access_token: "file:%TOKEN%"
    app_secret: "env:ACME_APP_SECRET"
    waba_ids: ["111", "112"]
    test_event_code: TEST123
    rate_limit: 12.5
    on_unknown: {default: hold, AddToCart: resend, Lead: resend}
    events:
      Subscribe: {action: reject}
      CompleteRegistration: {as: LeadSubmitted}
      Lead: {as: QualifiedLead, action: send}
      Purchase: {action_source: system_generated}
webhooks:
  whatsapp:
    verify_token: "env:WA_VERIFY_TOKEN"
    app_secrets: ["env:WA_APP_SECRET", {secret: "s3cr3t-hook-bound", waba_ids: ["111", "555"]}]
`

// minimal has one tenant and nothing that is optional.
const minimal = `tenants:
  - id: acme
    api_keys: ["s3cr3t-acme-key"]
    dataset_id: "1111"
    access_token: "s3cr3t-acme-token"
    waba_ids: ["111"]
`

func environment(name string) (string, bool) {
	value, ok := map[string]string{
		"ACME_KEY":        acmeKey,
		"ACME_APP_SECRET": acmeProof,
		"WA_VERIFY_TOKEN": hookToken,
		"WA_APP_SECRET":   hookAll,
		"EMPTY":           "",
		"MULTILINE":       "s3cr3t\nline",
	}[name]
	return value, ok
}

// loadFull writes full with its token file and loads it.
func loadFull(t testing.TB) *tenants.Set {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), acmeToken+"\n")
	path := filepath.Join(dir, "tenants.yaml")
	write(t, path, strings.NewReplacer("%TOKEN%", filepath.Join(dir, "token"), "%SHA%", sha(acmeKey2)).Replace(full))
	set, err := tenants.Load(path, environment)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func sign(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func mustTenant(t testing.TB, set *tenants.Set, id string) *tenants.Tenant {
	t.Helper()
	tenant, ok := set.Tenant(id)
	if !ok {
		t.Fatalf("no tenant %s", id)
	}
	return tenant
}

func assertNoSecret(t testing.TB, what, text string) {
	t.Helper()
	for _, leak := range []string{"s3cr3t", sha(acmeKey), sha(acmeKey2), hex.EncodeToString([]byte("s3cr3t"))} {
		if strings.Contains(strings.ToLower(text), leak) {
			t.Errorf("%s holds %q: %s", what, leak, text)
		}
	}
}
