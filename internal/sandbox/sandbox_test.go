package sandbox_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/homing-dev/homing/internal/sandbox"
)

const (
	testDataset = "1234567890"
	testWABA    = "9876543210"
	testToken   = "EAAtoken"
	testClid    = "ARAkLkA8rmlFeiCktEJQ-QTwRiyYHAFDLMNDBH0CD3qpjd0HR4irJ6LEkR7JwFF4XvnO2E4Nx0"
	path        = "/v25.0/" + testDataset + "/events"
)

func testNow() time.Time { return time.Unix(1_790_000_000, 0).UTC() }

// object is a JSON object that a test can change.
type object = map[string]any

// purchase is an event that Meta takes.
func purchase(id string) object {
	return object{
		"event_name": "Purchase", "event_time": testNow().Unix(), "event_id": id,
		"action_source": "business_messaging", "messaging_channel": "whatsapp",
		"user_data":   object{"whatsapp_business_account_id": testWABA, "ctwa_clid": testClid, "ph": []string{hashOf("16505551212")}},
		"custom_data": object{"currency": "USD", "value": json.Number("12.50")},
	}
}

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func encode(t testing.TB, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func batchOf(events ...object) object { return object{"data": events} }

// answer is any body of the Graph API.
type answer struct {
	Status   int    `json:"-"`
	Received int    `json:"events_received"`
	TraceID  string `json:"fbtrace_id"`
	Error    *struct {
		Message   string          `json:"message"`
		Type      string          `json:"type"`
		Code      int             `json:"code"`
		Subcode   int             `json:"error_subcode"`
		Transient bool            `json:"is_transient"`
		Title     string          `json:"error_user_title"`
		Msg       string          `json:"error_user_msg"`
		Data      json.RawMessage `json:"error_data"`
		TraceID   string          `json:"fbtrace_id"`
	} `json:"error"`
	header http.Header
}

// verdict is the code and the subcode, 0 and 0 for a success.
func (a answer) verdict() [2]int {
	if a.Error == nil {
		return [2]int{}
	}
	return [2]int{a.Error.Code, a.Error.Subcode}
}

// request makes a good request; a test spoils it.
func request(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+testToken)
	r.Header.Set("Content-Type", "application/json")
	return r
}

func serve(t testing.TB, s *sandbox.Sandbox, r *http.Request) answer {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	a := answer{Status: w.Code, header: w.Header()}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("%s %s: %d %q: %v", r.Method, r.URL, w.Code, w.Body, err)
	}
	if (a.Status == http.StatusOK) != (a.Error == nil) {
		t.Fatalf("status %d does not go with body %s", a.Status, w.Body)
	}
	return a
}

// send posts a batch to a sandbox.
func send(t testing.TB, s *sandbox.Sandbox, body object) answer {
	t.Helper()
	return serve(t, s, request("POST", path, encode(t, body)))
}

func newSandbox(o sandbox.Options) *sandbox.Sandbox {
	if o.Now == nil {
		o.Now = testNow
	}
	return sandbox.New(o)
}

func TestZeroValueTakesAnEvent(t *testing.T) {
	s := sandbox.New(sandbox.Options{})
	ev := purchase("e1")
	ev["event_time"] = time.Now().Unix()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, request("POST", path, encode(t, batchOf(ev))))

	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	trace, _ := got["fbtrace_id"].(string)
	want := map[string]any{"events_received": 1.0, "messages": []any{}, "fbtrace_id": trace}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(trace) != 23 || trace != w.Header().Get("X-Fb-Trace-Id") {
		t.Errorf("fbtrace_id %q", trace)
	}
}

