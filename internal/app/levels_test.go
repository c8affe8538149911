package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/internal/embedded"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/internal/telemetry"
	"github.com/homing-dev/homing/pkg/events"
)

// servers starts what a process needs, with streams.
func servers(t *testing.T) (*queue.Queue, jetstream.JetStream, redis.UniversalClient, *embedded.RedisServer) {
	t.Helper()
	server, err := embedded.NATS(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	nc, err := nats.Connect("", server.ClientOption())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	cfg := queue.Config{Shards: 1, MaxBytes: 16 << 20}
	if _, err := queue.Apply(t.Context(), js, cfg); err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(nc, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	mini, err := embedded.Redis()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mini.Close() })
	rdb := redis.NewClient(&redis.Options{Addr: mini.Addr(), MaxRetries: -1, DialTimeout: time.Second})
	t.Cleanup(func() { _ = rdb.Close() })
	return q, js, rdb, mini
}

// accept stores an event that happened at a time.
func accept(t *testing.T, q *queue.Queue, id string, at time.Time) queue.Accepted {
	t.Helper()
	e := events.Event{Tenant: "acme", Name: "Lead", ID: id, Time: at.Unix(), Clid: "c"}
	got, err := q.Publish(t.Context(), queue.Acceptance{
		Envelope: queue.Envelope{Tenant: "acme", Accept: "accept-" + id, EventName: e.Name, EventID: id, AcceptedAt: at},
		MsgID:    string(e.Key()), Data: events.EncodeEvent(&e),
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestAuditFindsWhatIsGone(t *testing.T) {
	q, js, rdb, _ := servers(t)
	a := &auditor{queue: q, redis: rdb, ackWait: time.Second, now: time.Now, log: slog.New(slog.DiscardHandler), patience: 0}
	audit := func() uint64 {
		t.Helper()
		if err := a.round(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := readAudit(t.Context(), rdb)
		if err != nil || got == nil {
			t.Fatalf("no result: %v %v", got, err)
		}
		return got.Unaccounted
	}
	accept(t, q, "e1", time.Now())
	gone := accept(t, q, "e2", time.Now())
	if n := audit(); n != 0 {
		t.Errorf("%d of two that wait are unaccounted for", n)
	}
	s, err := js.Stream(t.Context(), queue.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(t.Context(), gone.Seq); err != nil {
		t.Fatal(err)
	}
	if n := audit(); n != 0 {
		t.Errorf("it audits again at once and finds %d", n)
	}
	rdb.Del(t.Context(), auditLease)
	if n := audit(); n != 1 {
		t.Errorf("%d unaccounted for, want the one that was deleted", n)
	}
}

func TestLook(t *testing.T) {
	q, _, rdb, mini := servers(t)
	now := time.Now()
	accept(t, q, "old", now.Add(-6*24*time.Hour))
	accept(t, q, "new", now)
	l := &levels{queue: q, redis: rdb, now: func() time.Time { return now }}

	seen := l.look(t.Context())
	if seen.Backlog == nil || seen.Backlog.Streams[0].Events != 2 || seen.Backlog.Streams[0].Limit != 16<<20 {
		t.Fatalf("backlog %+v", seen.Backlog)
	}
	if left := seen.Backlog.Deadline; left < 23*time.Hour || left > 25*time.Hour {
		t.Errorf("%s left, want a day", left)
	}
	if diff := cmp.Diff(map[string]bool{"nats": true, "redis": true}, seen.Up); diff != "" || seen.Audit != nil {
		t.Errorf("audit %v, up (-want +got):\n%s", seen.Audit, diff)
	}

	_ = mini.Close()
	l.queue = awayQueue{}
	seen = l.look(t.Context())
	if diff := cmp.Diff(&telemetry.Levels{Up: map[string]bool{"nats": false, "redis": false}}, seen); diff != "" {
		t.Errorf("without servers (-want +got):\n%s", diff)
	}
}

// TestRetriesDue: what waits for its time is no work for anybody, and what somebody
// has taken is no work for others.
func TestRetriesDue(t *testing.T) {
	q, js, rdb, _ := servers(t)
	l := &levels{queue: q, redis: rdb, now: time.Now}
	look := func(want telemetry.Backlog) {
		t.Helper()
		got := l.look(t.Context()).Backlog
		if got == nil || got.Retries != want.Retries || got.RetriesDue != want.RetriesDue {
			t.Fatalf("%+v, want %d retries, %d due", got, want.Retries, want.RetriesDue)
		}
	}
	look(telemetry.Backlog{})
	later := nats.NewMsg("homing.sched.0.accept-1")
	if _, err := js.PublishMsg(t.Context(), later, jetstream.WithScheduleAt(time.Now().Add(time.Hour)),
		jetstream.WithScheduleTarget("homing.rt.0.acme")); err != nil {
		t.Fatal(err)
	}
	look(telemetry.Backlog{Retries: 1})
	for range 3 {
		if _, err := js.Publish(t.Context(), "homing.rt.0.acme", nil); err != nil {
			t.Fatal(err)
		}
	}
	look(telemetry.Backlog{Retries: 4, RetriesDue: 3})
	lane, err := js.Consumer(t.Context(), queue.StreamRetry, "rt-0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lane.Next(); err != nil {
		t.Fatal(err)
	}
	look(telemetry.Backlog{Retries: 4, RetriesDue: 2})
}

// awayQueue is a queue that does not answer.
type awayQueue struct{}

func (awayQueue) Levels(context.Context) ([]queue.StreamStatus, error) { return nil, io.ErrClosedPipe }

func (awayQueue) RetriesDue(context.Context) (uint64, error) { return 0, errors.New("not reached") }

func (awayQueue) Oldest(context.Context, string, int) ([]queue.Waiting, error) {
	return nil, errors.New("not reached")
}
func (awayQueue) Connected() bool { return false }
