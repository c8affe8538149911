package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// How a lane pulls. A quiet lane asks for little and waits long, so that it
// holds few slots; a busy one asks for as much as it was given lately, doubled.
const (
	laneBytes  = 512 * kib // more than the largest message that a lane can hold
	burstBytes = 8 * mib
	quietPull  = 16
	burstPull  = 1000
	quietWait  = time.Second
	burstWait  = 250 * time.Millisecond
	// stalled is longer than a request is ever open: what comes later was held up
	// on its way.
	stalled = quietWait + patience

	// lanesEvery is how often Consume looks for lanes that were added.
	lanesEvery = 15 * time.Second
)

// Consume pulls from every lane and hands what comes to sink, until ctx ends;
// then it returns nil once no pull is open any more. It never holds more than
// the free slots: a slot is freed by Settle. ctx is for pulling only: what is in
// hand when it ends may still be settled.
//
// sink is called from several goroutines at once. A message that this process
// still has in hand is not handed out again.
func (q *Queue) Consume(ctx context.Context, sink func([]*Message)) error {
	var lanes sync.WaitGroup
	defer lanes.Wait()
	look := time.NewTicker(lanesEvery)
	defer look.Stop()
	for started := 0; ; {
		for ; started < q.Shards(); started++ {
			for _, stream := range []string{StreamEvents, StreamRetry} {
				l := q.newLane(lane(q.cfg, stream, started), sink)
				lanes.Go(func() { l.run(ctx) })
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-q.added:
			continue
		case <-look.C:
		}
		if err := q.readShards(ctx); err != nil && ctx.Err() == nil {
			q.log.Debug("queue: can't look for new lanes", "error", err)
		}
	}
}

// puller reads one lane.
type puller struct {
	q       *Queue
	durable durable
	sink    func([]*Message)
	size    int // of the next pull
	outage  outage
}

func (q *Queue) newLane(d durable, sink func([]*Message)) *puller {
	return &puller{
		q: q, durable: d, sink: sink, size: quietPull,
		outage: outage{log: q.log, what: "lane " + d.Config.Durable},
	}
}

func (l *puller) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := l.read(ctx); err != nil {
			l.outage.wait(ctx, err)
		}
	}
}

// read pulls until ctx ends or something is wrong.
func (l *puller) read(ctx context.Context) error {
	if err := l.q.ensure(ctx, l.durable); err != nil {
		return err
	}
	in, err := l.q.openInlet(l.durable)
	if err != nil {
		return err
	}
	defer in.close(func(batch []*nats.Msg) { l.handOut(batch, in.asked) })
	for ctx.Err() == nil { // else a request would be made that nobody waits for
		slots, err := l.q.budget.take(ctx, l.request())
		if err != nil {
			return nil // ctx has ended
		}
		err = l.pull(ctx, in, &slots)
		l.q.budget.give(slots)
		if err != nil {
			return err
		}
		l.outage.over()
	}
	return nil
}

func (l *puller) request() request {
	limit := l.q.cfg.MaxInFlight
	return request{
		// Waiting for a few free slots keeps pulls from shrinking to one message.
		minMsgs: min(l.size, max(limit/256, 1), 64), maxMsgs: l.size,
		minBytes: laneBytes, maxBytes: max(laneBytes, min(burstBytes, l.q.cfg.MaxInFlightBytes/4)*int64(l.size)/burstPull),
	}
}

// pull makes one request and hands out what comes; what is left of slots was not
// used.
func (l *puller) pull(ctx context.Context, in *inlet, slots *grant) error {
	wait := quietWait
	if l.size > quietPull {
		wait = burstWait
	}
	got := 0
	err := in.pull(ctx, *slots, wait, func(batch []*nats.Msg) {
		got += len(batch)
		var msgs []*Message
		for _, m := range batch {
			if msg := l.q.receive(m, slots, in.asked); msg != nil {
				msgs = append(msgs, msg)
			}
		}
		if len(msgs) > 0 {
			l.sink(msgs)
		}
	})
	l.size = min(max(2*got, quietPull), burstPull)
	return err
}

// handOut hands out what the server had sent when the inlet was closed, over and
// above the slots. It is not handed back, since a message that was would look,
// after an incident, like one that a dead worker may have sent.
func (l *puller) handOut(batch []*nats.Msg, asked time.Time) {
	var msgs []*Message
	for _, m := range batch {
		if msg := l.q.receive(m, nil, asked); msg != nil {
			msgs = append(msgs, msg)
		}
	}
	if len(msgs) > 0 {
		l.sink(msgs)
	}
}

// refuse hands a delivery back at once, unless the message is in hand.
func (q *Queue) refuse(m *nats.Msg, meta *nats.MsgMetadata) {
	if h, ok := q.take(m, meta, grant{}); ok && q.claim(h) {
		q.nak(h, 0)
	}
}

// receive makes a message of what JetStream delivered after it was asked, and pays
// for it from slots, where there are any; nil when it is in hand already, or there
// is no room for it.
func (q *Queue) receive(m *nats.Msg, slots *grant, asked time.Time) *Message {
	meta, err := m.Metadata()
	if err != nil {
		// Only a delivery has an ack subject, so there is nothing to settle.
		q.log.Error("queue: a delivery without metadata", "subject", m.Subject, "error", err)
		return nil
	}
	cost, ok := q.pay(m, slots)
	if !ok {
		q.refuse(m, meta)
		return nil
	}
	h, ok := q.take(m, meta, cost)
	if !ok {
		q.budget.give(cost)
		return nil
	}
	msg := &Message{
		Data:       m.Data,
		Stream:     meta.Stream,
		Seq:        meta.Sequence.Stream,
		Deliveries: meta.NumDelivered,
		Received:   q.now(),
		hand:       h,
	}
	if msg.Received.Sub(asked) > stalled {
		msg.Asked = asked
	}
	msg.Envelope, msg.Fault = openEnvelope(m.Subject, m.Header, h.place, meta.Timestamp)
	return msg
}

// pay takes a slot for m: from slots, and what they are exceeded by, since a request
// that was taken for lost was served after all, from the budget. Without slots all
// is free.
func (q *Queue) pay(m *nats.Msg, slots *grant) (grant, bool) {
	switch {
	case slots == nil:
		return grant{}, true
	case slots.msgs == 0:
		return q.budget.try(weight(m))
	}
	cost := grant{1, min(weight(m), slots.bytes)}
	slots.msgs -= cost.msgs
	slots.bytes -= cost.bytes
	return cost, true
}

// openEnvelope reads the envelope of a message that stands at a place since at.
// Where it is broken, enough is made up to bury the message: the bytes are kept,
// and the letter gets an acceptance id and a number of its own.
func openEnvelope(subject string, h nats.Header, at place, since time.Time) (Envelope, error) {
	e, fault := readEnvelope(h)
	tenant, ok := tenantOf(subject)
	if !ok && fault == nil {
		fault = errors.New("the subject names no tenant")
	}
	e.Tenant = tenant
	if at.stream == StreamEvents {
		e.Origin = at.seq
	} else if e.Origin == 0 && fault == nil {
		fault = fmt.Errorf("header %s is missing", HeaderOrigin)
	}
	if e.Accept == "" {
		e.Accept = fmt.Sprintf("%s:%d", at.stream, at.seq)
	}
	if e.AcceptedAt.IsZero() {
		e.AcceptedAt = since
	}
	return e, fault
}

// weight is about what a message takes in memory.
func weight(m *nats.Msg) int64 { return int64(m.Size()) }
