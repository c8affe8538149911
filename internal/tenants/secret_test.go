package tenants_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/homing-dev/homing/internal/tenants"
)

// TestNothingPrintsASecret prints whatever holds a secret in every way at hand.
func TestNothingPrintsASecret(t *testing.T) {
	set := loadFull(t)
	acme := mustTenant(t, set, "acme")
	scope, _ := set.VerifySignature([]byte("{}"), sign(hookBound, "{}"))
	type around struct {
		Exported tenants.Secret
		hidden   tenants.Secret
		tenant   tenants.Tenant
		set      *tenants.Set
	}
	values := map[string]any{
		"secret":         acme.Token(),
		"secret pointer": new(acme.Token()),
		"tenant":         *acme,
		"tenant pointer": acme,
		"tenants":        set.All(),
		"set":            set,
		"scope":          scope,
		"around":         around{acme.Token(), acme.Token(), *acme, set},
		"map":            map[tenants.Secret]tenants.Secret{acme.Token(): acme.Token()},
	}
	for name, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%c", "%U"} {
			assertNoSecret(t, name+" "+verb, fmt.Sprintf(verb, v))
		}
		var logged bytes.Buffer
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("", "v", v)
		slog.New(slog.NewTextHandler(&logged, nil)).Info("", "v", v)
		assertNoSecret(t, name+" in slog", logged.String())
		if b, err := json.Marshal(v); err == nil {
			assertNoSecret(t, name+" in JSON", string(b))
		}
		if b, err := xml.Marshal(v); err == nil {
			assertNoSecret(t, name+" in XML", string(b))
		}
		if b, err := yaml.Marshal(v); err == nil {
			assertNoSecret(t, name+" in YAML", string(b))
		}
	}
}

func TestSecret(t *testing.T) {
	s := tenants.NewSecret("s3cr3t")
	if got := s.Reveal(); got != "s3cr3t" {
		t.Errorf("Reveal() = %q", got)
	}
	for how, got := range map[string]string{
		"String": s.String(), "%v": fmt.Sprint(s), "%#v": fmt.Sprintf("%#v", s), "slog": s.LogValue().String(),
	} {
		if got != "[redacted]" {
			t.Errorf("%s: got %q", how, got)
		}
	}
	if b, err := json.Marshal(s); err != nil || string(b) != `"[redacted]"` {
		t.Errorf("JSON: got %s, %v", b, err)
	}
	if s.IsZero() || !(tenants.Secret{}).IsZero() || !tenants.NewSecret("").IsZero() {
		t.Error("IsZero must tell a text from none")
	}
	if got := (tenants.Secret{}).Reveal(); got != "" {
		t.Errorf("zero Secret reveals %q", got)
	}
}
