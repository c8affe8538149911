package queue

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// The headers of a message. nats.Header is case-sensitive.
const (
	HeaderID         = "Homing-Id"       // made at acceptance, never changes
	HeaderOrigin     = "Homing-Origin"   // the sequence in HOMING_EVENTS
	HeaderRound      = "Homing-Round"    // 0; one more per replay
	HeaderReplay     = "Homing-Replay"   // dead or held
	HeaderUnsure     = "Homing-Unsure"   // "1" when Meta may have it
	HeaderUnknowns   = "Homing-Unknowns" // calls whose outcome nobody learned
	HeaderEventName  = "Homing-Event-Name"
	HeaderEventID    = "Homing-Event-Id"
	HeaderAttempt    = "Homing-Attempt"     // calls to Meta so far
	HeaderAcceptedAt = "Homing-Accepted-At" // RFC 3339

	HeaderTraceParent = "traceparent"
	HeaderTraceState  = "tracestate"
)

// The headers that only dead letters have.
const (
	HeaderOutcome   = "Homing-Outcome" // dead or held
	HeaderReason    = "Homing-Reason"
	HeaderError     = "Homing-Error"
	HeaderFbtraceID = "Homing-Fbtrace-Id"
	HeaderDeadAt    = "Homing-Dead-At" // RFC 3339
)

const (
	maxHeaderValue = 512  // of any one value we take back from a header
	maxErrorValue  = 1024 // of Homing-Error
)

// headerWriter writes headers whose values share one allocation.
type headerWriter struct {
	h      nats.Header
	values []string
}

func newHeaderWriter(size int) headerWriter {
	return headerWriter{h: make(nats.Header, size), values: make([]string, 0, size)}
}

func (w *headerWriter) set(name, value string) {
	w.values = append(w.values, value)
	n := len(w.values)
	w.h[name] = w.values[n-1 : n : n]
}

// safe sets a header to as much of s as a header can hold, unless that is
// nothing: a line break in a value would end it and begin another header.
func (w *headerWriter) safe(name, s string, limit int) {
	if s = clean(s, limit); s != "" {
		w.set(name, s)
	}
}

// header writes e as headers. Only what is listed here travels: a fired schedule
// carries headers of the server's own, which it refuses elsewhere.
func (e *Envelope) header() nats.Header {
	w := newHeaderWriter(14) // as many as a map of 16 places holds
	e.write(&w)
	return w.h
}

func (e *Envelope) write(w *headerWriter) {
	w.set(HeaderID, e.Accept)
	if e.Origin > 0 {
		w.set(HeaderOrigin, strconv.FormatUint(e.Origin, 10))
	}
	w.set(HeaderRound, strconv.Itoa(e.Round))
	if e.Replay != "" {
		w.set(HeaderReplay, string(e.Replay))
	}
	if e.Unsure {
		w.set(HeaderUnsure, "1")
	}
	if e.Unknowns > 0 {
		w.set(HeaderUnknowns, strconv.Itoa(e.Unknowns))
	}
	w.safe(HeaderEventName, string(e.EventName), maxHeaderValue)
	w.safe(HeaderEventID, e.EventID, maxHeaderValue)
	w.set(HeaderAttempt, strconv.Itoa(e.Attempt))
	if !e.AcceptedAt.IsZero() {
		w.set(HeaderAcceptedAt, e.AcceptedAt.UTC().Format(time.RFC3339Nano))
	}
	w.safe(HeaderTraceParent, e.Trace.Parent, maxHeaderValue)
	w.safe(HeaderTraceState, e.Trace.State, maxHeaderValue)
}

// header writes the letter's own headers beside those of its envelope.
func (l *Letter) header() nats.Header {
	w := newHeaderWriter(20)
	l.Envelope.write(&w)
	w.safe(HeaderOutcome, string(l.Outcome), maxHeaderValue)
	w.safe(HeaderReason, string(l.Reason), maxHeaderValue)
	w.safe(HeaderError, l.Error, maxErrorValue)
	w.safe(HeaderFbtraceID, l.FbtraceID, maxHeaderValue)
	if !l.At.IsZero() {
		w.set(HeaderDeadAt, l.At.UTC().Format(time.RFC3339Nano))
	}
	return w.h
}

// readEnvelope is the inverse of header. Its error lists every header that could
// not be read; the envelope holds the others.
func readEnvelope(h nats.Header) (Envelope, error) {
	r := headerReader{h: h}
	e := Envelope{
		Accept:     r.token(HeaderID),
		Origin:     r.number(HeaderOrigin, 64),
		Round:      int(r.number(HeaderRound, 31)),
		Replay:     dedup.Replay(r.oneOf(HeaderReplay, string(dedup.ReplayDead), string(dedup.ReplayHeld))),
		Unsure:     r.oneOf(HeaderUnsure, "1") != "",
		Unknowns:   int(r.number(HeaderUnknowns, 31)),
		EventName:  events.Name(r.text(HeaderEventName)),
		EventID:    r.text(HeaderEventID),
		Attempt:    int(r.number(HeaderAttempt, 31)),
		AcceptedAt: r.time(HeaderAcceptedAt),
	}
	// A broken trace is no reason to bury an event.
	e.Trace.Parent, _ = safeText(h.Get(HeaderTraceParent), maxHeaderValue)
	e.Trace.State, _ = safeText(h.Get(HeaderTraceState), maxHeaderValue)
	return e, errors.Join(r.errs...)
}

// headerReader reads headers and remembers what it could not read. Its errors
// name the header and never repeat the value.
type headerReader struct {
	h    nats.Header
	errs []error
}

func (r *headerReader) fail(name, want string) {
	r.errs = append(r.errs, fmt.Errorf("header %s is not %s", name, want))
}

func (r *headerReader) text(name string) string {
	s, ok := safeText(r.h.Get(name), maxHeaderValue)
	if !ok {
		r.fail(name, "short printable text")
	}
	return s
}

func (r *headerReader) token(name string) string {
	s := r.h.Get(name)
	switch {
	case s == "":
		r.errs = append(r.errs, fmt.Errorf("header %s is missing", name))
	case !isToken(s):
		r.fail(name, "a subject token")
		return ""
	}
	return s
}

func (r *headerReader) number(name string, bits int) uint64 {
	s := r.h.Get(name)
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, bits)
	if err != nil {
		r.fail(name, "a number in its range")
		return 0
	}
	return n
}

func (r *headerReader) oneOf(name string, words ...string) string {
	s := r.h.Get(name)
	if s == "" {
		return ""
	}
	for _, w := range words {
		if s == w {
			return s
		}
	}
	r.fail(name, "one of "+strings.Join(words, ", "))
	return ""
}

func (r *headerReader) time(name string) time.Time {
	s := r.h.Get(name)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		r.fail(name, "an RFC 3339 time")
	}
	return t
}

// clean makes s valid UTF-8 without control characters, cut at limit bytes on a
// whole character.
func clean(s string, limit int) string {
	if ok := len(s) <= limit && isPrintable(s); ok {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F || (r >= 0x80 && r < 0xA0) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > limit {
		s = s[:limit]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	return strings.TrimSpace(s)
}

func safeText(s string, limit int) (string, bool) {
	if len(s) > limit || !isPrintable(s) {
		return "", false
	}
	return s, true
}

func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
