package queue

import (
	"context"
	"errors"
	"time"

	"github.com/homing-dev/homing/pkg/events"
)

// Levels is Status without the consumers: one request a stream.
func (q *Queue) Levels(ctx context.Context) ([]StreamStatus, error) {
	var all []StreamStatus
	for _, cfg := range Streams(q.cfg) {
		s, err := q.js.Stream(ctx, cfg.Name)
		if err != nil {
			return nil, adminError("stream "+cfg.Name, err)
		}
		info := s.CachedInfo()
		level := StreamStatus{
			Name: cfg.Name, Messages: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: info.Config.MaxBytes,
			FirstSeq: info.State.FirstSeq, LastSeq: info.State.LastSeq,
		}
		if level.Messages > 0 {
			level.Oldest = info.State.FirstTime
		}
		all = append(all, level)
	}
	return all, nil
}

// RetriesDue is how many events have come back to HOMING_RETRY (their time has
// come, or their tenant can be served again) and no worker has taken yet. It is
// one request, whatever the number of tenants.
func (q *Queue) RetriesDue(ctx context.Context) (uint64, error) {
	s, err := q.js.Stream(ctx, StreamRetry)
	if err != nil {
		return 0, adminError("stream "+StreamRetry, err)
	}
	due := uint64(0)
	list := s.ListConsumers(ctx)
	for lane := range list.Info() {
		due += lane.NumPending
	}
	if err := list.Err(); err != nil {
		return 0, adminError("consumers of "+StreamRetry, err)
	}
	return due, nil
}

// Memories is how many messages the ledger and the clicks have: what a Redis that
// forgot everything has to be told again.
func (q *Queue) Memories(ctx context.Context) (uint64, error) {
	n := uint64(0)
	for _, name := range []string{StreamOutcomes, StreamClicks} {
		s, err := q.js.Stream(ctx, name)
		if err != nil {
			return 0, adminError("stream "+name, err)
		}
		n += s.CachedInfo().State.Msgs
	}
	return n, nil
}

// Waiting is when an event that waits was accepted, and when it happened; a time
// that can't be read is zero.
type Waiting struct{ AcceptedAt, EventAt time.Time }

// Oldest returns the n oldest messages of a stream of events, or all when there
// are fewer.
func (q *Queue) Oldest(ctx context.Context, stream string, n int) ([]Waiting, error) {
	var oldest []Waiting
	_, err := q.scan(ctx, stream, span{page: n}, func(m *storedMsg) error {
		if len(oldest) == n {
			return errEnough
		}
		env, _ := m.envelope(stream) // without a header it is as old as its message
		w := Waiting{AcceptedAt: env.AcceptedAt}
		if e, err := events.DecodeEvent(m.data); err == nil {
			w.EventAt = time.Unix(e.Time, 0)
		}
		oldest = append(oldest, w)
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return oldest, err
}

// errEnough ends a scan.
var errEnough = errors.New("queue: enough was read")
