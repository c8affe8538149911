package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/homing-dev/homing/internal/embedded"
	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/dedup/deduptest"
)

const lifecycleTenants = `tenants:
  - id: acme
    api_keys: ["s3cr3t-acme-key"]
    dataset_id: "1111"
    access_token: "s3cr3t-acme-token"
    waba_ids: ["111"]
webhooks:
  whatsapp:
    verify_token: "s3cr3t-hook"
    app_secrets: ["s3cr3t-app"]
`

// site is what an App needs around it: streams, Redis and a tenants file.
type site struct {
	opt  Options
	nats *embedded.Server
}

func newSite(t *testing.T) *site {
	t.Helper()
	nats, err := embedded.NATS(t.TempDir(), embedded.Options{Listen: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nats.Close() })
	opt := testOptions(t)
	opt.NATS = tenants.NewSecret(nats.URL())
	opt.Redis = tenants.NewSecret(deduptest.URL(t))
	return &site{opt: opt, nats: nats}
}

// testOptions are options that reach nobody.
func testOptions(t *testing.T) Options {
	t.Helper()
	opt, err := DefaultOptions()
	if err != nil {
		t.Fatal(err)
	}
	opt.Tenants = filepath.Join(t.TempDir(), "tenants.yaml")
	if err := os.WriteFile(opt.Tenants, []byte(lifecycleTenants), 0o600); err != nil {
		t.Fatal(err)
	}
	opt.NATS = tenants.NewSecret("nats://127.0.0.1:1")
	opt.Redis = tenants.NewSecret("redis://127.0.0.1:1/0")
	opt.APIAddr, opt.OpsAddr = "127.0.0.1:0", "127.0.0.1:0"
	opt.GraphURL = "http://127.0.0.1:1"
	opt.QueueMaxBytes = 16 << 20
	opt.Shards = 1
	return opt
}

func newApp(t *testing.T, opt Options, role Role, log io.Writer) *App {
	t.Helper()
	a, err := New(opt, role, Surroundings{Version: "v1.2.3", Log: log, LookupEnv: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Stop(context.Background()) })
	return a
}

func startApp(t *testing.T, opt Options, role Role) *App {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a := newApp(t, opt, role, io.Discard)
	if err := a.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return a
}

// get returns status and body; 0 when nobody answers.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never came: %s", what)
		}
	}
}

func TestTwoInstancesInOneProcess(t *testing.T) {
	one, two := newSite(t), newSite(t)
	a, b := startApp(t, one.opt, API|Worker), startApp(t, two.opt, API|Worker)
	for _, app := range []*App{a, b} {
		eventually(t, "ready", func() bool { code, _ := get(t, "http://"+app.OpsAddr()+"/readyz"); return code == 200 })
		if code, body := get(t, "http://"+app.Addr()+"/nowhere"); code != 404 {
			t.Errorf("the api answers %d %s", code, body)
		}
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if code, _ := get(t, "http://"+a.OpsAddr()+"/healthz"); code != 0 {
		t.Errorf("a stopped process answers %d", code)
	}
	if code, body := get(t, "http://"+b.OpsAddr()+"/readyz"); code != 200 {
		t.Errorf("the other one answers %d %s", code, body)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Errorf("the second stop: %v", err)
	}
}

func TestOpsEndpoints(t *testing.T) {
	s := newSite(t)
	for _, role := range []Role{API, Worker} {
		t.Run(role.String(), func(t *testing.T) {
			a := startApp(t, s.opt, role)
			ops := "http://" + a.OpsAddr()
			for path, want := range map[string]string{
				"/healthz": `"status":"ok"`, "/readyz": `"status":"ok"`, "/version": `"version":"v1.2.3"`,
				"/metrics": "go_build_info", "/debug/pprof/": "goroutine",
			} {
				if code, body := get(t, ops+path); code != 200 || !strings.Contains(body, want) {
					t.Errorf("%s: %d %.200s", path, code, body)
				}
			}
			if code, _ := get(t, ops+"/nowhere"); code != 404 {
				t.Errorf("an unknown path: %d", code)
			}
			if hasAPI := a.Addr() != ""; hasAPI != (role == API) {
				t.Errorf("listens at %q", a.Addr())
			}
		})
	}
}

func TestReadinessFollowsJetStreamAndRedis(t *testing.T) {
	s := newSite(t)
	fake, err := embedded.Redis()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fake.Close() })
	s.opt.Redis = tenants.NewSecret(fake.URL())
	api, worker := startApp(t, s.opt, API), startApp(t, s.opt, Worker)
	ready := func(a *App) bool { code, _ := get(t, "http://"+a.OpsAddr()+"/readyz"); return code == 200 }
	if !ready(api) || !ready(worker) {
		t.Fatal("not ready to begin with")
	}
	if err := fake.Close(); err != nil {
		t.Fatal(err)
	}
	if ready(worker) {
		t.Error("a worker without Redis is ready")
	}
	if !ready(api) {
		t.Error("an api without Redis is not ready, and could take events")
	}
	s.nats.Stop()
	eventually(t, "an api without JetStream is not ready", func() bool { return !ready(api) })
	if code, _ := get(t, "http://"+api.OpsAddr()+"/healthz"); code != 200 {
		t.Errorf("yet it lives: %d", code)
	}
	if err := s.nats.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the api is ready again", func() bool { return ready(api) })
}

