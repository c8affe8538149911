package ingest

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/homing-dev/homing/pkg/events"
)

func TestKeyForms(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	tests := map[string]struct {
		header string
		code   int
	}{
		"raw":                 {"Basic " + acmeKey, 200},
		"the next key":        {"Basic sk_live_acme_next", 200},
		"base64":              {"Basic " + b64([]byte(acmeKey+":")), 200},
		"base64, no padding":  {"Basic " + strings.TrimRight(b64([]byte(acmeKey+":")), "="), 200},
		"bearer":              {"Bearer " + acmeKey, 200},
		"bare":                {acmeKey, 200},
		"other case":          {"bAsIc  " + acmeKey + " ", 200},
		"wrong":               {"Basic sk_live_acmf", 401},
		"wrong, base64":       {"Basic " + b64([]byte("sk_live_acmf:")), 401},
		"with a password":     {"Basic " + b64([]byte(acmeKey+":pass")), 401},
		"as a password":       {"Basic " + b64([]byte(":"+acmeKey)), 401},
		"other scheme":        {"Digest " + acmeKey, 401},
		"scheme alone":        {"Basic", 401},
		"scheme and a space":  {"Basic ", 401},
		"key of no one":       {"Bearer ", 401},
		"empty":               {"", 401},
		"two words":           {acmeKey + " " + acmeKey, 401},
		"not printable":       {"Basic \x00\xff", 401},
		"sixteen KiB":         {"Basic " + strings.Repeat("a", 16<<10), 401},
		"prefix of a key":     {"Basic sk_live_acm", 401},
		"verify token as key": {"Bearer verify-me", 401},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			got := h.post(sendEventPath, originalLead, key(tc.header)).wants(t, tc.code, "")
			if tc.code == http.StatusOK {
				return
			}
			got.wants(t, 401, reasonUnauthorized)
			if got.header.Get("WWW-Authenticate") == "" || len(h.queue.all()) != 0 {
				t.Errorf("WWW-Authenticate %q, %d published", got.header.Get("WWW-Authenticate"), len(h.queue.all()))
			}
		})
	}
	h := newHarness(t)
	h.post(sendEventPath, originalLead, without("Authorization")).wants(t, 401, reasonUnauthorized)
	h.post(sendEventPath, originalLead, header("Authorization", "Basic "+globexKey)).wants(t, 401, reasonUnauthorized)
}

// unread fails the test when it is read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) { u.t.Error("the body was read"); return 0, io.EOF }

// TestOrderOfChecks breaks ever fewer things: the first of them is told.
func TestOrderOfChecks(t *testing.T) {
	h := newHarness(t)
	wrong := key("Basic wrong")
	text := func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }
	large := strings.Repeat(" ", maxEvent+1)

	h.do("PUT", "/nothing", large, wrong, text).wants(t, 404, reasonNotFound)
	h.do("PUT", sendEventPath, large, wrong, text).wants(t, 405, reasonMethodNotAllowed)
	h.post(sendEventPath, "", wrong, text, func(r *http.Request) { r.Body = io.NopCloser(unread{t}) }).wants(t, 401, reasonUnauthorized)
	h.post(sendEventPath, large, text).wants(t, 415, reasonUnsupportedMedia)
	for range 10 {
		h.post(sendEventPath, originalLead, key(globexKey)).wants(t, 200, "")
	}
	h.post(sendEventPath, large, key(globexKey)).wants(t, 413, events.ReasonBodyTooLarge)
	h.post(sendEventPath, "{", key(globexKey)).wants(t, 429, reasonRateLimited)
	h.advance(time.Second)
	h.post(sendEventPath, "{", key(globexKey)).wants(t, 400, events.ReasonInvalidJSON)
}

func TestPathsAndMethods(t *testing.T) {
	h := newHarness(t)
	for _, path := range []string{
		"/", "/api", sendEventPath + "/", strings.ToUpper(sendEventPath), statusPath, "//" + sendEventPath[1:],
		"/webhooks/../webhooks/whatsapp", statusPath + "%zz",
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.URL.Path, r.URL.RawPath = path, ""
		if strings.Contains(path, "%") {
			r.URL.Path = statusPath
		}
		w := httptest.NewRecorder()
		h.server.ServeHTTP(w, r)
		if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), `"reason":"not_found"`) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for path, allow := range map[string]string{
		sendEventPath: "POST", publicPath: "POST", sendEventsPath: "POST", clicksPath: "POST",
		statusPath + "e1": "GET, HEAD", webhookPath: "GET, HEAD, POST", "/openapi.yaml": "GET, HEAD",
	} {
		for _, method := range []string{"DELETE", "OPTIONS", "PATCH", "BREW"} {
			got := h.do(method, path, "").wants(t, 405, reasonMethodNotAllowed)
			if got.header.Get("Allow") != allow {
				t.Errorf("%s %s: Allow %q, want %q", method, path, got.header.Get("Allow"), allow)
			}
		}
	}
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/openapi.yaml", nil))
	if w.Code != http.StatusOK {
		t.Errorf("HEAD: %d", w.Code)
	}
	if strings.Contains(h.log.String(), "BREW") || strings.Contains(h.log.String(), "/api/v1/APP") {
		t.Error("what a client invents is in the log")
	}
}

