package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/homing-dev/homing/internal/queue"
)

func TestAnEventGoesThroughWhole(t *testing.T) {
	f := start(t, small())
	a := event("acme", 1)
	a.Round, a.Unknowns, a.Unsure, a.Attempt, a.Replay = 2, 1, true, 3, "held"
	a.Origin = 99 // not the publisher's to say
	before := time.Now()
	got := f.publish(t, a)
	if got.Seq != 1 || got.Duplicate {
		t.Errorf("Publish = %+v, want number 1, new", got)
	}

	in, _ := f.consume(t, f.q)
	m := f.next(t, in)
	want := a.Envelope
	want.Origin = got.Seq
	if diff := cmp.Diff(want, m.Envelope); diff != "" {
		t.Errorf("envelope (-want +got):\n%s", diff)
	}
	if string(m.Data) != string(a.Data) || m.Stream != queue.StreamEvents || m.Seq != 1 || m.Deliveries != 1 || m.Fault != nil {
		t.Errorf("message = %+v", m)
	}
	if m.Received.Before(before) {
		t.Errorf("Received = %v, before it was published", m.Received)
	}
	if n := f.q.InFlight(); n != 1 {
		t.Errorf("in flight = %d, want 1", n)
	}
	f.settle(f.q, m, queue.Verdict{Action: queue.Ack})
	if n := f.q.InFlight(); n != 0 {
		t.Errorf("in flight after the ack = %d, want 0", n)
	}
	f.emptied(t, queue.StreamEvents)
	f.settle(f.q, m, queue.Verdict{Action: queue.Nak}) // settled already: nothing happens
}

func TestPublishOfTheSameMsgIDIsADuplicate(t *testing.T) {
	f := start(t, small())
	first := f.publish(t, event("acme", 1))
	again := event("acme", 1)
	again.Accept = "another"
	second := f.publish(t, again)
	if !second.Duplicate || second.Seq != first.Seq {
		t.Errorf("second publish = %+v, want a duplicate of %d", second, first.Seq)
	}
	if n := f.messages(t, queue.StreamEvents); n != 1 {
		t.Errorf("%d messages stored, want 1", n)
	}
}

func TestPublishManyAnswersEachInItsPlace(t *testing.T) {
	f := start(t, small())
	as := []queue.Acceptance{event("acme", 1), event("bad tenant", 2), event("umbrella", 3), event("acme", 1)}
	rs := f.q.PublishMany(f.ctx, as)
	if rs[0].Err != nil || rs[2].Err != nil || rs[3].Err != nil || !rs[3].Duplicate {
		t.Errorf("results = %+v", rs)
	}
	if rs[1].Err == nil || strings.Contains(rs[1].Err.Error(), "bad tenant") {
		t.Errorf("a bad tenant: error %v", rs[1].Err)
	}
	if n := f.messages(t, queue.StreamEvents); n != 2 {
		t.Errorf("%d messages stored, want 2", n)
	}
}

func TestAFullStreamRefuses(t *testing.T) {
	cfg := small()
	cfg.MaxBytes = 1 << 20
	f := start(t, cfg)
	for i := 0; ; i++ {
		a := event("acme", i)
		a.Data = make([]byte, 200<<10)
		_, err := f.q.Publish(f.ctx, a)
		if err == nil && i < 10 {
			continue
		}
		if !errors.Is(err, queue.ErrFull) || errors.Is(err, queue.ErrUnavailable) {
			t.Fatalf("publish %d into a full stream: %v, want ErrFull", i, err)
		}
		break
	}
	// What is stored is not dropped for newer events, and room comes back.
	in, _ := f.consume(t, f.q)
	m := f.next(t, in)
	f.settle(f.q, m, queue.Verdict{Action: queue.Ack})
	eventually(t, "room again", func() bool {
		a := event("acme", 1000)
		a.Data = make([]byte, 100<<10)
		_, err := f.q.Publish(f.ctx, a)
		return err == nil
	})
}

