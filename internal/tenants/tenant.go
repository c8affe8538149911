package tenants

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"

	"github.com/homing-dev/homing/pkg/events"
)

// Policy says what becomes of an event when Meta's answer never came.
type Policy string

// The policies.
const (
	Hold   Policy = "hold"   // never resent by itself: at most once
	Resend Policy = "resend" // sent again: at least once
)

// DefaultPolicy is what a tenant gets for n when it says nothing: a purchase
// counted twice is worse than one that waits for a person.
func DefaultPolicy(n events.Name) Policy {
	if n == events.Purchase || n == events.Subscribe {
		return Hold
	}
	return Resend
}

// Tenant is one merchant.
type Tenant struct {
	ID string
	// DatasetID is Meta's dataset that takes the merchant's events.
	DatasetID string
	// WABAs are the merchant's WhatsApp business accounts, at least one; the
	// first is sent to Meta where a click has none.
	WABAs []string
	// TestEventCode marks every event as a test in Meta's Events Manager; empty
	// for none.
	TestEventCode string
	// RateLimit is in requests per second and api process; 0 is no limit.
	RateLimit float64

	token, appSecret Secret
	policyElse       Policy // on_unknown.default; empty when not given
	policies         map[events.Name]Policy
	mappings         map[events.Name]events.Mapping
	version          string
}

// Token returns the access token for Meta.
func (t *Tenant) Token() Secret { return t.token }

// AppSecret returns the secret that proves the token's app; zero when the
// tenant has none.
func (t *Tenant) AppSecret() Secret { return t.appSecret }

// OnUnknown returns what becomes of an event that the merchant sent as n when
// Meta's answer never came. An own word for the name goes first, then the
// tenant's default, then DefaultPolicy.
func (t *Tenant) OnUnknown(n events.Name) Policy {
	if p, ok := t.policies[n]; ok {
		return p
	}
	if t.policyElse != "" {
		return t.policyElse
	}
	return DefaultPolicy(n)
}

// Mapping returns how an event that the merchant sent as n goes to Meta.
func (t *Tenant) Mapping(n events.Name) events.Mapping {
	if m, ok := t.mappings[n]; ok {
		return m
	}
	return events.DefaultMapping(n)
}

// SecretVersion changes when the token, the app secret or the dataset does, and
// is the same in every process that holds the same ones. It tells nothing else.
func (t *Tenant) SecretVersion() string { return t.version }

// LogValue names the tenant by its id.
func (t *Tenant) LogValue() slog.Value { return slog.StringValue(t.ID) }

// secretVersion is 64 bits of a hash over three values of which one, Meta's
// access token, cannot be guessed: too little to test a guess of the others.
func secretVersion(dataset string, token, appSecret Secret) string {
	h := sha256.New()
	for _, part := range []string{"homing/tenant/v1", dataset, token.Reveal(), appSecret.Reveal()} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
