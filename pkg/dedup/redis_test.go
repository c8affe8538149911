package dedup_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/dedup/deduptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ackWait = 90 * time.Second

// clock is a hand-moved clock.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC)} }

func (c *clock) Now() time.Time          { return c.now }
func (c *clock) Advance(d time.Duration) { c.now = c.now.Add(d) }

// options are deterministic.
func options(c *clock) dedup.Options {
	nonces := 0
	return dedup.Options{AckWait: ackWait, Now: c.Now, NewNonce: func() string {
		nonces++
		return "n" + strconv.Itoa(nonces)
	}}
}

// harness is a store over rdb, marked as whole.
func harness(t testing.TB, rdb redis.UniversalClient) (deduptest.Harness, *dedup.Redis) {
	t.Helper()
	ctx, c := context.Background(), newClock()
	store := dedup.New(rdb, options(c))
	if err := store.Mark(ctx, dedup.Marker{}); err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	return deduptest.Harness{
		Store: store, AckWait: ackWait, Advance: c.Advance, Now: c.Now,
		Wipe:   func() { must(rdb.FlushDB(ctx).Err()) },
		Garble: func(key string) { must(rdb.Set(ctx, "homing:ev:"+key, "D9 from=the-future", 0).Err()) },
	}, store
}

func miniClient(t testing.TB) redis.UniversalClient {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func TestStoreOnRedis(t *testing.T) {
	deduptest.Run(t, func(t testing.TB) deduptest.Harness {
		h, _ := harness(t, deduptest.Redis(t))
		return h
	})
}

func TestStoreOnMiniredis(t *testing.T) {
	deduptest.Run(t, func(t testing.TB) deduptest.Harness {
		h, _ := harness(t, miniClient(t))
		return h
	})
}

func TestStoreOnFake(t *testing.T) {
	deduptest.Run(t, func(t testing.TB) deduptest.Harness {
		h, _, _ := fakeHarness(t)
		return h
	})
}

// A server that forgot the script is told it again.
func TestStoreOnForgetfulFake(t *testing.T) {
	deduptest.Run(t, func(t testing.TB) deduptest.Harness {
		h, _, fake := fakeHarness(t)
		fake.forgot = true
		return h
	})
}
