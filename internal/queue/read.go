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

// reading is one pass over a stream.
type reading struct {
	stream jetstream.Stream
	name   string
	fn     func(m jetstream.Msg, seq uint64) error
	since  time.Time // zero: from the beginning
	last   uint64    // the number of the last message that is to come
	got    uint64    // that of the last one that came
}

// read calls fn with the messages of a stream since a time, zero for all, in
// order, up to the last one there was when read was called.
func (q *Queue) read(ctx context.Context, stream string, since time.Time, fn func(m jetstream.Msg, seq uint64) error) error {
	s, err := q.js.Stream(ctx, stream)
	if err != nil {
		return adminError("stream "+stream, err)
	}
	state := s.CachedInfo().State
	if state.Msgs == 0 || state.LastTime.Before(since) {
		return nil
	}
	r := &reading{stream: s, name: stream, fn: fn, since: since, last: state.LastSeq}
	for {
		before := r.got
		err := q.readOn(ctx, r)
		if !errors.Is(err, errStalled) || r.got == before {
			return err
		}
		q.log.Warn("queue: a reader gets nothing, another goes on", "stream", stream, "after", r.got)
	}
}

// readOn goes on with one reader.
func (q *Queue) readOn(ctx context.Context, r *reading) error {
	cons, err := r.stream.OrderedConsumer(ctx, r.config())
	if err != nil {
		return adminError("reader of "+r.name, err)
	}
	defer q.forgetReader(r.name, cons)
	msgs, err := cons.Messages(jetstream.PullMaxMessagesWithBytesLimit(readAhead, readAheadBytes))
	if err != nil {
		return fmt.Errorf("%w: read %s: %w", ErrUnavailable, r.name, err)
	}
	defer msgs.Stop()
	defer context.AfterFunc(ctx, msgs.Stop)()
	for silent := 0; ; {
		m, err := msgs.Next(jetstream.NextMaxWait(readPatience))
		pending := uint64(0)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, nats.ErrTimeout):
			silent++
		case err != nil:
			return fmt.Errorf("%w: read %s: %w", ErrUnavailable, r.name, err)
		default:
			silent = 0
			if pending, err = r.take(m); err != nil || r.got >= r.last {
				return err
			}
		}
		if pending > 0 {
			continue
		}
		if left, err := r.left(ctx); err != nil || !left {
			return err
		}
		if silent > maxSilent {
			return fmt.Errorf("%w: read %s: %w", ErrUnavailable, r.name, errStalled)
		}
	}
}

// config is of a reader that goes on behind what has come.
func (r *reading) config() jetstream.OrderedConsumerConfig {
	switch {
	case r.got > 0:
		return jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.got + 1}
	case !r.since.IsZero():
		return jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &r.since}
	default:
		return jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
	}
}

// take calls fn with m, unless it is newer than what was asked for, and returns how
// many more its reader knows of.
func (r *reading) take(m jetstream.Msg) (pending uint64, err error) {
	meta, err := m.Metadata()
	if err != nil {
		return 0, fmt.Errorf("queue: read %s: %w", r.name, err)
	}
	if r.got = meta.Sequence.Stream; r.got <= r.last {
		err = r.fn(m, r.got)
	}
	return meta.NumPending, err
}

// left reports whether a message is still to come, by the word of the stream's
// leader: a reader lies on one server, which may lag, and what that takes for the
// end is none. What was left may also have grown too old, and gone.
func (r *reading) left(ctx context.Context) (bool, error) {
	info, err := r.stream.Info(ctx, jetstream.WithDeletedDetails(true))
	if err != nil {
		return false, adminError("stream "+r.name, err)
	}
	from := max(r.got+1, info.State.FirstSeq)
	if r.got == 0 && !r.since.IsZero() {
		from = max(from, r.last) // of those before it nobody knows how old they are
	}
	gone := make(map[uint64]struct{}, len(info.State.Deleted))
	for _, seq := range info.State.Deleted {
		gone[seq] = struct{}{}
	}
	for seq := from; seq <= r.last; seq++ {
		if _, ok := gone[seq]; !ok {
			return true, nil
		}
	}
	return false, nil
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