func TestAdmission(t *testing.T) {
	mac := hmac.New(sha256.New, []byte("SECRET"))
	mac.Write([]byte("TOKEN"))
	proof := hex.EncodeToString(mac.Sum(nil))
	if proof != "9bcde7f1d5e226d86e4692a62e5ec88f99306fb302d74b2dc3bff8a03770b63d" {
		t.Fatal("the vector of appsecret_proof is broken")
	}
	s := newSandbox(sandbox.Options{Datasets: map[string]sandbox.Dataset{
		testDataset: {Token: testToken},
		"42":        {},
		"77":        {AppSecret: "SECRET"},
	}})
	for _, tt := range []struct {
		name  string
		path  string
		token string
		extra object
		want  [2]int
	}{
		{"good", path, testToken, nil, [2]int{}},
		{"any token", "/v25.0/42/events", "whatever", nil, [2]int{}},
		{"wrong token", path, "EAAother", nil, [2]int{190, 0}},
		{"no token", path, "", nil, [2]int{190, 0}},
		{"unknown dataset", "/v25.0/43/events", testToken, nil, [2]int{100, 33}},
		{"unknown version", "/v9.0/" + testDataset + "/events", testToken, nil, [2]int{2500, 0}},
		{"no version", "/" + testDataset + "/events", testToken, nil, [2]int{2500, 0}},
		{"proof", "/v25.0/77/events", "TOKEN", object{"appsecret_proof": proof}, [2]int{}},
		{"proof in the URL", "/v25.0/77/events?appsecret_proof=" + proof, "TOKEN", nil, [2]int{}},
		{"no proof", "/v25.0/77/events", "TOKEN", nil, [2]int{100, 0}},
		{"proof of another token", "/v25.0/77/events", "TOKEN2", object{"appsecret_proof": proof}, [2]int{100, 0}},
		{"unknown parameter", path, testToken, object{"partner_agnet": "x"}, [2]int{100, 0}},
		{"parameters", path, testToken, object{"partner_agent": "x", "test_event_code": "TEST1"}, [2]int{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := batchOf(purchase("e1"))
			for k, v := range tt.extra {
				body[k] = v
			}
			r := request("POST", tt.path, encode(t, body))
			r.Header.Del("Authorization")
			if tt.token != "" {
				r.Header.Set("Authorization", "Bearer "+tt.token)
			}
			got := serve(t, s, r)
			if got.verdict() != tt.want {
				t.Errorf("got %v %+v, want %v", got.verdict(), got.Error, tt.want)
			}
			if got.Error != nil && (got.Error.Type == "" || got.Error.Message == "" || len(got.Error.TraceID) != 23) {
				t.Errorf("an unreal error: %+v", got.Error)
			}
		})
	}
}

func TestTokenOutsideTheHeader(t *testing.T) {
	s := newSandbox(sandbox.Options{AnyDataset: sandbox.Dataset{Token: testToken}})
	form := func(ev object) string {
		return url.Values{"data": {encode(t, []object{ev})}, "access_token": {testToken}}.Encode()
	}
	var multi strings.Builder
	mw := multipart.NewWriter(&multi)
	for k, v := range map[string]string{"data": encode(t, []object{purchase("multipart")}), "access_token": testToken} {
		if err := mw.WriteField(k, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := mw.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ id, target, media, body string }{
		{"json", path, "application/json; charset=utf-8", encode(t, object{"data": []object{purchase("json")}, "access_token": testToken})},
		{"form", path, "application/x-www-form-urlencoded", form(purchase("form"))},
		{"multipart", path, mw.FormDataContentType(), multi.String()},
		{"url", path + "?access_token=" + testToken, "application/json", encode(t, batchOf(purchase("url")))},
	} {
		t.Run(tt.id, func(t *testing.T) {
			r := request("POST", tt.target, tt.body)
			r.Header.Del("Authorization")
			r.Header.Set("Content-Type", tt.media)
			if got := serve(t, s, r); got.Received != 1 {
				t.Fatalf("refused: %+v", got.Error)
			}
			events := s.Events(sandbox.Filter{EventID: tt.id})
			if len(events) != 1 || events[0].TokenInURL != (tt.id == "url") {
				t.Errorf("read back %+v", events)
			}
		})
	}
	r := request("POST", path, form(purchase("typo"))+"&partner_agnet=x")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if got := serve(t, s, r); got.verdict() != [2]int{100, 0} {
		t.Errorf("an unknown parameter of a form: %+v", got.Error)
	}
	if got := s.Stats().TokensInURL; got != 1 {
		t.Errorf("tokens_in_url %d, want 1", got)
	}
}

func TestLimits(t *testing.T) {
	many := func(n int) object {
		events := make([]object, n)
		for i := range events {
			events[i] = purchase("e" + strconv.Itoa(i))
		}
		return batchOf(events...)
	}
	big := purchase("big")
	big["custom_data"].(object)["content_name"] = strings.Repeat("x", 1_024_000)
	for _, tt := range []struct {
		name   string
		body   object
		status int
	}{
		{"none", batchOf(), 400},
		{"no data", object{}, 400},
		{"1000", many(1000), 200},
		{"1001", many(1001), 400},
		{"too large", batchOf(big), 413},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSandbox(sandbox.Options{})
			got := send(t, s, tt.body)
			if got.Status != tt.status {
				t.Fatalf("status %d %+v, want %d", got.Status, got.Error, tt.status)
			}
			if want := got.Received; s.Stats().Events != uint64(want) {
				t.Errorf("%d counted, %d acknowledged", s.Stats().Events, want)
			}
		})
	}
}

