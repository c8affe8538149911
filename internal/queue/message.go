package queue

import (
	"time"

	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// Envelope is what travels with an event in the headers of its message. It is
// built from the contract's list on every move, never copied.
type Envelope struct {
	Tenant     string
	Accept     string // Homing-Id
	Origin     uint64 // Homing-Origin: the sequence in HOMING_EVENTS
	Round      int
	Replay     dedup.Replay
	Unsure     bool
	Unknowns   int // Homing-Unknowns: calls whose outcome nobody learned
	EventName  events.Name
	EventID    string
	Attempt    int // calls to Meta so far
	AcceptedAt time.Time
	Trace      Trace
}

// Acceptance is one event to be stored: the API's side of a message.
type Acceptance struct {
	Envelope // Origin is not known yet and is ignored
	// MsgID is the Nats-Msg-Id: the same one on a client's retry makes the
	// retry a duplicate even when the first answer was lost.
	MsgID string
	Data  []byte // the encoded event; not to be changed until the answer is there
}

// Accepted is the receipt of an acceptance: it is durable.
type Accepted struct {
	Seq       uint64 // the number of the acceptance
	Duplicate bool   // JetStream holds a message of the same MsgID
}

// Result is the answer to one acceptance of a batch.
type Result struct {
	Accepted
	Err error // ErrFull, ErrUnavailable or the context's error
}

// Message is one delivery of an event to this worker.
type Message struct {
	Envelope
	Data       []byte // the encoded event; undecodable bytes are kept as they came
	Stream     string
	Seq        uint64
	Deliveries uint64 // JetStream's NumDelivered
	// Asked is set for what a line held up on its way: the earliest that JetStream
	// can have handed it out, by our clock. AckWait counts from then on.
	Asked    time.Time
	Received time.Time // when it was handed to this process; monotonic
	// Fault says what is wrong with the headers; nil when they are whole. The
	// envelope of a message with a fault is made up as far as it was needed to
	// bury it: such a message is undecodable, whatever its Data.
	Fault error

	hand *hand // set by the queue: what it takes to settle
}

// Action is what the queue does with a message.
type Action int

// The actions.
const (
	Ack    Action = iota + 1 // the outcome is durable
	Retry                    // publish to HOMING_RETRY for Verdict.At, then ack
	Nak                      // hand back; redelivered after Verdict.Delay
	Forget                   // neither ack nor nak: another owner decides
	Park                     // publish to HOMING_PARKED, then ack
)

func (a Action) String() string {
	names := []string{"none", "ack", "retry", "nak", "forget", "park"}
	if a < 0 || int(a) >= len(names) {
		return "unknown"
	}
	return names[a]
}

// Verdict is what a handler says of a message; the queue alone carries it out.
type Verdict struct {
	Action Action
	At     time.Time     // Retry: when to try again; rounded up to whole seconds
	Delay  time.Duration // Nak
	// Next is the envelope of the copy: attempt, unsure and unknowns as they
	// are now. Retry and Park only; large, hence pointed to.
	Next *Envelope
}

// Letter is a dead letter.
type Letter struct {
	Message   *Message
	Envelope  Envelope // as it is now: attempt, unsure
	Outcome   events.Outcome
	Reason    events.Reason
	Error     string // what Meta or we said of it; no secrets
	FbtraceID string
	At        time.Time
}
