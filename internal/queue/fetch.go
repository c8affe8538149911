package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// handOver is how many messages are handed on at once at most.
const handOver = 256

// quiet is how long nothing must come, after the end of pulling, before an open
// request is given up. What is on its way then would be held up for AckWait.
const quiet = 50 * time.Millisecond

// fetch makes one pull request within slots and calls use with what comes, as it
// comes. Once ctx has ended use is told so, and what still comes is for handing
// back.
func fetch(ctx context.Context, cons jetstream.Consumer, slots grant, wait time.Duration, use func(batch []jetstream.Msg, ending bool)) error {
	open, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait)
	defer cancel()
	batch, err := cons.Fetch(slots.msgs, jetstream.FetchMaxBytes(int(slots.bytes)), jetstream.FetchContext(open))
	if err != nil {
		return fmt.Errorf("%w: pull: %w", ErrUnavailable, err)
	}
	ended := ctx.Done()
	var giveUp <-chan time.Time
	for msgs := batch.Messages(); ; {
		select {
		case m, ok := <-msgs:
			if !ok {
				return fetchError(batch.Error())
			}
			use(gather(m, msgs), ctx.Err() != nil)
			if ctx.Err() != nil {
				giveUp = time.After(quiet)
			}
		case <-ended:
			ended, giveUp = nil, time.After(quiet)
		case <-giveUp:
			cancel()
			giveUp = nil
		}
	}
}

// gather adds to m what is there already.
func gather(m jetstream.Msg, more <-chan jetstream.Msg) []jetstream.Msg {
	batch := []jetstream.Msg{m}
	for len(batch) < handOver {
		select {
		case m, ok := <-more:
			if !ok {
				return batch
			}
			batch = append(batch, m)
		default:
			return batch
		}
	}
	return batch
}

// fetchError drops the errors that only say that a pull is over.
func fetchError(err error) error {
	if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("%w: pull: %w", ErrUnavailable, err)
}

// consumer finds a durable consumer, and makes it again when somebody deleted
// it: unacked messages of a work queue are still there for the new one.
func (q *Queue) consumer(ctx context.Context, d durable) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	c, err := q.js.Consumer(ctx, d.Stream, d.Config.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) && !q.cfg.External {
		c, err = q.js.CreateOrUpdateConsumer(ctx, d.Stream, d.Config)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: consumer %s of %s: %w", ErrUnavailable, d.Config.Durable, d.Stream, err)
	}
	return c, nil
}

// outage tells the log of trouble once when it begins and once when it is over,
// and slows the tries in between.
type outage struct {
	log   *slog.Logger
	what  string
	tries int
}

const (
	outageFirst = 50 * time.Millisecond
	outageMax   = 2 * time.Second
)

func (o *outage) wait(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	o.tries++
	// The first failure is often a restart that is over in a moment.
	if o.tries == 2 {
		o.log.Warn("queue: "+o.what+" can't be read, trying again", "error", err)
	}
	_ = pause(ctx, min(outageFirst<<min(o.tries, 8), outageMax)) // the caller looks at ctx
}

func (o *outage) over() {
	if o.tries >= 2 {
		o.log.Info("queue: " + o.what + " is read again")
	}
	o.tries = 0
}
