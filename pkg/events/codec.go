package events

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// The wire form is one compact JSON object whose first member is the version.
// A field may be added without a new version: older code ignores it. A change of
// meaning needs one: older code must not guess, and sends the message to the
// dead letters unchanged.
const (
	codecVersion = 1

	maxEventBytes       = 256 << 10
	maxClickBytes       = 16 << 10
	maxSettlementsBytes = 8 << 20
	maxListItems        = 64
	maxWireStringBytes  = 4 << 10
)

var errVersion = errors.New(`the first member must be the version, "v"`)

// encoder appends members to one JSON object.
type encoder struct{ buf []byte }

func newEncoder(version int64, size int) *encoder {
	e := &encoder{buf: make([]byte, 0, size)}
	e.buf = append(e.buf, `{"v":`...)
	e.buf = strconv.AppendInt(e.buf, version, 10)
	return e
}

func (e *encoder) done() []byte { return append(e.buf, '}') }

// name appends a name, which must need no escaping.
func (e *encoder) name(name string) {
	if e.buf[len(e.buf)-1] != '{' {
		e.buf = append(e.buf, ',')
	}
	e.buf = append(e.buf, '"')
	e.buf = append(e.buf, name...)
	e.buf = append(e.buf, '"', ':')
}

func (e *encoder) quote(s string) {
	// Its only error is invalid UTF-8, which it replaces; none of our strings
	// can hold any, since they were parsed from JSON.
	e.buf, _ = jsontext.AppendQuote(e.buf, s)
}

func (e *encoder) string(name, s string) {
	if s != "" {
		e.name(name)
		e.quote(s)
	}
}

func (e *encoder) int(name string, n int64) {
	if n != 0 {
		e.name(name)
		e.buf = strconv.AppendInt(e.buf, n, 10)
	}
}

func (e *encoder) bool(name string, b bool) {
	if b {
		e.name(name)
		e.buf = append(e.buf, "true"...)
	}
}

func (e *encoder) raw(name string, v []byte) {
	if len(v) > 0 {
		e.name(name)
		e.buf = append(e.buf, v...)
	}
}

func encodeList[S ~string](e *encoder, name string, list []S) {
	if len(list) == 0 {
		return
	}
	e.name(name)
	e.buf = append(e.buf, '[')
	for i, s := range list {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.quote(string(s))
	}
	e.buf = append(e.buf, ']')
}

// decoder reads what an encoder wrote, and ignores what it does not know.
type decoder struct {
	*scanner
	// shared is the message as a string, which the decoded strings become parts
	// of: cheap, but each keeps all of it in memory. Without it each is a copy.
	shared string
	// newest is the newest version that is read; 0: codecVersion.
	newest int64
}

// decode reads one versioned object. The member function reads the value of a
// name that it knows, and returns false for the others.
func (d decoder) decode(data []byte, limit int, member func(d decoder, name []byte) (bool, error)) error {
	if len(data) > limit {
		return fmt.Errorf("%d bytes, more than the %d allowed", len(data), limit)
	}
	d.scanner = newScanner(data)
	defer d.free()
	if d.dec.PeekKind() != jsontext.KindBeginObject {
		return errVersion
	}
	versioned := false
	err := d.object(func(name []byte) error {
		if !versioned {
			versioned = true
			return d.version(name)
		}
		return d.member(name, member)
	})
	if err == nil && !versioned {
		err = errVersion
	}
	if err == nil {
		err = d.end()
	}
	return d.wrap(err)
}

// wrap gives a fault of the JSON a message that repeats none of it.
func (d decoder) wrap(err error) error {
	if _, ok := errors.AsType[*jsontext.SyntacticError](err); ok ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errTrailing) {
		return errors.New(jsonFault(d.scanner, err))
	}
	return err
}

func (d decoder) version(name []byte) error {
	if string(name) != "v" {
		return errVersion
	}
	v, err := d.value()
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil {
		return errVersion
	}
	if newest := max(codecVersion, d.newest); n < 1 || n > newest {
		return fmt.Errorf("version %d is unknown, this program reads version %d: it was written by a newer one", n, newest)
	}
	return nil
}

func (d decoder) member(name []byte, member func(d decoder, name []byte) (bool, error)) error {
	known, err := member(d, name)
	switch {
	case err != nil:
		return err
	case known:
		return nil
	default:
		return d.dec.SkipValue()
	}
}

func decodeString[S ~string](d decoder, name []byte, dst *S) (bool, error) {
	v, err := d.value()
	if err != nil {
		return true, err
	}
	s, ok := text(v)
	if !ok || len(s) > maxWireStringBytes {
		return true, fmt.Errorf("%s must be a string of at most %d bytes", name, maxWireStringBytes)
	}
	if escaped := len(s) != len(v)-len(`""`); escaped || d.shared == "" {
		*dst = S(s)
	} else {
		end := int(d.dec.InputOffset()) - len(`"`)
		*dst = S(d.shared[end-len(s) : end])
	}
	return true, nil
}

func decodeList[S ~string](d decoder, name []byte, dst *[]S) (bool, error) {
	fault := func() error { return fmt.Errorf("%s must be a list of at most %d strings", name, maxListItems) }
	if k := d.dec.PeekKind(); k != jsontext.KindBeginArray && k != jsontext.KindInvalid {
		return true, fault()
	}
	var few [4]S // as many as there are, as a rule
	list := few[:0]
	_, err := d.array(func(i int) error {
		if i == maxListItems {
			return fault()
		}
		var s S
		if _, err := decodeString(d, name, &s); err != nil {
			return err
		}
		list = append(list, s)
		return nil
	})
	if len(list) > 0 {
		*dst = slices.Clone(list)
	}
	return true, err
}

func decodeInt(d decoder, name []byte, dst *int64) (bool, error) {
	v, err := d.value()
	if err != nil {
		return true, err
	}
	if *dst, err = strconv.ParseInt(string(v), 10, 64); err != nil {
		return true, fmt.Errorf("%s must be a whole number", name)
	}
	return true, nil
}

func decodeBool(d decoder, name []byte, dst *bool) (bool, error) {
	v, err := d.value()
	if err != nil {
		return true, err
	}
	if v.Kind() != jsontext.KindTrue && v.Kind() != jsontext.KindFalse {
		return true, fmt.Errorf("%s must be true or false", name)
	}
	*dst = v.Kind() == jsontext.KindTrue
	return true, nil
}

// decodeObject reads an object, as a part of the message.
func decodeObject(d decoder, name []byte, dst *[]byte) (bool, error) {
	v, err := d.value()
	if err != nil {
		return true, err
	}
	if v.Kind() != jsontext.KindBeginObject {
		return true, fmt.Errorf("%s must be an object", name)
	}
	*dst = v
	return true, nil
}