// TestConnectionName holds the form that the changelog tells operators of, and by
// which the crash tests know whose connection is whose.
func TestConnectionName(t *testing.T) {
	name, end := connectionName("worker"), fmt.Sprintf("/%d", os.Getpid())
	if !strings.HasPrefix(name, "homing-worker@") || !strings.HasSuffix(name, end) || strings.Count(name, "/") != 1 {
		t.Errorf("%q", name)
	}
}

func TestNewRollsBack(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opt := testOptions(t)
	opt.OpsAddr, opt.APIAddr = free.Addr().String(), busy.Addr().String()
	_ = free.Close()

	_, err = New(opt, API, Surroundings{Log: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "HOMING_API_ADDR") || !strings.Contains(err.Error(), "set another address") {
		t.Fatalf("error %v", err)
	}
	again, err := net.Listen("tcp", opt.OpsAddr)
	if err != nil {
		t.Fatalf("the other listener is still open: %v", err)
	}
	_ = again.Close()
}

func TestStopWithoutStart(t *testing.T) {
	a := newApp(t, testOptions(t), API|Worker, io.Discard)
	for range 2 {
		if err := a.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	log := &lines{}
	a := newApp(t, testOptions(t), API|Worker, log)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Start(ctx) }()
	eventually(t, "it waits for NATS", func() bool { return log.contain("queue.waiting") })
	if code, body := get(t, "http://"+a.OpsAddr()+"/readyz"); code != 503 || !strings.Contains(body, "starting") {
		t.Errorf("not ready: %d %s", code, body)
	}
	if code, _ := get(t, "http://"+a.OpsAddr()+"/healthz"); code != 200 {
		t.Errorf("it lives: %d", code)
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("started without NATS")
	}
	if code, _ := get(t, "http://"+a.OpsAddr()+"/healthz"); code != 0 {
		t.Errorf("after a failed start somebody answers %d", code)
	}
}

func TestMainsExitCodes(t *testing.T) {
	opt := testOptions(t)
	environ := func(more ...string) []string {
		return append([]string{"HOMING_TENANTS=" + opt.Tenants, "HOMING_NATS_URL=nats://127.0.0.1:1", "HOMING_API_ADDR=127.0.0.1:0", "HOMING_OPS_ADDR=127.0.0.1:0"}, more...)
	}
	for name, tt := range map[string]struct {
		program Program
		code    int
		says    string
	}{
		"unknown variable": {Program{Environ: environ("HOMING_BATCH_SIZ=1")}, 2, "HOMING_BATCH_SIZ"},
		"bad value":        {Program{Environ: environ("HOMING_BATCH_SIZE=many")}, 2, "HOMING_BATCH_SIZE"},
		"contradiction":    {Program{Environ: environ("HOMING_ACK_WAIT=1s")}, 2, "HOMING_ACK_WAIT"},
		"no tenants file":  {Program{Environ: environ("HOMING_TENANTS=/nowhere.yaml")}, 2, "HOMING_TENANTS"},
		"bad port":         {Program{Environ: environ("HOMING_OPS_ADDR=127.0.0.1:99999")}, 2, "HOMING_OPS_ADDR"},
		"an argument":      {Program{Args: []string{"serve"}}, 2, "serve"},
		"version":          {Program{Args: []string{"version"}, Version: "v9"}, 0, `"version":"v9"`},
		"help":             {Program{Args: []string{"--help"}}, 0, "HOMING_NATS_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			tt.program.Out, tt.program.Err = &out, &out
			if code := Main(t.Context(), Worker, tt.program); code != tt.code || !strings.Contains(out.String(), tt.says) {
				t.Errorf("exit %d, %s", code, out.String())
			}
		})
	}
}

// SIGTERM while it waits for NATS is not a failure.
func TestMainToldToStopBeforeItHasBegun(t *testing.T) {
	opt := testOptions(t)
	log := &lines{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() {
		done <- Main(ctx, Worker, Program{Out: log, Err: log, Environ: []string{
			"HOMING_TENANTS=" + opt.Tenants, "HOMING_NATS_URL=nats://127.0.0.1:1", "HOMING_OPS_ADDR=127.0.0.1:0",
		}})
	}()
	eventually(t, "it waits for NATS", func() bool { return log.contain("queue.waiting") })
	cancel()
	if code := <-done; code != ExitDone {
		t.Errorf("exit %d: %s", code, log.String())
	}
}

func TestVersionIsJSON(t *testing.T) {
	text, err := json.Marshal(Version("v1"))
	if err != nil || !strings.Contains(string(text), `"go":"go1`) {
		t.Errorf("%s, %v", text, err)
	}
}

// lines is a log that may be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) contain(text string) bool { return strings.Contains(l.String(), text) }
