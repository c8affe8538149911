package dedup_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/homing-dev/homing/pkg/dedup"
)

// step is a worker's next step with one message, as the design's column "then"
// has it. The worker can die before each.
func (w *world) step(j *job) {
	ctx := context.Background()
	j.busy = true
	defer func() { j.busy = false }()
	switch j.stage {
	case toClaim:
		w.claim(ctx, j)
	case toRelease:
		if err := w.store.Release(ctx, []dedup.Message{j.m}, []dedup.Claim{j.claim}); err == nil {
			w.say("w%d released %s", j.worker, j.m.Accept)
			w.nak(j, 0)
		}
	case toSend:
		w.send(j)
	case toSettle:
		w.settle(ctx, j)
	case toBury:
		w.bury(j)
		j.stage = toRecord
	case toRecord:
		if (j.record.Outcome == "dead" || j.record.Outcome == "no_click") && w.clock.now.Sub(j.handedAt) >= ackWait {
			w.end(j) // another may have it, and have sent it, by now
			return
		}
		w.say("w%d records %s/%d %s unsure=%t", j.worker, j.record.Accept, j.record.Round, j.record.Outcome, j.record.Unsure)
		w.ledger = append(w.ledger, line{j.record.Accept, j.record.Round, j.record.Outcome, j.record.Unsure})
		j.stage = toAck
	case toRetry:
		w.retry(j)
		j.stage = toAck
	case toAck:
		w.say("w%d acks %s %d", j.worker, j.m.Stream, j.m.Seq)
		j.msg.gone = true
		w.end(j)
	case over:
	}
}

func (w *world) claim(ctx context.Context, j *job) {
	if w.clock.now.Sub(j.handedAt) > startDeadline {
		w.say("w%d hands back %s unclaimed", j.worker, j.m.Accept)
		w.nak(j, 0)
		return
	}
	if !w.calm && w.choose(8) == 0 {
		w.putOff(ctx, j)
		return
	}
	claims, err := w.store.Claim(ctx, []dedup.Message{j.m})
	if j.stage == over {
		return // it died within the call
	}
	j.claim = claims[0]
	if err != nil {
		w.say("w%d claims %s: %v", j.worker, j.m.Accept, err)
		j.stage = toRelease
		return
	}
	c := j.claim
	j.claimedAt, j.memory = w.clock.now, w.memory
	w.say("w%d claims %s: %v, %s", j.worker, j.m.Accept, c.Result, dedup.EncodeRecord(c.Record))
	switch c.Result {
	case dedup.Leftover:
		j.stage = toAck
	case dedup.Fresh:
		j.stage = toSend
		late := w.clock.now.Sub(w.recoveredAt) >= 2*ackWait
		forgotten := slices.ContainsFunc(w.sends, func(s sent) bool { return s.memory < w.memory })
		w.unclosable = w.unclosable || forgotten && (late || j.m.Deliveries == 1)
	case dedup.Interrupted:
		j.stage = toSend
		if w.hold {
			j.verdict("held", "delivery_unknown")
		}
	case dedup.Exhausted:
		j.verdict("held", "attempts_exhausted")
	case dedup.Taken:
		w.nak(j, 2*time.Second)
	case dedup.Settled:
		j.effects(c.Record)
	case dedup.Duplicate:
		j.verdict("duplicate", "")
	default:
		w.bug = fmt.Sprintf("claim without a result: %+v", c)
	}
}

// putOff parks a message at a closed gate, unclaimed, and tells the status, which
// may fail.
func (w *world) putOff(ctx context.Context, j *job) {
	err := w.store.Defer(ctx, []dedup.Deferred{{Message: j.m, Outcome: "parked", Reason: "auth"}})
	w.say("w%d parks %s unclaimed: %v", j.worker, j.m.Accept, err)
	if j.stage == over {
		return
	}
	j.record, j.stage = dedup.Record{Unsure: j.m.Unsure, Unknowns: j.m.Unknowns}, toRetry
	if err != nil {
		return
	}
	fault := w.fake.fault
	w.fake.fault = nil
	defer func() { w.fake.fault = fault }()
	found, err := w.store.Get(ctx, []string{j.m.Key})
	own := err == nil && found[0].Accept == j.m.Accept && found[0].Round == j.m.Round
	if err != nil || found[0].State == dedup.None || own && found[0].State == dedup.Queued {
		w.bug = fmt.Sprintf("the status of what was parked is %q, %v", found[0].State, err)
	}
}

