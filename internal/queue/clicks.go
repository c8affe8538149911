package queue

import (
	"context"
	"fmt"
	"time"

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
	var cons jetstream.Consumer
	for ctx.Err() == nil {
		var err error
		if cons == nil {
			cons, err = q.consumer(ctx, clickConsumer(q.cfg))
		}
		if err == nil {
			err = q.pullClicks(ctx, cons, fn)
		}
		if err != nil {
			cons = nil
			trouble.wait(ctx, err)
			continue
		}
		trouble.over()
	}
	return nil
}

// pullClicks makes one pull; its error is the last of its batches.
func (q *Queue) pullClicks(ctx context.Context, cons jetstream.Consumer, fn func(context.Context, []events.Click) error) error {
	var failed error
	err := fetch(ctx, cons, grant{clickPull, burstBytes}, quietWait, func(batch []jetstream.Msg, ending bool) {
		if ending {
			q.answerAll(batch, func(m jetstream.Msg) error { return nakDelivery(m, 0) })
			return
		}
		work, cancel := context.WithTimeout(context.WithoutCancel(ctx), q.cfg.AckWait/2)
		defer cancel()
		if clicks := q.decodeClicks(batch); len(clicks) > 0 {
			if err := fn(work, clicks); err != nil {
				failed = fmt.Errorf("queue: store clicks: %w", err)
				q.answerAll(batch, func(m jetstream.Msg) error { return nakDelivery(m, clickRetry) })
				return
			}
		}
		q.answerAll(batch, ackDelivery)
	})
	if err != nil {
		return err
	}
	return failed
}

func (q *Queue) answerAll(batch []jetstream.Msg, answer func(jetstream.Msg) error) {
	for _, m := range batch {
		if err := answer(m); err != nil {
			q.log.Debug("queue: an answer was not sent; the click will come again", "error", err)
		}
	}
}

// decodeClicks leaves out what it can't decode, and says so: the stream keeps it,
// acked or not.
func (q *Queue) decodeClicks(batch []jetstream.Msg) []events.Click {
	clicks := make([]events.Click, 0, len(batch))
	for _, m := range batch {
		c, err := events.DecodeClick(m.Data())
		if err != nil {
			seq := uint64(0)
			if meta, err := m.Metadata(); err == nil {
				seq = meta.Sequence.Stream
			}
			q.log.Error("queue: a click can't be decoded and is left out", "stream", StreamClicks, "seq", seq, "error", err)
			continue
		}
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
	batch := make([]jetstream.Msg, 0, readBatch)
	flush := func() error {
		clicks := q.decodeClicks(batch)
		batch = batch[:0]
		if len(clicks) == 0 {
			return nil
		}
		return fn(clicks)
	}
	err := q.read(ctx, StreamClicks, since, func(m jetstream.Msg, _ uint64) error {
		if batch = append(batch, m); len(batch) < readBatch {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}
