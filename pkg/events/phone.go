package events

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"

	"github.com/nyaruka/phonenumbers"
)

// maxPhoneBytes and maxPhoneDigits bound what is looked at; E.164 numbers have
// at most 15 digits, trunk prefixes and Argentina's 15 come on top.
const (
	maxPhoneBytes  = 64
	maxPhoneDigits = 20
)

const redactedPhone = "phone(redacted)"

// Phone is a valid phone number. Its digits can be hashed, but neither read nor
// printed. The zero Phone is no number.
type Phone struct {
	canonical string // E.164 digits, without the +
	whatsApp  string // as WhatsApp writes it; often the same
}

// ParsePhone parses a + and digits; spaces, dots, dashes and brackets between
// them are ignored. The number must be valid for its country, or become so by
// adding Brazil's ninth digit, dropping Mexico's 1, or adding Argentina's 9
// (dropping 15). The error is a *FieldError and never repeats s.
func ParsePhone(s string) (Phone, error) {
	p, fault := newPhone(s)
	if fault != "" {
		return Phone{}, invalid(ReasonInvalidPhone, "phone_number", fault)
	}
	return p, nil
}

// newPhone returns the number in s, or what is wrong with it.
func newPhone(s string) (p Phone, fault string) {
	digits, fault := phoneDigits(s)
	if fault != "" {
		return Phone{}, fault
	}
	c, ok := canonicalDigits(digits)
	if !ok {
		return Phone{}, "is not a valid number of its country; write it as +, country code and number"
	}
	return Phone{canonical: c, whatsApp: whatsAppDigits(c)}, ""
}

// Hashes returns what Meta is sent as ph: the SHA-256 of the canonical digits
// and, where it differs, of WhatsApp's form.
func (p Phone) Hashes() []string {
	hashes, _ := p.hashes()
	return hashes
}

// Person returns the look-up key of the number, the same for each of its forms.
func (p Phone) Person() Person { return phonePerson(p.whatsApp) }

// hashes returns Hashes and Person at once: the last hash is the person.
func (p Phone) hashes() ([]string, Person) {
	if p.canonical == "" {
		return nil, ""
	}
	first := hash(p.canonical)
	if p.whatsApp == p.canonical {
		return []string{first}, Person(first)
	}
	second := hash(p.whatsApp)
	return []string{first, second}, Person(second)
}

// String returns a placeholder.
func (p Phone) String() string { return redactedPhone }

// Format writes the placeholder for every verb: %d and %#v would print the
// fields of a plain struct.
func (p Phone) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, redactedPhone) }

// LogValue returns the placeholder.
func (p Phone) LogValue() slog.Value { return slog.StringValue(redactedPhone) }

// MarshalJSON returns the placeholder.
func (p Phone) MarshalJSON() ([]byte, error) { return json.Marshal(redactedPhone) }

// phoneDigits returns the digits of s, without its +, or what is wrong with it.
func phoneDigits(s string) (digits, fault string) {
	if len(s) > maxPhoneBytes {
		return "", fmt.Sprintf("is longer than %d bytes", maxPhoneBytes)
	}
	b := make([]byte, 0, maxPhoneDigits)
	plus := false
	for _, r := range s {
		switch {
		case r == ' ' || r == '-':
		case r == '+' && !plus && len(b) == 0:
			plus = true
		case '0' <= r && r <= '9':
			if !plus {
				return "", "must start with + and the country code"
			}
			if len(b) == maxPhoneDigits {
				return "", "has too many digits"
			}
			b = append(b, byte(r))
		case r == '.' || strings.ContainsRune("()[]", r) || unicode.Is(unicode.Zs, r) || unicode.Is(unicode.Pd, r):
		default:
			return "", "may hold only +, digits, spaces, dots, dashes and brackets"
		}
	}
	if len(b) == 0 {
		return "", "must be + and digits"
	}
	return string(b), ""
}

// canonicalDigits returns the valid form of digits, which start with a country
// code.
func canonicalDigits(digits string) (string, bool) {
	if d, ok := validDigits(digits); ok {
		return d, true
	}
	for _, candidate := range rewrites(digits) {
		if d, ok := validDigits(candidate); ok {
			return d, true
		}
	}
	return "", false
}

// validDigits returns the E.164 digits of a number that is valid as it stands;
// they differ from digits where those hold a trunk prefix.
func validDigits(digits string) (string, bool) {
	switch numbering().judge(digits) {
	case validNumber:
		return digits, true
	case invalidNumber:
		return "", false
	default:
		return libraryDigits(digits)
	}
}

// libraryDigits is validDigits as the phone library says it.
func libraryDigits(digits string) (string, bool) {
	n, err := phonenumbers.Parse("+"+digits, "")
	if err != nil || !phonenumbers.IsValidNumber(n) {
		return "", false
	}
	return strings.TrimPrefix(phonenumbers.Format(n, phonenumbers.E164), "+"), true
}

// rewrites returns the forms to try for a number that is not valid as it stands.
func rewrites(digits string) []string {
	if rest, ok := strings.CutPrefix(digits, "55"); ok && len(rest) == 10 && oldMobile(rest[2]) {
		return []string{"55" + rest[:2] + "9" + rest[2:]}
	}
	if rest, ok := strings.CutPrefix(digits, "521"); ok && len(rest) == 10 {
		return []string{"52" + rest}
	}
	if rest, ok := strings.CutPrefix(digits, "54"); ok {
		rest = strings.TrimPrefix(rest, "0")
		rest = strings.TrimPrefix(rest, "9")
		switch len(rest) {
		case 10:
			return []string{"549" + rest}
		case 12: // area code of 2 to 4 digits, 15, subscriber
			var forms []string
			for area := 2; area <= 4; area++ {
				if rest[area:area+2] == "15" {
					forms = append(forms, "549"+rest[:area]+rest[area+2:])
				}
			}
			return forms
		}
	}
	return nil
}

// oldMobile reports whether an eight-digit Brazilian number that starts with c
// is a mobile one, written without its ninth digit; landlines start with 2 to 5.
func oldMobile(c byte) bool { return '6' <= c && c <= '9' }

// whatsAppDigits returns WhatsApp's form of a canonical number. Accounts made
// before a country changed its numbers keep the old form for ever:
// Brazil's area codes from 31 on have no ninth digit, Mexico has a 1 and
// Argentina a 9 after the country code.
func whatsAppDigits(canonical string) string {
	if rest, ok := strings.CutPrefix(canonical, "55"); ok {
		switch {
		case len(rest) == 11 && rest[:2] >= "31" && rest[2] == '9' && oldMobile(rest[3]):
			return "55" + rest[:2] + rest[3:]
		case len(rest) == 10 && rest[:2] < "31" && oldMobile(rest[2]):
			// Old trunking numbers (7x) count as valid without the digit.
			return "55" + rest[:2] + "9" + rest[2:]
		}
		return canonical
	}
	if rest, ok := strings.CutPrefix(canonical, "52"); ok && len(rest) == 10 {
		return "521" + rest
	}
	if rest, ok := strings.CutPrefix(canonical, "54"); ok && len(rest) == 10 {
		return "549" + rest
	}
	return canonical
}
