package tenants

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// digest is the SHA-256 of a secret.
type digest = [sha256.Size]byte

// Set is everything a tenants file says. It never changes.
type Set struct {
	sorted  []*Tenant // by id
	byID    map[string]*Tenant
	byWABA  map[string]*Tenant
	keys    map[digest]apiKey
	webhook webhook
}

// apiKey repeats its digest so that a hit can be compared in constant time.
type apiKey struct {
	sum   digest
	owner *Tenant
}

// webhook is how Meta's WhatsApp webhooks prove themselves.
type webhook struct {
	verifyToken Secret
	appSecrets  []appSecret
}

// appSecret is a secret of a Meta app and what it may speak for.
type appSecret struct {
	secret Secret
	wabas  []string // empty: all
}

// Tenant returns the tenant of an id.
func (s *Set) Tenant(id string) (*Tenant, bool) {
	t, ok := s.byID[id]
	return t, ok
}

// ByWABA returns the tenant of a WhatsApp business account.
func (s *Set) ByWABA(waba string) (*Tenant, bool) {
	t, ok := s.byWABA[waba]
	return t, ok
}

// All returns the tenants, sorted by id. The slice is the caller's.
func (s *Set) All() []*Tenant { return slices.Clone(s.sorted) }

// Len returns the number of tenants.
func (s *Set) Len() int { return len(s.sorted) }

// Authenticate returns the tenant whose API key this is. The time it takes
// tells nothing about the keys: what is looked up is a hash, which a caller
// cannot steer, and a miss costs a comparison like a hit.
func (s *Set) Authenticate(key string) (*Tenant, bool) {
	sum := sha256.Sum256([]byte(key))
	k, found := s.keys[sum] // a miss leaves a zero digest to compare with
	same := subtle.ConstantTimeCompare(k.sum[:], sum[:]) == 1
	if !found || !same {
		return nil, false
	}
	return k.owner, true
}

// VerifyToken reports whether token is the configured hub.verify_token, in
// constant time.
func (s *Set) VerifyToken(token string) bool {
	want := sha256.Sum256([]byte(s.webhook.verifyToken.Reveal()))
	got := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1 && !s.webhook.verifyToken.IsZero()
}

// VerifySignature checks the X-Hub-Signature-256 header of a webhook's raw body
// ("sha256=" and the hex HMAC) against every app secret, without an early exit,
// and returns what the ones that match may speak for, together.
func (s *Set) VerifySignature(body []byte, header string) (scope Scope, ok bool) {
	text, found := strings.CutPrefix(header, "sha256=")
	if !found || len(text) != hex.EncodedLen(sha256.Size) {
		return Scope{}, false
	}
	got, err := hex.DecodeString(text)
	if err != nil {
		return Scope{}, false
	}
	for _, a := range s.webhook.appSecrets {
		mac := hmac.New(sha256.New, []byte(a.secret.Reveal()))
		mac.Write(body)
		if hmac.Equal(mac.Sum(nil), got) {
			scope.add(a)
			ok = true
		}
	}
	return scope, ok
}

// Format prints the size only: a Set holds secrets and hashes of keys.
func (s *Set) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, s.summary())
}

// LogValue prints the size only.
func (s *Set) LogValue() slog.Value { return slog.StringValue(s.summary()) }

func (s *Set) summary() string {
	if s == nil {
		return "no tenants"
	}
	return fmt.Sprintf("%d tenants", len(s.sorted))
}

// SecretsChangedSince returns the tenants that old knew with another token, app
// secret or dataset, sorted by id: what was refused before may be worth another
// try.
func (s *Set) SecretsChangedSince(old *Set) []*Tenant {
	var changed []*Tenant
	for _, t := range s.sorted {
		if before, ok := old.Tenant(t.ID); ok && before.version != t.version {
			changed = append(changed, t)
		}
	}
	return changed
}

// Scope is the WhatsApp business accounts that a signed webhook may speak for.
// The zero Scope allows none.
type Scope struct {
	all   bool
	wabas []string
}

// Allows reports whether the webhook may speak for waba.
func (s Scope) Allows(waba string) bool { return s.all || slices.Contains(s.wabas, waba) }

func (s *Scope) add(a appSecret) {
	s.all = s.all || len(a.wabas) == 0
	s.wabas = append(s.wabas, a.wabas...)
}
