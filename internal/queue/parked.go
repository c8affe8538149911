package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/homing-dev/homing/internal/crash"
)

// Parked counts each tenant's parked events.
func (q *Queue) Parked(ctx context.Context) (map[string]uint64, error) {
	s, err := q.js.Stream(ctx, StreamParked)
	if err != nil {
		return nil, adminError("stream "+StreamParked, err)
	}
	if s.CachedInfo().State.Msgs == 0 {
		return nil, nil
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter("homing.parked.>"))
	if err != nil {
		return nil, adminError("stream "+StreamParked, err)
	}
	parked := make(map[string]uint64, len(info.State.Subjects))
	for subject, n := range info.State.Subjects {
		if tenant, ok := tenantOf(subject); ok {
			parked[tenant] = n
		}
	}
	return parked, nil
}

// Retries counts what HOMING_RETRY holds: schedules, and what has come back and
// is not settled.
func (q *Queue) Retries(ctx context.Context) (uint64, error) {
	s, err := q.js.Stream(ctx, StreamRetry)
	if err != nil {
		return 0, adminError("stream "+StreamRetry, err)
	}
	return s.CachedInfo().State.Msgs, nil
}

// Returned counts a tenant's events that have come back by HOMING_RETRY and are
// not settled.
func (q *Queue) Returned(ctx context.Context, tenant string) (uint64, error) {
	subject := subjectRetry(shardOf(tenant, q.Shards()), tenant)
	s, err := q.js.Stream(ctx, StreamRetry)
	if err != nil {
		return 0, adminError("stream "+StreamRetry, err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(subject))
	if err != nil {
		return 0, adminError("stream "+StreamRetry, err)
	}
	return info.State.Subjects[subject], nil
}

// OthersWaiting reports whether events of other tenants wait in a tenant's lane of
// the backlog, given how many of each tenant this process holds.
func (q *Queue) OthersWaiting(ctx context.Context, tenant string, held map[string]int) (bool, error) {
	s, err := q.js.Stream(ctx, StreamEvents)
	if err != nil {
		return false, adminError("stream "+StreamEvents, err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(subjectEvent(shardOf(tenant, q.Shards()), "*")))
	if err != nil {
		return false, adminError("stream "+StreamEvents, err)
	}
	for subject, n := range info.State.Subjects {
		if other, ok := tenantOf(subject); ok && other != tenant && n > uint64(held[other]) {
			return true, nil
		}
	}
	return false, nil
}

// Unpark moves a tenant's oldest parked events, at most n, to where workers find
// them, and returns how many. An event leaves the lane only when its copy is
// durable; two that drain one lane at once do no harm, since a copy has the same
// Nats-Msg-Id whoever makes it.
func (q *Queue) Unpark(ctx context.Context, tenant string, n int) (int, error) {
	s, lane, err := q.parkedLane(ctx, tenant)
	if err != nil {
		return 0, err
	}
	defer q.forgetReader(StreamParked, lane)
	// No more than there is now: what fails again is parked again, behind it.
	n = int(min(uint64(n), lane.CachedInfo().NumPending))
	if n == 0 {
		return 0, nil
	}
	batch, err := lane.Fetch(n, jetstream.FetchMaxWait(readPatience/2))
	if err != nil {
		return 0, fmt.Errorf("%w: read %s: %w", ErrUnavailable, StreamParked, err)
	}
	last, moved, err := q.unparkAll(ctx, tenant, batch)
	if moved > 0 {
		crash.At(crash.BeforePurge)
		purged := s.Purge(ctx, jetstream.WithPurgeSubject(subjectParked(tenant)), jetstream.WithPurgeSequence(last+1))
		crash.At(crash.AfterPurge)
		err = errors.Join(err, purged)
	}
	return moved, err
}

// parkedLane opens a reader of one tenant's parked events, oldest first.
func (q *Queue) parkedLane(ctx context.Context, tenant string) (jetstream.Stream, jetstream.Consumer, error) {
	s, err := q.js.Stream(ctx, StreamParked)
	if err != nil {
		return nil, nil, adminError("stream "+StreamParked, err)
	}
	lane, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subjectParked(tenant)}, DeliverPolicy: jetstream.DeliverAllPolicy,
	})
	if err != nil {
		return nil, nil, adminError("reader of "+StreamParked, err)
	}
	return s, lane, nil
}

