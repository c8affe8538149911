// Package deliver brings accepted events to Meta, each exactly once as far as
// that can be known.
//
// Deliver is the way of an event from the queue to its outcome, in order. The
// claim is the last step before the request is written, so that a worker that
// dies before it leaves no trace; the decision is the first thing written after
// Meta's answer, and everything behind it is an effect that can be repeated.
//
// # Concurrency
//
// Deliver is called by many goroutines, each with a batch of one tenant; it
// keeps no state between calls. Lanes forms those batches.
package deliver

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
	"github.com/homing-dev/homing/pkg/graphapi"
)

// ClickStore finds the click that earned an event.
type ClickStore interface {
	Lookup(ctx context.Context, queries []clicks.Query) ([]clicks.Found, error)
}

// ClickTail tells whether every click accepted so far is in the click store.
type ClickTail interface {
	ClicksCaughtUp(ctx context.Context) (bool, error)
}

// Graph calls Meta. Its errors are *graphapi.Error.
type Graph interface {
	Send(ctx context.Context, call graphapi.Call) (graphapi.Result, error)
}

// Journal makes outcomes durable. Both methods return after JetStream's answer.
type Journal interface {
	Bury(ctx context.Context, letters []queue.Letter) []error
	Record(ctx context.Context, tenant string, settled []events.Settlement) error
}

// Directory knows the tenants.
type Directory interface {
	Tenant(id string) (*tenants.Tenant, bool)
}

// Options sets up a Deliverer. All interfaces are required.
type Options struct {
	Claims    dedup.Store
	Clicks    ClickStore
	ClickTail ClickTail
	Graph     Graph
	Journal   Journal
	Tenants   Directory
	Gates     *Gates
	Places    *Places   // nil: any number of calls
	Suspects  *Suspects // nil: nothing is ever suspected
	// RetriesFull tells that HOMING_RETRY holds all that it should
	// (HOMING_RETRY_MAX_PENDING); nil: never.
	RetriesFull func() bool
	// Alarm is told when the claim store has lost its memory or does not
	// answer; nil when nobody listens.
	Alarm func(error)
	// Missed is told when only the ledger knows of a delivery, because the claim
	// store took nothing in time; nil when nobody listens.
	Missed func()

	// AckWait, BatchDeadline and GraphTimeout bound a delivery; see deadline.
	AckWait, BatchDeadline, GraphTimeout time.Duration
	// RetryMin and RetryMax bound the backoff, RetryFor the age of an event
	// that is still retried.
	RetryMin, RetryMax, RetryFor time.Duration
	// ClickGrace is how long an event without a click is looked up again.
	ClickGrace time.Duration

	Metrics Metrics          // nil: none
	Tracer  trace.Tracer     // nil: none
	Logger  *slog.Logger     // nil: nowhere
	Now     func() time.Time // nil: time.Now
	// Backoff returns the wait before try n, from 0; nil: exponential with full jitter.
	Backoff func(n int) time.Duration
}

// Deliverer delivers batches of events.
type Deliverer struct {
	Options
	tail *tail
}

// New returns a Deliverer.
func New(opt Options) *Deliverer {
	if opt.Metrics == nil {
		opt.Metrics = noMetrics{}
	}
	if opt.Tracer == nil {
		opt.Tracer = noop.NewTracerProvider().Tracer("")
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Alarm == nil {
		opt.Alarm = func(error) {}
	}
	if opt.Missed == nil {
		opt.Missed = func() {}
	}
	if opt.Backoff == nil {
		opt.Backoff = FullJitter(opt.RetryMin, opt.RetryMax)
	}
	if opt.RetriesFull == nil {
		opt.RetriesFull = func() bool { return false }
	}
	return &Deliverer{Options: opt, tail: &tail{clicks: opt.ClickTail, now: opt.Now}}
}

// Decision is what is to happen to one message of a batch.
type Decision struct {
	queue.Verdict
	// Again asks for the message to be delivered again, not before
	// Verdict.At, without a round through the queue.
	Again bool

	// settled draws how long it took to carry the verdict out; often nil.
	settled func(verb string, from, to time.Time)
}

// Deliver takes a batch of one tenant's events all the way, and returns what is
// to happen to each message, in order. Cancelling ctx cuts the call to Meta
// short, whose outcome may then be unknown.
func (d *Deliverer) Deliver(ctx context.Context, tenant string, msgs []*queue.Message) []Decision {
	b := d.newBatch(ctx, tenant, msgs)
	defer b.finish()

	b.suspect() // bytes that kill workers are not read again
	b.decode()  // undecodable or unknown: the end is known already
	b.resolve() // the click that earned each event

	over := b.turn() // so many calls of a tenant at a time
	b.encode()       // as Meta wants it; what Meta surely refuses ends here
	b.gate()         // a tenant that can't be served waits elsewhere
	b.claim()        // from here on the events are ours
	b.send()         // one call, or a few when Meta refuses the batch
	over()

	b.decide() // outcomes become final in the claim store
	b.bury()   // dead letters, then
	b.record() // the ledger: only now may a message be acked
	b.show()   // the status of what waits unclaimed
	return b.decisions()
}

// handedOut is when AckWait began for a message, within the seconds to spare.
func handedOut(m *queue.Message) time.Time {
	if m.Asked.IsZero() {
		return m.Received
	}
	return m.Asked
}

// deadline is the latest time at which a request may start for a message: after
// it the message could be in another worker's hands before Meta has answered.
// Five seconds are for the clocks and the way of the ack, or half of what there
// is where AckWait is short.
func (d *Deliverer) deadline(m *queue.Message) time.Time {
	left := d.AckWait - d.GraphTimeout
	return handedOut(m).Add(max(left-5*time.Second, left/2))
}
