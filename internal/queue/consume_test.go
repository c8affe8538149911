package queue_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/homing-dev/homing/internal/queue"
)

// fill publishes n events of several tenants.
func (f *fixture) fill(t testing.TB, n int) {
	t.Helper()
	f.fillFor(t, n, func(i int) string { return fmt.Sprintf("tenant-%d", i%16) })
}

func (f *fixture) fillFor(t testing.TB, n int, tenant func(i int) string) {
	t.Helper()
	for from := 0; from < n; from += 1000 {
		batch := make([]queue.Acceptance, 0, 1000)
		for i := from; i < min(n, from+1000); i++ {
			batch = append(batch, event(tenant(i), i))
		}
		for _, r := range f.q.PublishMany(f.ctx, batch) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
}

func TestADrainNeverExceedsItsBudget(t *testing.T) {
	const events, limit = 20_000, 700
	cfg := small()
	cfg.MaxInFlight, cfg.MaxInFlightBytes = limit, 3<<20
	f := start(t, cfg)
	f.fill(t, events)

	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	var mu sync.Mutex
	seen := make(map[uint64]bool, events)
	most := 0
	err := f.q.Consume(ctx, func(msgs []*queue.Message) {
		held := f.q.InFlight()
		verdicts := make([]queue.Verdict, len(msgs))
		mu.Lock()
		most = max(most, held)
		for i, m := range msgs {
			if seen[m.Seq] {
				t.Errorf("message %d came twice", m.Seq)
			}
			seen[m.Seq] = true
			verdicts[i].Action = queue.Ack
		}
		if len(seen) == events {
			cancel()
		}
		mu.Unlock()
		f.q.Settle(f.ctx, msgs, verdicts)
	})
	if err != nil || len(seen) != events {
		t.Fatalf("consumed %d of %d: %v", len(seen), events, err)
	}
	if most > limit {
		t.Errorf("%d in flight, limit %d", most, limit)
	}
	f.emptied(t, queue.StreamEvents)
}

func TestPullingStopsWhenNothingIsSettled(t *testing.T) {
	cfg := small()
	cfg.MaxInFlight = 50
	f := start(t, cfg)
	f.fill(t, 500)
	in, _ := f.consume(t, f.q)
	var held []*queue.Message
	for range 50 {
		held = append(held, f.next(t, in))
	}
	pending, err := f.q.AckPending(f.ctx)
	if err != nil || pending > 50 {
		t.Errorf("%d delivered (%v), limit 50", pending, err)
	}
	select {
	case m := <-in:
		t.Errorf("message %d came without a free slot", m.Seq)
	default:
	}
	for _, m := range held {
		f.settle(f.q, m, queue.Verdict{Action: queue.Ack})
	}
	f.next(t, in) // slots are free again
}

func TestAStopHandsBackWhatIsLeft(t *testing.T) {
	f := start(t, small()) // AckWait is 30 s: what is not handed back comes too late
	const events = 5000
	f.fill(t, events)
	in, stop := f.consume(t, f.q)
	first := f.next(t, in)
	stop()
	f.settle(f.q, first, queue.Verdict{Action: queue.Ack}) // settled after the end of pulling

	for f.q.InFlight() > 0 {
		f.settle(f.q, f.next(t, in), queue.Verdict{Action: queue.Nak})
	}

	from := time.Now()
	other := f.open(t, f.cfg)
	rest, _ := f.consume(t, other)
	seen := map[uint64]bool{first.Seq: true}
	for len(seen) < events {
		m := f.next(t, rest)
		if seen[m.Seq] {
			t.Fatalf("message %d came twice", m.Seq)
		}
		seen[m.Seq] = true
		f.settle(other, m, queue.Verdict{Action: queue.Ack})
	}
	if took := time.Since(from); took > 20*time.Second {
		t.Errorf("the rest took %v: some were left to AckWait", took)
	}
	f.emptied(t, queue.StreamEvents)
}

func TestARestartOfTheServerLosesNothing(t *testing.T) {
	cfg := small()
	cfg.AckWait = 2 * time.Second
	f := start(t, cfg)
	f.fill(t, 100)
	in, _ := f.consume(t, f.q)
	held := make([]*queue.Message, 100)
	for i := range held {
		held[i] = f.next(t, in)
	}
	done := map[string]bool{}
	ack := func(m *queue.Message) {
		f.settle(f.q, m, queue.Verdict{Action: queue.Ack})
		done[m.Accept] = true
	}
	for _, m := range held[:40] {
		ack(m)
	}
	f.srv.Stop()
	eventually(t, "the link is down", func() bool { return !f.q.Connected() })
	for _, m := range held[40:70] {
		f.settle(f.q, m, queue.Verdict{Action: queue.Ack}) // lost: they come again
	}
	if err := f.srv.Start(); err != nil {
		t.Fatal(err)
	}
	for _, m := range held[70:] { // still ours
		eventually(t, "the link is up", f.q.Connected)
		ack(m)
	}
	eventually(t, "publishing works again", func() bool {
		a := event("tenant-1", 1000)
		_, err := f.q.Publish(f.ctx, a)
		return err == nil
	})
	for len(done) < 101 {
		ack(f.next(t, in))
	}
	f.emptied(t, queue.StreamEvents)
	if n := strings.Count(f.log.String(), "nats connected again"); n != 1 {
		t.Errorf("the log tells %d times of the one reconnection:\n%s", n, f.log)
	}
	if n := strings.Count(f.log.String(), "can't be read"); n > 4 {
		t.Errorf("the log tells %d times that a lane can't be read, and there are 4:\n%s", n, f.log)
	}
}

func TestADeletedConsumerIsMadeAgain(t *testing.T) {
	f := start(t, small())
	f.fill(t, 64)
	in, _ := f.consume(t, f.q)
	for range 64 {
		f.settle(f.q, f.next(t, in), queue.Verdict{Action: queue.Ack})
	}
	f.emptied(t, queue.StreamEvents) // an ack that comes after its consumer has gone is lost
	for _, name := range []string{"ev-0", "ev-1"} {
		if err := f.js.DeleteConsumer(f.ctx, queue.StreamEvents, name); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 16 {
		f.publish(t, event(fmt.Sprintf("tenant-%d", i), 5000+i))
	}
	for range 16 {
		f.settle(f.q, f.next(t, in), queue.Verdict{Action: queue.Ack})
	}
	f.emptied(t, queue.StreamEvents)
}

func TestAddedLanesAreReadAtOnce(t *testing.T) {
	f := start(t, small())
	in, _ := f.consume(t, f.q)
	if _, err := queue.ApplyShards(f.ctx, f.js, f.cfg, 8); err != nil {
		t.Fatal(err)
	}
	if _, err := f.q.Status(f.ctx); err != nil {
		t.Fatal(err)
	}
	f.fill(t, 64) // over all eight lanes
	for range 64 {
		f.settle(f.q, f.next(t, in), queue.Verdict{Action: queue.Ack})
	}
	f.emptied(t, queue.StreamEvents)
}

func TestATenantKeepsToItsLane(t *testing.T) {
	f := start(t, small())
	for i := range 10 {
		f.publish(t, event("acme", i))
	}
	s, err := f.js.Stream(f.ctx, queue.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	subjects := map[string]bool{}
	for seq := range uint64(10) {
		m, err := s.GetMsg(f.ctx, seq+1)
		if err != nil {
			t.Fatal(err)
		}
		subjects[m.Subject] = true
	}
	if len(subjects) != 1 {
		t.Errorf("one tenant in %v", subjects)
	}
}

// A worker parks what one tenant has too much of once it is full. So the lane
// must have enough for all of them to get full.
func TestOneLaneFillsSeveralWorkers(t *testing.T) {
	const workers, each = 3, 10_000
	cfg := small()
	cfg.MaxInFlight = each
	f := start(t, cfg)
	f.fillFor(t, workers*each, func(int) string { return "acme" })
	var all []*queue.Queue
	for range workers {
		q := f.open(t, cfg)
		f.consume(t, q)
		all = append(all, q)
	}
	eventually(t, "every worker is full", func() bool {
		held := 0
		for _, q := range all {
			held += q.InFlight()
		}
		return held > (workers*each)*9/10
	})
}

// What can't be moved is handed back for longer and longer, so that it does not
// pass for an event that was handed out too often.
func TestWhatCanNotBeMovedRestsLonger(t *testing.T) {
	f := start(t, small())
	in, _ := f.consume(t, f.q)
	f.publish(t, event("acme", 1))
	m := f.next(t, in)
	m.Deliveries = 4
	if err := f.js.DeleteStream(f.ctx, queue.StreamParked); err != nil {
		t.Fatal(err)
	}
	answers, err := f.nc.SubscribeSync("$JS.ACK." + queue.StreamEvents + ".>")
	if err != nil {
		t.Fatal(err)
	}
	f.settle(f.q, m, queue.Verdict{Action: queue.Park, Next: &m.Envelope})
	nak, err := answers.NextMsgWithContext(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(`-NAK {"delay":%d}`, 40*time.Second); string(nak.Data) != want {
		t.Errorf("answer %s, want %s", nak.Data, want)
	}
}

func TestHeavy(t *testing.T) {
	cfg := small()
	cfg.MaxInFlightBytes = 1 << 20
	f := start(t, cfg)
	in, _ := f.consume(t, f.q)
	var held []*queue.Message
	for i := range 3 {
		if f.q.Heavy() {
			t.Errorf("heavy with %d events", i)
		}
		a := event("acme", i)
		a.Data = make([]byte, 200_000)
		f.publish(t, a)
		held = append(held, f.next(t, in))
	}
	if !f.q.Heavy() {
		t.Error("600,000 of 1,048,576 bytes are not heavy")
	}
	f.settle(f.q, held[0], queue.Verdict{Action: queue.Ack})
	if f.q.Heavy() {
		t.Error("still heavy with two events")
	}
}

// TestWhoStopsPullingLeavesNothingHandedOut stops and starts again while messages
// come: each is a first delivery. A second one would, after an incident, pass for an
// event that a dead worker may have sent.
func TestWhoStopsPullingLeavesNothingHandedOut(t *testing.T) {
	const rounds, perRound = 8, 400
	f := start(t, small())
	var published sync.WaitGroup
	defer published.Wait()
	published.Go(func() { f.fillSlowly(t, rounds*perRound) })
	var mu sync.Mutex
	seen := 0
	for round := 1; round <= rounds; round++ {
		ctx, cancel := context.WithCancel(f.ctx)
		err := f.q.Consume(ctx, func(msgs []*queue.Message) {
			verdicts := make([]queue.Verdict, len(msgs))
			mu.Lock()
			for i, m := range msgs {
				if m.Deliveries != 1 {
					t.Errorf("message %d: delivery %d", m.Seq, m.Deliveries)
				}
				verdicts[i].Action = queue.Ack
			}
			if seen += len(msgs); seen >= round*perRound {
				cancel()
			}
			mu.Unlock()
			f.q.Settle(f.ctx, msgs, verdicts)
		})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// fillSlowly publishes one event after the other.
func (f *fixture) fillSlowly(t testing.TB, n int) {
	for i := range n {
		if _, err := f.q.Publish(f.ctx, event(fmt.Sprintf("tenant-%d", i%16), i)); err != nil {
			t.Error(err)
			return
		}
	}
}
