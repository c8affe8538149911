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
	// maxSilent is how often in a row it may wait in vain for what there is.
	maxSilent = 2
)

// errStalled is a reader that gets nothing, although there is more: its consumer
// was lost with a server, say, which the library notices after half a minute.
var errStalled = errors.New("the reader gets nothing")

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
	for {
		read := uint64(0)
		err := q.readOn(ctx, s, cfg, last, func(m jetstream.Msg, seq uint64) error {
			read = seq
			return fn(m, seq)
		})
		if !errors.Is(err, errStalled) || read == 0 {
			return err
		}
		q.log.Warn("queue: a reader gets nothing, another goes on", "stream", stream, "after", read)
		cfg = jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: read + 1}
	}
}

// readOn is read with one reader, up to the message last.
func (q *Queue) readOn(ctx context.Context, s jetstream.Stream, cfg jetstream.OrderedConsumerConfig, last uint64,
	fn func(m jetstream.Msg, seq uint64) error,
) error {
	stream := s.CachedInfo().Config.Name
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
	got := uint64(0)
	for silent := 0; ; {
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
			lost := info.Delivered.Consumer > 0 && info.Delivered.Stream > got // on its way to us
			if info.NumPending == 0 && !lost {
				return nil
			}
			if silent++; silent > maxSilent {
				return fmt.Errorf("%w: read %s: %w", ErrUnavailable, stream, errStalled)
			}
			continue
		case err != nil:
			return fmt.Errorf("%w: read %s: %w", ErrUnavailable, stream, err)
		}
		silent = 0
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("queue: read %s: %w", stream, err)
		}
		if got = meta.Sequence.Stream; got <= last {
			if err := fn(m, got); err != nil {
				return err
			}
		}
		if got >= last || meta.NumPending == 0 {
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