// unparkAll publishes a batch and returns the sequence up to which, and the
// number of those, whose copies are durable.
func (q *Queue) unparkAll(ctx context.Context, tenant string, batch jetstream.MessageBatch) (last uint64, moved int, err error) {
	type copied struct {
		seq uint64
		pub *publication
	}
	var copies []copied
	for m := range batch.Messages() {
		// The reader acks nothing, so what got lost on its way does not come again,
		// and the purge up to a later event would take it along.
		if meta, e := m.Metadata(); e == nil && meta.Sequence.Consumer != uint64(len(copies)+1) {
			err = fmt.Errorf("%w: read %s: an event was lost on its way here; it stays parked", ErrUnavailable, StreamParked)
			break
		}
		seq, pub, e := q.unpark(tenant, m)
		if e != nil {
			err = e
			break
		}
		copies = append(copies, copied{seq, pub})
	}
	if err == nil && batch.Error() != nil {
		err = fmt.Errorf("%w: read %s: %w", ErrUnavailable, StreamParked, batch.Error())
	}
	for _, c := range copies {
		if _, e := q.await(ctx, c.pub); e != nil {
			return last, moved, e // what is behind it stays, too: oldest first
		}
		crash.At(crash.AfterUnpark)
		last, moved = c.seq, moved+1
	}
	return last, moved, err
}

// unpark starts the move of one parked event.
func (q *Queue) unpark(tenant string, m jetstream.Msg) (uint64, *publication, error) {
	meta, err := m.Metadata()
	if err != nil {
		return 0, nil, fmt.Errorf("queue: read %s: %w", StreamParked, err)
	}
	env, err := openEnvelope(m.Subject(), m.Headers(), place{meta.Stream, meta.Sequence.Stream}, meta.Timestamp)
	if err != nil {
		// Its worker buries it; it must not stop the lane.
		q.log.Warn("queue: a parked event has broken headers", "seq", meta.Sequence.Stream, "error", err)
	}
	crash.At(crash.BeforeUnpark)
	pub, err := q.publish(&nats.Msg{
		Subject: subjectRetry(shardOf(tenant, q.Shards()), tenant),
		Header:  env.header(),
		Data:    m.Data(),
	}, StreamRetry, fmt.Sprintf("%s:%d", StreamParked, meta.Sequence.Stream))
	return meta.Sequence.Stream, pub, err
}

// Sweep moves those of a tenant's parked events that pick wants, wherever in the
// lane they stand, and returns how many.
func (q *Queue) Sweep(ctx context.Context, tenant string, pick func(data []byte) bool) (int, error) {
	s, lane, err := q.parkedLane(ctx, tenant)
	if err != nil {
		return 0, err
	}
	defer q.forgetReader(StreamParked, lane)
	moved := 0
	for left := lane.CachedInfo().NumPending; left > 0; {
		batch, err := lane.Fetch(int(min(left, readBatch)), jetstream.FetchMaxWait(readPatience/2))
		if err != nil {
			return moved, fmt.Errorf("%w: read %s: %w", ErrUnavailable, StreamParked, err)
		}
		got := uint64(0)
		for m := range batch.Messages() {
			got++
			if !pick(m.Data()) {
				continue
			}
			seq, pub, err := q.unpark(tenant, m)
			if err != nil {
				return moved, err
			}
			if _, err := q.await(ctx, pub); err != nil {
				return moved, err
			}
			crash.At(crash.AfterUnpark)
			if err := deleteParked(ctx, s, seq); err != nil {
				return moved, err
			}
			moved++
		}
		if got == 0 {
			return moved, nil // the rest was drained meanwhile
		}
		left -= min(got, left)
	}
	return moved, nil
}

// deleteParked deletes a parked event, unless a drainer was faster: for which the
// server's answer to a deletion has no word of its own.
func deleteParked(ctx context.Context, s jetstream.Stream, seq uint64) error {
	crash.At(crash.BeforePurge)
	err := s.DeleteMsg(ctx, seq)
	crash.At(crash.AfterPurge)
	if err == nil {
		return nil
	}
	if _, gone := s.GetMsg(ctx, seq); errors.Is(gone, jetstream.ErrMsgNotFound) {
		return nil
	}
	return adminError("parked event", err)
}