func TestUnreadableBodies(t *testing.T) {
	good := encode(t, batchOf(purchase("e1")))
	for name, body := range map[string]string{
		"empty": "", "array": "[]", "cut": good[:len(good)-2], "trailing": good + "{}", "doubled name": `{"data":[],"data":[]}`,
		"doubled name in an event": `{"data":[{"event_id":"a","event_id":"b"}]}`, "not UTF-8": `{"data":[{"event_id":"` + "\xff" + `"}]}`,
		"deep": `{"data":[{"custom_data":{"a":` + strings.Repeat("[", 20000) + `}}]}`, "data no array": `{"data":"x"}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(sandbox.Options{})
			if got := serve(t, s, request("POST", path, body)); got.Status != 400 || got.Error.Code != 100 {
				t.Errorf("got %d %+v", got.Status, got.Error)
			}
			if n := s.Stats().Events; n != 0 {
				t.Errorf("%d events counted", n)
			}
		})
	}
}

func TestOneBadEventSinksTheBatch(t *testing.T) {
	s := newSandbox(sandbox.Options{})
	bad := purchase("bad")
	bad["event_name"] = "Lead"
	got := send(t, s, batchOf(purchase("a"), bad, purchase("b")))
	if got.verdict() != [2]int{100, 2804066} {
		t.Fatalf("got %+v", got.Error)
	}
	st := s.Stats()
	if st.Events != 0 || st.Refused != 1 {
		t.Errorf("stats %+v", st)
	}
	want := []sandbox.Refusal{{
		At: testNow(), Call: 1, Dataset: testDataset, Code: 100, Subcode: 2804066, Events: 3, Index: 1,
		Field: "event_name", EventName: "Lead", EventID: "bad", Reason: "Messaging Event Invalid Event Type",
	}}
	if diff := cmp.Diff(want, st.Refusals); diff != "" {
		t.Error(diff)
	}
}

func TestErrorDataComesInBothForms(t *testing.T) {
	s := newSandbox(sandbox.Options{})
	ev := purchase("e1")
	ev["event_name"] = "Lead"
	kinds := map[byte]bool{}
	for range 4 {
		kinds[send(t, s, batchOf(ev)).Error.Data[0]] = true
	}
	if !kinds['"'] || !kinds['{'] {
		t.Errorf("error_data started with %v, want both a string and an object", kinds)
	}
}

func readAll(t *testing.T, r io.ReadCloser) string {
	t.Helper()
	defer func() { _ = r.Close() }()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
