package observe_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/internal/app"
	"github.com/homing-dev/homing/internal/embedded"
	"github.com/homing-dev/homing/internal/sandbox"
)

// patience is how long something may take that happens by itself.
const patience = 40 * time.Second

const (
	apiKey    = "the-key-of-acme-Zx81"
	appSecret = "the-secret-of-whatsapp-9fK4"
)

const tenantsFile = `
tenants:
  - {id: acme, api_keys: [the-key-of-acme-Zx81], dataset_id: "1001", access_token: token-acme, waba_ids: ["7001"]}
  - {id: umbra, api_keys: [the-key-of-umbra-Qw55], dataset_id: "1002", access_token: token-revoked, waba_ids: ["7002"]}
webhooks:
  whatsapp: {verify_token: the-verify-token-7Hq2, app_secrets: [the-secret-of-whatsapp-9fK4]}
`

// laptop is an api and a worker in this process, on embedded servers: enough to
// see everything that a run shows.
type laptop struct {
	t       *testing.T
	app     *app.App
	meta    atomic.Pointer[sandbox.Sandbox]
	redis   *embedded.RedisServer
	tenants string // the file
	log     *safeBuffer
}

// startLaptop starts one; umbra's token is not the one that Meta knows.
func startLaptop(t *testing.T, env ...string) *laptop {
	t.Helper()
	dir := t.TempDir()
	l := &laptop{t: t, log: &safeBuffer{}}
	l.know("token-acme")
	meta := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.meta.Load().ServeHTTP(w, r) }))
	t.Cleanup(func() { l.meta.Load().Close(); meta.Close() })
	server, err := embedded.NATS(filepath.Join(dir, "nats"), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	if l.redis, err = embedded.Redis(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.redis.Close() })
	l.tenants = filepath.Join(dir, "tenants.yaml")
	l.writeTenants(tenantsFile)
	environ := append([]string{
		"HOMING_TENANTS=" + l.tenants, "HOMING_REDIS_URL=" + l.redis.URL(), "HOMING_GRAPH_URL=" + meta.URL, "HOMING_API_ADDR=127.0.0.1:0",
		"HOMING_OPS_ADDR=127.0.0.1:0", "HOMING_QUEUE_MAX_BYTES=64MiB", "HOMING_SHARDS=2", "HOMING_RETRY_MIN=100ms", "HOMING_RETRY_MAX=1s",
	}, env...)
	opt, err := app.FromEnviron(environ)
	if err != nil {
		t.Fatal(err)
	}
	l.app, err = app.New(opt, app.API|app.Worker, app.Surroundings{
		LookupEnv: func(name string) (string, bool) { return lookup(environ, name) },
		Log:       l.log, Version: "v1.2.3", NATS: []nats.Option{server.ClientOption()}, Alone: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l
}

// know makes Meta forget everything, and take this token of acme's from now on.
func (l *laptop) know(token string) {
	before := l.meta.Swap(sandbox.New(sandbox.Options{Datasets: map[string]sandbox.Dataset{
		"1001": {Token: token, WABAs: []string{"7001"}}, "1002": {Token: "token-umbra", WABAs: []string{"7002"}},
	}}))
	if before != nil {
		before.Close()
	}
}

func (l *laptop) writeTenants(text string) {
	l.t.Helper()
	if err := os.WriteFile(l.tenants, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

func lookup(environ []string, name string) (string, bool) {
	for _, pair := range environ {
		if k, v, ok := strings.Cut(pair, "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}

// live makes one of everything happen: a click, events that are delivered,
// refused, without a click, rejected, and of a tenant whose token is revoked. On
// a busy machine the api may not wait for the click, and answer 202.
func (l *laptop) live() {
	l.t.Helper()
	webhook := `{"entry":[{"id":"7001","changes":[{"value":{"messages":[{"from":"4915110000001","timestamp":"` +
		fmt.Sprint(time.Now().Unix()) + `","referral":{"ctwa_clid":"clid-1"}}]}}]}]}`
	mac := hmac.New(sha256.New, []byte(appSecret))
	mac.Write([]byte(webhook))
	l.do("POST", "/webhooks/whatsapp", "", webhook, 200, "X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	const path = "/api/v1/app/meta-ads/capi/send-event"
	for n := range 5 {
		l.do("POST", path, apiKey, fmt.Sprintf(`{"event_name":"Purchase","event_id":"order-%d","phone_number":"+4915110000001","value":1,"currency":"EUR"}`, n), 0)
	}
	l.do("POST", path, apiKey, `{"event_name":"Lead","event_id":"lead-1","phone_number":"+4915110000002"}`, 0)
	l.do("POST", path, apiKey, `{"event_name":"AddToCart","event_id":"bad-1","ctwa_clid":"c","custom_data":{"contents":"none"}}`, 0)
	l.do("POST", path, apiKey, `{"event_name":`, 400)
	l.do("POST", path, "the-key-of-umbra-Qw55", `{"event_name":"AddToCart","event_id":"cart-1","ctwa_clid":"clid-u"}`, 200)
	// A worker first audits when it has run for a minute: another one has done so.
	l.remember("homing:audit", `{"unaccounted":0,"at":"`+time.Now().Format(time.RFC3339)+`"}`)
	l.do("GET", "/webhooks/whatsapp?hub.mode=subscribe&hub.verify_token=the-verify-token-7Hq2&hub.challenge=1", "", "", 200)
}

// remember puts a value into Redis.
func (l *laptop) remember(key, value string) {
	l.t.Helper()
	client := redis.NewClient(&redis.Options{Addr: l.redis.Addr()})
	defer func() { _ = client.Close() }()
	if err := client.Set(l.t.Context(), key, value, 0).Err(); err != nil {
		l.t.Fatal(err)
	}
}

// do makes one request to the api; code 0 takes any answer.
func (l *laptop) do(method, path, key, body string, code int, header ...string) string {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.t.Context(), method, "http://"+l.app.Addr()+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return l.request(req, code)
}

// ops makes one request to the ops port.
func (l *laptop) ops(method, path, body string, code int) string {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.t.Context(), method, "http://"+l.app.OpsAddr()+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	return l.request(req, code)
}

func (l *laptop) request(req *http.Request, code int) string {
	l.t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || code != 0 && res.StatusCode != code {
		l.t.Fatalf("%s %s: %d %s %v, want %d", req.Method, req.URL.Path, res.StatusCode, text, err, code)
	}
	return string(text)
}

// safeBuffer is a log that can be read while it is written.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
