package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/homing-dev/homing/internal/embedded"
)

// lot is a real server with events parked on it.
type lot struct {
	*Queue
	ctx context.Context
}

func newLot(t *testing.T) *lot {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	srv, err := embedded.NATS(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	nc, err := nats.Connect("", srv.ClientOption())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Shards: 2, MaxBytes: 64 * mib}
	if _, err := Apply(ctx, js, cfg); err != nil {
		t.Fatal(err)
	}
	q, err := Open(nc, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return &lot{q, ctx}
}

// park parks the events from to to-1 of a tenant.
func (l *lot) park(t *testing.T, tenant string, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		env := Envelope{Tenant: tenant, Accept: fmt.Sprintf("a%d", n), Origin: uint64(n + 1)}
		pub, err := l.publish(&nats.Msg{Subject: subjectParked(tenant), Header: env.header(), Data: fmt.Append(nil, n)}, StreamParked, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.await(l.ctx, pub); err != nil {
			t.Fatal(err)
		}
	}
}

// stored are the events of a tenant in a stream, in order.
func (l *lot) stored(t *testing.T, stream, tenant string) (events []string) {
	t.Helper()
	_, err := l.scan(l.ctx, stream, span{}, func(m *storedMsg) error {
		if of, _ := tenantOf(m.subject); of == tenant {
			events = append(events, string(m.data))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func (l *lot) expect(t *testing.T, tenant string, parked, back []string) {
	t.Helper()
	if diff := cmp.Diff(parked, l.stored(t, StreamParked, tenant)); diff != "" {
		t.Errorf("%s: parked (-want +got):\n%s", tenant, diff)
	}
	if diff := cmp.Diff(back, l.stored(t, StreamRetry, tenant)); diff != "" {
		t.Errorf("%s: back (-want +got):\n%s", tenant, diff)
	}
}

func TestUnparkTakesTheOldest(t *testing.T) {
	l := newLot(t)
	l.park(t, "acme", 0, 5)
	l.park(t, "umbra", 7, 8)
	l.park(t, "acme", 5, 6)
	if n, err := l.Unpark(l.ctx, "acme", 4); n != 4 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	l.expect(t, "acme", []string{"4", "5"}, []string{"0", "1", "2", "3"})
	l.expect(t, "umbra", []string{"7"}, nil)
}

// Several workers drain and sweep one lane while it fills: nothing is lost, and
// nothing comes back twice.
func TestUnparkAtOnce(t *testing.T) {
	const events = 600
	l := newLot(t)
	l.park(t, "acme", 0, events/2)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 10 {
				if _, err := l.Unpark(l.ctx, "acme", 40); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		odd := func(data []byte) bool { return (data[len(data)-1]-'0')%2 == 1 }
		if _, err := l.Sweep(l.ctx, "acme", odd); err != nil {
			t.Error(err)
		}
	})
	l.park(t, "acme", events/2, events)
	wg.Wait()
	for n := 1; n > 0; {
		var err error
		if n, err = l.Unpark(l.ctx, "acme", 100); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]int{}
	for _, e := range l.stored(t, StreamRetry, "acme") {
		seen[e]++
	}
	for n := range events {
		if e := fmt.Sprint(n); seen[e] != 1 {
			t.Errorf("event %s came back %d times", e, seen[e])
		}
	}
	if left := l.stored(t, StreamParked, "acme"); len(left) > 0 {
		t.Errorf("still parked: %v", left)
	}
}

// holed is a batch of which some messages were lost on their way.
type holed struct {
	jetstream.MessageBatch
	keep func(n int) bool
}

func (h holed) Messages() <-chan jetstream.Msg {
	kept := make(chan jetstream.Msg, 100)
	n := 0
	for m := range h.MessageBatch.Messages() {
		if h.keep(n) {
			kept <- m
		}
		n++
	}
	close(kept)
	return kept
}

// What got lost between the stream and the worker must not be purged with what
// came.
func TestUnparkLeavesWhatItDidNotSee(t *testing.T) {
	l := newLot(t)
	l.park(t, "acme", 0, 5)
	_, lane, err := l.parkedLane(l.ctx, "acme")
	if err != nil {
		t.Fatal(err)
	}
	batch, err := lane.Fetch(5)
	if err != nil {
		t.Fatal(err)
	}
	last, moved, err := l.unparkAll(l.ctx, "acme", holed{batch, func(n int) bool { return n != 2 }})
	if last != 2 || moved != 2 || !errors.Is(err, ErrUnavailable) {
		t.Errorf("up to %d, %d moved, %v; the third event was not seen", last, moved, err)
	}
	l.expect(t, "acme", []string{"0", "1", "2", "3", "4"}, []string{"0", "1"})
}
