package ingest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

var ndjson = func(r *http.Request) { r.Header.Set("Content-Type", mediaNDJSON) }

// lead is an event as a client writes it.
func lead(id string) string {
	return fmt.Sprintf(`{"event_name":"Lead","phone_number":"+919876543210","event_id":%q}`, id)
}

// leads are n of them.
func leads(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = lead(fmt.Sprint("e", i))
	}
	return all
}

// outcomes are the results of a batch in a word each.
func outcomes(r reply) []string {
	var out []string
	results, _ := r.body["results"].([]any)
	for i, v := range results {
		result := v.(map[string]any)
		word := fmt.Sprint(result["success"])
		for _, name := range []string{"status", "reason", "duplicate"} {
			if v, ok := result[name]; ok {
				word += fmt.Sprintf(" %s=%v", name, v)
			}
		}
		if result["index"] != float64(i) {
			word += " out of place"
		}
		out = append(out, word)
	}
	return out
}

func TestBatch(t *testing.T) {
	const (
		known     = `{"event_name":"Lead","phone_number":"+5511987654321","event_id":"known"}`
		attr      = "true"
		none      = "false reason=no_ctwa_click_id_for_phone"
		noneTwice = none + " duplicate=true"
		badJSON   = "false reason=invalid_json"
	)
	array := func(items ...string) string { return "[" + strings.Join(items, ",") + "]" }
	lines := func(items ...string) string { return strings.Join(items, "\n") }
	tests := map[string]struct {
		body      string
		lines     bool
		want      []string
		published int
	}{
		"array":                  {array(known, lead("e1")), false, []string{attr, none}, 2},
		"lines":                  {lines(known, lead("e1")), true, []string{attr, none}, 2},
		"blank lines, CRLF":      {"\r\n" + known + "\r\n \t\r\n" + lead("e1") + "\n\n", true, []string{attr, none}, 2},
		"a bad neighbour":        {array(known, `{"event_name":"Lead"}`, `7`, `null`, lead("e1")), false, []string{attr, "false reason=missing_field", badJSON, badJSON, none}, 2},
		"a name twice":           {array(`{"event_name":"Lead","event_name":"Lead"}`, known), false, []string{badJSON, attr}, 1},
		"not UTF-8":              {array("{\"event_name\":\"\xff\"}", known), false, []string{badJSON, attr}, 1},
		"a bad line":             {lines(known, `{"event_name":`, `]`, lead("e1")), true, []string{attr, badJSON, badJSON, none}, 2},
		"two on a line":          {lines(lead("e1")+lead("e2"), known), true, []string{badJSON, attr}, 1},
		"one too large":          {array(known, strings.Replace(lead("e1"), "{", "{"+strings.Repeat(" ", maxEvent), 1)), false, []string{attr, "false reason=body_too_large"}, 1},
		"refused by the tenant":  {array(strings.Replace(known, "Lead", "ViewContent", 1), known), false, []string{"false reason=event_not_supported", attr}, 1},
		"twice":                  {array(lead("e1"), lead("e1"), strings.Replace(lead("e1"), "Lead", "LeadSubmitted", 1)), false, []string{none, noneTwice, noneTwice}, 1},
		"twice, the first bad":   {array(strings.Replace(lead("e1"), "+91", "", 1), lead("e1")), false, []string{"false reason=invalid_phone_number", none}, 1},
		"delivered long ago":     {array(lead("old"), lead("e1")), false, []string{"true duplicate=true", none}, 1},
		"reopened, twice":        {array(lead("dead"), lead("dead")), false, []string{none, noneTwice}, 1},
		"all bad":                {array(`{}`, `[]`), false, []string{"false reason=missing_field", badJSON}, 0},
		"deep":                   {array(strings.Repeat("[", 100)+strings.Repeat("]", 100), known), false, []string{badJSON, attr}, 1},
		"other event, same line": {lines(lead("e1"), strings.Replace(lead("e1"), "Lead", "AddToCart", 1)), true, []string{none, none}, 2},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.clicks.add("acme", person(t, "5511987654321"), clicks.Found{Clid: someClid, At: h.now().Unix()})
			h.memory.settle("acme", events.Lead, "old", dedup.Record{State: dedup.Decided, Outcome: "delivered", Note: dedup.Note{Clid: "OLD"}})
			h.memory.settle("acme", events.Lead, "dead", dedup.Record{State: dedup.Decided, Outcome: "dead"})
			var opts []opt
			if tc.lines {
				opts = append(opts, ndjson)
			}
			got := h.post(sendEventsPath, tc.body, opts...).wants(t, http.StatusOK, "")
			if diff := cmp.Diff(tc.want, outcomes(got)); diff != "" {
				t.Errorf("results (-want +got):\n%s\n%s", diff, got.text)
			}
			if n := len(h.queue.all()); n != tc.published {
				t.Errorf("%d published, want %d", n, tc.published)
			}
			accepted := 0
			for _, w := range tc.want {
				if strings.HasPrefix(w, "true") || strings.HasPrefix(w, none) {
					accepted++
				}
			}
			if got.body["accepted"] != float64(accepted) || got.body["rejected"] != float64(len(tc.want)-accepted) {
				t.Errorf("accepted %v, rejected %v", got.body["accepted"], got.body["rejected"])
			}
			if h.memory.looks > 1 || h.clicks.lookups > 1 {
				t.Errorf("%d looks and %d look-ups for one batch", h.memory.looks, h.clicks.lookups)
			}
		})
	}
}

