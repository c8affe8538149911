package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/homing-dev/homing/pkg/events"
)

const (
	clickPull = 1000
	// clickRetry is how long clicks are held back that could not be stored.
	clickRetry = time.Second
)

// ConsumeClicks hands the clicks of the stream to fn, a batch at a time and until
// ctx ends, and acks a batch once fn returns nil. Of a batch that failed every
// click comes again: storing a click twice is no harm. fn's context outlives ctx,
// so that what it has begun can end.
func (q *Queue) ConsumeClicks(ctx context.Context, fn func(context.Context, []events.Click) error) error {
	trouble := outage{log: q.log, what: "clicks"}
	for ctx.Err() == nil {
		if err := q.readClicks(ctx, &trouble, fn); err != nil {
			trouble.wait(ctx, err)
		}
	}
	return nil
}

// readClicks pulls until ctx ends or something is wrong.
func (q *Queue) readClicks(ctx context.Context, trouble *outage, fn func(context.Context, []events.Click) error) error {
	d := clickConsumer(q.cfg)
	if err := q.ensure(ctx, d); err != nil {
		return err
	}
	in, err := q.openInlet(d)
	if err != nil {
		return err
	}
	defer in.close(func(batch []*nats.Msg) { q.answerAll(batch, q.handBackClick) })
	for ctx.Err() == nil {
		var failed error
		err := in.pull(ctx, grant{clickPull, burstBytes}, quietWait, func(batch []*nats.Msg) {
			if err := q.storeClicks(ctx, batch, fn); err != nil {
				failed = err
			}
		})
		if err = errors.Join(err, failed); err != nil {
			return err
		}
		trouble.over()
	}
	return nil
}

// storeClicks hands on one batch and answers for all of it.
func (q *Queue) storeClicks(ctx context.Context, batch []*nats.Msg, fn func(context.Context, []events.Click) error) error {
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), q.cfg.AckWait/2)
	defer cancel()
	found := make([]rawClick, len(batch))
	for i, m := range batch {
		found[i].data = m.Data
		found[i].trace, _ = safeText(m.Header.Get(HeaderTraceParent), maxHeaderValue)
		if meta, err := m.Metadata(); err == nil {
			found[i].seq = meta.Sequence.Stream
		}
	}
	if clicks := q.decodeClicks(found); len(clicks) > 0 {
		if err := fn(work, clicks); err != nil {
			q.answerAll(batch, func(reply string) error { return q.sendNak(reply, clickRetry) })
			return fmt.Errorf("queue: store clicks: %w", err)
		}
	}
	q.answerAll(batch, q.sendAck)
	return nil
}

func (q *Queue) handBackClick(reply string) error { return q.sendNak(reply, 0) }

func (q *Queue) answerAll(batch []*nats.Msg, answer func(reply string) error) {
	for _, m := range batch {
		if err := answer(m.Reply); err != nil {
			q.log.Debug("queue: an answer was not sent; the click will come again", "error", err)
		}
	}
}

// rawClick is a click as it stands in the stream.
type rawClick struct {
	data  []byte
	seq   uint64
	trace string // of what brought it; may be empty
}

// decodeClicks leaves out what it can't decode, and says so: the stream keeps it,
// acked or not.
func (q *Queue) decodeClicks(found []rawClick) []events.Click {
	clicks := make([]events.Click, 0, len(found))
	for _, m := range found {
		c, err := events.DecodeClick(m.data)
		if err != nil {
			q.log.Error("queue: a click can't be decoded and is left out", "stream", StreamClicks, "seq", m.seq, "error", err)
			continue
		}
		c.Trace = m.trace
		clicks = append(clicks, *c)
	}
	return clicks
}

// ClicksCaughtUp reports whether every click stored so far has been consumed:
// nothing waits and nothing is being worked on.
func (q *Queue) ClicksCaughtUp(ctx context.Context) (bool, error) {
	c, err := q.js.Consumer(ctx, StreamClicks, consumerClicks)
	if err != nil {
		return false, adminError("consumer "+consumerClicks+" of "+StreamClicks, err)
	}
	info := c.CachedInfo()
	return info.NumPending == 0 && info.NumAckPending == 0, nil
}

// ReadClicks calls fn with the clicks stored since then, or with all of them when
// since is zero, up to where the stream ended when it was called.
func (q *Queue) ReadClicks(ctx context.Context, since time.Time, fn func([]events.Click) error) error {
	batch := make([]rawClick, 0, readBatch)
	flush := func() error {
		clicks := q.decodeClicks(batch)
		batch = batch[:0]
		if len(clicks) == 0 {
			return nil
		}
		return fn(clicks)
	}
	err := q.read(ctx, StreamClicks, since, func(m jetstream.Msg, seq uint64) error {
		if batch = append(batch, rawClick{data: m.Data(), seq: seq}); len(batch) < readBatch {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}
