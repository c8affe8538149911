package sandbox_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/homing-dev/homing/internal/sandbox"
)

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// fetch asks the sandbox's own API.
func fetch(t *testing.T, s *sandbox.Sandbox, method, target string, into any) int {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	if into == nil {
		return w.Code
	}
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		t.Fatalf("%s: %q: %v", target, w.Body, err)
	}
	return w.Code
}

func TestEventIsReadBack(t *testing.T) {
	s := newSandbox(sandbox.Options{})
	body := batchOf(purchase("e1"))
	body["partner_agent"], body["test_event_code"] = "homing", "TEST1"
	send(t, s, body)

	want := []sandbox.Event{{
		Seq: 1, Call: 1, ReceivedAt: testNow(), Dataset: testDataset, Name: "Purchase", ID: "e1", Time: testNow().Unix(),
		ActionSource: "business_messaging", MessagingChannel: "whatsapp", WABA: testWABA, Clid: testClid,
		Value: "12.50", Currency: "USD", TestEventCode: "TEST1", PartnerAgent: "homing", Body: json.RawMessage(encode(t, purchase("e1"))),
	}}
	if diff := cmp.Diff(want, s.Events(sandbox.Filter{})); diff != "" {
		t.Errorf("by Go: %s", diff)
	}
	var got struct{ Events []sandbox.Event }
	fetch(t, s, "GET", "/_sandbox/events?event_id=e1", &got)
	if diff := cmp.Diff(want, got.Events); diff != "" {
		t.Errorf("by HTTP: %s", diff)
	}
}

func TestFilters(t *testing.T) {
	now := testNow()
	s := newSandbox(sandbox.Options{Now: func() time.Time { return now }})
	for i, name := range []string{"Purchase", "AddToCart", "Purchase", "AddToCart"} {
		ev := purchase("e" + strconv.Itoa(i))
		ev["event_name"] = name
		serve(t, s, request("POST", fmt.Sprintf("/v25.0/%d/events", 1+i/2), encode(t, batchOf(ev))))
		now = now.Add(time.Minute)
	}
	for query, want := range map[string]string{
		"": "e0 e1 e2 e3", "event_id=e2": "e2", "event_name=Purchase": "e0 e2", "dataset=2": "e2 e3", "limit=1": "e3", "limit=3": "e1 e2 e3",
		"event_name=AddToCart&limit=1": "e3", "since=" + strconv.FormatInt(testNow().Unix()+120, 10): "e2 e3",
		"since=" + testNow().Add(3*time.Minute).Format(time.RFC3339): "e3", "event_id=nope": "",
	} {
		var got struct{ Events []sandbox.Event }
		if code := fetch(t, s, "GET", "/_sandbox/events?"+query, &got); code != 200 {
			t.Fatalf("%s: %d", query, code)
		}
		var ids []string
		for _, e := range got.Events {
			ids = append(ids, e.ID)
		}
		if strings.Join(ids, " ") != want {
			t.Errorf("%q: %v, want %s", query, ids, want)
		}
	}
	for _, query := range []string{"events?since=x", "events?limit=0", "events?limit=x", "stats?doubles=-1"} {
		if code := fetch(t, s, "GET", "/_sandbox/"+query, &struct{}{}); code != 400 {
			t.Errorf("%s: %d, want 400", query, code)
		}
	}
}

func TestDoubles(t *testing.T) {
	s := newSandbox(sandbox.Options{MaxStored: -1}) // counting does not need the store
	cart := purchase("a")
	cart["event_name"] = "AddToCart"
	for _, b := range []object{batchOf(purchase("a"), purchase("b"), purchase("a")), batchOf(purchase("a"), cart), batchOf(purchase("b"))} {
		if got := send(t, s, b); got.Error != nil {
			t.Fatalf("Meta does not deduplicate, the sandbox did: %+v", got.Error)
		}
	}
	serve(t, s, request("POST", "/v25.0/2/events", encode(t, batchOf(purchase("a")))))
	want := []sandbox.Double{{Dataset: testDataset, EventName: "Purchase", EventID: "a", Count: 3}, {Dataset: testDataset, EventName: "Purchase", EventID: "b", Count: 2}}
	if diff := cmp.Diff(want, s.Doubles()); diff != "" {
		t.Error(diff)
	}
	var st sandbox.Stats
	fetch(t, s, "GET", "/_sandbox/stats?doubles=1", &st)
	if st.Events != 7 || st.Distinct != 4 || st.Doubled != 2 || st.Stored != 0 || len(st.Doubles) != 1 || st.Calls != 4 {
		t.Errorf("stats %+v", st)
	}
	if code := fetch(t, s, "DELETE", "/_sandbox/events", nil); code != 204 {
		t.Errorf("reset: %d", code)
	}
	if diff := cmp.Diff(sandbox.Stats{RefusedBy: []sandbox.RefusedCount{}, Refusals: []sandbox.Refusal{}, Doubles: []sandbox.Double{}}, s.Stats()); diff != "" {
		t.Errorf("after the reset: %s", diff)
	}
}

