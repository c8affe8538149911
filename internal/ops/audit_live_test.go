package ops_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/homing-dev/homing/internal/ops"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/events"
)

// Audits beside workers that move events all the time never cry wolf.
func TestAuditBesideRunningWorkers(t *testing.T) {
	d := newDesk(t)
	const n = 600
	ctx, cancel := context.WithCancel(d.ctx)
	var running sync.WaitGroup
	var settled atomic.Int64
	running.Go(func() {
		err := d.q.Consume(ctx, func(msgs []*queue.Message) {
			verdicts := make([]queue.Verdict, len(msgs))
			for i, m := range msgs {
				verdicts[i] = queue.Verdict{Action: queue.Ack}
				switch {
				case m.Stream == queue.StreamEvents && m.Origin%3 == 0:
					verdicts[i] = queue.Verdict{Action: queue.Retry, At: time.Now(), Next: &m.Envelope}
				case m.Stream == queue.StreamEvents && m.Origin%3 == 1:
					verdicts[i] = queue.Verdict{Action: queue.Park, Next: &m.Envelope}
				default:
					if err := d.q.Record(d.ctx, m.Tenant, []events.Settlement{line(m.Envelope, events.Delivered, "")}); err != nil {
						t.Error(err)
					}
					settled.Add(1)
				}
			}
			d.q.Settle(d.ctx, msgs, verdicts)
		})
		if err != nil {
			t.Error(err)
		}
	})
	running.Go(func() { // drains the parked lane
		for ctx.Err() == nil {
			if _, err := d.q.Unpark(ctx, "acme", 100); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	stop := sync.OnceFunc(func() { cancel(); running.Wait() })
	defer stop()
	quick := func(ctx context.Context, _ time.Duration) error {
		select {
		case <-time.After(50 * time.Millisecond):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for accepted := 0; settled.Load() < n; {
		for range 100 {
			if accepted < n {
				accepted++
				d.accept("acme", accepted)
			}
		}
		r, err := ops.Audit{Queue: d.q, AckWait: time.Minute, Pause: quick}.Run(d.ctx, ops.AuditOptions{Patience: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if !r.OK() {
			t.Fatalf("with %d settled: nowhere %v, twice %v", settled.Load(), r.Nowhere, r.Twice)
		}
	}
	stop()
	d.settles(queue.StreamEvents, 0)
	d.settles(queue.StreamRetry, 0)
	if r := d.audit(ops.AuditOptions{}); !r.OK() || r.Total.Delivered != n || r.Total.Accepted != n {
		t.Errorf("at the end: %+v", r.Total)
	}
}
