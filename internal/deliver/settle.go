package deliver

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/homing-dev/homing/internal/crash"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// decide writes what became of the events whose key we hold. It is the first
// thing written after Meta's answer; from then on a redelivery knows.
func (b *batch) decide() {
	defer b.clock(stageSettle)()
	b.spare()
	b.release()
	items := make([]*item, 0, len(b.items))
	verdicts := make([]dedup.Verdict, 0, len(b.items)) // large ones
	for _, it := range b.items {
		if it.claim.Held() && (it.fate.step == ending || it.fate.step == retry || it.fate.step == park) {
			items = append(items, it)
			verdicts = append(verdicts, dedup.Verdict{})
			b.rule(it, &verdicts[len(verdicts)-1])
		}
	}
	if len(items) == 0 {
		return
	}
	var settled []dedup.Settlement
	ok := b.persist(items, func(ctx context.Context) (err error) {
		crash.At(crash.BeforeSettle)
		settled, err = b.Claims.Settle(ctx, verdicts)
		crash.At(crash.AfterSettle)
		return err
	})
	for i, it := range items {
		switch {
		case !ok && it.accepted:
			// Redis stays silent, but Meta has it: the ledger must know. The
			// claim store learns it from there before its next claim.
			it.fate.step, it.fate.decided, it.missed = final, b.Now(), true
		case !ok, !settled[i].Stands:
			it.fate = fate{step: forget}
		case it.fate.step == ending:
			// The store has the last word: an event that Meta may have is never
			// called dead.
			rec := settled[i].Record
			it.unsure, it.fate.outcome, it.fate.reason = rec.Unsure, events.Outcome(rec.Outcome), events.Reason(rec.Reason)
			it.fate.step, it.fate.decided = final, rec.At
		}
	}
}

// spare keeps HOMING_RETRY from holding more than it should by events that come
// back unclaimed: those whose tenant or click is not known yet.
func (b *batch) spare() {
	for _, it := range b.with(retry) {
		if !it.claim.Held() && b.RetriesFull() {
			it.park(events.ReasonBusy)
		}
	}
}

// rule fills in the verdict on an item: the record that it leaves behind.
func (b *batch) rule(it *item, v *dedup.Verdict) {
	v.Message, v.Claim = it.asked, it.claim
	v.Next = dedup.Record{
		State: dedup.Decided, Outcome: string(it.fate.outcome), Reason: string(it.fate.reason),
		Unsure: it.unsure, Unknowns: it.unknowns, Note: it.note(),
	}
	if it.fate.step != ending {
		v.Next.State, v.Next.NextAt = dedup.Waiting, it.fate.at
	}
}

// release gives up the keys of events that were claimed and never sent.
func (b *batch) release() {
	var items []*item
	var msgs []dedup.Message
	var claims []dedup.Claim
	for _, it := range b.items {
		if it.claim.Held() && it.fate.step == handback {
			items = append(items, it)
			msgs = append(msgs, *it.asked)
			claims = append(claims, *it.claim)
		}
	}
	if len(items) > 0 && !b.persist(items, func(ctx context.Context) error {
		return b.giveUp(ctx, msgs, claims)
	}) {
		for _, it := range items {
			it.fate = fate{step: forget}
		}
	}
}

// giveUp releases claims, so that their events look untouched.
func (b *batch) giveUp(ctx context.Context, msgs []dedup.Message, claims []dedup.Claim) error {
	crash.At(crash.BeforeRelease)
	defer crash.At(crash.AfterRelease)
	return b.Claims.Release(ctx, msgs, claims)
}

// lastWrites is how much longer f is tried when the process has to end.
const lastWrites = 3 * time.Second

// persist tries f until it succeeds or the messages are about to be handed to
// somebody else. Shutting down does not stop it at once: what it writes is the
// truth. What it did not write, whoever is handed the messages next finds out by
// the claims that stand.
func (b *batch) persist(items []*item, f func(context.Context) error) bool {
	until := items[0].msg.Received
	for _, it := range items {
		if it.msg.Received.Before(until) {
			until = it.msg.Received
		}
	}
	until = until.Add(b.AckWait - time.Second)
	ctx, cancel := context.WithDeadline(context.WithoutCancel(b.ctx), until)
	defer cancel()
	defer context.AfterFunc(b.ctx, func() { time.AfterFunc(lastWrites, cancel) })()
	wait := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(0))
	err := backoff.RetryNotify(func() error { return f(ctx) }, backoff.WithContext(wait, ctx),
		func(err error, _ time.Duration) { b.Alarm(err) })
	if err != nil {
		b.Logger.ErrorContext(b.ctx, "deliver.persist", "tenant", b.tenantID, "events", len(items), "error", err)
	}
	return err == nil
}