// verdict is what j settles with next.
func (j *job) verdict(outcome, reason string) {
	j.next = dedup.Record{State: dedup.Decided, Outcome: outcome, Reason: reason}
	j.stage = toSettle
}

func (j *job) wait() {
	j.next = dedup.Record{State: dedup.Waiting, Outcome: "retrying", Reason: "transient"}
	j.stage = toSettle
}

// effects starts on the effects of a decision.
func (j *job) effects(r dedup.Record) {
	j.record, j.stage = r, toRecord
	if r.Outcome == "dead" || r.Outcome == "held" {
		j.stage = toBury
	}
}

// send is the POST. No request starts late: rows 5 to 7 rest on that.
func (w *world) send(j *job) {
	now := w.clock.now
	if now.Sub(j.handedAt) > startDeadline || now.Sub(j.claimedAt) >= batchDeadline {
		j.stage = toRelease
		return
	}
	answer := 0
	if !w.calm {
		answer = w.choose(8)
	}
	post := sent{
		accept: j.m.Accept, memory: j.memory,
		operator: w.letGo, takeover: j.claim.Result == dedup.Interrupted,
	}
	switch answer {
	default:
		w.say("w%d sends %s: delivered", j.worker, j.m.Accept)
		w.sends = append(w.sends, post)
		j.verdict("delivered", "")
	case 4, 5:
		w.troubled = true
		w.say("w%d sends %s: no answer", j.worker, j.m.Accept)
		w.sends = append(w.sends, post) // it may have been counted
		unknowns := j.claim.Record.Unknowns + 1
		if w.hold || unknowns > 3 {
			j.verdict("held", "delivery_unknown")
		} else {
			j.wait()
		}
		j.next.Unsure, j.next.Unknowns = true, unknowns
	case 6:
		w.say("w%d sends %s: not taken", j.worker, j.m.Accept)
		j.wait()
	case 7:
		w.say("w%d sends %s: invalid", j.worker, j.m.Accept)
		j.verdict("dead", "rejected_by_meta")
	}
}

func (w *world) settle(ctx context.Context, j *job) {
	settled, err := w.store.Settle(ctx, []dedup.Verdict{{Message: &j.m, Claim: &j.claim, Next: j.next}})
	switch {
	case j.stage == over:
	case err != nil:
		w.say("w%d settles %s: %v", j.worker, j.m.Accept, err) // and again
	case !settled[0].Stands:
		w.say("w%d settles %s: forget it", j.worker, j.m.Accept)
		w.end(j) // neither ack nor nak
	case j.next.State == dedup.Waiting:
		w.say("w%d settles %s: waiting", j.worker, j.m.Accept)
		j.record, j.stage = *settled[0].Record, toRetry
	case j.next.Outcome == "duplicate":
		j.record = dedup.Record{Accept: j.m.Accept, Round: j.m.Round, Outcome: "duplicate", Unsure: j.m.Unsure}
		j.stage = toRecord
	default:
		w.say("w%d settles %s: %s", j.worker, j.m.Accept, dedup.EncodeRecord(*settled[0].Record))
		j.effects(*settled[0].Record)
	}
}

// retry schedules a copy; a schedule of the same round that has not fired is
// replaced.
func (w *world) retry(j *job) {
	for _, m := range w.messages {
		if m.scheduled && m.Accept == j.m.Accept && m.Round == j.m.Round {
			m.gone = true
		}
	}
	w.seq++
	m := j.m
	m.Stream, m.Seq, m.Deliveries = "RETRY", w.seq, 0
	m.Unsure, m.Unknowns = j.record.Unsure, j.record.Unknowns
	w.say("w%d schedules %s as %d", j.worker, m.Accept, m.Seq)
	w.messages = append(w.messages, &message{Message: m, due: w.clock.now.Add(30 * time.Second), scheduled: true})
}

func (w *world) bury(j *job) {
	id := fmt.Sprintf("%s:%d", j.record.Accept, j.record.Round)
	if w.letters[id] == nil {
		m := j.m
		m.Round, m.Unsure = j.record.Round, j.record.Unsure
		w.letters[id] = &letter{msg: m, outcome: j.record.Outcome}
	}
}

// nak makes the message deliverable again, whoever else has it.
func (w *world) nak(j *job, delay time.Duration) {
	j.msg.handed, j.msg.due = false, w.clock.now.Add(delay)
	w.end(j)
}

func (w *world) end(j *job) {
	w.endJobs(func(other *job) bool { return other == j })
}

func sortedKeys(m map[string]*letter) []string { return slices.Sorted(maps.Keys(m)) }
