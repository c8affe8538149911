package events

// Person is a look-up key of a customer: the hex SHA-256 of a phone number in
// WhatsApp's form, or of a business-scoped user id. It never holds plaintext.
type Person string

const (
	// userDomain keeps user ids and phone numbers apart: an id of digits must
	// not find the phone with the same digits.
	userDomain = "wa_user_id\x00"

	maxUserIDBytes = 256
	maxRawDigits   = 32
)

// WhatsAppPerson returns the look-up key of a webhook's from or wa_id: digits,
// perhaps with a +. A number that is valid nowhere still gets a key, made of its
// raw digits. An absent number must never become a key: the customers without
// one would be merged into one.
func WhatsAppPerson(from string) (Person, bool) {
	if len(from) > 0 && from[0] == '+' {
		from = from[1:]
	}
	if len(from) == 0 || len(from) > maxRawDigits || !allDigits(from) {
		return "", false
	}
	if c, ok := canonicalDigits(from); ok {
		return phonePerson(whatsAppDigits(c)), true
	}
	return phonePerson(from), true
}

// UserPerson returns the look-up key of a business-scoped user id, whose case
// matters: 1 to 256 characters of printable ASCII without spaces.
func UserPerson(id string) (Person, bool) {
	if len(id) == 0 || len(id) > maxUserIDBytes || !graphic(id) {
		return "", false
	}
	return Person(hash(userDomain + id)), true
}

func phonePerson(digits string) Person {
	if digits == "" {
		return ""
	}
	return Person(hash(digits))
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// graphic reports whether s holds nothing but 0x21 to 0x7E.
func graphic(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7E {
			return false
		}
	}
	return true
}
