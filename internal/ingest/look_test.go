package ingest

import (
	"cmp"
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/pkg/events"
)

const queuedBody = `{"success":true,"status":"queued","event_name":"Lead","event_id":"e1"}`

// leadOne is an event whose click has to be looked for.
const leadOne = `{"event_name":"Lead","phone_number":"+919876543210","event_id":"e1"}`

// TestRedisSlow measures, by a clock of its own, how long an answer waits for
// stores that don't answer.
func TestRedisSlow(t *testing.T) {
	const given = `{"event_name":"Lead","ctwa_clid":"GIVEN","event_id":"e1"}`
	tests := map[string]struct {
		path, body               string
		prefer                   string
		hangMemory, hangClicks   bool
		code                     int
		wait                     time.Duration
		memoryTrips, clicksTrips bool
		events                   int // 0: one
	}{
		"clicks":             {body: leadOne, hangClicks: true, code: 202, wait: 50 * time.Millisecond, clicksTrips: true},
		"memory":             {body: leadOne, hangMemory: true, code: 200, wait: 50 * time.Millisecond, memoryTrips: true},
		"both":               {body: leadOne, hangMemory: true, hangClicks: true, code: 202, wait: 50 * time.Millisecond, memoryTrips: true, clicksTrips: true},
		"both, click given":  {body: given, hangMemory: true, hangClicks: true, code: 200, wait: 5 * time.Millisecond},
		"a batch of three":   {path: sendEventsPath, body: "[" + leadOne + "," + originalLead + "," + originalLead + "]", hangMemory: true, hangClicks: true, code: 200, wait: 50300 * time.Microsecond, memoryTrips: true, clicksTrips: true, events: 3},
		"both, asynchronous": {body: leadOne, prefer: "respond-async", hangMemory: true, hangClicks: true, code: 202, wait: 5 * time.Millisecond},
	}
	for name, tc := range tests {
		for _, deaf := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newHarness(t)
					h.inRealTime()
					h.clicks.add("acme", person(t, "919876543210"), clicks.Found{Clid: someClid, At: 1})
					hang := make(chan struct{})
					if tc.hangMemory {
						h.memory.hang, h.memory.deaf = hang, deaf
					}
					if tc.hangClicks {
						h.clicks.hang, h.clicks.deaf = hang, deaf
					}
					start := time.Now()
					h.post(cmp.Or(tc.path, sendEventPath), tc.body, header("Prefer", tc.prefer)).wants(t, tc.code, "")
					if took := time.Since(start); took != tc.wait {
						t.Errorf("took %v, want %v", took, tc.wait)
					}
					if len(h.queue.all()) != cmp.Or(tc.events, 1) {
						t.Error("not published")
					}
					if got := h.server.memoryAway.until.Load() != 0; got != tc.memoryTrips {
						t.Errorf("memory breaker tripped: %v", got)
					}
					if got := h.server.clicksAway.until.Load() != 0; got != tc.clicksTrips {
						t.Errorf("clicks breaker tripped: %v", got)
					}
					close(hang)
				})
			})
		}
	}
}

func TestRedisAway(t *testing.T) {
	h := newHarness(t)
	h.memory.err, h.clicks.err = errDown, errDown
	h.post(sendEventPath, leadOne).wants(t, http.StatusAccepted, "").is(t, queuedBody)
	if _, e := h.published(); e.Clid != "" {
		t.Errorf("pinned %q", e.Clid)
	}
	// For a second nobody asks again ...
	for range 5 {
		h.post(sendEventPath, originalLead).wants(t, http.StatusAccepted, "")
	}
	if h.memory.looks != 1 || h.clicks.lookups != 1 {
		t.Errorf("asked %d and %d times", h.memory.looks, h.clicks.lookups)
	}
	if h.metrics.of("lookup unavailable") != 1 || h.metrics.of("lookup skipped") != 5 {
		t.Errorf("metrics %v", h.metrics.told)
	}
	// ... then one does, in vain, then one finds it back.
	h.advance(awayFor)
	h.post(sendEventPath, originalLead).wants(t, http.StatusAccepted, "")
	h.memory.err, h.clicks.err = nil, nil
	h.post(sendEventPath, originalLead).wants(t, http.StatusAccepted, "")
	h.advance(awayFor)
	h.post(sendEventPath, originalLead).wants(t, http.StatusOK, events.ReasonNoClick)
	h.post(sendEventPath, originalLead).wants(t, http.StatusOK, events.ReasonNoClick)
	if h.memory.looks != 4 || h.clicks.lookups != 4 {
		t.Errorf("asked %d and %d times", h.memory.looks, h.clicks.lookups)
	}
}

func TestRedisForgot(t *testing.T) {
	h := newHarness(t)
	h.clicks.add("acme", person(t, "919876543210"), clicks.Found{Clid: someClid, At: h.now().Unix()})
	h.clicks.err = clicks.ErrIncomplete
	// Not even a click that is known is pinned: it may be older than a lost one.
	h.post(sendEventPath, originalLead).wants(t, http.StatusAccepted, "")
	if h.server.clicksAway.until.Load() != 0 {
		t.Error("a store that forgot is treated as one that is away")
	}
	h.clicks.err = nil
	h.post(sendEventPath, leadOne).wants(t, http.StatusOK, "")
}

func TestBreakerLetsOneThrough(t *testing.T) {
	now := time.Unix(1000, 0)
	b := &breaker{now: func() time.Time { return now }}
	b.report(errDown)
	if b.try() {
		t.Fatal("let through at once")
	}
	now = now.Add(awayFor)
	if !b.try() || b.try() {
		t.Fatal("not exactly one is let through")
	}
	b.report(nil)
	for range 2 {
		if !b.try() {
			t.Fatal("still away after a success")
		}
	}
}

// TestClientGone sends an event whose client hangs up right after it.
func TestClientGone(t *testing.T) {
	h := newHarness(t)
	h.clicks.add("acme", person(t, "919876543210"), clicks.Found{Clid: someClid, At: h.now().Unix()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.post(sendEventPath, leadOne, func(r *http.Request) { *r = *r.WithContext(ctx) }).wants(t, http.StatusOK, "")
	if _, e := h.published(); e.Clid != someClid {
		t.Errorf("pinned %q", e.Clid)
	}
	if h.server.clicksAway.until.Load() != 0 || h.server.memoryAway.until.Load() != 0 {
		t.Error("a client that hangs up makes a store look away")
	}
}
