package queue_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/homing-dev/homing/internal/queue"
)

// TestManyLanes parks two events of each of 10,000 tenants and drains every lane.
// No lane costs a consumer that stays.
func TestManyLanes(t *testing.T) {
	const tenants, each = manyLanes, 2
	f := start(t, queue.Config{})
	q := f.open(t, queue.Config{})
	ctx := context.Background()
	for n := range each {
		for i := range tenants {
			msg := nats.NewMsg(fmt.Sprintf("homing.parked.t%d", i))
			msg.Header.Set(queue.HeaderID, fmt.Sprintf("a%d-%d", i, n))
			msg.Header.Set(queue.HeaderOrigin, fmt.Sprint(n*tenants+i+1))
			msg.Data = fmt.Appendf(nil, `{"n":%d}`, n)
			if _, err := f.js.PublishMsgAsync(msg); err != nil {
				t.Fatal(err)
			}
			if i%1000 == 999 {
				<-f.js.PublishAsyncComplete()
			}
		}
		<-f.js.PublishAsyncComplete()
	}
	parked, err := q.Parked(ctx)
	if err != nil || len(parked) != tenants {
		t.Fatalf("%d lanes, %v", len(parked), err)
	}
	start := time.Now()
	var drains sync.WaitGroup
	places := make(chan struct{}, 16)
	for tenant := range parked {
		places <- struct{}{}
		drains.Go(func() {
			defer func() { <-places }()
			if n, err := q.Unpark(ctx, tenant, 1000); n != each || err != nil {
				t.Errorf("%s: %d moved, %v", tenant, n, err)
			}
		})
	}
	drains.Wait()
	t.Logf("%d lanes drained in %v", tenants, time.Since(start))
	if left, err := q.Parked(ctx); len(left) > 0 || err != nil {
		t.Errorf("%d lanes are left, %v", len(left), err)
	}
	if n := f.messages(t, queue.StreamRetry); n != tenants*each {
		t.Errorf("%d events came back, want %d", n, tenants*each)
	}
	s, err := f.js.Stream(ctx, queue.StreamParked)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Consumers; n != 0 {
		t.Errorf("%d consumers are left on %s", n, queue.StreamParked)
	}
}
