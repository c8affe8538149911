package sandbox

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// cursor walks a JSON text token by token. What it returns points into the
// text itself, so it lives as long as the text and costs no allocation.
type cursor struct {
	text []byte
	dec  *jsontext.Decoder
}

func newCursor(text []byte) *cursor {
	return &cursor{text: text, dec: jsontext.NewDecoder(bytes.NewBuffer(text))}
}

// kind is the kind of the next value: one of n, t, f, ", 0, {, }, [, ].
func (c *cursor) kind() jsontext.Kind { return c.dec.PeekKind() }

// enter reads the { or [ that kind has shown.
func (c *cursor) enter() error { _, err := c.dec.ReadToken(); return err }

// more reports whether the object or array that was entered goes on; the
// closing bracket is read when it does not.
func (c *cursor) more() (bool, error) {
	switch c.dec.PeekKind() {
	case '}', ']':
		_, err := c.dec.ReadToken()
		return false, err
	default:
		return true, nil
	}
}

// value reads one whole value, unparsed.
func (c *cursor) value() ([]byte, error) {
	raw, err := c.dec.ReadValue()
	if err != nil {
		return nil, err
	}
	end := int(c.dec.InputOffset())
	return c.text[end-len(raw) : end], nil
}

// name reads the name of an object's next member.
func (c *cursor) name() ([]byte, error) {
	v, err := c.value()
	if err != nil {
		return nil, err
	}
	return unquote(v), nil
}

// str reads a value and returns its content if it is a string.
func (c *cursor) str() (s []byte, ok bool, err error) {
	v, err := c.value()
	if err != nil || v[0] != '"' {
		return nil, false, err
	}
	return unquote(v), true, nil
}

// skip reads and drops one value.
func (c *cursor) skip() error { return c.dec.SkipValue() }

// end reports whether nothing but white space is left.
func (c *cursor) end() bool {
	return len(bytes.TrimLeft(c.text[c.dec.InputOffset():], " \t\r\n")) == 0
}

// unquote returns the content of a JSON string that is known to be valid.
func unquote(v []byte) []byte {
	if bytes.IndexByte(v, '\\') < 0 {
		return v[1 : len(v)-1]
	}
	s, _ := jsontext.AppendUnquote(nil, v)
	return s
}
