package ingest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

const (
	// The bodies of the original API's documentation, to the letter.
	originalLead     = `{ "event_name": "Lead", "phone_number": "+919876543210" }`
	originalPurchase = `{ "event_name": "Purchase", "phone_number": "+919876543210", "currency": "INR", "value": 1499.00 }`
)

func TestOriginalRequests(t *testing.T) {
	for _, path := range []string{sendEventPath, publicPath} {
		t.Run(path, func(t *testing.T) {
			h := newHarness(t)
			h.post(path, originalLead).wants(t, http.StatusOK, "").is(t,
				`{"success":false,"reason":"no_ctwa_click_id_for_phone","event_name":"Lead","event_id":"01980f5e-0000-7000-8000-000000000003"}`)

			h = newHarness(t)
			h.clicks.add("acme", person(t, "919876543210"), clicks.Found{Clid: someClid, WABA: "5550002", At: h.now().Unix() - 60})
			h.post(path, originalPurchase).wants(t, http.StatusOK, "").is(t,
				`{"success":true,"event_name":"Purchase","ctwa_clid":"ARAkLkA8rmlFei","event_id":"01980f5e-0000-7000-8000-000000000003"}`)

			a, e := h.published()
			if e.Clid != someClid || e.WABA != "5550002" || e.Tenant != "acme" || string(e.CustomData) != `{"currency":"INR","value":1499.00}` {
				t.Errorf("event %+v", e)
			}
			want := queue.Envelope{
				Tenant: "acme", Accept: "01980f5e-0000-7000-8000-000000000002",
				EventName: events.Purchase, EventID: e.ID, AcceptedAt: h.now(),
			}
			if diff := cmp.Diff(want, a.Envelope); diff != "" {
				t.Errorf("envelope (-want +got):\n%s", diff)
			}
			if a.MsgID != string(e.Key()) {
				t.Errorf("Msg-Id %q is not the key", a.MsgID)
			}
			if h.metrics.of("accepted acme") != 1 || h.metrics.of("lookup found") != 1 || h.metrics.of("request "+path+" 200") != 1 {
				t.Errorf("metrics %v", h.metrics.told)
			}
		})
	}
}

func TestBadRequests(t *testing.T) {
	const phone = `"phone_number":"+919876543210"`
	tests := map[string]struct {
		body   string
		reason events.Reason
		field  string
	}{
		"not JSON":           {`{"event_name":`, events.ReasonInvalidJSON, ""},
		"an array":           {`[]`, events.ReasonInvalidJSON, ""},
		"nothing":            {``, events.ReasonInvalidJSON, ""},
		"a name twice":       {`{"event_name":"Lead","event_name":"Lead",` + phone + `}`, events.ReasonInvalidJSON, ""},
		"no name":            {`{` + phone + `}`, events.ReasonMissingField, "event_name"},
		"no person":          {`{"event_name":"Lead"}`, events.ReasonMissingField, "phone_number"},
		"no value":           {`{"event_name":"Purchase","currency":"INR",` + phone + `}`, events.ReasonMissingField, "value"},
		"unknown name":       {`{"event_name":"Bought",` + phone + `}`, events.ReasonInvalidEventName, "event_name"},
		"local phone":        {`{"event_name":"Lead","phone_number":"09876543210"}`, events.ReasonInvalidPhone, "phone_number"},
		"negative value":     {`{"event_name":"Purchase","currency":"INR","value":-1,` + phone + `}`, events.ReasonInvalidValue, "value"},
		"unknown currency":   {`{"event_name":"Purchase","currency":"XYZ1","value":1,` + phone + `}`, events.ReasonInvalidCurrency, "currency"},
		"event_id of spaces": {`{"event_name":"Lead","event_id":"a b",` + phone + `}`, events.ReasonInvalidEventID, "event_id"},
		"too old":            {`{"event_name":"Lead","event_time":1,` + phone + `}`, events.ReasonInvalidEventTime, "event_time"},
		"e-mail":             {`{"event_name":"Lead","email":"buyer",` + phone + `}`, events.ReasonInvalidEmail, "email"},
		"custom_data":        {`{"event_name":"Lead","custom_data":1,` + phone + `}`, events.ReasonInvalidField, "custom_data"},
		"refused by tenant":  {`{"event_name":"ViewContent",` + phone + `}`, events.ReasonEventNotSupported, "event_name"},
		"system_generated without a customer": {
			`{"event_name":"CompleteRegistration","ctwa_clid":"ARA1"}`, events.ReasonEventNotSupported, "event_name",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			got := h.post(sendEventPath, tc.body, header("Content-Type", "application/json")).wants(t, http.StatusBadRequest, tc.reason)
			if field, _ := got.body["field"].(string); field != tc.field {
				t.Errorf("field %q, want %q: %s", field, tc.field, got.text)
			}
			if n := len(h.queue.all()); n != 0 {
				t.Errorf("%d events published", n)
			}
			if h.metrics.of("rejected "+string(tc.reason)) != 1 {
				t.Errorf("metrics %v", h.metrics.told)
			}
		})
	}
}

