package queue

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/homing-dev/homing/internal/crash"
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
	reply    string // of the newest delivery: an older one can't always be acked
	settling bool   // a verdict is being carried out
}

// take makes m the process's, unless it is already in its hands: then the
// redelivery is dropped, neither acked nor nakked, and only its way to be acked
// is kept.
func (q *Queue) take(m *nats.Msg, meta *nats.MsgMetadata, slot grant) (*hand, bool) {
	h := &hand{place: place{meta.Stream, meta.Sequence.Stream}, slot: slot, reply: m.Reply}
	q.mu.Lock()
	defer q.mu.Unlock()
	if held := q.hands[h.place]; held != nil {
		held.reply = m.Reply
		return nil, false
	}
	q.hands[h.place] = h
	q.held += h.slot.bytes
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
	q.held -= h.slot.bytes
	q.mu.Unlock()
	q.budget.give(h.slot)
}

// sendAck and sendNak are the only places that answer a delivery. What they send
// is not confirmed.
func (q *Queue) sendAck(reply string) error {
	crash.At(crash.BeforeAck)
	err := q.nc.Publish(reply, []byte("+ACK"))
	crash.At(crash.AfterAck)
	return err
}

func (q *Queue) sendNak(reply string, delay time.Duration) error {
	nak := []byte("-NAK")
	if delay > 0 {
		nak = fmt.Appendf(nil, `-NAK {"delay":%d}`, delay.Nanoseconds())
	}
	crash.At(crash.BeforeNak)
	err := q.nc.Publish(reply, nak)
	crash.At(crash.AfterNak)
	return err
}

// ack tells JetStream that the message is done with. An ack that gets lost is no
// harm: the message comes again, and its record says that it is settled.
func (q *Queue) ack(h *hand) {
	defer q.drop(h)
	if err := q.sendAck(q.newest(h)); err != nil {
		q.logLost("ack", h, err)
	}
}

// nak hands the message back, to be delivered again after delay. A lost nak is a
// redelivery after AckWait.
func (q *Queue) nak(h *hand, delay time.Duration) {
	defer q.drop(h)
	if err := q.sendNak(q.newest(h), delay); err != nil {
		q.logLost("nak", h, err)
	}
}

func (q *Queue) newest(h *hand) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return h.reply
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

// Heavy reports whether this process holds half the bytes that it may. More is
// seldom reached, since the lanes keep room for their next pulls.
func (q *Queue) Heavy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.held > q.cfg.MaxInFlightBytes/2
}
