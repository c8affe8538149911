package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/homing-dev/homing/internal/sandbox"
)

// fixture is a sandbox behind a real listener, with a client that opens a
// connection per call, so that net/http's own retries stay out of the picture.
type fixture struct {
	*sandbox.Sandbox
	url    string
	client *http.Client
}

func listen(t *testing.T) fixture {
	t.Helper()
	s := newSandbox(sandbox.Options{})
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	t.Cleanup(s.Close) // first: it lets hanging calls go
	return fixture{s, srv.URL, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

// post sends one purchase; the answer is read whole.
func (f fixture) post(ctx context.Context, t *testing.T, events ...object) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "POST", f.url+path, strings.NewReader(encode(t, batchOf(events...))))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// addFault adds a fault over HTTP.
func (f fixture) addFault(t *testing.T, fault string) {
	t.Helper()
	resp, err := f.client.Post(f.url+"/_sandbox/faults", "application/json", strings.NewReader(fault))
	if err != nil {
		t.Fatal(err)
	}
	if body := readAll(t, resp.Body); resp.StatusCode != http.StatusCreated {
		t.Fatalf("fault refused: %d %s", resp.StatusCode, body)
	}
}

func TestFaultAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, fault string
		status      int
		body        string // is contained in the answer
		received    uint64 // of the 3 events sent
	}{
		{"graph error", `{"action":{"status":400,"code":100,"subcode":2804087}}`, 400, `"error_subcode":2804087`, 0},
		{"code alone", `{"action":{"code":190,"subcode":463}}`, 400, `"code":190`, 0},
		{"auth with 500", `{"action":{"status":500,"code":190}}`, 500, `"code":190`, 0},
		{"transient", `{"action":{"status":400,"code":1,"is_transient":true}}`, 400, `"is_transient":true`, 0},
		{"500 with a Graph body", `{"action":{"status":500}}`, 500, `"code":2,"is_transient":true`, 0},
		{"502 with HTML", `{"action":{"status":502,"body":"html"}}`, 502, "<h1>502 Bad Gateway</h1>", 0},
		{"503 with nothing", `{"action":{"status":503,"body":"empty"}}`, 503, "", 0},
		{"500 after counting", `{"action":{"status":500,"counted":true}}`, 500, `"code":2`, 3},
		{"200 with HTML", `{"action":{"status":200,"body":"html"}}`, 200, "<html>", 0},
		{"429", `{"action":{"status":429}}`, 429, `"code":80004`, 0},
		{"short", `{"action":{"short":1}}`, 200, `"events_received":2`, 2},
		{"all missing", `{"action":{"short":9}}`, 200, `"events_received":0`, 0},
		{"short after counting", `{"action":{"short":1,"counted":true}}`, 200, `"events_received":2`, 3},
		{"latency alone", `{"action":{"latency":"1ms"}}`, 200, `"events_received":3`, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := listen(t)
			f.addFault(t, tt.fault)
			resp, body, err := f.post(t.Context(), t, purchase("a"), purchase("b"), purchase("c"))
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || !strings.Contains(body, tt.body) {
				t.Errorf("got %d %s, want %d with %s", resp.StatusCode, body, tt.status, tt.body)
			}
			if got := f.Stats().Events; got != tt.received {
				t.Errorf("%d events counted, want %d", got, tt.received)
			}
			if got := f.Faults(); len(got) != 1 || got[0].Fired != 1 {
				t.Errorf("reports %+v", got)
			}
		})
	}
}