func TestSystemGeneratedWithCustomer(t *testing.T) {
	for _, field := range []string{`"phone_number":"+919876543210"`, `"email":"buyer@example.com"`, `"external_id":"crm-77"`} {
		h := newHarness(t)
		h.post(sendEventPath, `{"event_name":"CompleteRegistration","ctwa_clid":"ARA1",`+field+`}`).
			wants(t, http.StatusOK, "")
	}
}

func TestEventID(t *testing.T) {
	h := newHarness(t)
	const body = `{"event_name":"Lead","phone_number":"+919876543210"}`
	got := h.post(sendEventPath, body, header("Idempotency-Key", "idem-1")).wants(t, http.StatusOK, "")
	if got.body["event_id"] != "idem-1" {
		t.Errorf("Idempotency-Key is not the event_id: %s", got.text)
	}
	got = h.post(sendEventPath, `{"event_name":"Lead","phone_number":"+919876543210","event_id":"own"}`, header("Idempotency-Key", "idem-1"))
	if got.body["event_id"] != "own" {
		t.Errorf("event_id does not win over Idempotency-Key: %s", got.text)
	}
	h.post(sendEventPath, body, header("Idempotency-Key", "with space")).
		wants(t, http.StatusBadRequest, events.ReasonInvalidEventID)
}

func TestAliasesAndWarnings(t *testing.T) {
	h := newHarness(t)
	got := h.post(sendEventPath, `{"event_type":"lead","phone":"+91 98765-43210","campaign":"x"}`).wants(t, http.StatusOK, "")
	if got.body["event_name"] != "Lead" {
		t.Errorf("event_type: %s", got.text)
	}
	warnings, _ := got.body["warnings"].([]any)
	if len(warnings) != 1 || !strings.Contains(warnings[0].(string), "campaign") {
		t.Errorf("warnings %v", warnings)
	}
}

func TestWhichClick(t *testing.T) {
	at := func(h *harness, d time.Duration) int64 { return h.now().Add(d).Unix() }
	tests := map[string]struct {
		body  string
		known []time.Duration // the clicks' times; their ids are A, B, ...
		want  string
	}{
		"none":                          {body: originalLead},
		"the newest":                    {originalLead, []time.Duration{-2 * time.Hour, -time.Hour}, "B"},
		"a minute ahead":                {originalLead, []time.Duration{-time.Hour, 59 * time.Second}, "B"},
		"not the one after the event":   {`{"event_name":"Lead","phone_number":"+919876543210","event_time":"2026-11-22T10:30:00Z"}`, []time.Duration{-2 * time.Hour, -time.Hour}, "A"},
		"back-dated: the one there is":  {`{"event_name":"Lead","phone_number":"+919876543210","event_time":"2026-11-22T06:00:00Z"}`, []time.Duration{-2 * time.Hour, -time.Hour}, "B"},
		"given: no look":                {`{"event_name":"Lead","phone_number":"+919876543210","ctwa_clid":"GIVEN"}`, []time.Duration{-time.Hour}, "GIVEN"},
		"given: nothing else of person": {`{"event_name":"Lead","ctwa_clid":"GIVEN"}`, nil, "GIVEN"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			for i, d := range tc.known {
				h.clicks.add("acme", person(t, "919876543210"), clicks.Found{Clid: string(rune('A' + i)), At: at(h, d)})
			}
			got := h.post(sendEventPath, tc.body).wants(t, http.StatusOK, "")
			if clid, _ := got.body["ctwa_clid"].(string); clid != tc.want {
				t.Errorf("answer has click %q, want %q", clid, tc.want)
			}
			if _, e := h.published(); e.Clid != tc.want {
				t.Errorf("event has click %q, want %q", e.Clid, tc.want)
			}
			if tc.want == "GIVEN" && h.clicks.lookups != 0 {
				t.Error("looked for a click that was given")
			}
		})
	}
}

