package recovery_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/internal/embedded"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/internal/recovery"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/dedup/deduptest"
	"github.com/homing-dev/homing/pkg/events"
)

func TestEveryLineOfTheLedgerIsARecord(t *testing.T) {
	m := whole()
	nameless := settlement("", events.Dead) // undecodable: there never was a key
	m.settled = []events.Settlement{
		settlement("e1", events.Delivered), settlement("e2", events.Dead), settlement("e3", events.Duplicate), nameless, settlement("e4", events.NoClick),
	}
	n, err := recovery.RebuildSettled(t.Context(), m, m, time.Time{})
	if err != nil || n != 3 || len(m.restored) != 3 {
		t.Fatalf("%d restored of %d, error %v", len(m.restored), n, err)
	}
	line := m.settled[0]
	want := dedup.Restored{
		Key: string(events.MakeKey("acme", events.Lead, "e1")),
		Record: dedup.Record{
			State: dedup.Decided, Accept: line.Accept, Round: 1, Unsure: true, Outcome: "delivered", Reason: "expired", At: line.At,
			Note: dedup.Note{Name: "Lead", Attempts: 3, Clid: "clid", FbtraceID: "fb", TraceID: "trace", AcceptedAt: line.AcceptedAt},
		},
	}
	if diff := cmp.Diff(want, m.restored[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A flushed Redis knows again, from real streams, what it knew.
func TestFlushedRedisLearnsFromTheStreams(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	q := openQueue(ctx, t)
	rdb := deduptest.Redis(t)
	claims := dedup.New(rdb, dedup.Options{})
	store := clicks.New(rdb, clicks.Options{TTL: 24 * time.Hour})

	now := time.Now()
	delivered := settlement("e1", events.Delivered)
	delivered.At = now.UTC().Truncate(time.Millisecond)
	if err := q.Record(ctx, "acme", []events.Settlement{delivered, settlement("e2", events.Duplicate)}); err != nil {
		t.Fatal(err)
	}
	ana := events.Person("a0000000000000000000000000000000a0000000000000000000000000000000")
	click := events.Click{Tenant: "acme", Persons: []events.Person{ana}, Clid: "c1", At: now.Unix()}
	if err := q.PublishClicks(ctx, []events.Click{click}); err != nil {
		t.Fatal(err)
	}

	guard := recovery.New(recovery.Options{
		Claims: claims, Clicks: store, Streams: q, Logger: slog.New(slog.DiscardHandler),
		RunID: func(context.Context) (string, error) { return "run-1", nil },
	})
	if err := guard.TryBless(ctx); err == nil {
		t.Error("blessed although there are memories")
	}
	watching, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); guard.Run(watching) }()
	defer func() { stop(); <-done }()
	if _, err := guard.Wait(ctx); err != nil {
		t.Fatal(err)
	}

	// The next acceptance of the delivered event is a duplicate, that of the
	// other one is not: its line was a duplicate's.
	found, err := claims.Claim(ctx, []dedup.Message{
		{Key: string(events.MakeKey("acme", events.Lead, "e1")), Accept: "later", Stream: queue.StreamEvents, Seq: 9, Deliveries: 1},
		{Key: string(events.MakeKey("acme", events.Lead, "e2")), Accept: "later", Stream: queue.StreamEvents, Seq: 10, Deliveries: 1},
	})
	if err != nil || found[0].Result != dedup.Duplicate || found[1].Result != dedup.Fresh {
		t.Errorf("claims %+v, error %v", found, err)
	}
	got, err := store.Lookup(ctx, []clicks.Query{{Tenant: "acme", Persons: []events.Person{ana}, Before: now.Unix()}})
	if err != nil || got[0].Clid != "c1" {
		t.Errorf("found %+v, error %v", got, err)
	}
}

func openQueue(ctx context.Context, t *testing.T) *queue.Queue {
	t.Helper()
	srv, err := embedded.NATS(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	nc, err := queue.Connect("", "", "", slog.New(slog.DiscardHandler), srv.ClientOption())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	cfg := queue.Config{Shards: 1, MaxBytes: 64 << 20}
	if _, err := queue.Apply(ctx, js, cfg); err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(nc, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return q
}
