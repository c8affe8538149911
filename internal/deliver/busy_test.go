package deliver_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/homing-dev/homing/internal/deliver"
	"github.com/homing-dev/homing/internal/queue"
)

// One tenant fills a worker of 100 messages, or what it may hold in bytes.
func TestBusyTenantIsParkedOverItsShare(t *testing.T) {
	for name, tt := range map[string]struct {
		held   int
		full   bool // by bytes
		behind bool
		err    error
		parked int
	}{
		"full, others behind":          {held: 100, behind: true, parked: 90 - 25},
		"full, alone":                  {held: 100},
		"full, nobody knows":           {held: 100, behind: true, err: errors.New("no answer")},
		"room left":                    {held: 74, behind: true},
		"few large ones, full":         {held: 48, full: true, behind: true, parked: 38 - 12},
		"few large ones, full, alone":  {held: 48, full: true},
		"no more than a batch waiting": {held: 20, full: true, behind: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				var parking atomic.Int64
				b := newBench(deliver.LanesOptions{
					BatchSize: 10, Concurrency: 1, Calls: 8, Budget: 100,
					Full:    func() bool { return tt.full },
					Behind:  func(context.Context, string, map[string]int) (bool, error) { return tt.behind, tt.err },
					Parking: func(_ context.Context, msgs []*queue.Message) { parking.Add(int64(len(msgs))) },
				}, func(_ context.Context, msgs []*queue.Message) []deliver.Decision {
					<-release
					return acked(msgs)
				})
				var msgs []*queue.Message
				for i := range tt.held {
					msgs = append(msgs, &queue.Message{Envelope: queue.Envelope{Tenant: "acme"}, Seq: uint64(i)})
				}
				b.lanes.Take(msgs)
				synctest.Wait()
				b.mu.Lock()
				parked := 0
				for seq, n := range b.settled["acme"] {
					parked += n
					if n > 0 && seq < tt.held-tt.parked {
						t.Errorf("event %d of %d is parked, which is not one of the newest", seq, tt.held)
					}
				}
				for _, a := range b.actions {
					if a != queue.Park {
						t.Errorf("action %v", a)
					}
				}
				b.mu.Unlock()
				if parked != tt.parked || int(parking.Load()) != parked {
					t.Errorf("%d parked and %d shown so, want %d", parked, parking.Load(), tt.parked)
				}
				close(release)
				<-time.After(time.Second)
				b.lanes.Stop(t.Context())
				for seq, n := range b.settled["acme"] {
					if n != 1 {
						t.Errorf("event %d was settled %d times", seq, n)
					}
				}
			})
		})
	}
}

func acked(msgs []*queue.Message) []deliver.Decision {
	out := make([]deliver.Decision, len(msgs))
	for i := range out {
		out[i].Action = queue.Ack
	}
	return out
}