func TestClicksOfOthers(t *testing.T) {
	h := newHarness(t)
	h.clicks.add("globex", person(t, "919876543210"), clicks.Found{Clid: someClid, At: h.now().Unix()})
	h.post(sendEventPath, originalLead).wants(t, http.StatusOK, events.ReasonNoClick)
}

func TestRespondAsync(t *testing.T) {
	for _, prefer := range []string{"respond-async", "Respond-Async", "return=minimal, respond-async; x=1, wait=5"} {
		h := newHarness(t)
		got := h.post(sendEventPath, `{"event_name":"Lead","phone_number":"+919876543210","event_id":"e1"}`, header("Prefer", prefer)).
			wants(t, http.StatusAccepted, "")
		got.is(t, `{"success":true,"status":"queued","event_name":"Lead","event_id":"e1"}`)
		if got.header.Get("Preference-Applied") != "respond-async" || h.clicks.lookups != 0 {
			t.Errorf("%s: applied %q after %d look-ups", prefer, got.header.Get("Preference-Applied"), h.clicks.lookups)
		}
		if status := h.get(statusPath+"e1").wants(t, http.StatusOK, ""); status.body["status"] != "queued" {
			t.Errorf("status %s", status.text)
		}
		again := h.post(sendEventPath, `{"event_name":"Lead","phone_number":"+919876543210","event_id":"e1"}`, header("Prefer", prefer))
		again.wants(t, http.StatusAccepted, "").
			is(t, `{"success":true,"status":"queued","event_name":"Lead","event_id":"e1","duplicate":true}`)
	}
	h := newHarness(t)
	h.post(sendEventPath, originalLead, header("Prefer", "respond-asynchronously")).wants(t, http.StatusOK, "")
	if got := h.post(sendEventPath, `{}`, header("Prefer", "respond-async")); got.header.Get("Preference-Applied") != "" {
		t.Error("a refusal grants the preference")
	}
}

func TestQueueRefuses(t *testing.T) {
	tests := map[string]struct {
		set    func(*harness)
		reason events.Reason
	}{
		"full":        {func(h *harness) { h.queue.refuseAll(queue.ErrFull) }, reasonQueueFull},
		"unavailable": {func(h *harness) { h.queue.refuseAll(queue.ErrUnavailable) }, reasonQueueUnavailable},
		"other":       {func(h *harness) { h.queue.refuseAll(errDown) }, reasonQueueUnavailable},
		"over share":  {func(h *harness) { h.share.over = "acme" }, reasonQueueFull},
	}
	const body = `{"event_name":"Lead","phone_number":"+919876543210","event_id":"e1"}`
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			tc.set(h)
			got := h.post(sendEventPath, body).wants(t, http.StatusServiceUnavailable, tc.reason)
			if got.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			if strings.Contains(got.text, "refused") {
				t.Errorf("the cause is told: %s", got.text)
			}
			h.get(statusPath+"e1").wants(t, http.StatusNotFound, reasonUnknownEvent)
			if h.metrics.of("accepted acme") != 0 || h.metrics.of("rejected "+string(tc.reason)) != 1 {
				t.Errorf("metrics %v", h.metrics.told)
			}
			// And then it is taken as if nothing had happened.
			h.queue.refuse, h.share.over = nil, ""
			if got := h.post(sendEventPath, body).wants(t, http.StatusOK, ""); got.body["duplicate"] != nil {
				t.Errorf("a refused event is remembered: %s", got.text)
			}
		})
	}
	h := newHarness(t)
	h.share.over = "globex"
	h.post(sendEventPath, body).wants(t, http.StatusOK, "")
}

