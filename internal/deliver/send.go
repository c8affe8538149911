package deliver

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/homing-dev/homing/internal/crash"
	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/events"
	"github.com/homing-dev/homing/pkg/graphapi"
)

const (
	// maxBody bounds the events of one call; a little is left for the rest of
	// the body. Source: contract, HOMING_BATCH_SIZE: at most 1,000,000 bytes.
	maxBody = 1_000_000 - 4096
	// maxUnknowns is how often an event is sent again although Meta may have it.
	maxUnknowns = 3
)

// send brings the open items to Meta, as few calls as their size allows.
func (b *batch) send() {
	var part []*item
	size := 0
	waiting := b.with(open)
	for _, it := range waiting {
		if len(part) > 0 && (size+len(it.body)+1 > maxBody || len(part) >= smaller(len(waiting), it.msg.Deliveries)) {
			b.post(part)
			part, size = nil, 0
		}
		part = append(part, it)
		size += len(it.body) + 1
	}
	if len(part) > 0 {
		b.post(part)
	}
}

// smaller is how many of n events go into one call. A batch that comes back again
// and again was too slow to bisect: each time its calls are half as large, so
// that in the end the bad event is found.
func smaller(n int, deliveries uint64) int {
	if deliveries > 2 {
		n >>= min(deliveries-2, 10)
	}
	return max(n, 1)
}

// gate parks what may not be sent now. Events whose end is known pass: they are
// not sent.
func (b *batch) gate() {
	waiting := b.with(open)
	if len(waiting) == 0 {
		return
	}
	pass, reason := b.Gates.Pass(b.ctx, b.tenantID, len(waiting))
	for _, it := range waiting[pass:] {
		b.parkOrExpire(it, reason, "the tenant could not be served in time: "+string(reason))
	}
}

// lastCall is up to which age an event waits for its tenant's token or quota.
const lastCall = 7*24*time.Hour - 10*time.Minute

// parkOrExpire parks an item, unless Meta would soon refuse it anyway.
func (b *batch) parkOrExpire(it *item, reason events.Reason, detail string) {
	if b.Now().After(time.Unix(it.event.Time, 0).Add(lastCall)) {
		it.end(events.Dead, events.ReasonExpired, detail)
		return
	}
	it.park(reason)
}

// post sends items in one call, or finds the bad ones among them. It reports
// whether Meta took them all.
func (b *batch) post(items []*item) bool {
	if state, reason := b.Gates.State(b.tenantID); b.called && state == GateClosed {
		// An earlier call of this batch closed it.
		for _, it := range items {
			b.parkOrExpire(it, reason, "the tenant could not be served in time: "+string(reason))
		}
		return false
	}
	if !b.inTime(items) {
		for _, it := range items {
			if it.called || b.ctx.Err() != nil {
				b.handBack(it, 0) // the next pass makes smaller calls
			} else {
				b.late(it)
			}
		}
		return false
	}
	err := b.call(items)
	if err == nil {
		return true
	}
	if err.Class == graphapi.Invalid {
		b.Gates.Failed(b.ctx, b.tenantID, err)
		b.bisect(items, err)
		return false
	}
	gated := b.ctx.Err() == nil && b.Gates.Failed(b.ctx, b.tenantID, err)
	for _, it := range items {
		b.failed(it, err, gated)
	}
	return false
}

// bisect halves a refused batch until each bad event stands alone; its
// neighbours are delivered. refused is Meta's answer to just these items, or to
// more of which the others turned out clean.
func (b *batch) bisect(items []*item, refused *graphapi.Error) {
	if len(items) == 1 {
		items[0].end(events.Dead, events.ReasonRejectedByMeta, refused.Error())
		items[0].fate.fbtrace = refused.FbtraceID
		return
	}
	left, right := items[:len(items)/2], items[len(items)/2:]
	if b.post(left) {
		// The left half was clean, so the right one holds what was refused:
		// there is no need to ask.
		b.bisect(right, refused)
		return
	}
	b.post(right)
}

// inTime reports whether a call may still start: within the batch deadline, and
// early enough for each message to be in no other worker's hands before Meta
// has answered.
func (b *batch) inTime(items []*item) bool {
	now := b.Now()
	if b.ctx.Err() != nil || now.Sub(b.started) > b.BatchDeadline-b.GraphTimeout {
		return false
	}
	for _, it := range items {
		if now.After(b.deadline(it.msg)) {
			return false
		}
	}
	return true
}

