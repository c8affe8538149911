package tenants_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/events"
)

func TestLoadReadsEveryKey(t *testing.T) {
	set := loadFull(t)
	var ids []string
	for _, tenant := range set.All() {
		ids = append(ids, tenant.ID)
	}
	if diff := cmp.Diff([]string{"acme", "umbra"}, ids); diff != "" {
		t.Errorf("All() (-want +got):\n%s", diff)
	}

	acme := mustTenant(t, set, "acme")
	type plain struct {
		Dataset, Code, Token, AppSecret string
		WABAs                           []string
		Rate                            float64
	}
	want := plain{"1111", "TEST123", acmeToken, acmeProof, []string{"111", "112"}, 12.5}
	got := plain{acme.DatasetID, acme.TestEventCode, acme.Token().Reveal(), acme.AppSecret().Reveal(), acme.WABAs, acme.RateLimit}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("acme (-want +got):\n%s", diff)
	}

	umbra := mustTenant(t, set, "umbra")
	if umbra.DatasetID != "2222" || !umbra.AppSecret().IsZero() || umbra.RateLimit != 0 {
		t.Errorf("umbra: dataset %q, app secret %v, rate %v", umbra.DatasetID, !umbra.AppSecret().IsZero(), umbra.RateLimit)
	}
}

func TestMapping(t *testing.T) {
	set := loadFull(t)
	tests := []struct {
		tenant string
		name   events.Name
		want   events.Mapping
	}{
		{"acme", events.Subscribe, events.Mapping{Reject: true}},
		{"acme", events.CompleteRegistration, events.Mapping{As: "LeadSubmitted", ActionSource: events.BusinessMessaging}},
		{"acme", events.Lead, events.Mapping{As: "QualifiedLead", ActionSource: events.BusinessMessaging}},
		{"acme", events.LeadSubmitted, events.Mapping{As: "LeadSubmitted", ActionSource: events.BusinessMessaging}},
		{"acme", events.Purchase, events.Mapping{As: "Purchase", ActionSource: events.SystemGenerated}},
		{"umbra", events.Subscribe, events.Mapping{As: "Subscribe", ActionSource: events.SystemGenerated}},
	}
	for _, tt := range tests {
		got := mustTenant(t, set, tt.tenant).Mapping(tt.name)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.tenant, tt.name, diff)
		}
	}
	for _, name := range events.Names() {
		if got, want := mustTenant(t, set, "umbra").Mapping(name), events.DefaultMapping(name); got != want {
			t.Errorf("umbra %s: got %+v, want the default %+v", name, got, want)
		}
	}
}

func TestOnUnknown(t *testing.T) {
	tests := []struct {
		says string
		want map[events.Name]tenants.Policy
	}{
		{"", map[events.Name]tenants.Policy{"Purchase": "hold", "Subscribe": "hold", "Lead": "resend", "OrderCreated": "resend"}},
		{"{default: hold}", map[events.Name]tenants.Policy{"Purchase": "hold", "Lead": "hold"}},
		{"{default: resend}", map[events.Name]tenants.Policy{"Purchase": "resend", "Subscribe": "resend"}},
		{"{AddToCart: hold}", map[events.Name]tenants.Policy{"AddToCart": "hold", "Purchase": "hold", "Lead": "resend"}},
		{"{Lead: hold}", map[events.Name]tenants.Policy{"Lead": "hold", "LeadSubmitted": "resend"}},
		{"{default: resend, Purchase: hold}", map[events.Name]tenants.Policy{"Purchase": "hold", "Subscribe": "resend"}},
	}
	for _, tt := range tests {
		set, err := tenants.Parse("t.yaml", []byte(minimal+"    on_unknown: "+tt.says+"\n"), environment)
		if err != nil {
			t.Fatalf("%s: %v", tt.says, err)
		}
		for name, want := range tt.want {
			if got := mustTenant(t, set, "acme").OnUnknown(name); got != want {
				t.Errorf("%q: %s is %s, want %s", tt.says, name, got, want)
			}
		}
	}
}

func TestAuthenticate(t *testing.T) {
	set := loadFull(t)
	tests := []struct{ key, want string }{
		{acmeKey, "acme"},
		{acmeKey2, "acme"}, // configured by its hash
		{umbraKey, "umbra"},
		{"", ""},
		{"wrong", ""},
		{acmeKey + " ", ""},
		{strings.ToUpper(acmeKey), ""},
		{sha(acmeKey2), ""},
		{"sha256:" + sha(acmeKey2), ""},
		{acmeToken, ""},
	}
	for _, tt := range tests {
		tenant, ok := set.Authenticate(tt.key)
		if ok != (tt.want != "") || ok && tenant.ID != tt.want || !ok && tenant != nil {
			t.Errorf("Authenticate(%q) = %v, %v; want %q", tt.key, tenant, ok, tt.want)
		}
	}
}

