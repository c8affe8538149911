package ops_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/homing-dev/homing/internal/embedded"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/dedup/deduptest"
	"github.com/homing-dev/homing/pkg/events"
)

func TestMain(m *testing.M) {
	// The Redis child of the tests lives as long as they do.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/redis/go-redis/v9/maintnotifications.(*CircuitBreakerManager).cleanupLoop"))
}

// desk is an operator's desk over real servers.
type desk struct {
	t      *testing.T
	ctx    context.Context
	q      *queue.Queue
	js     jetstream.JetStream
	claims *dedup.Redis
	now    time.Time
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	srv, err := embedded.NATS(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	nc, err := queue.Connect("", "", "", slog.New(slog.DiscardHandler), srv.ClientOption())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	d := &desk{t: t, ctx: ctx, now: time.Now()}
	if d.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	cfg := queue.Config{Shards: 2, MaxBytes: 64 << 20}
	if _, err := queue.Apply(ctx, d.js, cfg); err != nil {
		t.Fatal(err)
	}
	if d.q, err = queue.Open(nc, cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.q.Close)
	return d
}

// withClaims gives the desk a claim store.
func (d *desk) withClaims() *desk {
	d.claims = dedup.New(deduptest.Redis(d.t), dedup.Options{})
	if err := d.claims.Mark(d.ctx, dedup.Marker{}); err != nil {
		d.t.Fatal(err)
	}
	return d
}

// accept publishes the n-th event of a tenant and returns its number.
func (d *desk) accept(tenant string, n int) queue.Envelope {
	d.t.Helper()
	env := queue.Envelope{
		Tenant: tenant, Accept: fmt.Sprintf("%s-%d", tenant, n), EventName: events.Purchase,
		EventID: fmt.Sprintf("order-%d", n), AcceptedAt: d.now.UTC().Truncate(time.Millisecond),
		Trace: queue.Trace{Parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	}
	got, err := d.q.Publish(d.ctx, queue.Acceptance{Envelope: env, MsgID: env.Accept, Data: d.event(env)})
	if err != nil {
		d.t.Fatal(err)
	}
	env.Origin = got.Seq
	return env
}

// event is the stored event of an envelope.
func (d *desk) event(env queue.Envelope) []byte {
	return events.EncodeEvent(&events.Event{
		Tenant: env.Tenant, Name: env.EventName, ID: env.EventID, Time: env.AcceptedAt.Unix(), Clid: "ARAk",
		Phones: []string{"6c3f6f1f0d7e6b3f"},
	})
}

// move takes events until n have a verdict, and hands back those without one.
func (d *desk) move(n int, verdict func(*queue.Message) (queue.Verdict, bool)) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(d.ctx)
	in := make(chan *queue.Message, 1000)
	done := make(chan error, 1)
	go func() {
		done <- d.q.Consume(ctx, func(msgs []*queue.Message) {
			for _, m := range msgs {
				in <- m
			}
		})
	}()
	settle := func(m *queue.Message, v queue.Verdict) { d.q.Settle(d.ctx, []*queue.Message{m}, []queue.Verdict{v}) }
	var back []*queue.Message
	for n > 0 {
		select {
		case m := <-in:
			if v, ok := verdict(m); ok {
				settle(m, v)
				n--
			} else {
				back = append(back, m)
			}
		case <-time.After(20 * time.Second):
			d.t.Error("no message came")
			n = 0
		}
	}
	cancel()
	if err := <-done; err != nil {
		d.t.Fatal(err)
	}
	for d.q.InFlight() > len(back) {
		back = append(back, <-in)
	}
	for _, m := range back {
		settle(m, queue.Verdict{Action: queue.Nak})
	}
}

// line is how an acceptance ended.
func line(env queue.Envelope, o events.Outcome, r events.Reason) events.Settlement {
	return events.Settlement{
		Accept: env.Accept, Origin: env.Origin, Round: env.Round, Outcome: o, Reason: r, Tenant: env.Tenant,
		Name: env.EventName, ID: env.EventID, Attempts: 1, AcceptedAt: env.AcceptedAt, At: env.AcceptedAt.Add(time.Second),
	}
}

func (d *desk) record(env queue.Envelope, o events.Outcome, r events.Reason) {
	d.t.Helper()
	if err := d.q.Record(d.ctx, env.Tenant, []events.Settlement{line(env, o, r)}); err != nil {
		d.t.Fatal(err)
	}
}

// finish ends an accepted event and takes it out of the backlog.
func (d *desk) finish(env queue.Envelope, o events.Outcome, r events.Reason) {
	d.t.Helper()
	d.record(env, o, r)
	d.remove(queue.StreamEvents, env.Origin)
}

// bury ends an accepted event as a dead letter.
func (d *desk) bury(env queue.Envelope, o events.Outcome, r events.Reason) {
	d.t.Helper()
	l := queue.Letter{
		Message: &queue.Message{Envelope: env, Data: d.event(env)}, Envelope: env, Outcome: o, Reason: r,
		Error: "Invalid parameter", FbtraceID: "AbC", At: env.AcceptedAt.Add(time.Second),
	}
	if err := errors.Join(d.q.Bury(d.ctx, []queue.Letter{l})...); err != nil {
		d.t.Fatal(err)
	}
	d.finish(env, o, r)
}

// remove deletes a message behind everybody's back.
func (d *desk) remove(stream string, seq uint64) {
	d.t.Helper()
	s, err := d.js.Stream(d.ctx, stream)
	if err == nil {
		err = s.DeleteMsg(d.ctx, seq)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) messages(stream string) uint64 {
	d.t.Helper()
	s, err := d.js.Stream(d.ctx, stream)
	if err != nil {
		d.t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// settles polls until a stream holds n messages: acks are taken a moment later.
func (d *desk) settles(stream string, n uint64) {
	d.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for d.messages(stream) != n {
		select {
		case <-tick.C:
		case <-deadline:
			d.t.Fatalf("%s never held %d messages", stream, n)
		}
	}
}

// noPause is a pause that takes no time.
func noPause(ctx context.Context, _ time.Duration) error { return ctx.Err() }
