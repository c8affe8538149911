package events

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// Event is one conversion, accepted and safe to store: whatever named a person
// is a SHA-256 hash. It is what travels through the queue.
type Event struct {
	Tenant string
	Name   Name
	// ID is the merchant's event_id; with Tenant and Name it is the event's key.
	ID string
	// Time is when the conversion happened, in Unix seconds.
	Time int64

	// Clid is the click pinned at acceptance; empty when none was known.
	Clid string
	// WABA is the WhatsApp business account the pinned click came by; may be
	// empty although Clid is not.
	WABA string

	// Persons are the look-up keys of the customer in the click store.
	Persons []Person
	// Phones, Emails and ExternalIDs are lower-case hex SHA-256 hashes as Meta
	// asks for them in ph, em and external_id.
	Phones, Emails, ExternalIDs []string

	// CustomData is the JSON object sent as custom_data, currency and value
	// included digit for digit; nil when there is nothing to send.
	CustomData json.RawMessage
}

// Key returns the event's key: events with the same key are one conversion.
func (e *Event) Key() Key { return MakeKey(e.Tenant, e.Name, e.ID) }

// Matchable reports whether e names its customer by something that Meta matches
// without a click.
func (e *Event) Matchable() bool {
	return len(e.Phones)+len(e.Emails)+len(e.ExternalIDs) > 0
}

// HasValue reports whether CustomData holds a currency and a value: they come
// first, always both.
func (e *Event) HasValue() bool {
	return bytes.HasPrefix(e.CustomData, []byte(currencyPrefix))
}

// Click is one tap on a Click-to-WhatsApp ad.
type Click struct {
	Tenant string
	// Persons are the look-up keys of whoever tapped; never empty.
	Persons []Person
	// Clid is Meta's ctwa_clid, byte for byte.
	Clid string
	// At is the time of the WhatsApp message, in Unix seconds.
	At int64
	// WABA is the WhatsApp business account that received the message; may be empty.
	WABA string
	// Trace is the W3C traceparent of what brought it, where that is sampled. It
	// travels beside the click, never in its wire form.
	Trace string
}

// Key names one conversion: 128 bits of the SHA-256 of tenant, event name and
// event id, in hex. Lead and LeadSubmitted share a key, since Meta is sent the
// same event for both.
type Key string

// MakeKey returns the key of (tenant, name, id).
func MakeKey(tenant string, name Name, id string) Key {
	b := make([]byte, 0, 256) // all of it, as a rule
	for _, part := range [...]string{tenant, string(name.Canonical()), id} {
		b = append(b, part...)
		b = append(b, 0)
	}
	sum := sha256.Sum256(b)
	var digits [32]byte
	hex.Encode(digits[:], sum[:16])
	return Key(digits[:])
}

// Settlement is one line of the ledger: how one acceptance of an event ended.
type Settlement struct {
	Accept  string  // Homing-Id of the acceptance
	Origin  uint64  // its number: the sequence in HOMING_EVENTS
	Round   int     // one more per replay from the dead letters
	Outcome Outcome // always terminal
	Reason  Reason
	Unsure  bool // Meta may have counted it more than once, or not at all

	Tenant     string
	Name       Name
	ID         string // event_id
	Attempts   int    // calls to Meta that carried it
	Clid       string
	FbtraceID  string
	TraceID    string
	AcceptedAt time.Time
	At         time.Time
}