func TestByWABA(t *testing.T) {
	set := loadFull(t)
	for waba, want := range map[string]string{"111": "acme", "112": "acme", "222": "umbra", "555": "", "": ""} {
		tenant, ok := set.ByWABA(waba)
		if ok != (want != "") || ok && tenant.ID != want {
			t.Errorf("ByWABA(%q) = %v, %v; want %q", waba, tenant, ok, want)
		}
	}
}

func TestVerifyToken(t *testing.T) {
	set := loadFull(t)
	for token, want := range map[string]bool{hookToken: true, "": false, hookToken + "x": false, hookAll: false} {
		if got := set.VerifyToken(token); got != want {
			t.Errorf("VerifyToken(%q) = %v", token, got)
		}
	}
	none, err := tenants.Parse("t.yaml", []byte(minimal), environment)
	if err != nil {
		t.Fatal(err)
	}
	if none.VerifyToken("") {
		t.Error("without a token, the empty one is taken")
	}
}

func TestVerifySignature(t *testing.T) {
	set := loadFull(t)
	const body = `{"entry":[]}`
	good := sign(hookAll, body)
	tests := []struct {
		name, header string
		ok           bool
		allows       map[string]bool
	}{
		{"for all", good, true, map[string]bool{"111": true, "anything": true}},
		{"bound", sign(hookBound, body), true, map[string]bool{"111": true, "555": true, "222": false, "": false}},
		{"upper case hex", "sha256=" + strings.ToUpper(good[7:]), true, map[string]bool{"111": true}},
		{"another body", sign(hookAll, body+" "), false, map[string]bool{"111": false}},
		{"another secret", sign("wrong", body), false, nil},
		{"empty secret", sign("", body), false, nil},
		{"none", "", false, nil},
		{"no algorithm", good[7:], false, nil},
		{"sha1", "sha1=" + good[7:], false, nil},
		{"short", good[:len(good)-2], false, nil},
		{"long", good + "00", false, nil},
		{"no hex", "sha256=" + strings.Repeat("zz", 32), false, nil},
	}
	for _, tt := range tests {
		scope, ok := set.VerifySignature([]byte(body), tt.header)
		if ok != tt.ok {
			t.Errorf("%s: ok = %v", tt.name, ok)
		}
		for waba, want := range tt.allows {
			if got := scope.Allows(waba); got != want {
				t.Errorf("%s: Allows(%q) = %v", tt.name, waba, got)
			}
		}
	}
}

// TestScopeIsAUnion has one secret that is bound twice, to different accounts.
func TestScopeIsAUnion(t *testing.T) {
	const hooks = `webhooks:
  whatsapp:
    verify_token: v
    app_secrets: [{secret: same, waba_ids: ["1"]}, other, {secret: same, waba_ids: ["2"]}]
`
	set, err := tenants.Parse("t.yaml", []byte(minimal+hooks), environment)
	if err != nil {
		t.Fatal(err)
	}
	scope, ok := set.VerifySignature([]byte("x"), sign("same", "x"))
	if !ok || !scope.Allows("1") || !scope.Allows("2") || scope.Allows("3") {
		t.Errorf("ok %v, 1 %v, 2 %v, 3 %v", ok, scope.Allows("1"), scope.Allows("2"), scope.Allows("3"))
	}
}

func TestSecretVersion(t *testing.T) {
	version := func(from, to string) string {
		t.Helper()
		set, err := tenants.Parse("t.yaml", []byte(strings.Replace(minimal, from, to, 1)), environment)
		if err != nil {
			t.Fatal(err)
		}
		return mustTenant(t, set, "acme").SecretVersion()
	}
	base := version("", "")
	if same := version("  - id", "  - rate_limit: 3\n    id"); same != base {
		t.Error("changes with the rate limit")
	}
	if same := version(acmeKey, acmeKey2); same != base {
		t.Error("changes with the API key")
	}
	seen := map[string]string{base: "the first"}
	for what, v := range map[string]string{
		"token":      version(acmeToken, acmeToken+"2"),
		"dataset":    version("1111", "1112"),
		"app secret": version("    waba", "    app_secret: x\n    waba"),
	} {
		if other, twice := seen[v]; twice {
			t.Errorf("of another %s is that of %s", what, other)
		}
		seen[v] = what
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	set := loadFull(b)
	for name, key := range map[string]string{"hit": acmeKey, "miss": "wrong"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				set.Authenticate(key)
			}
		})
	}
}
