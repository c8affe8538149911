package harness

import (
	"fmt"
	"os"
	"strings"
)

// Tenant is one merchant of a Stack.
type Tenant struct {
	ID, Key, Dataset, Token, AppSecret, WABA string
	OnUnknown                                string // YAML of on_unknown; empty: the default
}

const (
	// verifyToken and webhookSecret are of the WhatsApp app.
	verifyToken   = "verify-token-7Hq2"
	webhookSecret = "whatsapp-app-secret-9fK4"
)

// DefaultTenants returns two merchants.
func DefaultTenants() []Tenant {
	return []Tenant{NewTenant("acme", 1), NewTenant("globex", 2)}
}

// NewTenant makes up a merchant.
func NewTenant(id string, n int) Tenant {
	return Tenant{
		ID: id, Key: "api-key-of-" + id + "-Zx81", Dataset: fmt.Sprint(1000 + n),
		Token: "EAAtoken-of-" + id + "-Qw55", AppSecret: "app-secret-of-" + id + "-Mn37", WABA: fmt.Sprint(7000 + n),
	}
}

// WriteTenants replaces the tenants file.
func (s *Stack) WriteTenants(tenants []Tenant) {
	s.T.Helper()
	s.leaks.guard(tenants)
	var b strings.Builder
	b.WriteString("tenants:\n")
	for _, t := range tenants {
		fmt.Fprintf(&b, "  - id: %s\n    api_keys: [%q]\n    dataset_id: %q\n    access_token: %q\n    app_secret: %q\n    waba_ids: [%q]\n",
			t.ID, t.Key, t.Dataset, t.Token, t.AppSecret, t.WABA)
		if t.OnUnknown != "" {
			fmt.Fprintf(&b, "    on_unknown: %s\n", t.OnUnknown)
		}
	}
	fmt.Fprintf(&b, "webhooks:\n  whatsapp:\n    verify_token: %q\n    app_secrets: [%q]\n", verifyToken, webhookSecret)
	s.writeFile(b.String())
}

// BreakTenants replaces the tenants file by one that can't be read.
func (s *Stack) BreakTenants() { s.writeFile("tenants:\n  - id: [\n") }

// writeFile replaces the file at once, as whoever deploys it would.
func (s *Stack) writeFile(text string) {
	s.T.Helper()
	next := s.file + ".next"
	err := os.WriteFile(next, []byte(text), 0o600)
	if err == nil {
		err = os.Rename(next, s.file)
	}
	if err != nil {
		s.T.Fatal(err)
	}
}