// TestFirstAndLast sees when events came, and calls without any left out.
func TestFirstAndLast(t *testing.T) {
	now := time.Unix(1_780_000_000, 0).UTC()
	s := newSandbox(sandbox.Options{Now: func() time.Time { return now }})
	pass := func(d time.Duration, b object) {
		now = now.Add(d)
		send(t, s, b)
	}
	event := func(id string) object {
		e := purchase(id)
		e["event_time"] = now.Unix() - 60
		return e
	}
	pass(0, batchOf())
	first := now.Add(time.Second)
	pass(time.Second, batchOf(event("a")))
	pass(time.Second, batchOf(event("b"), event("a")))
	last := now
	pass(time.Second, batchOf())
	if st := s.Stats(); !st.FirstAt.Equal(first) || !st.LastAt.Equal(last) {
		t.Errorf("first %v, last %v; want %v, %v", st.FirstAt, st.LastAt, first, last)
	}
}

// TestCountsMatchAModel posts random batches with few ids, and counts along.
func TestCountsMatchAModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newSandbox(sandbox.Options{MaxStored: 5})
		model := map[string]int{}
		var order []string
		for _, ids := range rapid.SliceOfN(rapid.SliceOfN(rapid.StringMatching(`[a-c]{1,2}`), 1, 4), 1, 8).Draw(rt, "batches") {
			var events []object
			for _, id := range ids {
				events = append(events, purchase(id))
				model[id]++
				order = append(order, id)
			}
			send(t, s, batchOf(events...))
		}
		doubles := 0
		for id, n := range model {
			if got := s.Count(testDataset, "Purchase", id); got != n {
				rt.Fatalf("%s counted %d times, want %d", id, got, n)
			}
			if n > 1 {
				doubles++
			}
		}
		if st := s.Stats(); st.Distinct != len(model) || st.Doubled != doubles || int(st.Events) != len(order) {
			rt.Fatalf("stats %+v, model %v", st, model)
		}
		var kept []string
		for _, e := range s.Events(sandbox.Filter{}) {
			kept = append(kept, e.ID)
		}
		if diff := cmp.Diff(order[max(0, len(order)-5):], kept); diff != "" {
			rt.Fatal(diff)
		}
	})
}

func TestRefusalsAreCountedByReason(t *testing.T) {
	s := newSandbox(sandbox.Options{})
	lead, old, typo := purchase("l"), purchase("o"), purchase("t")
	lead["event_name"], old["event_time"], typo["event_nmae"] = "Lead", 1, "x"
	for _, ev := range []object{lead, old, lead, typo} {
		send(t, s, batchOf(purchase("good"), ev))
	}
	want := []sandbox.RefusedCount{
		{Code: 100, Subcode: 2804066, Reason: "Messaging Event Invalid Event Type", Calls: 2, Events: 4},
		{Code: 100, Reason: "event_nmae is not a parameter of an event; the sandbox is stricter than Meta here", Calls: 1, Events: 2},
		{Code: 100, Subcode: 2804003, Reason: "Event Timestamp Too Old", Calls: 1, Events: 2},
	}
	if diff := cmp.Diff(want, s.Stats().RefusedBy); diff != "" {
		t.Error(diff)
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	s := newSandbox(sandbox.Options{})
	for i := range 500 {
		ev := purchase("a")
		ev["field"+strconv.Itoa(i)] = 1
		send(t, s, batchOf(ev))
	}
	if st := s.Stats(); len(st.Refusals) != 200 || len(st.RefusedBy) > 200 || st.Refused != 500 || st.Refusals[0].Field != "field499" {
		t.Errorf("%d refusals, %d reasons, %d calls", len(st.Refusals), len(st.RefusedBy), st.Refused)
	}
}

func TestConcurrentCalls(t *testing.T) {
	s := newSandbox(sandbox.Options{MaxStored: 10})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			send(t, s, batchOf(purchase("shared"), purchase("own"+strconv.Itoa(i))))
			s.Stats()
			s.Events(sandbox.Filter{Limit: 1})
		})
	}
	wg.Wait()
	if st := s.Stats(); st.Events != 32 || st.Distinct != 17 || s.Count(testDataset, "Purchase", "shared") != 16 {
		t.Errorf("stats %+v", st)
	}
}

func TestPageIsServed(t *testing.T) {
	s := newSandbox(sandbox.Options{AnyDataset: sandbox.Dataset{Token: testToken, AppSecret: "s3cret"}})
	send(t, s, batchOf(purchase("e1")))
	for target, want := range map[string]string{"/": "text/html", "/_sandbox/page.css": "text/css", "/_sandbox/page.js": "text/javascript", "/_sandbox/stats": "application/json"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), want) || w.Body.Len() == 0 {
			t.Errorf("%s: %d %s", target, w.Code, w.Header().Get("Content-Type"))
		}
		for _, secret := range []string{testToken, "s3cret"} {
			if bytes.Contains(w.Body.Bytes(), []byte(secret)) {
				t.Errorf("%s shows a secret", target)
			}
		}
		if bytes.Contains(w.Body.Bytes(), []byte("//cdn")) || bytes.Contains(w.Body.Bytes(), []byte("https://")) {
			t.Errorf("%s loads something from elsewhere", target)
		}
	}
}

func TestUnknownPathIsAGraphError(t *testing.T) {
	s := newSandbox(sandbox.Options{})
	for _, target := range []string{"/v25.0/me", "/nothing", "/_sandbox/nothing"} {
		if got := serve(t, s, request("GET", target, "")); got.verdict() != [2]int{2500, 0} {
			t.Errorf("%s: %+v", target, got.Error)
		}
	}
	if n := s.Stats().Calls; n != 0 {
		t.Errorf("%d calls counted", n)
	}
}
