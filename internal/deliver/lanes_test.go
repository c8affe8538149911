package deliver_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/homing-dev/homing/internal/deliver"
	"github.com/homing-dev/homing/internal/queue"
)

// bench is Lanes over a Deliver whose batches last until they are let go.
type bench struct {
	lanes *deliver.Lanes

	mu      sync.Mutex
	batches []string         // "tenant n", in the order they began
	settled map[string][]int // tenant -> by sequence, how often
	actions []queue.Action
	running map[string]int
	most    int // batches under way at once
	mostOf  int // of one tenant
}

func newBench(opt deliver.LanesOptions, deliverBatch func(ctx context.Context, msgs []*queue.Message) []deliver.Decision) *bench {
	b := &bench{settled: map[string][]int{}, running: map[string]int{}}
	opt.Deliver = func(ctx context.Context, tenant string, msgs []*queue.Message) []deliver.Decision {
		b.begin(tenant, len(msgs))
		defer b.end(tenant)
		return deliverBatch(ctx, msgs)
	}
	opt.Settle = func(_ context.Context, msgs []*queue.Message, verdicts []queue.Verdict) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for i, m := range msgs {
			counts := b.settled[m.Tenant]
			for len(counts) <= int(m.Seq) {
				counts = append(counts, 0)
			}
			counts[m.Seq]++
			b.settled[m.Tenant] = counts
			b.actions = append(b.actions, verdicts[i].Action)
		}
	}
	b.lanes = deliver.NewLanes(opt)
	return b
}

func (b *bench) begin(tenant string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.batches = append(b.batches, fmt.Sprintf("%s %d", tenant, n))
	b.running[tenant]++
	all := 0
	for _, n := range b.running {
		all += n
	}
	b.most, b.mostOf = max(b.most, all), max(b.mostOf, b.running[tenant])
}

func (b *bench) end(tenant string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running[tenant]--
}

func (b *bench) seen() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.batches)
}

func (b *bench) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, b.seen()); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
}

// of makes n messages of a tenant, numbered from first.
func of(tenant string, first, n int) []*queue.Message {
	msgs := make([]*queue.Message, n)
	for i := range msgs {
		msgs[i] = &queue.Message{Envelope: queue.Envelope{Tenant: tenant}, Seq: uint64(first + i)}
	}
	return msgs
}

func acks(n int) []deliver.Decision {
	ds := make([]deliver.Decision, n)
	for i := range ds {
		ds[i].Action = queue.Ack
	}
	return ds
}

// lasting is a Deliver that takes a time.
func lasting(d time.Duration) func(context.Context, []*queue.Message) []deliver.Decision {
	return func(_ context.Context, msgs []*queue.Message) []deliver.Decision {
		<-time.After(d)
		return acks(len(msgs))
	}
}

func options() deliver.LanesOptions {
	return deliver.LanesOptions{BatchSize: 10, Linger: 25 * time.Millisecond, Concurrency: 2, Calls: 4}
}

func TestFullBatchGoesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(options(), lasting(time.Second))
		defer b.lanes.Stop(t.Context())
		b.lanes.Take(of("a", 0, 4))
		b.expect(t)
		b.lanes.Take(of("a", 4, 7))
		b.expect(t, "a 10")
	})
}

func TestThinBatchLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(options(), lasting(time.Second))
		defer b.lanes.Stop(t.Context())
		b.lanes.Take(of("a", 0, 3))
		<-time.After(25*time.Millisecond - 1)
		b.lanes.Take(of("a", 3, 1))
		b.expect(t)
		<-time.After(1)
		b.expect(t, "a 4")
	})
}

func TestNoLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opt := options()
		opt.Linger = 0
		b := newBench(opt, lasting(time.Second))
		defer b.lanes.Stop(t.Context())
		b.lanes.Take(of("a", 0, 1))
		b.expect(t, "a 1")
	})
}

func TestTenantsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opt := options()
		opt.Calls = 1
		b := newBench(opt, lasting(time.Second))
		defer b.lanes.Stop(t.Context())
		b.lanes.Take(of("big", 0, 40))
		b.lanes.Take(of("one", 0, 10))
		b.lanes.Take(of("two", 0, 10))
		<-time.After(10 * time.Second)
		b.expect(t, "big 10", "big 10", "one 10", "two 10", "big 10", "big 10")
	})
}

func TestConcurrencyAndCallsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(options(), lasting(time.Second))
		defer b.lanes.Stop(t.Context())
		b.lanes.Take(of("a", 0, 100))
		synctest.Wait()
		if b.most != 2 || b.mostOf != 2 {
			t.Errorf("one tenant has %d batches under way", b.mostOf)
		}
		for _, tenant := range []string{"b", "c", "d"} {
			b.lanes.Take(of(tenant, 0, 100))
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if b.most != 4 || b.mostOf != 2 || len(b.seen()) != 40 {
			t.Errorf("%d at once, %d of one tenant, %d in all", b.most, b.mostOf, len(b.seen()))
		}
	})
}

func TestStopHandsBackWhatWaitsAndWaitsForTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(options(), lasting(5*time.Second))
		b.lanes.Take(of("a", 0, 35)) // two batches run, 15 wait
		b.lanes.Take(of("b", 0, 3))  // lingers
		synctest.Wait()
		start := time.Now()
		b.lanes.Stop(t.Context())
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("took %v", took)
		}
		if acked, naked := b.count(queue.Ack), b.count(queue.Nak); acked != 20 || naked != 18 {
			t.Errorf("%d acked, %d handed back", acked, naked)
		}
		b.once(t, map[string]int{"a": 35, "b": 3})

		b.lanes.Take(of("a", 35, 2))
		b.once(t, map[string]int{"a": 37, "b": 3})
		if b.count(queue.Nak) != 20 {
			t.Error("what came after the stop was not handed back")
		}
	})
}

func TestStopThatMayNotWaitCutsCallsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		b := newBench(options(), func(ctx context.Context, msgs []*queue.Message) []deliver.Decision {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return acks(len(msgs))
		})
		b.lanes.Take(of("a", 0, 10))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		b.lanes.Stop(ctx)
		if took := time.Since(start); took != 30*time.Second || !errors.Is(cause, deliver.ErrStopped) {
			t.Errorf("took %v, cause %v", took, cause)
		}
		b.once(t, map[string]int{"a": 10})
	})
}

func TestAgainComesBackByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		b := newBench(options(), func(_ context.Context, msgs []*queue.Message) []deliver.Decision {
			tries++
			ds := acks(len(msgs))
			if tries < 3 {
				ds[0] = deliver.Decision{Again: true, Verdict: queue.Verdict{Action: queue.Nak, At: time.Now().Add(time.Second)}}
			}
			return ds
		})
		b.lanes.Take(of("a", 0, 10))
		b.expect(t, "a 10")
		<-time.After(time.Second + 25*time.Millisecond)
		b.expect(t, "a 10", "a 1")
		if b.count(queue.Ack) != 9 {
			t.Errorf("%d acked", b.count(queue.Ack))
		}
		<-time.After(time.Second + 25*time.Millisecond)
		b.expect(t, "a 10", "a 1", "a 1")
		b.once(t, map[string]int{"a": 10})
		b.lanes.Stop(t.Context())
		b.once(t, map[string]int{"a": 10})
	})
}

func TestStopHandsBackWhatWouldComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		again := deliver.Decision{Again: true}
		b := newBench(options(), func(_ context.Context, _ []*queue.Message) []deliver.Decision {
			d := again
			d.Verdict = queue.Verdict{Action: queue.Nak, At: time.Now().Add(time.Hour)}
			return []deliver.Decision{d}
		})
		b.lanes.Take(of("a", 0, 1))
		<-time.After(time.Second)
		synctest.Wait()
		b.lanes.Stop(t.Context())
		b.once(t, map[string]int{"a": 1})
		<-time.After(2 * time.Hour)
		b.expect(t, "a 1")
	})
}

func (b *bench) count(a queue.Action) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, got := range b.actions {
		if got == a {
			n++
		}
	}
	return n
}

// once checks that every message that was taken was settled once.
func (b *bench) once(t rapid.TB, taken map[string]int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for tenant, n := range taken {
		if len(b.settled[tenant]) != n {
			t.Errorf("%s: %d of %d were settled", tenant, len(b.settled[tenant]), n)
		}
		for seq, times := range b.settled[tenant] {
			if times != 1 {
				t.Errorf("%s: message %d was settled %d times", tenant, seq, times)
			}
		}
	}
}

func TestEveryMessageIsSettledOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		opt := deliver.LanesOptions{
			BatchSize:   rapid.IntRange(1, 5).Draw(rt, "batch size"),
			Linger:      time.Duration(rapid.IntRange(0, 3).Draw(rt, "linger")) * 10 * time.Millisecond,
			Concurrency: rapid.IntRange(1, 3).Draw(rt, "concurrency"), Calls: rapid.IntRange(1, 4).Draw(rt, "calls"),
		}
		type arrival struct{ tenant, n, after int }
		arrivals := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) arrival {
			return arrival{rapid.IntRange(0, 2).Draw(rt, "tenant"), rapid.IntRange(1, 12).Draw(rt, "n"), rapid.IntRange(0, 40).Draw(rt, "after")}
		}), 1, 20).Draw(rt, "arrivals")
		durations := rapid.SliceOfN(rapid.IntRange(0, 50), 1, 10).Draw(rt, "durations")
		agains := rapid.SliceOfN(rapid.Bool(), 1, 10).Draw(rt, "again")
		patience := rapid.IntRange(0, 300).Draw(rt, "patience")

		taken := map[string]int{}
		var b *bench
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			batches, tries := 0, map[*queue.Message]int{}
			b = newBench(opt, func(ctx context.Context, msgs []*queue.Message) []deliver.Decision {
				mu.Lock()
				n := batches
				batches++
				mu.Unlock()
				select {
				case <-time.After(time.Duration(durations[n%len(durations)]) * time.Millisecond):
				case <-ctx.Done():
				}
				ds := acks(len(msgs))
				mu.Lock()
				defer mu.Unlock()
				for i, m := range msgs {
					if tries[m]++; agains[(n+i)%len(agains)] && tries[m] < 3 {
						ds[i] = deliver.Decision{Again: true, Verdict: queue.Verdict{Action: queue.Nak, At: time.Now().Add(15 * time.Millisecond)}}
					}
				}
				return ds
			})
			for _, a := range arrivals {
				<-time.After(time.Duration(a.after) * time.Millisecond)
				tenant := fmt.Sprintf("t%d", a.tenant)
				b.lanes.Take(of(tenant, taken[tenant], a.n))
				taken[tenant] += a.n
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(patience)*time.Millisecond)
			defer cancel()
			b.lanes.Stop(ctx)
		})
		b.once(rt, taken)
		if b.most > opt.Calls || b.mostOf > opt.Concurrency {
			rt.Errorf("%d batches at once, %d of one tenant", b.most, b.mostOf)
		}
	})
}
