package events

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// scanner walks one JSON text in a single pass. It refuses duplicate names and
// invalid UTF-8, at every depth. The values it returns are parts of the text.
type scanner struct {
	dec jsontext.Decoder
	src []byte
	buf bytes.Buffer // of src; the decoder reads it in place
}

// scanners are kept for their decoders, which grow a list of names per level.
var scanners = sync.Pool{New: func() any { return new(scanner) }}

// maxKeptText is the longest text whose scanner is kept: a decoder holds on to
// the names that it has seen.
const maxKeptText = 16 << 10

// newScanner returns a scanner, which has to be freed when its last value was
// read; the values themselves stay.
func newScanner(src []byte) *scanner {
	s := scanners.Get().(*scanner)
	s.src, s.buf = src, *bytes.NewBuffer(src)
	s.dec.Reset(&s.buf)
	return s
}

func (s *scanner) free() {
	if len(s.src) > maxKeptText {
		return
	}
	s.src, s.buf = nil, bytes.Buffer{}
	s.dec.Reset(&s.buf)
	scanners.Put(s)
}

// value reads the next value, or the next name in an object.
func (s *scanner) value() (jsontext.Value, error) {
	v, err := s.dec.ReadValue()
	if err != nil {
		return nil, err
	}
	// The decoder lends v until its next call; the text stays.
	end := s.dec.InputOffset()
	return s.src[end-int64(len(v)) : end : end], nil
}

// object reads the object that comes next, and calls member for each of its
// names; member must read exactly the value.
func (s *scanner) object(member func(name []byte) error) error {
	if _, err := s.dec.ReadToken(); err != nil {
		return err
	}
	for s.dec.PeekKind() != jsontext.KindEndObject {
		name, err := s.value()
		if err != nil {
			return err
		}
		if err := member(unquote(name)); err != nil {
			return err
		}
	}
	_, err := s.dec.ReadToken()
	return err
}

// array reads and returns the array that comes next, and calls item for each
// index; item must read exactly the item.
func (s *scanner) array(item func(i int) error) (jsontext.Value, error) {
	if _, err := s.dec.ReadToken(); err != nil {
		return nil, err
	}
	start := s.dec.InputOffset() - int64(len("["))
	for i := 0; s.dec.PeekKind() != jsontext.KindEndArray; i++ {
		if err := item(i); err != nil {
			return nil, err
		}
	}
	if _, err := s.dec.ReadToken(); err != nil {
		return nil, err
	}
	return s.src[start:s.dec.InputOffset()], nil
}

// errTrailing is what end returns when the text goes on.
var errTrailing = errors.New("more follows the value")

// end makes sure that the text is over.
func (s *scanner) end() error {
	switch _, err := s.dec.ReadToken(); {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return errTrailing
	default:
		return err
	}
}

// unquote returns the text of a JSON string, without a copy where it can.
func unquote(v jsontext.Value) []byte {
	if bytes.IndexByte(v, '\\') < 0 {
		return v[1 : len(v)-1]
	}
	b, _ := jsontext.AppendUnquote(nil, v) // the scanner has checked it
	return b
}

// text returns the string in v, false when v is something else. It is part of
// the body, or close to it: who keeps it makes a copy.
func text(v jsontext.Value) ([]byte, bool) {
	if v.Kind() != jsontext.KindString {
		return nil, false
	}
	return unquote(v), true
}

// appendCompact appends v, which is valid JSON, without the white space between
// its tokens. Digits and escapes stay as they are.
func appendCompact(dst []byte, v jsontext.Value) []byte {
	inString, from := false, 0
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case c == '\\':
			i++
		case c == '"':
			inString = !inString
		case c <= ' ' && !inString:
			dst = append(dst, v[from:i]...)
			from = i + 1
		}
	}
	return append(dst, v[from:]...)
}

// tooDeep returns the offset of the first bracket that opens more than limit
// levels. It looks before the parser does, so that hostile nesting costs nothing.
func tooDeep(src []byte, limit int) (int, bool) {
	if bytes.Count(src, []byte("{"))+bytes.Count(src, []byte("[")) <= limit {
		return 0, false
	}
	depth, inString := 0, false
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return i, true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return 0, false
}

// jsonFault says where a text stops being JSON, without repeating any of it.
func jsonFault(s *scanner, err error) string {
	at := s.dec.InputOffset()
	if se, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		at = se.ByteOffset
	}
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return fmt.Sprintf("the same name occurs twice in one object, at byte %d", at)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Sprintf("the JSON ends too early, at byte %d", len(s.src))
	case errors.Is(err, errTrailing):
		return fmt.Sprintf("something follows the object, before byte %d", at)
	default:
		return fmt.Sprintf("not valid JSON in UTF-8, at byte %d", at)
	}
}
