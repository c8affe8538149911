package events

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// EncodeSettlements returns the wire form of many lines in one message. Times
// are kept to the millisecond. With click ids of a thousand bytes a full batch
// outgrows NATS's message of 1 MiB: see ChunkSettlements.
func EncodeSettlements(lines []Settlement) []byte {
	w := newSettlementEncoder(lines)
	for i := range lines {
		w.settlement(&lines[i])
	}
	return w.lines()
}

// ChunkSettlements is EncodeSettlements into as many messages as it takes to
// keep each within size bytes; a line that is larger alone gets its own message.
func ChunkSettlements(lines []Settlement, size int) [][]byte {
	var messages [][]byte
	for len(lines) > 0 {
		w := newSettlementEncoder(lines)
		n := 0
		for ; n < len(lines); n++ {
			before := len(w.buf)
			w.settlement(&lines[n])
			if n > 0 && len(w.buf)+len(linesEnd) > size {
				w.buf = w.buf[:before]
				break
			}
		}
		messages = append(messages, w.lines())
		lines = lines[n:]
	}
	return messages
}

// linesEnd closes the list of lines and the message.
const linesEnd = "]}"

// settlementEncoder appends lines to one message.
type settlementEncoder struct{ *encoder }

func newSettlementEncoder(lines []Settlement) settlementEncoder {
	size := 32
	for i := range lines {
		s := &lines[i] // names, quotes, numbers and times take some 230 bytes
		size += 230 + len(s.Accept) + len(s.Outcome) + len(s.Reason) + len(s.Tenant) + len(s.Name) + len(s.ID) +
			len(s.Clid) + len(s.FbtraceID) + len(s.TraceID)
	}
	w := settlementEncoder{newEncoder(size)}
	w.name("lines")
	w.buf = append(w.buf, '[')
	return w
}

func (w settlementEncoder) lines() []byte { return append(w.buf, linesEnd...) }

func (w settlementEncoder) settlement(s *Settlement) {
	if w.buf[len(w.buf)-1] == '}' {
		w.buf = append(w.buf, ',')
	}
	w.buf = append(w.buf, '{')
	w.string("accept", s.Accept)
	if s.Origin != 0 {
		w.name("origin")
		w.buf = strconv.AppendUint(w.buf, s.Origin, 10)
	}
	w.int("round", int64(s.Round))
	w.string("outcome", string(s.Outcome))
	w.string("reason", string(s.Reason))
	w.bool("unsure", s.Unsure)
	w.string("tenant", s.Tenant)
	w.string("name", string(s.Name))
	w.string("id", s.ID)
	w.int("attempts", int64(s.Attempts))
	w.string("clid", s.Clid)
	w.string("fbtrace_id", s.FbtraceID)
	w.string("trace_id", s.TraceID)
	w.time("accepted_at", s.AcceptedAt)
	w.time("at", s.At)
	w.buf = append(w.buf, '}')
}

func (w settlementEncoder) time(name string, t time.Time) {
	if !t.IsZero() {
		w.name(name)
		w.buf = strconv.AppendInt(w.buf, t.UnixMilli(), 10)
	}
}

// DecodeSettlements reads what EncodeSettlements wrote; its times are in UTC. A
// line without acceptance or terminal outcome is an error.
func DecodeSettlements(data []byte) ([]Settlement, error) {
	var lines []Settlement
	listed := false
	err := decoder{}.decode(data, maxSettlementsBytes, func(d decoder, name []byte) (bool, error) {
		if string(name) != "lines" {
			return false, nil
		}
		listed = true
		if k := d.dec.PeekKind(); k != jsontext.KindBeginArray && k != jsontext.KindInvalid {
			return true, errors.New("lines must be a list")
		}
		_, err := d.array(func(i int) error {
			s, err := decodeSettlement(d)
			if err != nil {
				return fmt.Errorf("line %d: %w", i, err)
			}
			lines = append(lines, s)
			return nil
		})
		return true, err
	})
	if err == nil && !listed {
		err = errors.New("lines is missing")
	}
	if err != nil {
		return nil, fmt.Errorf("events: decode settlements: %w", err)
	}
	return lines, nil
}

func decodeSettlement(d decoder) (s Settlement, err error) {
	if k := d.dec.PeekKind(); k != jsontext.KindBeginObject && k != jsontext.KindInvalid {
		return s, errors.New("must be an object")
	}
	err = d.object(func(name []byte) error {
		return d.member(name, s.decodeMember)
	})
	if err == nil && (s.Accept == "" || !s.Outcome.Terminal()) {
		err = errors.New("accept or a terminal outcome is missing")
	}
	return s, err
}

func (s *Settlement) decodeMember(d decoder, name []byte) (bool, error) {
	switch string(name) {
	case "accept":
		return decodeString(d, name, &s.Accept)
	case "origin":
		return decodeUint(d, name, &s.Origin)
	case "round":
		return decodeCount(d, name, &s.Round)
	case "outcome":
		return decodeString(d, name, &s.Outcome)
	case "reason":
		return decodeString(d, name, &s.Reason)
	case "unsure":
		return decodeBool(d, name, &s.Unsure)
	case "tenant":
		return decodeString(d, name, &s.Tenant)
	case "name":
		return decodeString(d, name, &s.Name)
	case "id":
		return decodeString(d, name, &s.ID)
	case "attempts":
		return decodeCount(d, name, &s.Attempts)
	case "clid":
		return decodeString(d, name, &s.Clid)
	case "fbtrace_id":
		return decodeString(d, name, &s.FbtraceID)
	case "trace_id":
		return decodeString(d, name, &s.TraceID)
	case "accepted_at":
		return decodeMillis(d, name, &s.AcceptedAt)
	case "at":
		return decodeMillis(d, name, &s.At)
	default:
		return false, nil
	}
}

func decodeUint(d decoder, name []byte, dst *uint64) (bool, error) {
	v, err := d.value()
	if err != nil {
		return true, err
	}
	if *dst, err = strconv.ParseUint(string(v), 10, 64); err != nil {
		return true, fmt.Errorf("%s must be a whole number, not negative", name)
	}
	return true, nil
}

func decodeCount(d decoder, name []byte, dst *int) (bool, error) {
	var n int64
	if _, err := decodeInt(d, name, &n); err != nil {
		return true, err
	}
	if n < 0 || n > 1<<31-1 {
		return true, fmt.Errorf("%s is out of range", name)
	}
	*dst = int(n)
	return true, nil
}

func decodeMillis(d decoder, name []byte, dst *time.Time) (bool, error) {
	var ms int64
	if _, err := decodeInt(d, name, &ms); err != nil {
		return true, err
	}
	*dst = time.UnixMilli(ms).UTC()
	return true, nil
}
