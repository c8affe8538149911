package events

import (
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// MaxBodyBytes is the largest conversion or click that is parsed.
	MaxBodyBytes = 64 << 10

	// maxDepth is how deep the value of a top-level field may nest.
	maxDepth = 16

	maxNamedFields    = 20 // unknown fields that are named in warnings
	maxFieldNameBytes = 64

	// maxAhead is how fast a sender's clock may run.
	maxAhead = 60 * time.Second
)

// body reads a posted object: each value goes to where field points for its
// name, unknown fields become warnings. A null counts as absent.
type body struct {
	*scanner
	warnings []string
	unknown  int
}

// readBody reads a whole body, and returns warnings for its sender. The member
// function reads the value of a name that it knows, and returns false for the
// others.
func readBody(src []byte, member func(b *body, name []byte) (bool, error)) (warnings []string, err error) {
	if len(src) > MaxBodyBytes {
		return nil, &FieldError{
			Reason:  ReasonBodyTooLarge,
			Message: fmt.Sprintf("the object is larger than %d bytes", MaxBodyBytes),
		}
	}
	if at, deep := tooDeep(src, maxDepth+1); deep {
		return nil, invalidJSON(fmt.Sprintf("the JSON is nested deeper than %d levels, at byte %d", maxDepth, at))
	}
	b := body{scanner: newScanner(src)}
	defer b.free()
	if err := b.read(member); err != nil {
		return nil, err
	}
	return b.warnings, nil
}

func (b *body) read(member func(b *body, name []byte) (bool, error)) error {
	if k := b.dec.PeekKind(); k != jsontext.KindBeginObject && k != jsontext.KindInvalid {
		return invalidJSON("the body must be one JSON object")
	}
	err := b.object(func(name []byte) error {
		known, err := member(b, name)
		if known || err != nil {
			return err
		}
		b.ignore(name)
		return b.dec.SkipValue()
	})
	if err == nil {
		err = b.end()
	}
	if err != nil {
		return invalidJSON(jsonFault(b.scanner, err))
	}
	if more := b.unknown - maxNamedFields; more > 0 {
		b.warnings = append(b.warnings, fmt.Sprintf("%d more unknown fields were ignored", more))
	}
	return nil
}

// into reads the next value into dst, unless it is null.
func (b *body) into(dst *jsontext.Value) error {
	v, err := b.value()
	if err == nil && v.Kind() != jsontext.KindNull {
		*dst = v
	}
	return err
}

func (b *body) ignore(name []byte) {
	if b.unknown++; b.unknown > maxNamedFields {
		return
	}
	shown := name[:min(len(name), maxFieldNameBytes)]
	b.warnings = append(b.warnings, "unknown field "+strconv.QuoteToASCII(string(shown))+" was ignored")
}

func invalidJSON(msg string) error { return &FieldError{Reason: ReasonInvalidJSON, Message: msg} }

func invalid(reason Reason, field, msg string) error {
	return &FieldError{Reason: reason, Field: field, Message: msg}
}

func missing(field, msg string) error {
	return &FieldError{Reason: ReasonMissingField, Field: field, Message: msg}
}

// maxClidBytes bounds a ctwa_clid; the ones seen have some 200 bytes.
const maxClidBytes = 1024

// ValidClid reports whether s can be a ctwa_clid: 1 to 1,024 bytes of printable
// ASCII, not all of them spaces. It is an opaque value, kept byte for byte.
func ValidClid(s string) bool {
	blank := true
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7E {
			return false
		}
		blank = blank && s[i] == ' '
	}
	return !blank && len(s) <= maxClidBytes
}

func parseClid(v jsontext.Value) (string, error) {
	b, ok := text(v)
	s := string(b)
	if !ok || !ValidClid(s) {
		return "", invalid(ReasonInvalidField, "ctwa_clid",
			fmt.Sprintf("must be a string of 1 to %d printable ASCII characters", maxClidBytes))
	}
	return s, nil
}

func parseUserID(v jsontext.Value) (Person, error) {
	s, ok := text(v)
	if ok {
		if p, ok := UserPerson(string(s)); ok {
			return p, nil
		}
	}
	return "", invalid(ReasonInvalidField, "wa_user_id",
		fmt.Sprintf("must be a string of 1 to %d printable ASCII characters without spaces", maxUserIDBytes))
}

func parsePhone(v jsontext.Value, field string) (Phone, error) {
	s, ok := text(v)
	if !ok {
		return Phone{}, invalid(ReasonInvalidPhone, field, "must be a string of + and digits")
	}
	p, fault := newPhone(string(s))
	if fault != "" {
		return Phone{}, invalid(ReasonInvalidPhone, field, fault)
	}
	return p, nil
}

// parseTime returns the Unix seconds in v: a whole JSON number or an RFC 3339
// string. A time less than maxAhead in the future is returned as it is. The
// message is empty when all is well.
func parseTime(v jsontext.Value, now time.Time) (at int64, fault string) {
	switch v.Kind() {
	case jsontext.KindNumber:
		n, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil {
			return 0, "must be whole Unix seconds, without fraction or exponent"
		}
		at = n
	case jsontext.KindString:
		t, err := time.Parse(time.RFC3339, string(unquote(v)))
		if err != nil {
			return 0, "must be Unix seconds or a date and time as in RFC 3339, such as 2026-01-31T12:00:00Z"
		}
		at = t.Unix()
	default:
		return 0, "must be Unix seconds or an RFC 3339 string"
	}
	if at > now.Add(maxAhead).Unix() {
		if at/1000 <= now.Add(maxAhead).Unix() && at > 1e11 {
			return 0, "lies in the future; it looks like milliseconds, and must be seconds"
		}
		return 0, fmt.Sprintf("lies more than %d seconds in the future; check the sender's clock", int(maxAhead.Seconds()))
	}
	return at, ""
}