func TestDuplicates(t *testing.T) {
	const body = `{"event_name":"Lead","phone_number":"+919876543210","event_id":"e1"}`
	decided := func(o events.Outcome, clid string) dedup.Record {
		return dedup.Record{State: dedup.Decided, Accept: "other", Outcome: string(o), Note: dedup.Note{Clid: clid}}
	}
	const (
		attributed = `{"success":true,"event_name":"Lead","ctwa_clid":"FIRST","event_id":"e1","duplicate":true}`
		lookedUp   = `{"success":true,"event_name":"Lead","ctwa_clid":"NOW","event_id":"e1","duplicate":true}`
		anew       = `{"success":true,"event_name":"Lead","ctwa_clid":"NOW","event_id":"e1"}`
	)
	tests := map[string]struct {
		record    dedup.Record
		want      string
		published int
		reopens   bool
	}{
		"delivered":             {decided(events.Delivered, "FIRST"), attributed, 0, false},
		"held":                  {decided(events.Held, "FIRST"), attributed, 0, false},
		"delivered, click lost": {decided(events.Delivered, ""), lookedUp, 0, false},
		"waiting":               {dedup.Record{State: dedup.Waiting, Accept: "o", Note: dedup.Note{Clid: "FIRST"}}, attributed, 1, false},
		"claimed":               {dedup.Record{State: dedup.Claimed, Accept: "o"}, lookedUp, 1, false},
		"queued":                {dedup.Record{State: dedup.Queued, Accept: "o"}, lookedUp, 1, false},
		"ended without a click": {decided(events.NoClick, ""), anew, 1, true},
		"ended dead":            {decided(events.Dead, "FIRST"), anew, 1, true},
		"nothing":               {dedup.Record{}, anew, 1, false},
		"our own, asked twice":  {dedup.Record{State: dedup.Queued, Accept: "01980f5e-0000-7000-8000-000000000002"}, anew, 1, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.clicks.add("acme", person(t, "919876543210"), clicks.Found{Clid: "NOW", At: h.now().Unix()})
			h.memory.settle("acme", events.Lead, "e1", tc.record)
			h.post(sendEventPath, body).wants(t, http.StatusOK, "").is(t, tc.want)
			all := h.queue.all()
			if len(all) != tc.published {
				t.Fatalf("%d published, want %d", len(all), tc.published)
			}
			if tc.published == 0 {
				return
			}
			want := string(events.MakeKey("acme", events.Lead, "e1"))
			if tc.reopens {
				want += ":" + all[0].Accept
			}
			if all[0].MsgID != want {
				t.Errorf("Msg-Id %q, want %q", all[0].MsgID, want)
			}
		})
	}
}

func TestDuplicateByJetStream(t *testing.T) {
	h := newHarness(t)
	h.memory.err = errDown // only JetStream knows
	const body = `{"event_name":"%s","ctwa_clid":"ARA1","event_id":"e1"}`
	h.post(sendEventPath, strings.Replace(body, "%s", "Lead", 1)).wants(t, http.StatusOK, "")
	got := h.post(sendEventPath, strings.Replace(body, "%s", "LeadSubmitted", 1)).wants(t, http.StatusOK, "")
	got.is(t, `{"success":true,"event_name":"LeadSubmitted","ctwa_clid":"ARA1","event_id":"e1","duplicate":true}`)
	// The first may have ended without a delivery: the worker judges.
	if all := h.queue.all(); len(all) != 2 || all[0].Accept == all[1].Accept || h.metrics.of("accepted acme") != 2 {
		t.Errorf("stored %+v, metrics %v", all, h.metrics.told)
	}
	if got := h.post(sendEventPath, strings.Replace(body, "%s", "Lead", 1), key(globexKey)); got.body["duplicate"] != nil {
		t.Error("another tenant's event is a duplicate")
	}
}
