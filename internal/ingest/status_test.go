package ingest

import (
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

func TestStatus(t *testing.T) {
	accepted := time.Date(2026, 11, 22, 11, 0, 0, 0, time.FixedZone("IST", 5*3600+1800))
	note := dedup.Note{Name: "Lead", Attempts: 2, Clid: "ARA1", FbtraceID: "Ab", TraceID: "4bf9", AcceptedAt: accepted}
	at := accepted.Add(time.Second)
	const noted = `"attempts":2,"ctwa_clid":"ARA1","fbtrace_id":"Ab","trace_id":"4bf9","accepted_at":"2026-11-22T05:30:00Z",`
	tests := map[string]struct {
		record dedup.Record
		want   string
	}{
		"queued": {
			dedup.Record{State: dedup.Queued, At: at},
			`"event_name":"Lead","status":"queued","reason":null,"attempts":0,"ctwa_clid":null,"fbtrace_id":null,"trace_id":null,"accepted_at":null,"settled_at":null,"next_attempt_at":null}`,
		},
		"sending": {
			dedup.Record{State: dedup.Claimed, At: at, Note: note},
			`"event_name":"Lead","status":"sending","reason":null,` + noted + `"settled_at":null,"next_attempt_at":null}`,
		},
		"retrying": {
			dedup.Record{State: dedup.Waiting, At: at, Note: note, Outcome: "retrying", Reason: "transient", NextAt: at},
			`"event_name":"Lead","status":"retrying","reason":"transient",` + noted + `"settled_at":null,"next_attempt_at":"2026-11-22T05:30:01Z"}`,
		},
		"parked": {
			dedup.Record{State: dedup.Waiting, At: at, Note: note, Outcome: "parked", Reason: "auth"},
			`"event_name":"Lead","status":"parked","reason":"auth",` + noted + `"settled_at":null,"next_attempt_at":null}`,
		},
		"waiting for no said reason": {
			dedup.Record{State: dedup.Waiting, Note: note},
			`"event_name":"Lead","status":"retrying","reason":null,` + noted + `"settled_at":null,"next_attempt_at":null}`,
		},
		"delivered": {
			dedup.Record{State: dedup.Decided, At: at, Note: note, Outcome: "delivered"},
			`"event_name":"Lead","status":"delivered","reason":null,` + noted + `"settled_at":"2026-11-22T05:30:01Z","next_attempt_at":null}`,
		},
		"held": {
			dedup.Record{State: dedup.Decided, At: at, Note: note, Outcome: "held", Reason: "delivery_unknown"},
			`"event_name":"Lead","status":"held","reason":"delivery_unknown",` + noted + `"settled_at":"2026-11-22T05:30:01Z","next_attempt_at":null}`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.memory.settle("acme", events.Lead, "e1", tc.record)
			want := `{"event_id":"e1",` + tc.want
			for _, query := range []string{"", "?event_name=Lead", "?event_name=LeadSubmitted", "?event_name="} {
				h.get(statusPath+"e1"+query).wants(t, 200, "").is(t, want)
			}
			h.get(statusPath+"e1?event_name=Purchase").wants(t, 404, reasonUnknownEvent)
			h.get(statusPath+"e1", key(globexKey)).wants(t, 404, reasonUnknownEvent)
		})
	}
}

func TestStatusRefusals(t *testing.T) {
	h := newHarness(t)
	h.memory.settle("acme", events.Lead, "e1", dedup.Record{State: dedup.Claimed})
	h.memory.settle("acme", events.Purchase, "e1", dedup.Record{State: dedup.Claimed})
	got := h.get(statusPath+"e1").wants(t, 409, reasonAmbiguousEvent)
	if got.body["message"] != "several events have this event_id: ask again with event_name, one of Lead, Purchase" &&
		got.body["message"] != "several events have this event_id: ask again with event_name, one of Purchase, Lead" {
		t.Errorf("message %q", got.body["message"])
	}
	h.get(statusPath+"e1?event_name=lead").wants(t, 400, events.ReasonInvalidEventName)
	h.get(statusPath+"e1", key("Basic no")).wants(t, 401, reasonUnauthorized)
	h.memory.err = errDown
	h.get(statusPath+"e1").wants(t, 503, reasonStatusUnavailable)
}

func TestStatusOfOddIDs(t *testing.T) {
	h := newHarness(t)
	for _, id := range []string{"a/b", "a?b#c", "100%", "..", "a//", "{event_id}", "~!$&'()*+,;=:@"} {
		h.memory.settle("acme", events.Lead, id, dedup.Record{State: dedup.Claimed})
		got := h.get(statusPath+url.PathEscape(id)).wants(t, 200, "")
		if got.body["event_id"] != id {
			t.Errorf("%q became %v", id, got.body["event_id"])
		}
	}
	h.get(statusPath+"%00%0a").wants(t, 404, reasonUnknownEvent)
}

func TestStatusRedisHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.inRealTime()
		h.memory.hang, h.memory.deaf = make(chan struct{}), true
		start := time.Now()
		h.get(statusPath+"e1").wants(t, 503, reasonStatusUnavailable)
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
		close(h.memory.hang)
	})
}

func TestClicks(t *testing.T) {
	h := newHarness(t)
	h.post(clicksPath, `{"phone_number":"+919876543210","ctwa_clid":"ARA1","clicked_at":"2026-11-22T11:00:00Z","waba_id":"5550002"}`).
		wants(t, http.StatusAccepted, "").is(t, `{"success":true,"status":"queued"}`)
	got := h.post(sendEventPath, originalLead).wants(t, 200, "")
	if got.body["ctwa_clid"] != "ARA1" {
		t.Errorf("the click is not found: %s", got.text)
	}
	if c := h.queue.clicks; len(c) != 1 || c[0].Tenant != "acme" || c[0].WABA != "5550002" || c[0].At != h.now().Add(-time.Hour).Unix() {
		t.Errorf("clicks %+v", c)
	}
	h.post(sendEventPath, originalLead, key(globexKey)).wants(t, 200, events.ReasonNoClick)

	for body, reason := range map[string]events.Reason{
		`{`:                  events.ReasonInvalidJSON,
		`{"ctwa_clid":"A"}`:  events.ReasonMissingField,
		`{"phone_number":1}`: events.ReasonInvalidPhone,
		`{"phone_number":"+919876543210","ctwa_clid":"A","clicked_at":"2026-11-22T12:01:01Z"}`: "",
	} {
		h.post(clicksPath, body).wants(t, 400, reason)
	}
	h.post(clicksPath, `{}`, key("no")).wants(t, 401, reasonUnauthorized)
	if len(h.queue.clicks) != 1 {
		t.Errorf("%d clicks", len(h.queue.clicks))
	}
	h.queue.err = queue.ErrUnavailable
	h.post(clicksPath, `{"wa_user_id":"US.13491208655302741918","ctwa_clid":"ARA1"}`).wants(t, 503, reasonQueueUnavailable)
}

func TestClickStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.inRealTime()
		h.clicks.hang, h.clicks.deaf = make(chan struct{}), true
		start := time.Now()
		h.post(clicksPath, `{"phone_number":"+919876543210","ctwa_clid":"ARA1"}`).wants(t, 202, "")
		if took := time.Since(start); took != 250*time.Millisecond || len(h.queue.clicks) != 1 {
			t.Errorf("took %v, %d clicks", took, len(h.queue.clicks))
		}
		close(h.clicks.hang)
	})
}
