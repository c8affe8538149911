package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/homing-dev/homing/internal/crash"
	"github.com/homing-dev/homing/pkg/events"
)

// Publish stores one acceptance and waits until it is durable, or ctx ends. Its
// errors are ErrFull, ErrUnavailable and the context's; after ErrUnavailable the
// event may be stored all the same, and the client's retry is safe because it
// comes with the same MsgID.
func (q *Queue) Publish(ctx context.Context, a Acceptance) (Accepted, error) {
	p, err := q.publishAcceptance(&a)
	if err != nil {
		return Accepted{}, err
	}
	ack, err := q.await(ctx, p)
	crash.At(crash.AfterPublishEvent)
	return accepted(ack, err)
}

// PublishMany is Publish for many: all are on their way before the first is
// waited for. The results are in the order of the acceptances.
func (q *Queue) PublishMany(ctx context.Context, as []Acceptance) []Result {
	results := make([]Result, len(as))
	waiting := make([]*publication, len(as))
	for i := range as {
		waiting[i], results[i].Err = q.publishAcceptance(&as[i])
	}
	for i, p := range waiting {
		if p != nil {
			results[i].Accepted, results[i].Err = accepted(q.await(ctx, p))
			crash.At(crash.AfterPublishEvent)
		}
	}
	return results
}

func accepted(ack *jetstream.PubAck, err error) (Accepted, error) {
	if err != nil {
		return Accepted{}, err
	}
	return Accepted{Seq: ack.Sequence, Duplicate: ack.Duplicate}, nil
}

func (q *Queue) publishAcceptance(a *Acceptance) (*publication, error) {
	if !isToken(a.Tenant) {
		return nil, errors.New("queue: the tenant of an acceptance can't stand in a subject")
	}
	if !isToken(a.Accept) {
		return nil, errors.New("queue: the Homing-Id of an acceptance can't stand in a subject")
	}
	if a.MsgID == "" {
		return nil, errors.New("queue: an acceptance needs a MsgID")
	}
	env := a.Envelope
	env.Origin = 0 // it is the sequence that this message is about to get
	crash.At(crash.BeforePublishEvent)
	return q.publish(&nats.Msg{
		Subject: subjectEvent(shardOf(a.Tenant, q.Shards()), a.Tenant),
		Header:  env.header(),
		Data:    a.Data,
	}, StreamEvents, a.MsgID)
}

// PublishClicks stores clicks and waits until all of them are durable. A click
// that is published again within the duplicate window is stored once.
func (q *Queue) PublishClicks(ctx context.Context, clicks []events.Click) error {
	waiting := make([]*publication, 0, len(clicks))
	var errs []error
	for i := range clicks {
		c := &clicks[i]
		if !isToken(c.Tenant) {
			errs = append(errs, errors.New("queue: the tenant of a click can't stand in a subject"))
			continue
		}
		crash.At(crash.BeforePublishClick)
		p, err := q.publish(&nats.Msg{
			Subject: subjectClick(c.Tenant),
			Header:  clickHeader(c),
			Data:    events.EncodeClick(c),
		}, StreamClicks, clickMsgID(c))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		waiting = append(waiting, p)
	}
	for _, p := range waiting {
		if _, err := q.await(ctx, p); err != nil {
			errs = append(errs, err)
		}
		crash.At(crash.AfterPublishClick)
	}
	return errors.Join(errs...)
}

// clickHeader carries a click's trace, if it has one.
func clickHeader(c *events.Click) nats.Header {
	w := newHeaderWriter(3)
	w.safe(HeaderTraceParent, c.Trace, maxHeaderValue)
	return w.h
}

// clickMsgID names a click by what makes it one.
func clickMsgID(c *events.Click) string {
	h := sha256.New()
	part := func(s string) {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	part(c.Tenant)
	part(c.Clid)
	part(strconv.FormatInt(c.At, 10))
	for _, p := range c.Persons {
		part(string(p))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// publication is a message on its way to a stream.
type publication struct {
	stream string
	msg    *nats.Msg
	opts   []jetstream.PublishOpt
	future jetstream.PubAckFuture
}

const (
	inProcessTries = 20
	inProcessWait  = 50 * time.Millisecond
)

// publish starts one publish. It is the only way by which a message enters a
// stream.
func (q *Queue) publish(msg *nats.Msg, stream, msgID string, opts ...jetstream.PublishOpt) (*publication, error) {
	if msgID != "" {
		msg.Header.Set(jetstream.MsgIDHeader, msgID)
	}
	p := &publication{stream: stream, msg: msg, opts: opts}
	if err := q.send(p); err != nil {
		return nil, err
	}
	return p, nil
}

func (q *Queue) send(p *publication) (err error) {
	p.future, err = q.js.PublishMsgAsync(p.msg, p.opts...)
	if err != nil {
		return publishError(err)
	}
	return nil
}

// await waits for the PubAck of a publication.
func (q *Queue) await(ctx context.Context, p *publication) (*jetstream.PubAck, error) {
	for try := 1; ; try++ {
		ack, err := p.wait(ctx)
		if errorCode(err) != codeDuplicateInProcess || try == inProcessTries {
			return ack, publishError(err)
		}
		// In a cluster the first message of this id is still on its way to the
		// other replicas; whether it gets there is known in a moment.
		if err := pause(ctx, inProcessWait); err != nil {
			return nil, publishError(err)
		}
		if err := q.send(p); err != nil {
			return nil, err
		}
	}
}

func (p *publication) wait(ctx context.Context) (*jetstream.PubAck, error) {
	select {
	case ack := <-p.future.Ok():
		// Not by a header, Nats-Expected-Stream, that every reader of the message
		// would have to parse again.
		if ack.Stream != p.stream {
			return nil, fmt.Errorf("%s took what is for %s: two streams must not share a subject", ack.Stream, p.stream)
		}
		return ack, nil
	case err := <-p.future.Err():
		return nil, err
	case <-ctx.Done():
		return nil, fmt.Errorf("no answer from JetStream: %w", ctx.Err())
	}
}

// pause waits for d, or for ctx to end.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
