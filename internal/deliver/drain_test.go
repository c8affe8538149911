package deliver_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/internal/deliver"
	"github.com/homing-dev/homing/pkg/dedup/deduptest"
	"github.com/homing-dev/homing/pkg/events"
	"github.com/homing-dev/homing/pkg/graphapi"
)

// parking holds the lanes of parked events.
type parking struct {
	mu       sync.Mutex
	lanes    map[string][][]byte
	returned map[string]uint64 // came back and are not settled
	moves    []string
	err      error // of Unpark
	onUnpark func(tenant string)
}

func (p *parking) Parked(context.Context) (map[string]uint64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	counts := map[string]uint64{}
	for tenant, lane := range p.lanes {
		if len(lane) > 0 {
			counts[tenant] = uint64(len(lane))
		}
	}
	return counts, nil
}

func (p *parking) Returned(_ context.Context, tenant string) (uint64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.returned[tenant], nil
}

func (p *parking) Unpark(_ context.Context, tenant string, n int) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return 0, p.err
	}
	n = min(n, len(p.lanes[tenant]))
	p.lanes[tenant] = p.lanes[tenant][n:]
	p.returned[tenant] += uint64(n)
	p.moves = append(p.moves, fmt.Sprintf("%s %d", tenant, n))
	if p.onUnpark != nil {
		p.onUnpark(tenant)
	}
	return n, nil
}

func (p *parking) Sweep(_ context.Context, tenant string, pick func([]byte) bool) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := len(p.lanes[tenant])
	p.lanes[tenant] = slices.DeleteFunc(p.lanes[tenant], pick)
	p.moves = append(p.moves, fmt.Sprintf("sweep %s %d", tenant, before-len(p.lanes[tenant])))
	return before - len(p.lanes[tenant]), nil
}

// lot is a Drainer of one lane of n young events of acme's.
type lot struct {
	*parking
	t     *testing.T
	clock *clock
	rdb   redis.UniversalClient
	gates *deliver.Gates
}

func park(t *testing.T, n int) *lot {
	t.Helper()
	l := &lot{
		parking: &parking{lanes: map[string][][]byte{}, returned: map[string]uint64{}},
		t:       t, clock: &clock{t: time.Now()}, rdb: deduptest.Redis(t),
	}
	l.gates = newGates(l.rdb, l.clock)
	for range n {
		l.lanes["acme"] = append(l.lanes["acme"], l.event(time.Hour))
	}
	return l
}

func (l *lot) event(age time.Duration) []byte {
	return events.EncodeEvent(&events.Event{Tenant: "acme", Name: events.Lead, ID: "e", Time: l.clock.now().Add(-age).Unix(), Clid: "c"})
}

func (l *lot) drainer() *deliver.Drainer {
	return deliver.NewDrainer(deliver.DrainOptions{Queue: l.parking, Gates: l.gates, Redis: l.rdb, Now: l.clock.now})
}

// expectMoves checks what was moved since the last time.
func (l *lot) expectMoves(want ...string) {
	l.t.Helper()
	got := slices.DeleteFunc(slices.Clone(l.moves), func(s string) bool { return s == "sweep acme 0" })
	l.moves = nil
	if len(got)+len(want) > 0 && !cmp.Equal(want, got) {
		l.t.Errorf("moved %q, want %q", got, want)
	}
}

func (l *lot) round(d *deliver.Drainer) {
	l.t.Helper()
	if err := d.Round(l.t.Context()); err != nil {
		l.t.Error(err)
	}
}

func TestLaneOfAnOpenGateIsDrained(t *testing.T) {
	l := park(t, 2500)
	d := l.drainer()
	// No more while 2,000 have come back and are not settled.
	l.round(d)
	l.expectMoves("acme 1000", "acme 1000")
	if d.Parked() != 2500 {
		t.Errorf("%d parked when it looked", d.Parked())
	}
	l.round(d)
	l.expectMoves()
	l.returned["acme"] = 1999
	l.round(d)
	l.expectMoves("acme 500")
	l.round(d)
	l.expectMoves()
	if d.Parked() != 0 {
		t.Errorf("%d parked", d.Parked())
	}
}

func TestLaneOfAClosedGateStays(t *testing.T) {
	l := park(t, 5)
	l.lanes["umbra"] = [][]byte{l.event(time.Hour)}
	l.gates.Failed(t.Context(), "acme", failure(graphapi.Auth))
	l.round(l.drainer())
	l.expectMoves("sweep umbra 0", "umbra 1")
}

func TestHalfOpenGateIsTriedWithTheOldest(t *testing.T) {
	l := park(t, 100)
	l.gates.Failed(t.Context(), "acme", failure(graphapi.Auth))
	l.clock.forward(time.Minute)
	one, two := l.drainer(), l.drainer()
	l.round(one)
	l.expectMoves("acme 10")
	// Until the try has had time to open the gate nothing follows it.
	l.round(one)
	l.round(two)
	l.expectMoves()
	l.gates.Succeeded(t.Context(), "acme", graphapi.Usage{})
	l.rdb.Del(t.Context(), "homing:drain:acme") // the lease ran out
	l.round(two)
	l.expectMoves("acme 90")
}

func TestGateThatClosesStopsTheDrain(t *testing.T) {
	l := park(t, 5000)
	l.onUnpark = func(string) { l.gates.Failed(t.Context(), "acme", failure(graphapi.Throttled)) }
	l.round(l.drainer())
	l.expectMoves("acme 1000")
}

func TestOneDrainerALane(t *testing.T) {
	l := park(t, 5)
	l.rdb.Set(t.Context(), "homing:drain:acme", 1, time.Minute)
	l.round(l.drainer())
	l.expectMoves()
	l.rdb.Del(t.Context(), "homing:drain:acme")
	l.round(l.drainer())
	l.expectMoves("acme 5")
}

func TestDrainThatFailsIsTriedAgain(t *testing.T) {
	l := park(t, 5)
	l.err = errors.New("no answer from JetStream")
	d := l.drainer()
	l.round(d)
	l.err = nil
	l.round(d)
	l.expectMoves("acme 5")
}

// What Meta would soon refuse comes back whatever the gate says, so that it ends
// in time.
func TestSweepOfAClosedLane(t *testing.T) {
	const last = 7*24*time.Hour - 10*time.Minute
	l := park(t, 0)
	young, garbage := l.event(last-time.Second), []byte("garbage")
	l.lanes["acme"] = [][]byte{young, l.event(last + time.Second), garbage, young}
	l.gates.Failed(t.Context(), "acme", failure(graphapi.Auth))
	l.round(l.drainer())
	l.expectMoves("sweep acme 2")
	if diff := cmp.Diff([][]byte{young, young}, l.lanes["acme"]); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	// One worker does it, once in a while.
	l.clock.forward(2 * time.Second)
	l.round(l.drainer())
	l.expectMoves()
	l.rdb.Del(t.Context(), "homing:sweep") // the lease ran out
	l.round(l.drainer())
	l.expectMoves("sweep acme 2")
}
