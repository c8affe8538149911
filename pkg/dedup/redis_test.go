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

// A server that forgot the scripts is told them again.
func TestStoreOnForgetfulFake(t *testing.T) {
	deduptest.Run(t, func(t testing.TB) deduptest.Harness {
		h, _, fake := fakeHarness(t)
		fake.forgot = true
		return h
	})
}

// An L is told by its nonce, so a nonce that another begins with is not that one,
// and what only holds the same text elsewhere is no L.
func TestSettleKnowsItsOwn(t *testing.T) {
	mini, server := miniClient(t), deduptest.Redis(t)
	_, fake := newFake(t)
	for name, rdb := range map[string]redis.UniversalClient{"miniredis": mini, "redis": server, "fake": fake} {
		for stands, own := range map[string]bool{
			"L1 a=a t=1 s=EV q=7 n=ab e=Purchase": true,
			"L1 a=a t=1 s=EV q=7 n=ab":            true,
			"L1 a=a t=1 s=EV q=8 n=abc":           false,
			"L1 a=a t=1 s=EV q=8 n=b":             false,
			"L1 a=a%20n=ab t=1 s=EV q=8 n=xab":    false,
			"W1 a=a o=retrying t=1 n=ab":          false,
			"D1 a=b o=delivered t=1 n=b":          false,
		} {
			t.Run(name+" "+stands, func(t *testing.T) {
				ctx := t.Context()
				store := dedup.New(rdb, dedup.Options{NewNonce: func() string { return "ab" }})
				if err := store.Mark(ctx, dedup.Marker{}); err != nil {
					t.Fatal(err)
				}
				msg := dedup.Message{Key: "k " + stands, Accept: "a", Stream: "EV", Seq: 7, Deliveries: 1}
				claims, err := store.Claim(ctx, []dedup.Message{msg})
				if err != nil || claims[0].Result != dedup.Fresh {
					t.Fatalf("%v, %v", claims, err)
				}
				if err := rdb.Set(ctx, "homing:ev:"+msg.Key, stands, 0).Err(); err != nil {
					t.Fatal(err)
				}
				verdict := dedup.Verdict{Message: &msg, Claim: &claims[0], Next: dedup.Record{State: dedup.Decided, Outcome: "delivered"}}
				settled, err := store.Settle(ctx, []dedup.Verdict{verdict})
				if err != nil {
					t.Fatal(err)
				}
				if got := settled[0]; !got.Stands || got.Record.Unsure == own {
					t.Errorf("stands %t, unsure %t; want it to stand, unsure only over another's", got.Stands, got.Record.Unsure)
				}
				if now, err := store.Get(ctx, []string{msg.Key}); err != nil || now[0].State != dedup.Decided || now[0].Unsure == own {
					t.Errorf("%+v, %v; want D, unsure only over another's", now, err)
				}
			})
		}
	}
}