func TestMediaTypes(t *testing.T) {
	tests := []struct {
		contentType string
		path        string
		code        int
	}{
		{"application/json", sendEventPath, 200},
		{"Application/JSON; charset=UTF-8", sendEventPath, 200},
		{"application/json; charset=latin1", sendEventPath, 415},
		{"application/json; charset", sendEventPath, 415},
		{"application/x-ndjson", sendEventPath, 415},
		{"application/x-www-form-urlencoded", sendEventPath, 415},
		{"text/plain", sendEventPath, 415},
		{"", sendEventPath, 415},
		{"application/json, application/json", sendEventPath, 415},
		{"application/x-ndjson; charset=utf-8", sendEventsPath, 200},
		{"application/ndjson", sendEventsPath, 200},
		{"text/plain", sendEventsPath, 415},
		{"text/plain", clicksPath, 415},
	}
	for _, tc := range tests {
		h := newHarness(t)
		got := h.post(tc.path, originalLead, func(r *http.Request) { r.Header.Set("Content-Type", tc.contentType) }).wants(t, tc.code, "")
		if tc.code == 415 {
			got.wants(t, 415, reasonUnsupportedMedia)
		}
	}
	h := newHarness(t)
	h.post(sendEventPath, originalLead, header("Content-Encoding", "gzip")).wants(t, 415, reasonUnsupportedMedia)
	h.post(sendEventPath, originalLead, header("Content-Encoding", "Identity")).wants(t, 200, "")
}

// chunked hides the length of the body.
func chunked(r *http.Request) { r.ContentLength = -1 }

func TestBodySizes(t *testing.T) {
	pad := func(body string, size int) string { return body + strings.Repeat(" ", size-len(body)) }
	for _, o := range []opt{func(*http.Request) {}, chunked} {
		h := newHarness(t)
		h.post(sendEventPath, pad(originalLead, maxEvent), o).wants(t, 200, "")
		h.post(sendEventPath, pad(originalLead, maxEvent+1), o).wants(t, 413, events.ReasonBodyTooLarge)
		h.post(clicksPath, pad(`{}`, maxEvent+1), o).wants(t, 413, events.ReasonBodyTooLarge)
		h.post(sendEventsPath, pad("["+originalLead+"]", maxBatch), o).wants(t, 200, "")
		h.post(sendEventsPath, pad("["+originalLead+"]", maxBatch+1), o).wants(t, 413, events.ReasonBodyTooLarge)
		h.hook(pad(`{}`, maxWebhook), o).wants(t, 200, "")
		h.hook(pad(`{}`, maxWebhook+1), o).wants(t, 413, events.ReasonBodyTooLarge)
	}
}

// cut is a body whose sender hangs up.
type cut struct{}

func (cut) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestHangUpMidBody(t *testing.T) {
	for _, length := range []int64{-1, 100, maxEvent} {
		h := newHarness(t)
		h.post(sendEventPath, originalLead, func(r *http.Request) {
			r.ContentLength, r.Body = length, io.NopCloser(io.MultiReader(strings.NewReader(originalLead), cut{}))
		}).wants(t, 400, events.ReasonInvalidJSON)
		if len(h.queue.all()) != 0 {
			t.Error("half a body was published")
		}
	}
}

func TestRequestID(t *testing.T) {
	h := newHarness(t)
	for id, kept := range map[string]bool{
		"r-1": true, strings.Repeat("x", 128): true, "with space": true,
		strings.Repeat("x", 129): false, "tab\there": false, "ünicode": false,
	} {
		for _, path := range []string{sendEventPath, "/nothing"} {
			got := h.post(path, originalLead, header("X-Request-Id", id))
			if (got.header.Get("X-Request-Id") == id) != kept {
				t.Errorf("%q became %q", id, got.header.Get("X-Request-Id"))
			}
		}
	}
}