func TestBatchAnswerToTheLetter(t *testing.T) {
	h := newHarness(t)
	h.clicks.add("acme", person(t, "5511987654321"), clicks.Found{Clid: someClid, At: h.now().Unix()})
	h.post(sendEventsPath, `[{"event_name":"Lead","phone_number":"+5511987654321","event_id":"e1"},`+lead("e2")+`]`).is(t,
		`{"success":true,"accepted":2,"rejected":0,"results":[`+
			`{"success":true,"event_name":"Lead","ctwa_clid":"ARAkLkA8rmlFei","event_id":"e1","index":0},`+
			`{"success":false,"reason":"no_ctwa_click_id_for_phone","event_name":"Lead","event_id":"e2","index":1}]}`)
}

func TestBatchRefusedWhole(t *testing.T) {
	tests := map[string]struct {
		body   string
		lines  bool
		reason events.Reason
	}{
		"empty array":      {`[]`, false, events.ReasonInvalidField},
		"no lines":         {"\n\r\n", true, events.ReasonInvalidField},
		"1001":             {"[" + strings.Join(leads(1001), ",") + "]", false, events.ReasonInvalidField},
		"1001 lines":       {strings.Join(leads(1001), "\n"), true, events.ReasonInvalidField},
		"an object":        {lead("e1"), false, events.ReasonInvalidJSON},
		"nothing":          {"", false, events.ReasonInvalidJSON},
		"a syntax error":   {"[" + lead("e1") + `,{"event_name":tru}]`, false, events.ReasonInvalidJSON},
		"no end":           {"[" + lead("e1"), false, events.ReasonInvalidJSON},
		"no comma":         {"[" + lead("e1") + lead("e2") + "]", false, events.ReasonInvalidJSON},
		"more than one":    {"[" + lead("e1") + "][]", false, events.ReasonInvalidJSON},
		"something behind": {"[" + lead("e1") + "]x", false, events.ReasonInvalidJSON},
		"a trailing comma": {"[" + lead("e1") + ",]", false, events.ReasonInvalidJSON},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			opts := []opt{header("Content-Type", mediaJSON)}
			if tc.lines {
				opts = []opt{ndjson}
			}
			h.post(sendEventsPath, tc.body, opts...).wants(t, 400, tc.reason)
			if len(h.queue.all()) != 0 {
				t.Error("part of it was published")
			}
		})
	}
	h := newHarness(t)
	got := h.post(sendEventsPath, "["+strings.Join(leads(1000), ",")+"]").wants(t, 200, "")
	if got.body["accepted"] != 1000.0 || len(h.queue.all()) != 1000 {
		t.Errorf("accepted %v of 1000", got.body["accepted"])
	}
}

