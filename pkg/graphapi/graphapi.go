package graphapi

import (
	"fmt"
	"time"
)

// Class is what a failed call to Meta means for the events in it.
type Class int

// The classes, from the surest to the least sure.
const (
	// NotSent: no connection, TLS, or the request was not fully written.
	NotSent Class = iota + 1
	// Transient: Meta says to come again.
	Transient
	// Throttled: Meta says to come again later; see Error.RetryAfter.
	Throttled
	// Auth: token, permission or dataset; no event is at fault.
	Auth
	// Invalid: at least one event of the batch is refused, and all with it.
	Invalid
	// Unknown: the request was written in full and nobody knows what Meta did.
	Unknown
)

// String is the word for the class in metric labels and logs.
func (c Class) String() string {
	switch c {
	case NotSent:
		return "not_sent"
	case Transient:
		return "transient"
	case Throttled:
		return "throttled"
	case Auth:
		return "auth"
	case Invalid:
		return "invalid"
	case Unknown:
		return "unknown"
	default:
		return fmt.Sprintf("class(%d)", int(c))
	}
}

// Call is one POST of events to one dataset.
type Call struct {
	Dataset       string
	Token         string // sent in the Authorization header, never in a URL
	AppSecret     string // optional: adds appsecret_proof to the body
	TestEventCode string // optional
	// Events are the JSON objects of data, 1 to 1,000.
	Events [][]byte
}

// Result is Meta's answer to a call that was taken.
type Result struct {
	Received  int // events_received; always len(Call.Events)
	FbtraceID string
	Usage     Usage
}

// Usage is how much of its quota Meta says was used, in percent; the largest of
// all that its headers name, 0 when they name none.
type Usage struct {
	Percent float64
	// RegainIn is how long until access is regained, when Meta says so (it
	// counts in minutes: estimated_time_to_regain_access).
	RegainIn time.Duration
}