func TestPublishErrorsAreTyped(t *testing.T) {
	f := start(t, small())
	a := event("acme", 1)
	a.Data = make([]byte, 300<<10)
	if _, err := f.q.Publish(f.ctx, a); !errors.Is(err, queue.ErrTooLarge) {
		t.Errorf("a large event: %v, want ErrTooLarge", err)
	}
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	if _, err := f.q.Publish(ctx, event("acme", 2)); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that left: %v, want context.Canceled", err)
	}
	f.srv.Stop()
	eventually(t, "the link is down", func() bool { return !f.q.Connected() })
	if _, err := f.q.Publish(f.ctx, event("acme", 3)); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("without a server: %v, want ErrUnavailable", err)
	}
	for _, r := range f.q.PublishMany(f.ctx, []queue.Acceptance{event("acme", 4)}) {
		if !errors.Is(r.Err, queue.ErrUnavailable) {
			t.Errorf("without a server, many: %v, want ErrUnavailable", r.Err)
		}
	}
	if errs := f.q.Bury(f.ctx, []queue.Letter{{Message: &queue.Message{Envelope: event("acme", 1).Envelope}}, {}}); !errors.Is(errs[0], queue.ErrUnavailable) || errs[1] == nil {
		t.Errorf("Bury without a server: %v", errs)
	}
}

