package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/homing-dev/homing/internal/crash"
)

// failedMove is how long a message is held back whose copy could not be
// published, the first time; maxFailedMove is the longest.
const (
	failedMove    = 5 * time.Second
	maxFailedMove = 5 * time.Minute
)

// Settle carries out verdicts[i] on msgs[i] and frees their slots. ctx is the
// context for working. A message is acked only when its copy, if it gets one, is
// durable; when the copy can't be published the message is handed back instead.
// A message that was settled already, or handed back, is left alone.
func (q *Queue) Settle(ctx context.Context, msgs []*Message, verdicts []Verdict) {
	type move struct {
		msg    *Message
		action Action
		pub    *publication
	}
	var moves []move
	for i, m := range msgs {
		h := m.hand
		if !q.claim(h) {
			continue
		}
		switch v := verdicts[i]; v.Action {
		case Ack:
			q.ack(h)
		case Nak:
			q.nak(h, v.Delay)
		case Forget:
			q.drop(h)
		case Retry, Park:
			pub, err := q.publishCopy(m, v)
			if err != nil {
				q.failMove(m, v.Action, err)
				continue
			}
			moves = append(moves, move{m, v.Action, pub})
		default:
			// Nothing was decided, so nothing is lost by trying again.
			q.log.Error("queue: a verdict without an action", "stream", m.Stream, "seq", m.Seq)
			q.nak(h, failedMove)
		}
	}
	for _, mv := range moves {
		_, err := q.await(ctx, mv.pub)
		if mv.action == Park {
			crash.At(crash.AfterPark)
		} else {
			crash.At(crash.AfterRetry)
		}
		if err != nil {
			q.failMove(mv.msg, mv.action, err)
			continue
		}
		q.ack(mv.msg.hand)
	}
}

// failMove hands back a message whose copy is not known to be durable. Where it
// is durable after all, the same Nats-Msg-Id keeps the next try from storing a
// second one. A message that waits for room longer and longer is not soon one
// that was handed out too often.
func (q *Queue) failMove(m *Message, a Action, err error) {
	q.log.Warn("queue: a message could not be moved and is handed back",
		"stream", m.Stream, "seq", m.Seq, "action", a, "error", err)
	doublings := min(max(m.Deliveries, 1)-1, 10)
	q.nak(m.hand, min(failedMove<<doublings, maxFailedMove))
}

// publishCopy starts the move of a message to where its verdict says. The copy's
// headers are built, never copied, and its Nats-Msg-Id is made of where the
// original stands, never of the attempt.
func (q *Queue) publishCopy(m *Message, v Verdict) (*publication, error) {
	env := *v.Next
	env.Tenant, env.Accept, env.Origin, env.Round = m.Tenant, m.Accept, m.Origin, m.Round // never change here
	if m.Fault != nil {
		return nil, fmt.Errorf("queue: a message with a fault can only be buried: %w", m.Fault)
	}
	msg := &nats.Msg{Header: env.header(), Data: m.Data}
	id := fmt.Sprintf("%s:%d", m.Stream, m.Seq)
	if v.Action == Park {
		msg.Subject = subjectParked(env.Tenant)
		crash.At(crash.BeforePark)
		return q.publish(msg, StreamParked, id)
	}
	shard := shardOf(env.Tenant, q.Shards())
	msg.Subject = subjectSchedule(shard, env.Accept, env.Round)
	crash.At(crash.BeforeRetry)
	return q.publish(msg, StreamRetry, id,
		jetstream.WithScheduleAt(ceilSecond(v.At)),
		jetstream.WithScheduleTarget(subjectRetry(shard, env.Tenant)))
}

// ceilSecond rounds up to the scheduler's whole seconds: a retry is never early.
func ceilSecond(t time.Time) time.Time {
	whole := t.Truncate(time.Second)
	if whole.Before(t) {
		whole = whole.Add(time.Second)
	}
	return whole
}