// bury writes the dead letters, before the ledger says that they are there.
func (b *batch) bury() {
	b.overtaken()
	var items []*item
	var letters []queue.Letter
	for _, it := range b.with(final) {
		if it.fate.outcome == events.Dead || it.fate.outcome == events.Held {
			items = append(items, it)
			letters = append(letters, queue.Letter{
				Message: it.msg, Envelope: *it.envelope(), Outcome: it.fate.outcome, Reason: it.fate.reason,
				Error: it.fate.detail, FbtraceID: it.fate.fbtrace, At: it.fate.decided,
			})
		}
	}
	if len(letters) == 0 {
		return
	}
	for i, err := range b.Journal.Bury(context.WithoutCancel(b.ctx), letters) {
		if err != nil {
			// Not acked, so it comes back and its effects are tried again.
			items[i].fate = fate{step: forget}
			b.Logger.ErrorContext(b.ctx, "deliver.bury", "tenant", b.tenantID, "event_id", items[i].msg.EventID,
				"accept", items[i].msg.Accept, "trace_id", traceID(items[i].msg.Trace), "error", err)
		}
	}
}

// record writes the ledger. Only what it holds may be acked.
func (b *batch) record() {
	b.overtaken()
	items := b.with(final)
	if len(items) == 0 {
		return
	}
	defer b.clock(stageSettle)()
	settled := make([]events.Settlement, len(items))
	for i, it := range items {
		settled[i] = it.settlement()
	}
	if err := b.Journal.Record(context.WithoutCancel(b.ctx), b.tenantID, settled); err != nil {
		b.Logger.ErrorContext(b.ctx, "deliver.record", "tenant", b.tenantID, "events", len(items), "error", err)
		for _, it := range items {
			it.fate.step = forget
		}
		return
	}
	if slices.ContainsFunc(items, func(it *item) bool { return it.missed }) {
		b.Missed()
	}
	for _, it := range items {
		it.fate.step = ack
		b.tell(it)
	}
}

// tell counts an end and logs what needs a person.
func (b *batch) tell(it *item) {
	if it.answer() == dedup.Settled {
		return // told when it was decided
	}
	b.Metrics.Outcome(it.context(b.ctx), b.tenantID, it.fate.outcome, it.fate.reason, b.Now().Sub(it.msg.AcceptedAt))
	if it.fate.outcome == events.Dead || it.fate.outcome == events.Held {
		b.Logger.LogAttrs(b.ctx, slog.LevelWarn, "event.buried",
			slog.String("tenant", b.tenantID), slog.String("event_id", it.msg.EventID),
			slog.String("event_name", string(it.msg.EventName)), slog.String("accept", it.msg.Accept),
			slog.String("outcome", string(it.fate.outcome)), slog.String("reason", string(it.fate.reason)),
			slog.String("trace_id", traceID(it.msg.Trace)), slog.String("error", it.fate.detail))
	}
}

// overtaken leaves to others the end of events that were not sent and whose messages
// are by now in somebody else's hands: another acceptance of the key may have claimed
// it since, and Meta may have it. Without a key there is nothing to claim.
func (b *batch) overtaken() {
	for _, it := range b.items {
		unsent := it.fate.outcome == events.Dead || it.fate.outcome == events.NoClick
		if it.fate.step == final && unsent && it.key != "" && b.Now().After(handedOut(it.msg).Add(b.AckWait)) {
			b.tell(it) // others find it decided, and told
			it.fate = fate{step: forget}
		}
	}
}

func (it *item) settlement() events.Settlement {
	return events.Settlement{
		Accept: it.msg.Accept, Origin: it.msg.Origin, Round: it.msg.Round,
		Outcome: it.fate.outcome, Reason: it.fate.reason, Unsure: it.unsure,
		Tenant: it.msg.Tenant, Name: it.msg.EventName, ID: it.msg.EventID,
		Attempts: it.attempts, Clid: it.clid, FbtraceID: it.fate.fbtrace, TraceID: traceID(it.msg.Trace),
		AcceptedAt: it.msg.AcceptedAt, At: it.fate.decided,
	}
}
