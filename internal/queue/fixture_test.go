package queue_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/homing-dev/homing/internal/embedded"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a real server with the streams on it.
type fixture struct {
	srv *embedded.Server
	nc  *nats.Conn
	js  jetstream.JetStream
	q   *queue.Queue
	cfg queue.Config
	ctx context.Context
	log *logBuffer
}

// small is a configuration for tests: few lanes, little disk.
func small() queue.Config {
	return queue.Config{Shards: 2, MaxBytes: 64 << 20, AckWait: 30 * time.Second}
}

// server starts a server without streams.
func server(t testing.TB) *fixture {
	t.Helper()
	srv, err := embedded.NATS(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	return connectTo(t, srv)
}

func connectTo(t testing.TB, srv *embedded.Server) *fixture {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	f := &fixture{srv: srv, ctx: ctx, log: &logBuffer{}}
	var err error
	f.nc, err = queue.Connect("", "", "", slog.New(slog.NewTextHandler(f.log, nil)), srv.ClientOption())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.nc.Close)
	if f.js, err = jetstream.New(f.nc); err != nil {
		t.Fatal(err)
	}
	return f
}

// start starts a server with the streams of cfg and opens a queue on it.
func start(t testing.TB, cfg queue.Config) *fixture {
	t.Helper()
	f := server(t)
	f.cfg = cfg
	if _, err := queue.Apply(f.ctx, f.js, cfg); err != nil {
		t.Fatal(err)
	}
	f.q = f.open(t, cfg)
	return f
}

func (f *fixture) open(t testing.TB, cfg queue.Config) *queue.Queue {
	t.Helper()
	q, err := queue.Open(f.nc, cfg, queue.WithLogger(slog.New(slog.NewTextHandler(f.log, nil))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return q
}

// event is the n-th acceptance of a tenant.
func event(tenant string, n int) queue.Acceptance {
	return queue.Acceptance{
		Envelope: queue.Envelope{
			Tenant:     tenant,
			Accept:     fmt.Sprintf("%s-%d", tenant, n),
			EventName:  events.Purchase,
			EventID:    fmt.Sprintf("order-%d", n),
			AcceptedAt: time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC),
			Trace:      queue.Trace{Parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", State: "a=b"},
		},
		MsgID: fmt.Sprintf("%s/%d", tenant, n),
		Data:  fmt.Appendf(nil, `{"n":%d}`, n),
	}
}

func (f *fixture) publish(t testing.TB, a queue.Acceptance) queue.Accepted {
	t.Helper()
	got, err := f.q.Publish(f.ctx, a)
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	return got
}

// consume pulls into the returned channel until the test ends or stop is called.
func (f *fixture) consume(t testing.TB, q *queue.Queue) (_ <-chan *queue.Message, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(f.ctx)
	out := make(chan *queue.Message, 100_000)
	var done sync.WaitGroup
	done.Go(func() {
		err := q.Consume(ctx, func(msgs []*queue.Message) {
			for _, m := range msgs {
				out <- m
			}
		})
		if err != nil {
			t.Errorf("consume: %v", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); done.Wait() })
	t.Cleanup(stop)
	return out, stop
}

func (f *fixture) next(t testing.TB, in <-chan *queue.Message) *queue.Message {
	t.Helper()
	select {
	case m := <-in:
		return m
	case <-time.After(8 * time.Second):
		t.Fatal("no message came")
		return nil
	}
}

// settle carries out one verdict.
func (f *fixture) settle(q *queue.Queue, m *queue.Message, v queue.Verdict) {
	q.Settle(f.ctx, []*queue.Message{m}, []queue.Verdict{v})
}

// eventually polls until ok, since a server's state follows an ack by a moment.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(8 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never came: %s", what)
		}
	}
}

func (f *fixture) messages(t testing.TB, stream string) uint64 {
	t.Helper()
	s, err := f.js.Stream(f.ctx, stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

func (f *fixture) emptied(t testing.TB, streams ...string) {
	t.Helper()
	for _, s := range streams {
		eventually(t, s+" is empty", func() bool { return f.messages(t, s) == 0 })
	}
}

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
