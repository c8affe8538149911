package deliver_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/homing-dev/homing/internal/deliver"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
	"github.com/homing-dev/homing/pkg/graphapi"
)

// What waits unclaimed says so, and the next claim knows nothing of it.
func TestStatusOfWhatWaitsUnclaimed(t *testing.T) {
	for name, tt := range map[string]struct {
		tenant string
		set    func(f *fixture)
		want   dedup.Record
		timed  bool
	}{
		"a closed gate": {
			set:  func(f *fixture) { f.gates.Failed(f.t.Context(), "acme", failure(graphapi.Auth)) },
			want: dedup.Record{Outcome: "parked", Reason: "auth"},
		},
		"a tenant that nobody knows yet": {
			tenant: "umbra",
			set:    func(*fixture) {},
			want:   dedup.Record{Outcome: "retrying", Reason: "transient"}, timed: true,
		},
		"a tenant that nobody knows yet, and no room for retries": {
			tenant: "umbra",
			set:    func(f *fixture) { f.opt.RetriesFull = func() bool { return true } },
			want:   dedup.Record{Outcome: "parked", Reason: "busy"},
		},
		"handed back often": {
			set:  func(f *fixture) { f.clock.forward(80 * time.Second) },
			want: dedup.Record{Outcome: "retrying", Reason: "transient"}, timed: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			e := f.event(events.Lead, "order-1")
			if tt.tenant != "" {
				e.Tenant = tt.tenant
			}
			m := f.message(e)
			m.Deliveries = 10
			tt.set(f)
			got := f.deliver(m)[0]
			rec := f.record(m)
			if rec.State != dedup.Waiting || rec.Accept != m.Accept || rec.Outcome != tt.want.Outcome || rec.Reason != tt.want.Reason {
				t.Errorf("decision %+v shows %+v", got, rec)
			}
			if tt.timed && !rec.NextAt.Equal(got.At) || !tt.timed && !rec.NextAt.IsZero() {
				t.Errorf("the next attempt is shown at %v, is at %v", rec.NextAt, got.At)
			}
			claims, err := f.store.Store.Claim(t.Context(), []dedup.Message{{
				Key: string(events.MakeKey(m.Tenant, m.EventName, m.EventID)), Accept: "another", Stream: m.Stream, Seq: 99, Deliveries: 1,
			}})
			if err != nil || claims[0].Result != dedup.Fresh || claims[0].Before != nil {
				t.Errorf("claim %+v, %v", claims, err)
			}
		})
	}
}

func TestStatusOfABusyTenantsEvents(t *testing.T) {
	f := setup(t)
	m := f.message(f.event(events.Lead, "order-1"))
	broken := &queue.Message{Envelope: queue.Envelope{Tenant: "acme"}, Fault: errors.New("no headers")}
	deliver.New(f.opt).ShowBusy(t.Context(), []*queue.Message{m, broken})
	if rec := f.record(m); rec.State != dedup.Waiting || rec.Outcome != "parked" || rec.Reason != "busy" || rec.Note.Name != "Lead" {
		t.Errorf("shown %+v", rec)
	}
}

// The status is nothing to wait for.
func TestAStatusThatRedisDoesNotTakeHoldsNothingUp(t *testing.T) {
	f := setup(t)
	f.gates.Failed(t.Context(), "acme", failure(graphapi.Auth))
	f.store.deferred = func(ctx context.Context) error {
		<-ctx.Done() // as a Redis that never answers
		return ctx.Err()
	}
	if got := f.deliver(f.message(f.event(events.Lead, "order-1")))[0]; got.Action != queue.Park {
		t.Errorf("decision %+v", got)
	}
}
