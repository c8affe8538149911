package tenants

import "log/slog"

const redacted = "[redacted]"

// Secret is a text that no log, error or message may show: however it is
// printed or marshalled it says "[redacted]".
type Secret struct {
	// A pointer, since fmt calls no String method on the unexported fields of
	// the structs around it: it then prints an address, not the text.
	text *string
}

// NewSecret returns a Secret that holds text; without text, the zero Secret.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// Reveal returns the text. Call it only where the text is put to use.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether there is no text.
func (s Secret) IsZero() bool { return s.text == nil }

// String hides the text.
func (s Secret) String() string { return redacted }

// GoString hides the text from %#v.
func (s Secret) GoString() string { return redacted }

// LogValue hides the text from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the text from YAML, XML and map keys.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON hides the text from JSON.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
