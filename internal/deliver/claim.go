package deliver

import (
	"context"
	"time"

	"github.com/homing-dev/homing/internal/crash"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

const (
	// takenPause is how long a message rests whose key another message holds.
	takenPause = 2 * time.Second
	// maxNaks is after how many deliveries a message that is handed back goes
	// round through the queue instead, which makes its deliveries count from one
	// again: being taken, or late, must not look like killing workers.
	maxNaks = 10
	// roomPause is how long one rests so that could not be parked so often.
	roomPause = 5 * time.Minute
	// maxDeliveries is how often a message is handed out without anybody
	// getting as far as to claim it.
	maxDeliveries = 20
)

// claim takes the key of every event that is to be sent or ended. Afterwards
// only items whose key is ours are open or ending.
func (b *batch) claim() {
	items := make([]*item, 0, len(b.items))
	msgs := make([]dedup.Message, 0, len(b.items))
	now := b.Now()
	for _, it := range b.items {
		switch {
		case it.fate.step != open && it.fate.step != ending:
		case it.key == "":
			// Nothing names the event, so there is no key to hold: the dead
			// letter and the ledger are idempotent by themselves.
			it.fate.step, it.fate.decided = final, now
		case now.After(b.deadline(it.msg)):
			b.late(it)
		default:
			items = append(items, it)
			msgs = append(msgs, it.message())
		}
	}
	if len(items) == 0 {
		return
	}
	defer b.clock(stageClaim)()
	crash.At(crash.BeforeClaim)
	asked := b.Now()
	claims, err := b.Claims.Claim(b.ctx, msgs)
	crash.At(crash.AfterClaim)
	b.askedRedis(asked)
	if err != nil {
		b.Alarm(err)
		b.unclaim(items, msgs, claims)
		return
	}
	for i, it := range items {
		it.asked, it.claim = &msgs[i], &claims[i]
		b.claimed(it)
	}
}

// claimed acts on the answer to one claim.
func (b *batch) claimed(it *item) {
	rec := it.claim.Record
	b.Metrics.Claim(it.claim.Result)
	switch it.claim.Result {
	case dedup.Unanswered: // only with an error, which claim has seen to
		it.fate = fate{step: forget}
	case dedup.Leftover:
		it.fate = fate{step: ack}
	case dedup.Taken:
		b.handBack(it, takenPause)
	case dedup.Settled:
		it.unsure, it.attempts, it.clid = rec.Unsure, rec.Note.Attempts, rec.Note.Clid
		it.fate = fate{
			step: final, outcome: events.Outcome(rec.Outcome), reason: events.Reason(rec.Reason),
			fbtrace: rec.Note.FbtraceID, decided: rec.At,
		}
	case dedup.Duplicate:
		it.fate = fate{step: final, outcome: events.Duplicate, decided: b.Now()}
	case dedup.Exhausted:
		it.unsure = true
		it.end(events.Held, events.ReasonAttemptsExhausted, "the worker died each time it held this event")
	case dedup.Interrupted:
		it.unsure = true
		it.unknowns = max(it.unknowns, rec.Unknowns)
		if it.fate.step == open && policy(b.tenant, it.msg.EventName) == tenants.Hold {
			it.end(events.Held, events.ReasonDeliveryUnknown, "a worker died while it held this event; Meta may have it")
		}
	case dedup.Fresh:
		it.unsure = it.unsure || rec.Unsure
		it.unknowns = max(it.unknowns, rec.Unknowns)
		if it.fate.step == open && it.msg.Deliveries > maxDeliveries {
			it.end(events.Dead, events.ReasonAttemptsExhausted, "handed out 20 times without being claimed")
		}
	}
}

// handBack brings an item back that nothing was done with: soon by a nak, or
// round through the queue when it was handed back often.
func (b *batch) handBack(it *item, delay time.Duration) {
	switch {
	case b.slowRedis:
		b.comeBack(it)
	case it.msg.Deliveries < maxNaks:
		it.fate = fate{step: handback, delay: delay}
	case b.RetriesFull():
		it.park(events.ReasonBusy)
	default:
		it.retryAt(events.ReasonTransient, b.Now().Add(delay))
	}
}

// late brings back an item whose request could by now outlive its claim. One that
// was late when its turn came has waited for others, as all do in an incident:
// handed back it would be held for sent, as comeBack tells. So would one that is
// still this worker's alone.
func (b *batch) late(it *item) {
	alone := b.Now().Before(handedOut(it.msg).Add(b.AckWait))
	if it.msg.Deliveries == 1 && (alone || b.started.After(b.deadline(it.msg))) {
		b.comeBack(it)
	} else {
		b.handBack(it, 0)
	}
}

// policy is what a tenant wants when nobody knows whether Meta has an event. A
// tenant that nobody knows wants what can be undone.
func policy(t *tenants.Tenant, name events.Name) tenants.Policy {
	if t == nil {
		return tenants.Hold
	}
	return t.OnUnknown(name)
}

// unclaim hands back messages whose claim has no answer. As long as their keys
// might be ours, nobody else may take them for sent: the claims are released
// first, however long Redis takes to answer.
func (b *batch) unclaim(items []*item, msgs []dedup.Message, claims []dedup.Claim) {
	released := len(claims) == 0 || b.persist(items, func(ctx context.Context) error {
		return b.giveUp(ctx, msgs, claims)
	})
	for _, it := range items {
		it.fate = fate{step: forget}
		if released {
			b.comeBack(it)
		}
	}
}

// slowRedis is from when on Redis counts as having kept a batch waiting: what is
// late because of it meets an incident all the same.
const slowRedis = 500 * time.Millisecond

// askedRedis notes how long Redis took to answer a question asked at a time.
func (b *batch) askedRedis(at time.Time) {
	if b.Now().Sub(at) >= slowRedis {
		b.slowRedis = true
	}
}

// comeBack brings back, when Redis has had time to recover, an event of which
// nothing was written. On its first delivery it goes round through the queue,
// where its deliveries count from one again: handed back it would, after an
// incident, pass for an event that a dead worker may have sent, and be held. So
// does what was handed out often: it would be ended for it.
func (b *batch) comeBack(it *item) {
	first, often := it.msg.Deliveries == 1 && it.event != nil, it.msg.Deliveries >= maxNaks && it.msg.Fault == nil
	if (first || often) && !b.RetriesFull() {
		it.retryAt(events.ReasonTransient, b.Now().Add(redisPause))
		return
	}
	// The longer it lasts the longer the rests: with one every two seconds an
	// outage would soon make the event look like one that kills workers.
	doublings := min(max(it.msg.Deliveries, 2)-2, 10)
	it.fate = fate{step: handback, delay: min(redisPause<<doublings, maxRedisPause)}
}

// message is what the claim store is told of an item.
func (it *item) message() dedup.Message {
	m := it.msg
	return dedup.Message{
		Key: it.key, Accept: m.Accept, Round: m.Round, Unsure: it.unsure, Unknowns: it.unknowns,
		Replay: m.Replay, Stream: m.Stream, Seq: m.Seq, Deliveries: m.Deliveries, Note: it.note(),
	}
}

// answer is the row of the claim table that the item met, if it asked.
func (it *item) answer() dedup.Result {
	if it.claim == nil {
		return dedup.Unanswered
	}
	return it.claim.Result
}

// note is what the status of the event shows.
func (it *item) note() dedup.Note {
	return dedup.Note{
		Name: string(it.msg.EventName), Attempts: it.attempts, Clid: it.clid,
		FbtraceID: it.fate.fbtrace, TraceID: traceID(it.msg.Trace), AcceptedAt: it.msg.AcceptedAt,
	}
}

// traceID cuts the trace id out of a traceparent, version-traceid-spanid-flags.
func traceID(t queue.Trace) string {
	if len(t.Parent) < 35 {
		return ""
	}
	return t.Parent[3:35]
}
