package queue

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

func TestHeadersRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Envelope{
			Accept:     rapid.StringMatching(`[A-Za-z0-9_:-]{1,128}`).Draw(t, "accept"),
			Origin:     rapid.Uint64().Draw(t, "origin"),
			Round:      rapid.IntRange(0, 1<<30).Draw(t, "round"),
			Replay:     rapid.SampledFrom([]dedup.Replay{"", dedup.ReplayDead, dedup.ReplayHeld}).Draw(t, "replay"),
			Unsure:     rapid.Bool().Draw(t, "unsure"),
			Unknowns:   rapid.IntRange(0, 100).Draw(t, "unknowns"),
			EventName:  rapid.SampledFrom(events.Names()).Draw(t, "name"),
			EventID:    rapid.StringMatching(`[!-~]{1,128}`).Draw(t, "id"),
			Attempt:    rapid.IntRange(0, 1000).Draw(t, "attempt"),
			AcceptedAt: time.Unix(rapid.Int64Range(1, 1<<33).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC(),
			Trace:      Trace{Parent: rapid.StringMatching(`[0-9a-f-]{0,55}`).Draw(t, "parent")},
		}
		got, err := readEnvelope(want.header())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func FuzzReadEnvelope(f *testing.F) {
	f.Add("id", "1", "0", "dead", "1", "2026-11-22T12:00:00Z", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	f.Add("", "-1", "99999999999999999999", "maybe", "yes", "yesterday", "\r\nHoming-Id: forged")
	f.Fuzz(func(t *testing.T, id, origin, round, replay, unsure, at, trace string) {
		h := nats.Header{
			HeaderID: {id}, HeaderOrigin: {origin}, HeaderRound: {round}, HeaderReplay: {replay},
			HeaderUnsure: {unsure}, HeaderAcceptedAt: {at}, HeaderTraceParent: {trace}, HeaderEventID: {trace},
		}
		e, err := readEnvelope(h)
		if e.Accept != "" && !isToken(e.Accept) {
			t.Errorf("accept %q can't stand in a subject", e.Accept)
		}
		for name, values := range e.header() { // what was read can be written
			if len(values[0]) > maxErrorValue || strings.ContainsAny(values[0], "\r\n") {
				t.Errorf("%s = %q", name, values[0])
			}
		}
		if err == nil {
			if again, err := readEnvelope(e.header()); err != nil || again.Accept != e.Accept || again.Origin != e.Origin || again.Round != e.Round {
				t.Errorf("read again: %+v, %v; was %+v", again, err, e)
			}
		}
	})
}

func TestTraceIsACarrier(t *testing.T) {
	var tr Trace
	tr.Set("Traceparent", "ignored: the keys are lower-case")
	tr.Set("traceparent", "p")
	tr.Set("tracestate", "s")
	if tr.Get("traceparent") != "p" || tr.Get("tracestate") != "s" || tr.Get("baggage") != "" || len(tr.Keys()) != 2 {
		t.Errorf("%+v with keys %v", tr, tr.Keys())
	}
}

func TestSubjects(t *testing.T) {
	for subject, want := range map[string]string{
		"homing.ev.3.acme": "acme", "homing.rt.0.a-b_c": "a-b_c", "homing.dead.acme": "acme",
		"homing.ev.3": strayTenant, "homing.ev.3.a.b": strayTenant, "homing": strayTenant, "": strayTenant,
	} {
		if got, _ := tenantOf(subject); got != want {
			t.Errorf("tenantOf(%q) = %q, want %q", subject, got, want)
		}
	}
	// Stable for ever: a tenant that changed lanes would overtake itself.
	for tenant, want := range map[string]int{"acme": 7, "umbrella": 5, "t-1": 1} {
		if got := shardOf(tenant, 8); got != want {
			t.Errorf("shardOf(%q, 8) = %d, want %d", tenant, got, want)
		}
	}
	for _, tc := range []struct {
		pattern, subject string
		want             bool
	}{
		{"homing.ev.>", "homing.ev.*.*", true},
		{"homing.ev.*.*", "homing.ev.*.*", true},
		{">", "a", true},
		{"homing.ev.*", "homing.ev.*.*", false},
		{"homing.ev.1.*", "homing.ev.*.*", false},
		{"homing.ev.*.*", "homing.ev.>", false},
		{"a.>", "a", false},
	} {
		if got := covers(tc.pattern, tc.subject); got != tc.want {
			t.Errorf("covers(%q, %q) = %v", tc.pattern, tc.subject, got)
		}
	}
}

func TestCeilSecond(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for in, want := range map[time.Time]time.Time{
		at: at, at.Add(1): at.Add(time.Second), at.Add(999 * time.Millisecond): at.Add(time.Second),
	} {
		if got := ceilSecond(in); !got.Equal(want) {
			t.Errorf("ceilSecond(%v) = %v, want %v", in, got, want)
		}
	}
}

func TestBudgetServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10, 1000)
		ctx := t.Context()
		first, err := b.take(ctx, request{minMsgs: 1, maxMsgs: 8, minBytes: 1, maxBytes: 1000})
		if err != nil || first != (grant{8, 1000}) {
			t.Fatalf("took %v, %v", first, err)
		}
		order := make(chan grant, 2)
		for _, want := range []int{5, 1} { // the second would fit now, but must not overtake
			go func() {
				g, err := b.take(ctx, request{minMsgs: want, maxMsgs: want, minBytes: 1, maxBytes: 10})
				if err != nil {
					t.Error(err)
				}
				order <- g
			}()
			synctest.Wait()
		}
		b.give(grant{0, 500})
		synctest.Wait()
		if len(order) > 0 {
			t.Error("served before there were slots for the first in line")
		}
		b.give(grant{4, 500})
		synctest.Wait()
		if a, c := <-order, <-order; a.msgs+c.msgs != 6 {
			t.Errorf("got %v and %v", a, c)
		}

		ended, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := b.take(ended, request{minMsgs: 100, maxMsgs: 100}); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that left: %v", err)
		}
		if b.waiting.Len() != 0 || b.msgs != 0 || b.bytes != 980 {
			t.Errorf("left: %d messages, %d bytes, %d waiting", b.msgs, b.bytes, b.waiting.Len())
		}
	})
}

