// Package events holds what Homing carries: the conversion a merchant posts, the
// click that earned it, and how each ended.
//
// Parsing is the only place where a phone number or an e-mail address exists in
// plaintext. What [ParseConversion] and [ParseClick] return holds SHA-256 hashes
// instead and is safe to store, queue and log.
package events
