package app

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/pkg/dedup"
)

// slowClaims answers after a second, and notes how much was asked at once.
type slowClaims struct {
	dedup.Store
	err error

	mu    sync.Mutex
	calls []int
}

func (s *slowClaims) note(n int) {
	s.mu.Lock()
	s.calls = append(s.calls, n)
	s.mu.Unlock()
	<-time.After(time.Second)
}

func (s *slowClaims) Claim(_ context.Context, msgs []dedup.Message) ([]dedup.Claim, error) {
	s.note(len(msgs))
	claims := make([]dedup.Claim, len(msgs))
	for i := range msgs {
		claims[i].Record.Accept = msgs[i].Accept
	}
	return claims, s.err
}

func (s *slowClaims) Settle(ctx context.Context, verdicts []dedup.Verdict) ([]dedup.Settlement, error) {
	s.note(len(verdicts))
	return make([]dedup.Settlement, len(verdicts)), ctx.Err()
}

// A batch whose worker is told to end learns all the same which keys it holds:
// they have to be released.
func TestNobodyLeavesAClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowClaims{err: dedup.ErrIncident}
		g := gatherClaims(store)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		claims, err := g.Claim(ctx, []dedup.Message{{Accept: "a"}, {Accept: "b"}})
		if !errors.Is(err, dedup.ErrIncident) || len(claims) != 2 || claims[1].Record.Accept != "b" {
			t.Errorf("%+v, %v", claims, err)
		}
	})
}

// A batch whose worker is told to end before it was asked for claims nothing: there
// might be no time left to release it.
func TestNobodyClaimsAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowClaims{}
		g := gatherClaims(store)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = g.Claim(t.Context(), make([]dedup.Message, 1)) })
		synctest.Wait()
		for range 2 { // while a flight is under way, and when ctx has ended
			if claims, err := g.Claim(ctx, make([]dedup.Message, 2)); !errors.Is(err, context.DeadlineExceeded) || claims != nil {
				t.Errorf("%+v, %v", claims, err)
			}
			if claims, err := g.Claim(ctx, make([]dedup.Message, alone)); !errors.Is(err, context.DeadlineExceeded) || claims != nil {
				t.Errorf("a large batch: %+v, %v", claims, err)
			}
		}
		wg.Wait()
		if len(store.calls) != 1 || store.calls[0] != 1 {
			t.Errorf("asked for %v", store.calls)
		}
	})
}

func TestSmallBatchesShareRoundTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowClaims{}
		g := gatherClaims(store)
		var wg sync.WaitGroup
		for range 9 {
			wg.Go(func() {
				if claims, err := g.Claim(t.Context(), make([]dedup.Message, 20)); err != nil || len(claims) != 20 {
					t.Errorf("%d claims, %v", len(claims), err)
				}
				if settled, err := g.Settle(t.Context(), make([]dedup.Verdict, 20)); err != nil || len(settled) != 20 {
					t.Errorf("%d settled, %v", len(settled), err)
				}
			})
		}
		wg.Go(func() {
			if _, err := g.Claim(t.Context(), make([]dedup.Message, alone)); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		// A large batch goes alone; of the small ones some leave before the others.
		if n := len(store.calls); n > 7 {
			t.Errorf("%d round trips: %v", n, store.calls)
		}
	})
}

func TestASettlementIsNotWaitedForAfterItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gatherClaims(&slowClaims{})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := g.Settle(ctx, make([]dedup.Verdict, 1)); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		<-time.After(time.Second) // for the flight to land
	})
}

// TestAClusterIsAskedByEach: one node that is down must not be in everybody's way.
func TestAClusterIsAskedByEach(t *testing.T) {
	single := redis.NewClient(&redis.Options{})
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}})
	for rdb, shared := range map[redis.UniversalClient]bool{single: true, cluster: false} {
		claims, looks := gathered(rdb, &slowClaims{}, clicks.New(rdb, clicks.Options{}))
		_, a := claims.(gatheredClaims)
		_, b := looks.(gatheredClicks)
		if a != shared || b != shared {
			t.Errorf("%T: claims shared %v, looks shared %v, want %v", rdb, a, b, shared)
		}
		if err := rdb.Close(); err != nil {
			t.Error(err)
		}
	}
}