func TestBatchQueueRefuses(t *testing.T) {
	body := "[" + strings.Join([]string{lead("e1"), `{}`, lead("e2"), lead("e1")}, ",") + "]"
	h := newHarness(t)
	h.queue.refuse = func(a queue.Acceptance) error {
		if a.EventID == "e1" {
			return queue.ErrFull
		}
		return nil
	}
	want := []string{"false reason=queue_full", "false reason=missing_field", "false reason=no_ctwa_click_id_for_phone", "false reason=queue_full"}
	got := h.post(sendEventsPath, body).wants(t, 200, "")
	if diff := cmp.Diff(want, outcomes(got)); diff != "" || got.body["accepted"] != 1.0 {
		t.Errorf("results (-want +got):\n%s\n%s", diff, got.text)
	}
	if h.metrics.of("rejected queue_full") != 2 || h.metrics.of("rejected missing_field") != 1 || h.metrics.of("accepted acme") != 1 {
		t.Errorf("metrics %v", h.metrics.told)
	}

	for _, err := range []error{queue.ErrFull, queue.ErrUnavailable} {
		h = newHarness(t)
		h.queue.refuseAll(err)
		got = h.post(sendEventsPath, body)
		reason := reasonQueueFull
		if err == queue.ErrUnavailable {
			reason = reasonQueueUnavailable
		}
		got.wants(t, 503, reason)
		if got.header.Get("Retry-After") == "" || len(outcomes(got)) != 4 {
			t.Errorf("%v %s", got.header, got.text)
		}
		h.queue.refuse = nil
		want := []string{
			"false reason=no_ctwa_click_id_for_phone", "false reason=missing_field",
			"false reason=no_ctwa_click_id_for_phone", "false reason=no_ctwa_click_id_for_phone duplicate=true",
		}
		if diff := cmp.Diff(want, outcomes(h.post(sendEventsPath, body))); diff != "" {
			t.Errorf("sent again (-want +got):\n%s", diff)
		}
	}
}

func TestBatchAsyncAndRedisAway(t *testing.T) {
	body := "[" + lead("e1") + "," + `{}` + "]"
	h := newHarness(t)
	got := h.post(sendEventsPath, body, header("Prefer", "respond-async"), header("Idempotency-Key", "k")).wants(t, 202, "")
	if diff := cmp.Diff([]string{"true status=queued", "false reason=missing_field"}, outcomes(got)); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if got.header.Get("Preference-Applied") == "" || h.clicks.lookups != 0 || len(got.body["warnings"].([]any)) != 1 {
		t.Errorf("%v %s", got.header, got.text)
	}
	if strings.Contains(got.text, `"event_id":"k"`) {
		t.Error("Idempotency-Key is used for a batch")
	}

	h = newHarness(t)
	h.memory.err, h.clicks.err = errDown, errDown
	got = h.post(sendEventsPath, body).wants(t, 200, "")
	if diff := cmp.Diff([]string{"true status=queued", "false reason=missing_field"}, outcomes(got)); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

func TestBatchCountsForTheRate(t *testing.T) {
	h := newHarness(t)
	h.post(sendEventsPath, "["+strings.Join(leads(8), ",")+"]", key(globexKey)).wants(t, 200, "")
	h.post(sendEventsPath, "["+strings.Join(leads(3), ",")+"]", key(globexKey)).wants(t, 429, reasonRateLimited)
	h.post(sendEventsPath, "["+strings.Join(leads(2), ",")+"]", key(globexKey)).wants(t, 200, "")
	h.post(sendEventPath, originalLead, key(globexKey)).wants(t, 429, reasonRateLimited)
}
