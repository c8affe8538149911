package dedup

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A record is a line of text: the state's letter, the version, and fields of one
// letter and a value, in a fixed order, empty ones left out:
//
//	D1 a=0198c1 o=delivered t=1763838000123 n=Q5ZK e=Purchase m=1 c=ARAk...
//
// Values are escaped like a URL's, so whatever a header held can't forge a field.
const (
	recordVersion = '1'
	maxRecord     = 32 << 10 // longer is not ours
	maxNoteField  = 1 << 10  // a note is for show; cut rather than refuse
)

// EncodeRecord returns r as the text that the store keeps. Times are kept to the
// millisecond, and what a Note holds to 1 KiB a field.
func EncodeRecord(r Record) string {
	b := make([]byte, 0, 256)
	b = append(b, byte(r.State), recordVersion)
	text := func(letter byte, v string) {
		if v != "" {
			b = append(b, ' ', letter, '=')
			b = appendEscaped(b, v)
		}
	}
	number := func(letter byte, v int) {
		if v != 0 {
			b = append(b, ' ', letter, '=')
			b = strconv.AppendInt(b, int64(v), 10)
		}
	}
	moment := func(letter byte, t time.Time) {
		if !t.IsZero() {
			b = append(b, ' ', letter, '=')
			b = strconv.AppendInt(b, t.UnixMilli(), 10)
		}
	}
	text('a', r.Accept)
	number('r', r.Round)
	if r.Unsure {
		b = append(b, " u=1"...)
	}
	number('k', r.Unknowns)
	text('o', r.Outcome)
	text('w', r.Reason)
	moment('t', r.At)
	moment('x', r.NextAt)
	text('s', r.Stream)
	if r.Seq != 0 {
		b = append(b, " q="...)
		b = strconv.AppendUint(b, r.Seq, 10)
	}
	text('n', r.Nonce)
	number('i', r.Tries)
	text('e', cut(r.Note.Name))
	number('m', r.Note.Attempts)
	text('c', cut(r.Note.Clid))
	text('f', cut(r.Note.FbtraceID))
	text('y', cut(r.Note.TraceID))
	moment('z', r.Note.AcceptedAt)
	return string(b)
}

// errRecord is what every undecodable record is.
var errRecord = errors.New("dedup: not a record of this version")

// DecodeRecord is the reverse of EncodeRecord. A text that is not a record, or
// of another version, is an error.
func DecodeRecord(s string) (Record, error) {
	if len(s) < 2 || len(s) > maxRecord || s[1] != recordVersion {
		return Record{}, errRecord
	}
	r := Record{State: State(s[0])}
	switch r.State {
	case Queued, Waiting, Claimed, Decided:
	default:
		return Record{}, errRecord
	}
	seen := [256]bool{}
	for rest := s[2:]; rest != ""; {
		if rest[0] != ' ' {
			return Record{}, errRecord
		}
		var field string
		field, rest = rest[1:], ""
		if end := strings.IndexByte(field, ' '); end >= 0 {
			field, rest = field[:end], field[end:]
		}
		if len(field) < 3 || field[1] != '=' || seen[field[0]] {
			return Record{}, errRecord
		}
		seen[field[0]] = true
		if err := r.set(field[0], field[2:]); err != nil {
			return Record{}, fmt.Errorf("%w: field %q", errRecord, field[0])
		}
	}
	return r, nil
}

// set decodes the value of one field.
func (r *Record) set(letter byte, v string) (err error) {
	switch letter {
	case 'a':
		r.Accept, err = unescape(v)
	case 'r':
		r.Round, err = strconv.Atoi(v)
	case 'u':
		if r.Unsure = v == "1"; !r.Unsure {
			return errRecord
		}
	case 'k':
		r.Unknowns, err = strconv.Atoi(v)
	case 'o':
		r.Outcome, err = unescape(v)
	case 'w':
		r.Reason, err = unescape(v)
	case 't':
		r.At, err = parseMoment(v)
	case 'x':
		r.NextAt, err = parseMoment(v)
	case 's':
		r.Stream, err = unescape(v)
	case 'q':
		r.Seq, err = strconv.ParseUint(v, 10, 64)
	case 'n':
		r.Nonce, err = unescape(v)
	case 'i':
		r.Tries, err = strconv.Atoi(v)
	case 'e':
		r.Note.Name, err = unescape(v)
	case 'm':
		r.Note.Attempts, err = strconv.Atoi(v)
	case 'c':
		r.Note.Clid, err = unescape(v)
	case 'f':
		r.Note.FbtraceID, err = unescape(v)
	case 'y':
		r.Note.TraceID, err = unescape(v)
	case 'z':
		r.Note.AcceptedAt, err = parseMoment(v)
	default:
		return errRecord
	}
	return err
}

// maxMoment keeps times within the years that time.Time prints and compares.
const maxMoment = 253402300799999

func parseMoment(v string) (time.Time, error) {
	ms, err := strconv.ParseInt(v, 10, 64)
	if err != nil || ms > maxMoment || ms < -maxMoment {
		return time.Time{}, errRecord
	}
	return time.UnixMilli(ms).UTC(), nil
}

const hexDigits = "0123456789ABCDEF"

// appendEscaped writes v so that no byte of it ends a field: printable ASCII but
// space and % stays readable, the rest becomes %XX.
func appendEscaped(b []byte, v string) []byte {
	for i := range len(v) {
		if c := v[i]; c > ' ' && c < 0x7F && c != '%' {
			b = append(b, c)
		} else {
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}

func unescape(v string) (string, error) {
	if strings.IndexByte(v, '%') < 0 {
		return v, nil
	}
	b := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		if v[i] != '%' {
			b = append(b, v[i])
			continue
		}
		if i+2 >= len(v) {
			return "", errRecord
		}
		c, err := strconv.ParseUint(v[i+1:i+3], 16, 8)
		if err != nil {
			return "", err
		}
		b = append(b, byte(c))
		i += 2
	}
	return string(b), nil
}

func cut(v string) string { return v[:min(len(v), maxNoteField)] }
