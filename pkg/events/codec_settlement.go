package events

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// settlementsVersion has "all": what the lines of one message share, which is a
// third of each. A line names what is different in it. Version 1 was without.
const settlementsVersion = 2

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
type settlementEncoder struct {
	*encoder
	all Settlement // of which only what shared writes
}

func newSettlementEncoder(lines []Settlement) settlementEncoder {
	w := settlementEncoder{all: typical(lines)}
	size := 256 + len(w.all.Tenant)
	for i := range lines {
		s := &lines[i] // names, quotes, numbers and times take some 130 bytes
		size += 130 + len(s.Accept) + len(s.ID) + len(s.Clid) + len(s.TraceID)
	}
	w.encoder = newEncoder(settlementsVersion, size)
	if len(lines) > 0 {
		w.name("all")
		w.buf = append(w.buf, '{')
		w.shared(&w.all, &Settlement{})
		w.buf = append(w.buf, '}')
	}
	w.name("lines")
	w.buf = append(w.buf, '[')
	return w
}

// typical returns a line that most others are like: a batch is delivered by one
// call, but for a few events that ended otherwise.
func typical(lines []Settlement) Settlement {
	if i := slices.IndexFunc(lines, func(s Settlement) bool { return s.Outcome == Delivered }); i >= 0 {
		return lines[i]
	}
	if len(lines) > 0 {
		return lines[0]
	}
	return Settlement{}
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
	w.bool("unsure", s.Unsure)
	w.string("id", s.ID)
	w.string("clid", s.Clid)
	w.string("trace_id", s.TraceID)
	if !s.AcceptedAt.IsZero() {
		w.name("accepted_at")
		w.buf = strconv.AppendInt(w.buf, s.AcceptedAt.UnixMilli(), 10)
	}
	w.shared(s, &w.all)
	w.buf = append(w.buf, '}')
}

// shared writes what the lines of a message may share, where s is not as all is:
// what s lacks, too.
func (w settlementEncoder) shared(s, all *Settlement) {
	text := func(name, v, other string) {
		if v != other {
			w.name(name)
			w.quote(v)
		}
	}
	text("outcome", string(s.Outcome), string(all.Outcome))
	text("reason", string(s.Reason), string(all.Reason))
	text("tenant", s.Tenant, all.Tenant)
	text("name", string(s.Name), string(all.Name))
	if s.Attempts != all.Attempts {
		w.name("attempts")
		w.buf = strconv.AppendInt(w.buf, int64(s.Attempts), 10)
	}
	text("fbtrace_id", s.FbtraceID, all.FbtraceID)
	if !s.At.Equal(all.At) {
		w.name("at") // the zero time is one as well
		w.buf = strconv.AppendInt(w.buf, s.At.UnixMilli(), 10)
	}
}

// DecodeSettlements reads what EncodeSettlements wrote; its times are in UTC. A
// line without acceptance or terminal outcome is an error.
func DecodeSettlements(data []byte) ([]Settlement, error) {
	var lines []Settlement
	var all Settlement
	listed := false
	err := decoder{newest: settlementsVersion}.decode(data, maxSettlementsBytes, func(d decoder, name []byte) (bool, error) {
		switch string(name) {
		case "all":
			if listed {
				return true, errors.New("all must come before lines")
			}
			return true, decodeShared(d, &all)
		case "lines":
			listed = true
		default:
			return false, nil
		}
		if k := d.dec.PeekKind(); k != jsontext.KindBeginArray && k != jsontext.KindInvalid {
			return true, errors.New("lines must be a list")
		}
		_, err := d.array(func(i int) error {
			s, err := decodeSettlement(d, all)
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

func decodeShared(d decoder, all *Settlement) error {
	if k := d.dec.PeekKind(); k != jsontext.KindBeginObject && k != jsontext.KindInvalid {
		return errors.New("all must be an object")
	}
	err := d.object(func(name []byte) error {
		return d.member(name, all.decodeMember)
	})
	// What tells one event from another is never shared.
	all.Accept, all.Origin, all.Round, all.Unsure, all.ID = "", 0, 0, false, ""
	all.Clid, all.TraceID, all.AcceptedAt = "", "", time.Time{}
	return err
}

// decodeSettlement reads a line; s is what it shares with the others.
func decodeSettlement(d decoder, s Settlement) (Settlement, error) {
	if k := d.dec.PeekKind(); k != jsontext.KindBeginObject && k != jsontext.KindInvalid {
		return s, errors.New("must be an object")
	}
	err := d.object(func(name []byte) error {
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