func TestFaultUsageHeaders(t *testing.T) {
	f := listen(t)
	f.addFault(t, `{"action":{"status":429,"retry_after":"30","usage":{"percent":100,"regain_minutes":5}}}`)
	resp, _, err := f.post(t.Context(), t, purchase("a"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, h := range []string{"Retry-After", "X-App-Usage", "X-Ad-Account-Usage", "X-Business-Use-Case-Usage"} {
		got[h] = resp.Header.Get(h)
	}
	want := map[string]string{
		"Retry-After":        "30",
		"X-App-Usage":        `{"call_count":100,"total_cputime":25,"total_time":50}`,
		"X-Ad-Account-Usage": `{"acc_id_util_pct":100,"ads_api_access_tier":"standard_access","reset_time_duration":300}`,
		"X-Business-Use-Case-Usage": `{"` + testDataset + `":[{"type":"ads_management","call_count":100,"total_cputime":25,"total_time":50,` +
			`"estimated_time_to_regain_access":5,"ads_api_access_tier":"standard_access"}]}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFaultCuts(t *testing.T) {
	for _, tt := range []struct {
		name, fault string
		answered    bool // the status line arrived
		received    uint64
	}{
		{"before the answer", `{"action":{"cut":"before_answer"}}`, false, 0},
		{"before the answer, counted", `{"action":{"cut":"before_answer","counted":true}}`, false, 1},
		{"mid-answer", `{"action":{"cut":"mid_answer"}}`, true, 1},
		{"mid-answer of a failure", `{"action":{"cut":"mid_answer","status":500}}`, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := listen(t)
			f.addFault(t, tt.fault)
			resp, body, err := f.post(t.Context(), t, purchase("a"))
			if err == nil {
				t.Fatalf("a whole answer came: %s", body)
			}
			if (resp != nil) != tt.answered {
				t.Errorf("status line arrived: %v, want %v (%v)", resp != nil, tt.answered, err)
			}
			if tt.answered && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("error %v, want an unexpected EOF", err)
			}
			if st := f.Stats(); st.Events != tt.received || st.Faulted != 1 {
				t.Errorf("stats %+v, want %d events", st, tt.received)
			}
			if _, _, err := f.post(t.Context(), t, purchase("b")); err == nil {
				t.Error("the fault ended by itself")
			}
			f.ClearFaults()
			if _, _, err := f.post(t.Context(), t, purchase("b")); err != nil {
				t.Errorf("after clearing: %v", err)
			}
		})
	}
}

func TestFaultHangsUntilTheCallerLeaves(t *testing.T) {
	f := listen(t)
	f.addFault(t, `{"times":1,"action":{"hang":true,"counted":true}}`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, _, err := f.post(ctx, t, purchase("a"))
		done <- err
	}()
	for f.Count(testDataset, "Purchase", "a") == 0 { // it is counted before it hangs
		select {
		case err := <-done:
			t.Fatalf("the call ended: %v", err)
		default:
			runtime.Gosched()
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestCloseEndsHangingCalls(t *testing.T) {
	f := listen(t)
	f.addFault(t, `{"action":{"hang":true}}`)
	done := make(chan error, 1)
	go func() {
		_, _, err := f.post(t.Context(), t, purchase("a"))
		done <- err
	}()
	f.Close()
	f.Close()
	if err := <-done; err == nil {
		t.Error("an answer came")
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sandbox.New(sandbox.Options{Latency: time.Second})
		if _, err := s.AddFault(sandbox.Fault{Action: sandbox.Action{Latency: 3 * time.Second}}); err != nil {
			t.Fatal(err)
		}
		ev := purchase("a")
		ev["event_time"] = time.Now().Unix()
		start := time.Now()
		if got := send(t, s, batchOf(ev)); got.Received != 1 {
			t.Errorf("refused: %+v", got.Error)
		}
		if d := time.Since(start); d != 4*time.Second {
			t.Errorf("answered after %v, want 4s", d)
		}
	})
}

// TestCallerLeavesDuringLatency: who goes before the answer was not counted,
// unless the fault says so.
func TestCallerLeavesDuringLatency(t *testing.T) {
	for _, counted := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := sandbox.New(sandbox.Options{})
			if _, err := s.AddFault(sandbox.Fault{Action: sandbox.Action{Latency: time.Hour, Counted: counted}}); err != nil {
				t.Fatal(err)
			}
			ev := purchase("a")
			ev["event_time"] = time.Now().Unix()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			defer func() {
				if p := recover(); p != http.ErrAbortHandler {
					t.Errorf("recovered %v", p)
				}
				if got := s.Count(testDataset, "Purchase", "a"); got != map[bool]int{true: 1}[counted] {
					t.Errorf("counted %d times", got)
				}
			}()
			s.ServeHTTP(httptest.NewRecorder(), request("POST", path, encode(t, batchOf(ev))).WithContext(ctx))
		})
	}
}

func TestFaultMatching(t *testing.T) {
	lead := purchase("l")
	lead["event_name"] = "LeadSubmitted"
	for _, tt := range []struct {
		name  string
		fault sandbox.Fault
		want  string // one letter per call: f where the fault fired
	}{
		{"all", sandbox.Fault{}, "ffff"},
		{"times", sandbox.Fault{Times: 2}, "ff.."},
		{"nth", sandbox.Fault{Match: sandbox.Match{Nth: 3}}, "..f."},
		{"id", sandbox.Fault{Match: sandbox.Match{EventID: "1"}}, ".f.."},
		{"name", sandbox.Fault{Match: sandbox.Match{EventName: "LeadSubmitted"}}, "...f"},
		{"name and id of two events", sandbox.Fault{Match: sandbox.Match{EventName: "LeadSubmitted", EventID: "3"}}, "...."},
		{"name, second", sandbox.Fault{Match: sandbox.Match{EventName: "Purchase", Nth: 2}}, ".f.."},
		{"dataset", sandbox.Fault{Match: sandbox.Match{Dataset: testDataset}}, "ffff"},
		{"other dataset", sandbox.Fault{Match: sandbox.Match{Dataset: "1"}}, "...."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSandbox(sandbox.Options{})
			tt.fault.Action.Code = 2
			if _, err := s.AddFault(tt.fault); err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for i := range 4 {
				events := []object{purchase(strconv.Itoa(i))}
				if i == 3 {
					events = append(events, lead)
				}
				if send(t, s, batchOf(events...)).Error != nil {
					got.WriteByte('f')
				} else {
					got.WriteByte('.')
				}
			}
			if got.String() != tt.want {
				t.Errorf("fired %s, want %s", got.String(), tt.want)
			}
			if r := s.Faults()[0]; r.Fired != strings.Count(tt.want, "f") {
				t.Errorf("report %+v", r)
			}
		})
	}
}

func TestFaultProbabilityIsSeeded(t *testing.T) {
	run := func(seed uint64) (fired string) {
		s := newSandbox(sandbox.Options{})
		if _, err := s.AddFault(sandbox.Fault{Match: sandbox.Match{Probability: 0.5, Seed: seed}, Action: sandbox.Action{Code: 2}}); err != nil {
			t.Fatal(err)
		}
		for range 64 {
			fired += strconv.Itoa(send(t, s, batchOf(purchase("a"))).Received)
		}
		return fired
	}
	one, again, other := run(1), run(1), run(2)
	if one != again {
		t.Error("the same seed drew differently")
	}
	if one == other || strings.Count(one, "1") < 16 || strings.Count(one, "1") > 48 {
		t.Errorf("drew %s and %s", one, other)
	}
}

func TestFaultsOverHTTP(t *testing.T) {
	s := newSandbox(sandbox.Options{})
	do := func(method, body string) (int, string) {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, request(method, "/_sandbox/faults", body))
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	for name, body := range map[string]string{
		"no JSON": "x", "unknown member": `{"actoin":{}}`, "unknown action": `{"action":{"statsu":500}}`, "empty": `{}`,
		"bad duration": `{"action":{"latency":"soon"}}`, "bad cut": `{"action":{"cut":"later"}}`, "bad status": `{"action":{"status":42}}`,
		"hang and status": `{"action":{"hang":true,"status":500}}`, "short and status": `{"action":{"short":1,"status":500}}`,
		"bad probability": `{"match":{"probability":2},"action":{"hang":true}}`, "bad body": `{"action":{"status":500,"body":"xml"}}`,
		"body alone": `{"action":{"body":"html"}}`, "negative": `{"times":-1,"action":{"hang":true}}`, "two": `{"action":{"hang":true}} {}`,
	} {
		if code, answer := do("POST", body); code != 400 || !strings.HasPrefix(answer, `{"error":`) {
			t.Errorf("%s: %d %s", name, code, answer)
		}
	}
	fault := `{"match":{"event_id":"a"},"times":2,"action":{"status":500,"cut":"mid_answer","latency":"250ms"}}`
	code, answer := do("POST", fault)
	var got, want map[string]any
	if err := errors.Join(json.Unmarshal([]byte(answer), &got), json.Unmarshal([]byte(fault), &want)); err != nil {
		t.Fatal(err)
	}
	want["id"], want["seen"], want["fired"] = 1.0, 0.0, 0.0
	if diff := cmp.Diff(want, got); code != http.StatusCreated || diff != "" {
		t.Error(code, diff)
	}
	if code, answer := do("GET", ""); code != 200 || !strings.Contains(answer, `"latency":"250ms"`) {
		t.Errorf("%d %s", code, answer)
	}
	if code, _ := do("DELETE", ""); code != http.StatusNoContent || len(s.Faults()) != 0 {
		t.Errorf("%d, %d faults left", code, len(s.Faults()))
	}
}

func TestFaultComesBeforeARefusal(t *testing.T) {
	s := newSandbox(sandbox.Options{})
	if _, err := s.AddFault(sandbox.Fault{Times: 1, Action: sandbox.Action{Status: 500, Counted: true}}); err != nil {
		t.Fatal(err)
	}
	bad := purchase("a")
	bad["event_name"] = "Lead"
	if got := send(t, s, batchOf(bad)); got.Error.Code != 2 {
		t.Errorf("got %+v", got.Error)
	}
	if got := send(t, s, batchOf(bad)); got.Error.Subcode != 2804066 {
		t.Errorf("got %+v", got.Error)
	}
	if n := s.Stats().Events; n != 0 {
		t.Errorf("%d invalid events counted", n)
	}
}

func TestLogHasNoSecret(t *testing.T) {
	var log bytes.Buffer
	s := newSandbox(sandbox.Options{Logger: textLogger(&log)})
	bad := purchase("a")
	bad["event_name"] = "Lead"
	send(t, s, batchOf(purchase("a")))
	send(t, s, batchOf(bad))
	if strings.Count(log.String(), "\n") != 2 || !strings.Contains(log.String(), "subcode=2804066") {
		t.Errorf("log: %s", log.String())
	}
	if strings.Contains(log.String(), testToken) {
		t.Error("the token is in the log")
	}
}
