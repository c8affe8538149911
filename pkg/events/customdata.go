package events

import (
	"encoding/json"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// customData is the custom_data of a body, taken apart: currency and value are
// lifted out, since they may stand outside as well.
type customData struct {
	currency, value jsontext.Value
	fault           error // the first thing wrong with it, told once the body is known to be JSON

	// The others, in order: mostly few, which then need no memory of their own.
	few   [8]member
	count int // of few
	more  []member
}

// member is a part of custom_data that is passed on.
type member struct {
	name  []byte // without quotes
	value jsontext.Value
}

// read reads the value of custom_data from s.
func (c *customData) read(s *scanner) error {
	switch s.dec.PeekKind() {
	case jsontext.KindBeginObject:
	case jsontext.KindNull:
		return s.dec.SkipValue()
	default:
		c.fault = invalid(ReasonInvalidField, "custom_data", "must be an object")
		return s.dec.SkipValue()
	}
	return s.object(func(name []byte) error {
		var v jsontext.Value
		var err error
		if string(name) == "contents" {
			v, err = c.readContents(s)
		} else {
			v, err = s.value()
		}
		if err != nil {
			return err
		}
		switch string(name) {
		case "currency":
			c.currency = present(v)
		case "value":
			c.value = present(v)
		default:
			c.keep(member{name, v})
		}
		return nil
	})
}

func (c *customData) keep(m member) {
	if c.count == len(c.few) {
		c.more = append(c.more, m)
		return
	}
	c.few[c.count] = m
	c.count++
}

// readContents reads contents: each object in it needs an id, else Meta refuses
// the event (subcode 2804008), and with it the whole batch.
func (c *customData) readContents(s *scanner) (jsontext.Value, error) {
	if s.dec.PeekKind() != jsontext.KindBeginArray {
		return s.value()
	}
	return s.array(func(i int) error {
		if s.dec.PeekKind() != jsontext.KindBeginObject {
			return s.dec.SkipValue()
		}
		hasID := false
		err := s.object(func(name []byte) error {
			v, err := s.value()
			if err == nil && string(name) == "id" {
				hasID = isItemID(v)
			}
			return err
		})
		if err == nil && !hasID && c.fault == nil {
			c.fault = invalid(ReasonInvalidField, fmt.Sprintf("custom_data.contents[%d].id", i),
				"must be a string that is not empty; Meta refuses items without an id")
		}
		return err
	})
}

// isItemID reports whether v is an id: a string that is not empty, or a number.
func isItemID(v jsontext.Value) bool {
	return v.Kind() == jsontext.KindNumber || v.Kind() == jsontext.KindString && len(v) > len(`""`)
}

// currencyPrefix is how the custom_data of an event with a value starts.
const currencyPrefix = `{"currency":"`

// object returns the custom_data that Meta is sent, nil when it is empty. With a
// value it starts with code, else that is ignored.
func (c *customData) object(code currencyCode, value jsontext.Value) json.RawMessage {
	if value == nil && c.count == 0 {
		return nil
	}
	size := len(currencyPrefix) + len(`USD","value":}`) + len(value)
	for _, list := range [...][]member{c.few[:c.count], c.more} {
		for _, m := range list {
			size += len(`,"":`) + len(m.name) + len(m.value)
		}
	}
	dst := make([]byte, 0, size)
	if value != nil {
		dst = append(dst, currencyPrefix...)
		dst = append(dst, code[:]...)
		dst = append(dst, `","value":`...)
		dst = append(dst, value...)
	}
	for _, list := range [...][]member{c.few[:c.count], c.more} {
		for _, m := range list {
			dst = append(dst, ',')
			dst, _ = jsontext.AppendQuote(dst, m.name)
			dst = append(dst, ':')
			dst = appendCompact(dst, m.value)
		}
	}
	dst[0] = '{' // where there is no value it starts with a comma
	return append(dst, '}')
}

// present returns nil for a JSON null.
func present(v jsontext.Value) jsontext.Value {
	if v.Kind() == jsontext.KindNull {
		return nil
	}
	return v
}
