package tenants_test

import (
	"strings"
	"testing"

	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/events"
)

// FuzzLoad: whatever the file holds, it is a good set or an error, never a
// panic, and the error holds no secret.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		minimal, full, "", "a", "[]", "tenants:", "tenants: [{}]", "tenants: {a: b}", "? [a]\n: b",
		"a: &x [*x]", "--- a\n--- b", "webhooks: {whatsapp: {app_secrets: [{s3cr3t: 1}]}}",
		"tenants: [{id: !!int s3cr3t}]", "tenants: [{id: *s3cr3t}]", "tenants: [{s3: \"\\x\"}]",
		strings.Repeat("[", 1000), strings.Repeat("a: {", 100), "\x00", "\xff\xfe", "<<: a", "tenants: [{rate_limit: 0x1p4}]",
		strings.Replace(minimal, "    dataset_id", "    on_unknown: {default: hold}\n    events: {Lead: {as: Purchase}}\n    dataset_id", 1),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "file:") {
			t.Skip("a fuzzer has no business in the file system")
		}
		set, err := tenants.Parse("t.yaml", []byte(text), environment)
		if (set == nil) != (err != nil) {
			t.Fatalf("got %v and %v", set, err)
		}
		if err != nil {
			// The file's keys and names may be told, its values may not; only the
			// environment's secrets are surely no keys.
			for _, secret := range []string{acmeProof, hookToken, hookAll} {
				if !strings.Contains(text, secret) && strings.Contains(err.Error(), secret) {
					t.Fatalf("the error holds a secret: %v", err)
				}
			}
			if n := strings.Count(err.Error(), "\n"); n > 20 {
				t.Fatalf("%d problems", n)
			}
			return
		}
		for _, tenant := range set.All() {
			if tenant.ID == "" || tenant.DatasetID == "" || tenant.Token().IsZero() || len(tenant.WABAs) == 0 {
				t.Fatalf("tenant %q is not whole", tenant.ID)
			}
			if found, ok := set.Tenant(tenant.ID); !ok || found != tenant {
				t.Fatalf("tenant %q is not found", tenant.ID)
			}
			for _, name := range events.Names() {
				if m := tenant.Mapping(name); !m.Reject && !m.AcceptedBy() {
					t.Fatalf("Meta would refuse %s as %+v", name, m)
				}
				if p := tenant.OnUnknown(name); p != tenants.Hold && p != tenants.Resend {
					t.Fatalf("policy of %s is %q", name, p)
				}
			}
		}
	})
}