// TestSurplusIsPaidFromTheBudget: what a request brings beyond its slots takes what
// is free, and no more.
func TestSurplusIsPaidFromTheBudget(t *testing.T) {
	q := &Queue{budget: newBudget(2, 100)}
	m := &nats.Msg{Subject: "homing.ev.0.acme", Data: make([]byte, 44)} // 60 bytes
	slots := grant{1, 70}
	for n, want := range []grant{{1, 60}, {1, 60}, {1, 40}} {
		if got, ok := q.pay(m, &slots); !ok || got != want {
			t.Errorf("message %d: %v, %v; want %v", n+1, got, ok, want)
		}
	}
	if got, ok := q.pay(m, &slots); ok {
		t.Errorf("beyond the budget: %v", got)
	}
	if want := (grant{0, 10}); slots != want {
		t.Errorf("slots %v, want %v", slots, want)
	}
}

func TestConnectNeverTellsAPassword(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for _, servers := range []string{
		"nats://bob:hunter2@bad host:4222", "nats://bob:hunter2@host:port", "http://bob:hunter2@host", "nats://bob:hunter2@",
	} {
		_, err := Connect(servers, "", "", log)
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "HOMING_NATS_URL") {
			t.Errorf("Connect(%q) = %v", servers, err)
		}
	}
	if _, err := Connect("", "/does/not/exist", "", log); err == nil || !strings.Contains(err.Error(), "HOMING_NATS_CREDS") {
		t.Errorf("missing credentials: %v", err)
	}
	if _, err := Connect("", "", "/does/not/exist", log); err == nil || !strings.Contains(err.Error(), "HOMING_NATS_CA") {
		t.Errorf("missing CA: %v", err)
	}
}
