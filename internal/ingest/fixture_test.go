package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/events"
)

const (
	sendEventPath  = "/api/v1/app/meta-ads/capi/send-event"
	publicPath     = "/api/v1/public/capi/send-event"
	sendEventsPath = "/api/v1/app/meta-ads/capi/send-events"
	statusPath     = "/api/v1/app/meta-ads/capi/events/"
	clicksPath     = "/api/v1/app/meta-ads/capi/clicks"
	webhookPath    = "/webhooks/whatsapp"

	acmeKey   = "sk_live_acme"
	globexKey = "sk_live_globex"
	appSecret = "app-secret-for-all"
	someClid  = "ARAkLkA8rmlFei"
)

// tenantsFile has acme, and globex with a rate and an app of its own.
const tenantsFile = `
tenants:
  - id: acme
    api_keys: ["sk_live_acme", "sk_live_acme_next"]
    dataset_id: "1234567890"
    access_token: "EAAtoken"
    waba_ids: ["5550001", "5550002"]
    events:
      ViewContent: {action: reject}
  - id: globex
    api_keys: ["sk_live_globex"]
    dataset_id: "2234567890"
    access_token: "EAAtoken2"
    waba_ids: ["5550009"]
    rate_limit: 10
webhooks:
  whatsapp:
    verify_token: "verify-me"
    app_secrets: ["app-secret-for-all", {secret: "globex-app-secret", waba_ids: ["5550009"]}]
`

var directory = sync.OnceValue(func() *tenants.Set {
	set, err := tenants.Parse("tenants.yaml", []byte(tenantsFile), func(string) (string, bool) { return "", false })
	if err != nil {
		panic(err)
	}
	return set
})

// secrets are what no log, message or Redis value may hold.
var secrets = []string{
	"9876543210", "buyer@example.com", "sk_live", "verify-me", "app-secret", "US.13491208655302741918", "crm-77",
}

// harness is a Server over fakes.
type harness struct {
	t       testing.TB
	server  *Server
	queue   *fakeQueue
	memory  *fakeMemory
	clicks  *fakeClicks
	metrics *fakeMetrics
	share   *fakeBacklog
	log     *bytes.Buffer
	clock   atomic.Int64 // Unix nanoseconds; 0: the real one
	mayLeak bool
}

func newHarness(t testing.TB) *harness {
	t.Helper()
	h := &harness{
		t: t, queue: newFakeQueue(), memory: newFakeMemory(), clicks: newFakeClicks(),
		metrics: &fakeMetrics{}, share: &fakeBacklog{}, log: &bytes.Buffer{},
	}
	h.clock.Store(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC).UnixNano())
	var ids atomic.Int64
	var err error
	h.server, err = New(Options{
		Directory: directory(), Queue: h.queue, Memory: h.memory, Clicks: h.clicks,
		Backlog: h.share, Metrics: h.metrics,
		Logger: slog.New(slog.NewTextHandler(lockedWriter(h.log), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:    h.now,
		NewID:  func() string { return fmt.Sprintf("01980f5e-0000-7000-8000-%012d", ids.Add(1)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	// The fakes answer at once; a busy machine must not make them look slow.
	m := time.Minute
	h.server.patience = patience{event: m, each: 0, key: m, put: m, status: m}
	t.Cleanup(h.checkSecrets)
	return h
}

func (h *harness) now() time.Time {
	if n := h.clock.Load(); n != 0 {
		return time.Unix(0, n).UTC()
	}
	return time.Now()
}

// inRealTime has the server wait as it does in production: for use with synctest.
func (h *harness) inRealTime() {
	h.clock.Store(0)
	h.server.patience = defaultPatience()
}

func (h *harness) advance(d time.Duration) { h.clock.Add(int64(d)) }

// checkSecrets looks for plaintext in everything that left the server.
func (h *harness) checkSecrets() {
	if h.mayLeak {
		return
	}
	seen := h.log.String() + h.queue.dump() + h.memory.dump() + h.clicks.dump()
	for _, secret := range secrets {
		if i := strings.Index(seen, secret); i >= 0 {
			h.t.Errorf("%q leaked: ...%s", secret, seen[max(0, i-80):min(len(seen), i+80)])
		}
	}
}

// reply is an answer, read.
type reply struct {
	code   int
	header http.Header
	text   string
	body   map[string]any
}

// opt changes a request before it is sent.
type opt func(*http.Request)

func header(name, value string) opt { return func(r *http.Request) { r.Header.Add(name, value) } }

func without(name string) opt { return func(r *http.Request) { r.Header.Del(name) } }

func key(value string) opt { return func(r *http.Request) { r.Header.Set("Authorization", value) } }

// do sends a request as acme and holds its answer against the OpenAPI document.
func (h *harness) do(method, path, body string, opts ...opt) reply {
	h.t.Helper()
	r := httptest.NewRequestWithContext(h.t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Basic "+acmeKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, o := range opts {
		o(r)
	}
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, r)

	got := reply{code: w.Code, header: w.Header(), text: w.Body.String()}
	if got.header.Get("X-Request-Id") == "" {
		h.t.Error("no X-Request-Id")
	}
	if got.header.Get("Content-Type") == "application/json" {
		if err := json.Unmarshal(w.Body.Bytes(), &got.body); err != nil {
			h.t.Errorf("answer %q: %v", got.text, err)
		}
	}
	checkAnswer(h.t, r.Method, r.URL.Path, got)
	return got
}

func (h *harness) post(path, body string, opts ...opt) reply {
	h.t.Helper()
	return h.do(http.MethodPost, path, body, opts...)
}

func (h *harness) get(path string, opts ...opt) reply {
	h.t.Helper()
	return h.do(http.MethodGet, path, "", opts...)
}

// wants checks the status and, when it is not empty, the reason.
func (r reply) wants(t testing.TB, code int, reason events.Reason) reply {
	t.Helper()
	if got := r.body["reason"]; r.code != code || reason != "" && got != string(reason) {
		t.Fatalf("got %d %s, want %d %s", r.code, r.text, code, reason)
	}
	return r
}

// is compares the body with JSON.
func (r reply) is(t testing.TB, want string) {
	t.Helper()
	if got := strings.TrimSpace(r.text); got != want {
		t.Errorf("body\n got %s\nwant %s", got, want)
	}
}

// person is the look-up key of a phone number as WhatsApp writes it.
func person(t testing.TB, digits string) events.Person {
	t.Helper()
	p, ok := events.WhatsAppPerson(digits)
	if !ok {
		t.Fatalf("no person for %s", digits)
	}
	return p
}

// published decodes the only event that reached the queue.
func (h *harness) published() (queue.Acceptance, *events.Event) {
	h.t.Helper()
	all := h.queue.all()
	if len(all) != 1 {
		h.t.Fatalf("%d events published, want 1", len(all))
	}
	e, err := events.DecodeEvent(all[0].Data)
	if err != nil {
		h.t.Fatal(err)
	}
	return all[0], e
}
