package deliver

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// batch is one pass of Deliver.
type batch struct {
	*Deliverer
	ctx      context.Context
	tenantID string
	tenant   *tenants.Tenant // nil when nobody knows it
	started  time.Time       // when its turn came
	items    []*item
	called   bool // Meta was called in this pass
	// slowRedis says that Redis kept this pass waiting.
	slowRedis bool
	traced    bool // somebody wants to see the steps
	stages    []stage
}

// item is one message on its way through a batch.
type item struct {
	msg   *queue.Message
	event *events.Event // nil when the bytes can't be read; name and time, once encoded
	key   string        // of the claim; empty when the message names no event

	clid, waba string
	pinned     bool   // the click was found at acceptance
	body       []byte // the event as Meta is sent it

	asked    *dedup.Message // nil until its key is claimed
	claim    *dedup.Claim   // the answer; nil like asked
	attempts int            // calls that carried it, this pass included
	unsure   bool
	unknowns int

	fate     fate
	called   bool              // in a call of this pass
	accepted bool              // Meta took it in this pass
	missed   bool              // its decision is not in the claim store
	trace    *tracing          // nil for most
	click    trace.SpanContext // of the click that earned it, where that was traced
}

// step is how far the fate of an item is known.
type step int

const (
	open     step = iota // nothing stands in the way of sending it
	ending               // an outcome is known; it needs the key to become final
	final                // decided in the claim store; effects are due
	ack                  // nothing is left to do but to ack
	retry                // comes back at a known time
	park                 // waits with its tenant's other events
	handback             // comes back, untouched
	again                // comes back to this process
	forget               // belongs to another owner
)

// fate is what is going to happen to an item, and why.
type fate struct {
	step    step
	outcome events.Outcome
	reason  events.Reason
	detail  string // for the dead letter; what Meta or we said of it
	fbtrace string
	at      time.Time     // retry, again
	delay   time.Duration // handback
	decided time.Time     // final
}

func (d *Deliverer) newBatch(ctx context.Context, tenant string, msgs []*queue.Message) *batch {
	b := &batch{Deliverer: d, ctx: ctx, tenantID: tenant, started: d.Now(), items: make([]*item, len(msgs))}
	all := make([]item, len(msgs)) // one object instead of a thousand
	for i, m := range msgs {
		it := &all[i]
		it.read(m)
		it.trace = b.startTrace(m)
		b.traced = b.traced || it.trace != nil
		b.items[i] = it
	}
	return b
}

// newItem is what the headers of a message tell.
func newItem(m *queue.Message) *item {
	it := new(item)
	it.read(m)
	return it
}

func (it *item) read(m *queue.Message) {
	it.msg, it.attempts, it.unsure, it.unknowns = m, m.Attempt, m.Unsure, m.Unknowns
	if m.Fault == nil && m.EventName != "" && m.EventID != "" {
		it.key = string(events.MakeKey(m.Tenant, m.EventName, m.EventID))
	}
}

// decode reads the events. Bytes that can't be read and tenants that stay
// unknown end here.
func (b *batch) decode() {
	b.tenant, _ = b.Tenants.Tenant(b.tenantID)
	for _, it := range b.items {
		m := it.msg
		if it.fate.step != open {
			continue // not to be read
		}
		if m.Fault != nil {
			it.end(events.Dead, events.ReasonUndecodable, m.Fault.Error())
			continue
		}
		ev, err := events.DecodeEvent(m.Data)
		switch {
		case err != nil:
			it.end(events.Dead, events.ReasonUndecodable, err.Error())
		case it.key == "" || ev.Tenant != m.Tenant || ev.Name.Canonical() != m.EventName.Canonical() || ev.ID != m.EventID:
			it.key = ""
			it.end(events.Dead, events.ReasonUndecodable, "the headers do not name the event in the body")
		case b.tenant == nil && b.Now().Sub(m.AcceptedAt) < unknownTenantFor:
			it.event = ev
			it.retryAt(events.ReasonTransient, b.Now().Add(b.patience(it)))
		case b.tenant == nil:
			it.event = ev
			it.end(events.Dead, events.ReasonUnknownTenant, "no tenant of this id is configured; add it to the tenants file and replay")
		default:
			it.event = ev
		}
		it.pinned = err == nil && ev.Clid != ""
	}
}

// unknownTenantFor is how long an event waits for its tenant to be configured:
// a worker may read the tenants file later than the api did.
const unknownTenantFor = time.Hour

// patience is how long an item waits that no attempt is counted for: as long
// again as it has waited already.
func (b *batch) patience(it *item) time.Duration {
	return min(b.RetryMin+b.Now().Sub(it.msg.AcceptedAt), b.RetryMax)
}

// end says how the item ends, once its key is claimed. An event that Meta may
// have is never called dead.
func (it *item) end(o events.Outcome, r events.Reason, detail string) {
	it.fate = fate{step: ending, outcome: o, reason: r, detail: detail, fbtrace: it.fate.fbtrace}
}

// retryAt says that the item comes back through the queue.
func (it *item) retryAt(r events.Reason, at time.Time) {
	it.fate = fate{step: retry, outcome: events.Retrying, reason: r, at: at}
}

// park says that the item waits with its tenant's other events.
func (it *item) park(r events.Reason) {
	it.fate = fate{step: park, outcome: events.Parked, reason: r, fbtrace: it.fate.fbtrace}
}

// with returns the items at step s.
func (b *batch) with(s step) []*item {
	out := make([]*item, 0, len(b.items))
	for _, it := range b.items {
		if it.fate.step == s {
			out = append(out, it)
		}
	}
	return out
}

// decisions turns fates into what the queue understands.
func (b *batch) decisions() []Decision {
	out := make([]Decision, len(b.items))
	for i, it := range b.items {
		v := queue.Verdict{Action: queue.Forget}
		switch it.fate.step {
		case ack:
			v.Action = queue.Ack
		case retry:
			v = queue.Verdict{Action: queue.Retry, At: it.fate.at, Next: it.envelope()}
		case park:
			v = queue.Verdict{Action: queue.Park, Next: it.envelope()}
			if it.msg.Deliveries >= maxNaks && !b.RetriesFull() {
				// HOMING_PARKED had no room for it, again and again.
				v.Action, v.At = queue.Retry, b.Now().Add(roomPause)
			}
		case handback:
			v = queue.Verdict{Action: queue.Nak, Delay: it.fate.delay}
		case again:
			v = queue.Verdict{Action: queue.Nak, At: it.fate.at}
		}
		out[i] = Decision{Verdict: v, Again: it.fate.step == again, settled: b.settled(it)}
	}
	return out
}

// envelope is the message's envelope as it is now.
func (it *item) envelope() *queue.Envelope {
	e := it.msg.Envelope
	e.Attempt = it.attempts
	e.Unsure = it.unsure
	e.Unknowns = it.unknowns
	e.Trace = it.travelling()
	return &e
}
