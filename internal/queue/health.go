package queue

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Ready returns nil when JetStream answers and the stream of events is there,
// full or not.
func (q *Queue) Ready(ctx context.Context) error {
	if !q.Connected() {
		return fmt.Errorf("%w: not connected to NATS", ErrUnavailable)
	}
	if _, err := q.js.Stream(ctx, StreamEvents); err != nil {
		return fmt.Errorf("stream %s: %w", StreamEvents, err)
	}
	return nil
}

// TenantBytes estimates how many bytes each tenant has in the backlog and in the
// parked events, by its number of messages and their average size. While the
// streams together hold no more than above, no tenant can, and nothing is counted.
func (q *Queue) TenantBytes(ctx context.Context, above int64) (map[string]int64, error) {
	tenants := map[string]int64{}
	for _, s := range []struct{ stream, subjects string }{
		{StreamEvents, "homing.ev.>"}, {StreamParked, "homing.parked.>"},
	} {
		stream, err := q.js.Stream(ctx, s.stream)
		if err != nil {
			return nil, fmt.Errorf("queue: stream %s: %w", s.stream, err)
		}
		state := stream.CachedInfo().State
		if int64(state.Bytes) <= above/2 || state.Msgs == 0 {
			continue
		}
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(s.subjects))
		if err != nil {
			return nil, fmt.Errorf("queue: stream %s: %w", s.stream, err)
		}
		each := int64(info.State.Bytes / max(info.State.Msgs, 1))
		for subject, n := range info.State.Subjects {
			if tenant, ok := tenantOf(subject); ok {
				tenants[tenant] += int64(n) * each
			}
		}
	}
	return tenants, nil
}
