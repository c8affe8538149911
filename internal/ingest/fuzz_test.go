package ingest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/pkg/events"
)

// fuzzHarness is a harness over healthy fakes. What is fuzzed may well name a
// person in an event_id, so nothing is said of secrets.
func fuzzHarness(t *testing.T) *harness {
	h := newHarness(t)
	h.mayLeak = true
	h.clicks.add("acme", person(t, "919876543210"), clicks.Found{Clid: someClid, At: h.now().Unix()})
	return h
}

// sound checks what holds for every answer of a healthy server, beside its
// being as openapi.yaml says: it is no 5xx, and a 4xx leaves nothing behind.
func (h *harness) sound(r reply) {
	h.t.Helper()
	switch {
	case r.code >= 200 && r.code < 300:
	case r.code >= 400 && r.code < 500:
		if reason, _ := r.body["reason"].(string); reason == "" {
			h.t.Errorf("%d without a reason: %s", r.code, r.text)
		}
		if n := len(h.queue.all()) + len(h.queue.clicks); n != 0 {
			h.t.Errorf("%d, but %d messages were published", r.code, n)
		}
	default:
		h.t.Errorf("%d %s", r.code, r.text)
	}
}

func FuzzSendEvent(f *testing.F) {
	for _, seed := range []string{
		originalLead, originalPurchase, leadOne, ``, `{}`, `[]`, `null`, `{"event_name":"Lead"}`, "{\"event_name\":\"\xff\"}",
		`{"event_type":"purchase","phone":"+5511987654321","value":1e400,"currency":"BRL"}`,
		`{"event_name":"Lead","ctwa_clid":"A","event_time":"2026-11-22T11:00:00Z","email":"buyer@example.com","external_id":"x","custom_data":{"contents":[{"id":"1"}]}}`,
		`{"event_name":"CompleteRegistration","wa_user_id":"US.1","event_id":"x"}`, strings.Repeat(`{"a":`, 100),
	} {
		f.Add(seed, "", "")
	}
	f.Add(originalLead, "key-1", "respond-async")
	f.Fuzz(func(t *testing.T, body, idempotencyKey, prefer string) {
		h := fuzzHarness(t)
		r := h.post(sendEventPath, body, header("Content-Type", mediaJSON),
			header("Idempotency-Key", idempotencyKey), header("Prefer", prefer))
		h.sound(r)
		if stored := len(h.queue.all()); r.code < 300 && stored != 1 {
			t.Errorf("%d events published for %d %s", stored, r.code, r.text)
		}
	})
}

func FuzzBatch(f *testing.F) {
	for _, seed := range []string{
		`[` + originalLead + `,` + originalPurchase + `]`, originalLead + "\n\n" + originalPurchase, `[]`, ``, `[{}]`, `[1,null,"x",[]]`,
		`[{"event_name":"Lead","event_name":"Lead"},` + leadOne + `,` + leadOne + `]`, `[` + leadOne + `,`, "[\"\xff\"]", leadOne + "\r\n}{\n",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, body string, lines bool) {
		h := fuzzHarness(t)
		media := mediaJSON
		if lines {
			media = mediaNDJSON
		}
		r := h.post(sendEventsPath, body, func(r *http.Request) { r.Header.Set("Content-Type", media) })
		h.sound(r)
		if r.code >= 300 {
			return
		}
		stored, taken := len(h.queue.all()), 0
		for _, outcome := range outcomes(r) {
			if strings.HasPrefix(outcome, "true") || strings.Contains(outcome, string(events.ReasonNoClick)) {
				taken++
				if strings.Contains(outcome, "duplicate") {
					stored++
				}
			}
		}
		if stored != taken || r.body["accepted"] != float64(taken) {
			t.Errorf("%d stored or folded, %d taken: %s", stored, taken, r.text)
		}
	})
}

func FuzzWebhook(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `[]`, `null`, `1e999`, `{"entry":[{"id":5550001,"changes":[{"value":{"messages":[{"from":1,"referral":{"ctwa_clid":2}}]}}]}]}`,
		webhookOf("5550001", `{"from":"919876543210","timestamp":"1795348000","referral":{"ctwa_clid":"ARA1"}}`),
		webhookOf("5550009", `{"from_user_id":"US.1","referral":{"ctwa_clid":"\ud800"}}`, `"contacts":[{"user_id":"US.1","wa_id":"1"}]`),
		webhookOf("1", `{"referral":[]},{"referral":{"ctwa_clid":"A"}}`), strings.Repeat(`{"entry":[`, 50),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		h := fuzzHarness(t)
		r := h.hook(body)
		h.sound(r)
		for _, c := range h.queue.clicks {
			if c.Clid == "" || len(c.Persons) == 0 || c.Tenant == "" || c.At <= 0 || c.At > h.now().Unix()+clickSlack {
				t.Errorf("click %+v", c)
			}
		}
	})
}

func FuzzHeaders(f *testing.F) {
	f.Add("Basic "+acmeKey, "application/json", "identity", "r-1", "/")
	f.Add("Basic c2tfbGl2ZV9hY21lOg==", "application/json; charset=\"utf-8\"", "", "", "e1?event_name=Lead")
	f.Add("Bearer  ", ";;", "gzip, br", "\x00", "%2F%zz")
	f.Fuzz(func(t *testing.T, auth, media, coding, id, tail string) {
		h := fuzzHarness(t)
		h.sound(h.post(sendEventPath, leadOne, func(r *http.Request) {
			r.Header.Set("Authorization", auth)
			r.Header.Set("Content-Type", media)
			r.Header.Set("Content-Encoding", coding)
			r.Header.Set("X-Request-Id", id)
		}))
		h = fuzzHarness(t)
		h.sound(h.get(statusPath, func(r *http.Request) { r.URL.Path, r.URL.RawQuery = statusPath+tail, tail }))
		h.sound(h.get(webhookPath, func(r *http.Request) { r.URL.RawQuery = tail }))
	})
}