func TestRateFollowsTheTenantsFile(t *testing.T) {
	h := newHarness(t)
	tenant, _ := h.server.directory.Authenticate(globexKey)
	l, now := h.server.limits, h.now
	if l.take(tenant, 10) != nil || l.take(tenant, 1) == nil {
		t.Fatal("not ten events in the first second")
	}
	if got := l.take(tenant, 1); wholeSeconds(got.retryAfter) != 1 {
		t.Errorf("retry after %v", got.retryAfter)
	}
	faster := *tenant
	faster.RateLimit = 1000
	h.advance(100 * time.Millisecond)
	if l.take(&faster, 1) != nil {
		t.Error("the old rate lets nothing through")
	}
	h.advance(500 * time.Millisecond)
	if l.take(&faster, 400) != nil {
		t.Error("the new rate is not in force")
	}
	free := *tenant
	free.RateLimit = 0
	if l.take(&free, 1<<20) != nil {
		t.Error("no rate limits")
	}
	// A batch of more than a second's worth goes through, and is owed.
	h.advance(time.Hour)
	if l.take(tenant, 100) != nil {
		t.Fatal("a batch of 100 never goes through")
	}
	h.advance(time.Second)
	refused := l.take(tenant, 10)
	if refused == nil || refused.retryAfter < 8*time.Second {
		t.Errorf("at %v: %+v", now(), refused)
	}
	h.advance(10 * time.Second)
	if l.take(tenant, 10) != nil {
		t.Error("the debt is never paid")
	}
}

func TestPanicIsAnswered(t *testing.T) {
	h := newHarness(t)
	h.queue.refuse = nil
	h.server.router = newRouter([]route{{method: "POST", path: sendEventPath, handle: func(*call) answer {
		panic(errors.New("+919876543210"))
	}}})
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, httptest.NewRequest(http.MethodPost, sendEventPath, nil))
	if w.Code != 500 || !strings.Contains(w.Body.String(), `"reason":"internal_error"`) || !strings.Contains(h.log.String(), "stack") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestLogLine(t *testing.T) {
	h := newHarness(t)
	h.post(sendEventPath, leadOne, header("X-Request-Id", "r-1"))
	for _, want := range []string{
		"level=INFO msg=request method=POST route=" + sendEventPath + " code=200",
		"request_id=r-1 tenant=acme event_name=Lead event_id=e1 accept=01980f5e-", "reason=no_ctwa_click_id_for_phone",
	} {
		if !strings.Contains(h.log.String(), want) {
			t.Errorf("log has no %q:\n%s", want, h.log)
		}
	}
	if n := strings.Count(h.log.String(), "\n"); n != 1 {
		t.Errorf("%d lines:\n%s", n, h.log)
	}
}

func TestNewWantsItsParts(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New takes nothing")
	}
	h := newHarness(t)
	s, err := New(Options{Directory: h.server.directory, Queue: h.queue, Memory: h.memory, Clicks: h.clicks})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, sendEventPath, strings.NewReader(originalLead))
	r.Header.Set("Authorization", acmeKey)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != 200 {
		t.Errorf("with defaults: %d %s", w.Code, w.Body)
	}
}

// TestListener talks to a real listener: what net/http does for us.
func TestListener(t *testing.T) {
	h := newHarness(t)
	server := NewHTTPServer(h.server, slog.New(slog.DiscardHandler))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	defer func() { _ = server.Close(); <-done }()

	say := func(request string) string {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		status, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(status)
	}
	const head = "POST " + sendEventPath + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic " + acmeKey + "\r\nContent-Type: application/json\r\n"
	body := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(originalLead), originalLead)
	for want, request := range map[string]string{
		"HTTP/1.1 200 OK": head + body,
		"HTTP/1.1 431 Request Header Fields Too Large": head + "X-Long: " + strings.Repeat("a", 24<<10) + "\r\n" + body,
		"HTTP/1.1 413 Request Entity Too Large":        head + "Content-Length: 9999999\r\n\r\n",
		"HTTP/1.1 400 Bad Request":                     "GARBAGE\r\n\r\n",
	} {
		if got := say(request); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestRefusalsOfFields(t *testing.T) {
	for err, code := range map[error]int{
		&events.FieldError{Reason: events.ReasonInvalidPhone, Message: "m"}: 400,
		&events.FieldError{Reason: events.ReasonBodyTooLarge, Message: "m"}: 413,
		errDown: 400,
	} {
		if got := badRequest(err); got.status != code || got.reason == "" || strings.Contains(got.message, errDown.Error()) {
			t.Errorf("%v became %+v", err, got)
		}
	}
}
