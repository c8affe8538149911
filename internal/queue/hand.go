package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// place names a message for as long as it lives.
type place struct {
	stream string
	seq    uint64
}

// hand is the queue's side of a message that this process holds.
type hand struct {
	place place
	slot  grant
	// Under Queue.mu.
	raw      jetstream.Msg // the newest delivery: an older one can't always be acked
	settling bool          // a verdict is being carried out
}

// take makes m the process's, unless it is already in its hands: then the
// redelivery is dropped, neither acked nor nakked, and only its way to be acked
// is kept.
func (q *Queue) take(m jetstream.Msg, meta *jetstream.MsgMetadata, slot grant) (*hand, bool) {
	h := &hand{place: place{meta.Stream, meta.Sequence.Stream}, slot: slot, raw: m}
	q.mu.Lock()
	defer q.mu.Unlock()
	if held := q.hands[h.place]; held != nil {
		held.raw = m
		return nil, false
	}
	q.hands[h.place] = h
	return h, true
}

// claim makes the caller the one who settles h; false when another one does, or
// did.
func (q *Queue) claim(h *hand) bool {
	if h == nil {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if h.settling || q.hands[h.place] != h {
		return false
	}
	h.settling = true
	return true
}

// drop lets go of a claimed message and frees its slot.
func (q *Queue) drop(h *hand) {
	q.mu.Lock()
	delete(q.hands, h.place)
	q.mu.Unlock()
	q.budget.give(h.slot)
}

// ackDelivery and nakDelivery are the only places that answer JetStream.
func ackDelivery(m jetstream.Msg) error { return m.Ack() }

func nakDelivery(m jetstream.Msg, delay time.Duration) error {
	return m.NakWithDelay(max(delay, 0))
}

// ack tells JetStream that the message is done with. An ack that gets lost is no harm: the message comes again, and its record
// says that it is settled.
func (q *Queue) ack(h *hand) {
	defer q.drop(h)
	if err := ackDelivery(q.newest(h)); err != nil {
		q.logLost("ack", h, err)
	}
}

// nak hands the message back, to be delivered again after delay. A lost nak is a
// redelivery after AckWait.
func (q *Queue) nak(h *hand, delay time.Duration) {
	defer q.drop(h)
	if err := nakDelivery(q.newest(h), delay); err != nil {
		q.logLost("nak", h, err)
	}
}

func (q *Queue) newest(h *hand) jetstream.Msg {
	q.mu.Lock()
	defer q.mu.Unlock()
	return h.raw
}

func (q *Queue) logLost(what string, h *hand, err error) {
	// One line per message would drown the outage that caused it.
	q.log.Debug("queue: "+what+" was not sent; the message will come again",
		"stream", h.place.stream, "seq", h.place.seq, "error", err)
}

// InFlight is how many messages this process holds.
func (q *Queue) InFlight() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.hands)
}

// HandBackAll naks every message in hand that no Settle is at work on, and
// returns how many there were. Settling one of them afterwards does nothing.
func (q *Queue) HandBackAll(ctx context.Context) (int, error) {
	q.mu.Lock()
	var back []*hand
	for _, h := range q.hands {
		if !h.settling {
			h.settling = true
			back = append(back, h)
		}
	}
	q.mu.Unlock()
	for _, h := range back {
		q.nak(h, 0)
	}
	return len(back), q.flush(ctx)
}

// Drain waits until everything in hand is settled, or ctx ends; then it hands
// back the rest. Call it after Consume has returned.
func (q *Queue) Drain(ctx context.Context) (handedBack int, err error) {
	for q.InFlight() > 0 && pause(ctx, drainPoll) == nil {
	}
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackTimeout)
	defer cancel()
	return q.HandBackAll(flush)
}

const drainPoll = 10 * time.Millisecond

// flush waits until the server has what was sent, so that acks are not lost with
// the process.
func (q *Queue) flush(ctx context.Context) error {
	if err := q.nc.FlushWithContext(ctx); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("%w: flush: %w", ErrUnavailable, err)
	}
	return nil
}
