package events

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
)

const (
	maxEmailBytes      = 320 // 64 before the @, 255 after it
	maxExternalIDBytes = 256
)

// hash returns the lower-case hex SHA-256 of s, as Meta asks for it.
func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	var digits [2 * sha256.Size]byte
	hex.Encode(digits[:], sum[:])
	return string(digits[:])
}

// hashEmail returns the hash of an e-mail address, normalised as Meta's SDKs do
// it: trimmed and lower-case. A value that already is a hash is kept.
func hashEmail(s string) (string, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	if isHash(s) {
		return s, nil
	}
	if msg := emailFault(s); msg != "" {
		return "", &FieldError{Reason: ReasonInvalidEmail, Field: "email", Message: msg}
	}
	return hash(s), nil
}

// emailFault says what is wrong with a normalised address. It asks for what
// Meta's SDKs ask for, a dot in the domain included, and no more: what the
// address may hold is for its mail server to say.
func emailFault(s string) string {
	if len(s) > maxEmailBytes {
		return fmt.Sprintf("is longer than %d bytes", maxEmailBytes)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return "must not hold spaces or control characters"
	}
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" || domain == "" || strings.Contains(domain, "@") {
		return "must be one name, one @ and one domain"
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" {
			return "has a domain with an empty part"
		}
	}
	if !strings.Contains(domain, ".") {
		return "has a domain without a dot"
	}
	return ""
}

// hashExternalID returns the hash of an external id, normalised like the e-mail
// address. A value that already is a hash is kept.
func hashExternalID(s string) (string, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	switch {
	case s == "":
		return "", &FieldError{Reason: ReasonInvalidField, Field: "external_id", Message: "must not be empty; leave it out instead"}
	case len(s) > maxExternalIDBytes:
		return "", &FieldError{
			Reason: ReasonInvalidField, Field: "external_id",
			Message: fmt.Sprintf("is longer than %d bytes", maxExternalIDBytes),
		}
	case isHash(s):
		return s, nil
	}
	return hash(s), nil
}

// isHash reports whether s, in lower case, already is a hex SHA-256.
func isHash(s string) bool {
	if len(s) != 2*sha256.Size {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