func TestARetryComesAtItsSecondAndCanMoveAgain(t *testing.T) {
	f := start(t, small())
	f.publish(t, event("acme", 1))
	in, _ := f.consume(t, f.q)
	m := f.next(t, in)

	origin := m.Origin
	for round := 1; round <= 3; round++ { // a fired schedule carries headers that are refused elsewhere
		next := m.Envelope
		next.Attempt++
		next.Unsure = true
		at := time.Now().Add(100 * time.Millisecond)
		f.settle(f.q, m, queue.Verdict{Action: queue.Retry, At: at, Next: &next})
		if n := f.q.InFlight(); n != 0 {
			t.Fatalf("in flight after a retry = %d, want 0", n)
		}
		m = f.next(t, in)
		if now := time.Now(); now.Before(at) {
			t.Errorf("retry %d came %v early", round, at.Sub(now))
		}
		if m.Stream != queue.StreamRetry || m.Fault != nil {
			t.Fatalf("retry %d came from %s with fault %v", round, m.Stream, m.Fault)
		}
		want := event("acme", 1).Envelope
		want.Origin, want.Attempt, want.Unsure = origin, round, true
		if diff := cmp.Diff(want, m.Envelope); diff != "" {
			t.Errorf("retry %d (-want +got):\n%s", round, diff)
		}
		f.emptied(t, queue.StreamEvents)
	}
	if string(m.Data) != `{"n":1}` {
		t.Errorf("data = %q", m.Data)
	}
	f.settle(f.q, m, queue.Verdict{Action: queue.Park, Next: &m.Envelope})
	f.emptied(t, queue.StreamRetry)
	parked, err := f.js.Stream(f.ctx, queue.StreamParked)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := parked.GetMsg(f.ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if raw.Subject != "homing.parked.acme" || raw.Header.Get(queue.HeaderOrigin) != fmt.Sprint(origin) {
		t.Errorf("parked as %s with %v", raw.Subject, raw.Header)
	}
	for name := range raw.Header {
		if strings.HasPrefix(name, "Nats-Schedule") {
			t.Errorf("a move copied %s", name)
		}
	}
}

func TestASecondScheduleReplacesTheFirst(t *testing.T) {
	f := start(t, small())
	a := event("acme", 1)
	f.publish(t, a)
	copyOf := a
	copyOf.MsgID = "another" // the same acceptance twice in the backlog
	f.publish(t, copyOf)
	in, _ := f.consume(t, f.q)
	for range 2 {
		m := f.next(t, in)
		f.settle(f.q, m, queue.Verdict{Action: queue.Retry, At: time.Now().Add(time.Hour), Next: &m.Envelope})
	}
	f.emptied(t, queue.StreamEvents)
	if n := f.messages(t, queue.StreamRetry); n != 1 {
		t.Errorf("%d schedules of one acceptance, want 1", n)
	}
}

// What is left of round 0 would replace the schedule of the replay, and then, meeting
// the record of round 1, end in silence: the replay would be lost.
func TestALeftoverDoesNotReplaceAReplay(t *testing.T) {
	f := start(t, small())
	replay, leftover := event("acme", 1), event("acme", 1)
	replay.Round, leftover.MsgID = 1, "the copy of round 0"
	f.publish(t, replay)
	f.publish(t, leftover)
	in, _ := f.consume(t, f.q)
	for _, wait := range []time.Duration{time.Second, 2 * time.Second} {
		m := f.next(t, in)
		f.settle(f.q, m, queue.Verdict{Action: queue.Retry, At: time.Now().Add(wait), Next: &m.Envelope})
	}
	for _, round := range []int{1, 0} {
		if m := f.next(t, in); m.Accept != replay.Accept || m.Round != round {
			t.Errorf("round %d of %s came back, want round %d", m.Round, m.Accept, round)
		}
	}
}

func TestAFailedMoveIsNotAcked(t *testing.T) {
	f := start(t, small())
	f.publish(t, event("acme", 1))
	in, _ := f.consume(t, f.q)
	m := f.next(t, in)
	if err := f.js.DeleteStream(f.ctx, queue.StreamRetry); err != nil {
		t.Fatal(err)
	}
	f.settle(f.q, m, queue.Verdict{Action: queue.Retry, At: time.Now(), Next: &m.Envelope})
	if n := f.q.InFlight(); n != 0 {
		t.Errorf("in flight = %d, want 0", n)
	}
	again := f.next(t, in) // handed back, after a while
	if again.Seq != m.Seq || again.Deliveries != 2 {
		t.Errorf("came again as %d, delivery %d", again.Seq, again.Deliveries)
	}
	if n := f.messages(t, queue.StreamEvents); n != 1 {
		t.Errorf("the original is gone although its copy is not durable")
	}
}

func TestANakComesAgainAfterItsDelay(t *testing.T) {
	f := start(t, small())
	f.publish(t, event("acme", 1))
	in, _ := f.consume(t, f.q)
	m := f.next(t, in)
	const delay = 400 * time.Millisecond
	from := time.Now()
	f.settle(f.q, m, queue.Verdict{Action: queue.Nak, Delay: delay})
	m = f.next(t, in)
	if took := time.Since(from); took < delay {
		t.Errorf("came again after %v, want at least %v", took, delay)
	}
	if m.Deliveries != 2 {
		t.Errorf("deliveries = %d, want 2", m.Deliveries)
	}
}

func TestARedeliveryOfWhatIsInHandIsDropped(t *testing.T) {
	cfg := small()
	cfg.AckWait = time.Second
	f := start(t, cfg)
	f.publish(t, event("acme", 1))
	in, _ := f.consume(t, f.q)
	m := f.next(t, in)
	eventually(t, "a redelivery", func() bool {
		c, err := f.js.Consumer(f.ctx, queue.StreamEvents, laneOf(t, f, m))
		return err == nil && c.CachedInfo().Delivered.Consumer >= 3
	})
	select {
	case again := <-in:
		t.Fatalf("message %d was handed out twice", again.Seq)
	default:
	}
	if n := f.q.InFlight(); n != 1 {
		t.Errorf("in flight = %d, want 1", n)
	}
	f.settle(f.q, m, queue.Verdict{Action: queue.Ack}) // acks the newest delivery
	f.emptied(t, queue.StreamEvents)

	// What was forgotten is somebody else's, and may come again.
	f.publish(t, event("acme", 2))
	m = f.next(t, in)
	f.settle(f.q, m, queue.Verdict{Action: queue.Forget})
	if again := f.next(t, in); again.Seq != m.Seq || again.Deliveries != 2 {
		t.Errorf("after Forget: %d, delivery %d", again.Seq, again.Deliveries)
	}
}

// laneOf finds the consumer that has delivered something of the message's stream.
func laneOf(t *testing.T, f *fixture, m *queue.Message) string {
	t.Helper()
	st, err := f.q.Status(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range st.Stream(m.Stream).Consumers {
		if c.AckPending > 0 {
			return c.Name
		}
	}
	return "none"
}

func TestWhatCannotBeReadIsKeptForTheDeadLetters(t *testing.T) {
	f := start(t, small())
	junk := []byte("\x00\xffnot an event")
	raw := []*nats.Msg{
		{Subject: "homing.ev.0.acme", Data: junk},
		{Subject: "homing.ev.1.acme", Data: junk, Header: nats.Header{queue.HeaderID: {"a.b >"}, queue.HeaderRound: {"-1"}}},
		{Subject: "homing.rt.0.acme", Data: junk, Header: nats.Header{queue.HeaderID: {"fine"}}}, // without its number
	}
	for _, m := range raw {
		if _, err := f.js.PublishMsg(f.ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	in, _ := f.consume(t, f.q)
	seen := map[string]bool{}
	for range raw {
		m := f.next(t, in)
		if m.Fault == nil || m.Accept == "" || m.Tenant != "acme" || string(m.Data) != string(junk) {
			t.Errorf("message = %+v", m)
		}
		if seen[m.Accept] {
			t.Errorf("acceptance id %q was made up twice", m.Accept)
		}
		seen[m.Accept] = true
		if strings.Contains(m.Fault.Error(), "a.b") {
			t.Errorf("fault repeats the value: %v", m.Fault)
		}
		if errs := f.q.Bury(f.ctx, []queue.Letter{{
			Message: m, Envelope: m.Envelope, Outcome: "dead", Reason: "undecodable",
			Error: "bad\r\nHoming-Id: forged" + strings.Repeat("é", 2000), At: time.Now(),
		}}); errs[0] != nil {
			t.Fatal(errs[0])
		}
		f.settle(f.q, m, queue.Verdict{Action: queue.Ack})
	}
	f.emptied(t, queue.StreamEvents, queue.StreamRetry)
	dead, err := f.js.Stream(f.ctx, queue.StreamDead)
	if err != nil {
		t.Fatal(err)
	}
	for seq := range uint64(len(raw)) {
		m, err := dead.GetMsg(f.ctx, seq+1)
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Data) != string(junk) {
			t.Errorf("letter %d holds %q, want the bytes unchanged", seq+1, m.Data)
		}
		got := m.Header.Get(queue.HeaderError)
		if len(got) > 1024 || !strings.HasPrefix(got, "bad  Homing-Id: forged") {
			t.Errorf("letter %d: error header of %d bytes: %.40q", seq+1, len(got), got)
		}
		if !seen[m.Header.Get(queue.HeaderID)] || m.Header.Get(queue.HeaderReason) != "undecodable" {
			t.Errorf("letter %d: headers %v", seq+1, m.Header)
		}
	}
}

func TestALetterIsBuriedOnce(t *testing.T) {
	f := start(t, small())
	m := &queue.Message{Envelope: event("acme", 1).Envelope, Data: []byte("x")}
	l := queue.Letter{Message: m, Envelope: m.Envelope, Outcome: "held", Reason: "delivery_unknown", FbtraceID: "AbC", At: time.Now()}
	replayed := l
	replayed.Envelope.Round = 1
	for _, err := range f.q.Bury(f.ctx, []queue.Letter{l, l, replayed}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := f.messages(t, queue.StreamDead); n != 2 {
		t.Errorf("%d letters, want one a round", n)
	}
}
