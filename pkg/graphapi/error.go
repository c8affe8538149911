package graphapi

import (
	"fmt"
	"strings"
	"time"
)

// Error is a call that was not taken, or of which nobody knows.
type Error struct {
	Class     Class
	Status    int // HTTP status; 0 when there was no whole answer
	Code      int // Graph error code; 0 when the body held no Graph error
	Subcode   int
	Transient bool   // is_transient
	Message   string // Meta's message, with the token cut out, at most 512 bytes
	UserTitle string // localised
	UserMsg   string // localised
	FbtraceID string
	// RetryAfter is the longest wait that Retry-After and the usage headers ask
	// for; 0 when they ask for none.
	RetryAfter time.Duration
	Usage      Usage
	// Err is the cause where Meta named none: the network, an answer that makes
	// no sense, or a Call that cannot be sent.
	Err error
}

// Error says what happened in one line, without any secret.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("graphapi: ")
	b.WriteString(e.Class.String())
	if e.Status != 0 {
		fmt.Fprintf(&b, ": HTTP %d", e.Status)
	}
	if e.Code != 0 {
		fmt.Fprintf(&b, ": Graph error %d", e.Code)
		if e.Subcode != 0 {
			fmt.Fprintf(&b, "/%d", e.Subcode)
		}
	}
	for _, text := range []string{e.Message, e.UserTitle, e.UserMsg} {
		if text != "" {
			b.WriteString(": ")
			b.WriteString(text)
		}
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	if e.FbtraceID != "" {
		fmt.Fprintf(&b, " (fbtrace_id %s)", e.FbtraceID)
	}
	return b.String()
}

// Unwrap returns the cause, so that errors.Is finds context.Canceled in a call
// that a shutdown cut.
func (e *Error) Unwrap() error { return e.Err }
