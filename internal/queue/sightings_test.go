package queue_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/events"
)

func (f *fixture) sightings(t *testing.T, stream string) []queue.Sighting {
	t.Helper()
	var all []queue.Sighting
	if err := f.q.ReadSightings(f.ctx, stream, func(s queue.Sighting) error {
		all = append(all, s)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSightingsOnEveryWay(t *testing.T) {
	f := start(t, small())
	for n := 1; n <= 3; n++ {
		f.publish(t, event("acme", n))
	}
	in, stop := f.consume(t, f.q)
	for range 3 {
		m := f.next(t, in)
		switch m.Accept {
		case "acme-1":
			f.settle(f.q, m, queue.Verdict{Action: queue.Retry, At: time.Now().Add(time.Hour), Next: &m.Envelope})
		case "acme-2":
			f.settle(f.q, m, queue.Verdict{Action: queue.Park, Next: &m.Envelope})
		}
	}
	stop()
	at := event("acme", 1).AcceptedAt
	for stream, number := range map[string]uint64{
		queue.StreamRetry: 1, queue.StreamParked: 2, queue.StreamEvents: 3,
	} {
		eventually(t, stream+" holds one", func() bool { return f.messages(t, stream) == 1 })
		want := []queue.Sighting{{Number: number, Tenant: "acme", AcceptedAt: at}}
		if diff := cmp.Diff(want, f.sightings(t, stream)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", stream, diff)
		}
		has, err := f.q.HasAcceptance(f.ctx, number)
		if err != nil || has != (stream == queue.StreamEvents) {
			t.Errorf("HasAcceptance(%d) = %v, %v", number, has, err)
		}
	}
}

func TestReadLedgerGoesOnWhereItEnded(t *testing.T) {
	f := start(t, small())
	line := func(tenant, accept string) []events.Settlement {
		return []events.Settlement{{Accept: accept, Outcome: events.Delivered, Tenant: tenant}}
	}
	read := func(tenant string, from uint64) (accepts []string, broken int, next uint64) {
		next, err := f.q.ReadLedger(f.ctx, tenant, from, func(m queue.LedgerMessage) error {
			for _, l := range m.Lines {
				accepts = append(accepts, l.Accept)
			}
			if m.Err != nil {
				broken++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return accepts, broken, next
	}
	if got, _, next := read("", 0); got != nil || next != 1 {
		t.Errorf("an empty ledger: %v, next %d", got, next)
	}
	for _, l := range [][]events.Settlement{line("acme", "a1"), line("umbra", "u1")} {
		if err := f.q.Record(f.ctx, l[0].Tenant, l); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.js.Publish(f.ctx, "homing.outcome.acme", []byte("{")); err != nil {
		t.Fatal(err)
	}
	got, broken, next := read("", 0)
	if diff := cmp.Diff([]string{"a1", "u1"}, got); diff != "" || broken != 1 || next != 4 {
		t.Errorf("broken %d, next %d, (-want +got):\n%s", broken, next, diff)
	}
	if got, _, _ := read("umbra", 0); !cmp.Equal(got, []string{"u1"}) {
		t.Errorf("of umbra: %v", got)
	}
	if err := f.q.Record(f.ctx, "acme", line("acme", "a2")); err != nil {
		t.Fatal(err)
	}
	if got, _, next := read("", next); !cmp.Equal(got, []string{"a2"}) || next != 5 {
		t.Errorf("the second time: %v, next %d", got, next)
	}
}

func TestHorizon(t *testing.T) {
	f := start(t, small())
	f.publish(t, event("acme", 1))
	h, err := f.q.Horizon(f.ctx)
	if err != nil || h.Acceptances != 1 || !h.LedgerSince.IsZero() || h.LedgerNext != 1 || h.LastAt.IsZero() {
		t.Errorf("horizon %+v, %v", h, err)
	}
	later, err := queue.Open(f.nc, f.cfg, queue.WithClock(func() time.Time { return time.Now().Add(9 * 24 * time.Hour) }))
	if err != nil {
		t.Fatal(err)
	}
	defer later.Close()
	h, err = later.Horizon(f.ctx)
	if since := time.Until(h.LedgerSince); err != nil || since < 23*time.Hour || since > 25*time.Hour {
		t.Errorf("nine days later the ledger is whole since %v from now, want a day; %v", since, err)
	}
}

func TestAScanEndsWithItsContextAndItsReader(t *testing.T) {
	f := start(t, small())
	f.publish(t, event("acme", 1))
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	if err := f.q.ReadSightings(ctx, queue.StreamEvents, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled scan: %v", err)
	}
	enough := errors.New("enough")
	if err := f.q.ReadSightings(f.ctx, queue.StreamEvents, func(queue.Sighting) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("the reader's error: %v", err)
	}
	if err := f.q.ReadSightings(f.ctx, "HOMING_NONE", nil); err == nil {
		t.Error("a stream that is not there was read")
	}
}

// An account may be allowed to hear its own inboxes only.
func TestAScanKeepsToTheInboxOfItsConnection(t *testing.T) {
	f := start(t, small())
	f.publish(t, event("acme", 1))
	nc, err := queue.Connect("", "", "", slog.New(slog.DiscardHandler), f.srv.ClientOption(), nats.CustomInboxPrefix("_INBOX.operator"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	q, err := queue.Open(nc, f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	heard, err := f.nc.SubscribeSync("_INBOX.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := q.ReadSightings(f.ctx, queue.StreamEvents, func(queue.Sighting) error { return nil }); err != nil {
		t.Fatal(err)
	}
	answers := 0
	for {
		m, err := heard.NextMsg(100 * time.Millisecond)
		if err != nil {
			break
		}
		if m.Header.Get("Nats-Sequence") != "" {
			answers++
			if !strings.HasPrefix(m.Subject, "_INBOX.operator.") {
				t.Errorf("an answer went to %s", m.Subject)
			}
		}
	}
	if answers != 1 {
		t.Errorf("heard %d answers, want 1", answers)
	}
}

func TestPreviewShardsChangesNothing(t *testing.T) {
	f := start(t, small())
	p, err := queue.PreviewShards(f.ctx, f.js, f.cfg, 3)
	if err != nil {
		t.Fatal(err)
	}
	if p.Shards != 3 || len(p.Changes) == 0 {
		t.Errorf("plan: %+v", p)
	}
	again, err := queue.PreviewShards(f.ctx, f.js, f.cfg, 3)
	if diff := cmp.Diff(p, again); diff != "" || err != nil {
		t.Errorf("the preview changed something: %v\n%s", err, diff)
	}
	if _, err := queue.PreviewShards(f.ctx, f.js, f.cfg, 1); err == nil {
		t.Error("fewer lanes were planned")
	}
}