// call is one POST to Meta.
func (b *batch) call(items []*item) *graphapi.Error {
	call := graphapi.Call{
		Dataset:       b.tenant.DatasetID,
		Token:         b.tenant.Token().Reveal(),
		AppSecret:     b.tenant.AppSecret().Reveal(),
		TestEventCode: b.tenant.TestEventCode,
		Events:        make([][]byte, len(items)),
	}
	for i, it := range items {
		call.Events[i] = it.body
		it.called = true
	}
	b.called = true
	ctx, span := b.startCall(items)
	start := b.Now()
	crash.At(crash.BeforePost)
	result, err := b.Graph.Send(ctx, call)
	crash.At(crash.AfterPost)
	took := b.Now().Sub(start)

	var failure *graphapi.Error
	if err != nil && !errors.As(err, &failure) {
		failure = &graphapi.Error{Class: graphapi.Unknown, Err: err}
	}
	for _, it := range items {
		if failure == nil {
			it.accepted = true
			it.end(events.Delivered, events.ReasonNone, "")
			it.fate.fbtrace = result.FbtraceID
		}
		// However many calls a bisection takes, they are one attempt of the
		// event's; a token that Meta refused makes it none.
		it.attempts = it.msg.Attempt + 1
		if failure != nil && failure.Class == graphapi.Auth {
			it.attempts = it.msg.Attempt
		}
	}
	if failure == nil {
		b.Gates.Succeeded(b.ctx, b.tenantID, result.Usage)
	}
	b.Metrics.Call(ctx, className(failure), len(items), took)
	b.endCall(span, items, result, failure)
	b.logCall(items, result, failure, took)
	return failure
}

// failed decides what becomes of an item whose call failed; gated says that the
// tenant's gate was closed for it.
func (b *batch) failed(it *item, err *graphapi.Error, gated bool) {
	it.fate.fbtrace = err.FbtraceID
	switch {
	case err.Class == graphapi.NotSent && b.ctx.Err() != nil:
		// Cut short by shutting down, which is not the event's fault.
		it.attempts = it.msg.Attempt
		it.fate = fate{step: handback}
	case err.Class == graphapi.Unknown:
		it.unsure = true
		it.unknowns++
		if policy(b.tenant, it.event.Name) == tenants.Hold || it.unknowns > maxUnknowns {
			it.end(events.Held, events.ReasonDeliveryUnknown, err.Error())
			return
		}
		b.tryAgain(it, events.ReasonTransient, err)
	case gated:
		_, reason := b.Gates.State(b.tenantID)
		b.parkOrExpire(it, reason, err.Error())
	case err.Class == graphapi.NotSent:
		b.tryAgain(it, events.ReasonUnreachable, err)
	default:
		b.tryAgain(it, events.ReasonTransient, err)
	}
}

// tryAgain schedules the next attempt, unless the event would be too old by then.
func (b *batch) tryAgain(it *item, reason events.Reason, err *graphapi.Error) {
	fbtrace := it.fate.fbtrace
	at := b.Now().Add(max(b.Backoff(it.attempts-1), err.RetryAfter))
	switch {
	case at.After(time.Unix(it.event.Time, 0).Add(b.RetryFor)):
		it.end(events.Dead, events.ReasonExpired, "no time is left for another try; the last one: "+err.Error())
	case b.RetriesFull():
		b.parkOrExpire(it, events.ReasonBusy, err.Error())
	default:
		it.retryAt(reason, at)
	}
	it.fate.fbtrace = fbtrace
}

func className(err *graphapi.Error) string {
	if err == nil {
		return "ok"
	}
	return err.Class.String()
}

// namedTraces is how many traces the line of a call names at most.
const namedTraces = 4

// carried tells which events a call carried, in a line that does not grow with
// them: the first and the last, how long the oldest has waited, and the first
// traces that are sampled. Whichever event is looked for, its status and its trace
// lead here by the fbtrace_id.
func carried(items []*item, now time.Time) []slog.Attr {
	first, last := items[0].msg, items[len(items)-1].msg
	attrs := []slog.Attr{
		slog.String("event_id", first.EventID),
		slog.String("accept", first.Accept),
		slog.String("trace_id", traceID(first.Trace)),
	}
	if len(items) == 1 {
		return attrs
	}
	oldest := first.AcceptedAt
	var traces []string
	for _, it := range items {
		if it.msg.AcceptedAt.Before(oldest) {
			oldest = it.msg.AcceptedAt
		}
		if it.trace == nil || len(traces) == namedTraces {
			continue
		}
		if id := traceID(it.msg.Trace); !slices.Contains(traces, id) {
			traces = append(traces, id)
		}
	}
	attrs = append(attrs, slog.String("last_event_id", last.EventID), slog.String("last_accept", last.Accept),
		slog.Duration("oldest", now.Sub(oldest)))
	if traces != nil {
		attrs = append(attrs, slog.Any("trace_ids", traces))
	}
	return attrs
}

// logCall writes the one wide line of a call.
func (b *batch) logCall(items []*item, result graphapi.Result, err *graphapi.Error, took time.Duration) {
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("tenant", b.tenantID),
		slog.String("dataset", b.tenant.DatasetID),
		slog.Int("events", len(items)),
		slog.String("class", className(err)),
		slog.Duration("duration", took),
	}
	attrs = append(attrs, carried(items, b.Now())...)
	if err == nil {
		attrs = append(attrs, slog.String("fbtrace_id", result.FbtraceID))
	} else {
		level = slog.LevelWarn
		attrs = append(attrs, slog.Int("http_status", err.Status), slog.Int("code", err.Code),
			slog.Int("subcode", err.Subcode), slog.String("error", err.Error()), slog.String("fbtrace_id", err.FbtraceID))
	}
	b.Logger.LogAttrs(b.ctx, level, "graph.call", attrs...)
}
