package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// readBatch is about how many items a reader is called with at once.
	readBatch = 1000
	// readAhead and readAheadBytes bound what is on its way to a reader.
	readAhead      = 4000
	readAheadBytes = 16 * mib
	// readPatience is how long nothing may come before the stream is asked
	// whether there is anything left.
	readPatience = 2 * time.Second
)

// read calls fn with the messages of a stream since a time, zero for all, in
// order, up to the last one there was when read was called.
func (q *Queue) read(ctx context.Context, stream string, since time.Time, fn func(m jetstream.Msg, seq uint64) error) error {
	s, err := q.js.Stream(ctx, stream)
	if err != nil {
		return adminError("stream "+stream, err)
	}
	last := s.CachedInfo().State.LastSeq
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
	if !since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &since
	}
	cons, err := s.OrderedConsumer(ctx, cfg)
	if err != nil {
		return adminError("reader of "+stream, err)
	}
	defer q.forgetReader(stream, cons)
	if cons.CachedInfo().NumPending == 0 {
		return nil
	}
	msgs, err := cons.Messages(jetstream.PullMaxMessagesWithBytesLimit(readAhead, readAheadBytes))
	if err != nil {
		return fmt.Errorf("%w: read %s: %w", ErrUnavailable, stream, err)
	}
	defer msgs.Stop()
	defer context.AfterFunc(ctx, msgs.Stop)()
	for {
		m, err := msgs.Next(jetstream.NextMaxWait(readPatience))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, nats.ErrTimeout):
			// What was left may have grown too old and gone.
			info, err := cons.Info(ctx)
			if err != nil {
				return fmt.Errorf("%w: read %s: %w", ErrUnavailable, stream, err)
			}
			if info.NumPending == 0 {
				return nil
			}
			continue
		case err != nil:
			return fmt.Errorf("%w: read %s: %w", ErrUnavailable, stream, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("queue: read %s: %w", stream, err)
		}
		if meta.Sequence.Stream <= last {
			if err := fn(m, meta.Sequence.Stream); err != nil {
				return err
			}
		}
		if meta.Sequence.Stream >= last || meta.NumPending == 0 {
			return nil
		}
	}
}

// forgetReader deletes a reader's consumer, which would linger for minutes and
// count against the stream's limit.
func (q *Queue) forgetReader(stream string, cons jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.Background(), readPatience)
	defer cancel()
	if err := q.js.DeleteConsumer(ctx, stream, cons.CachedInfo().Name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		q.log.Debug("queue: a reader's consumer is left to expire", "stream", stream, "error", err)
	}
}
