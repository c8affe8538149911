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

// recordSize is what most records take at most.
const recordSize = 384

// EncodeRecord returns r as the text that the store keeps. Times are kept to the
// millisecond, and what a Note holds to 1 KiB a field.
func EncodeRecord(r Record) string {
	return string(appendRecord(make([]byte, 0, recordSize), &r))
}

func appendRecord(b []byte, r *Record) []byte {
	b = append(b, byte(r.State), recordVersion)
	b = appendText(b, 'a', r.Accept)
	b = appendNumber(b, 'r', r.Round)
	if r.Unsure {
		b = append(b, " u=1"...)
	}
	b = appendNumber(b, 'k', r.Unknowns)
	b = appendText(b, 'o', r.Outcome)
	b = appendText(b, 'w', r.Reason)
	b = appendMoment(b, 't', r.At)
	b = appendMoment(b, 'x', r.NextAt)
	b = appendText(b, 's', r.Stream)
	if r.Seq != 0 {
		b = strconv.AppendUint(append(b, " q="...), r.Seq, 10)
	}
	b = appendText(b, 'n', r.Nonce)
	b = appendNumber(b, 'i', r.Tries)
	b = appendText(b, 'e', cut(r.Note.Name))
	b = appendNumber(b, 'm', r.Note.Attempts)
	b = appendText(b, 'c', cut(r.Note.Clid))
	b = appendText(b, 'f', cut(r.Note.FbtraceID))
	b = appendText(b, 'y', cut(r.Note.TraceID))
	return appendMoment(b, 'z', r.Note.AcceptedAt)
}

func appendText(b []byte, letter byte, v string) []byte {
	if v == "" {
		return b
	}
	return appendEscaped(append(b, ' ', letter, '='), v)
}

func appendNumber(b []byte, letter byte, v int) []byte {
	if v == 0 {
		return b
	}
	return strconv.AppendInt(append(b, ' ', letter, '='), int64(v), 10)
}

func appendMoment(b []byte, letter byte, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return strconv.AppendInt(append(b, ' ', letter, '='), t.UnixMilli(), 10)
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
	plain := 0 // how much of v is written
	for i := range len(v) {
		if c := v[i]; c <= ' ' || c >= 0x7F || c == '%' {
			b = append(b, v[plain:i]...)
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
			plain = i + 1
		}
	}
	return append(b, v[plain:]...)
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
