package harness

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/homing-dev/homing/internal/sandbox"
)

// Options say what a Stack is made of. The zero value is one api and one worker
// with two tenants and short times.
type Options struct {
	Binaries *Binaries // required
	Tenants  []Tenant  // nil: DefaultTenants
	Workers  int       // 0: one; below zero none
	Env      []string  // HOMING_NAME=value, over the defaults
	// Crash is what CRASH_AT is in the first run of the api and the workers.
	Crash string
	// Keep starts the api and the workers again when they are killed.
	Keep bool
	// APIs is how many api processes there are; 0 means one. Requests go to one
	// after the other.
	APIs int
	// Lines puts a Proxy between each of our processes and each server.
	Lines bool
	// Bare starts the servers only: Launch starts the rest.
	Bare bool
	// Sandbox changes how the judge is set up.
	Sandbox func(*sandbox.Options)
}

// Stack is one Homing with all that it needs.
type Stack struct {
	T       testing.TB
	NATS    *NATS
	Redis   *Redis
	Meta    *sandbox.Sandbox
	API     *Process // the first of APIs
	APIs    []*Process
	Workers []*Process
	Tenants []Tenant

	opt      Options
	bin      *Binaries
	ops      map[*Process]string
	lines    map[*Process]Lines
	urls     map[*Process]string // of the apis
	env      []string
	metaAddr string
	file     string // of the tenants
	leaks    *leaks
	spans    *spanSearch
	witness  *witness
	doubts   doubts

	promised map[promise]string // in all that was judged

	mu      sync.Mutex
	kills   int
	service []*Process // where requests go
	turn    int
}

// Lines are what a process is connected by, where the options ask for it.
type Lines struct{ NATS, Redis, Meta *Proxy }

// shortTimes make the tests quick: everything that waits in production waits
// here too, but not as long.
func shortTimes() []string {
	return []string{
		"HOMING_ACK_WAIT=4s", "HOMING_BATCH_DEADLINE=3s", "HOMING_GRAPH_TIMEOUT=1s",
		"HOMING_RETRY_MIN=100ms", "HOMING_RETRY_MAX=1s", "HOMING_BATCH_LINGER=5ms",
		"HOMING_QUEUE_MAX_BYTES=64MiB", "HOMING_LOG_LEVEL=debug", "HOMING_SHARDS=2",
	}
}

// Start starts a Stack and waits until it is ready. Everything ends with t.
func Start(t testing.TB, opt Options) *Stack {
	t.Helper()
	s := &Stack{
		T: t, opt: opt, bin: opt.Binaries, Tenants: opt.Tenants,
		ops: map[*Process]string{}, lines: map[*Process]Lines{}, urls: map[*Process]string{},
	}
	if s.Tenants == nil {
		s.Tenants = DefaultTenants()
	}
	s.file = filepath.Join(t.TempDir(), "tenants.yaml")
	s.leaks = newLeaks()
	s.WriteTenants(s.Tenants)
	s.spans = newSpanSearch(t, s.leaks)
	s.Redis = newRedis(t)
	s.NATS = newNATS(t, s.bin)
	s.leaks.wiretap(t, s.NATS.Addr)
	s.env = slices.Concat([]string{
		"PATH=" + os.Getenv("PATH"), "HOMING_TENANTS=" + s.file, "HOMING_GRAPH_URL=http://" + s.startMeta(opt),
		"HOMING_NATS_URL=nats://" + s.NATS.Addr, "HOMING_REDIS_URL=redis://" + s.Redis.Addr + "/0",
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + s.spans.url,
	}, shortTimes(), opt.Env)
	t.Cleanup(func() { s.checkLeaks() })
	if !opt.Bare {
		s.Launch()
	}
	return s
}

// Launch starts the api and the workers and waits until they are ready. Start
// does it, unless the stack is to be bare.
func (s *Stack) Launch() {
	s.T.Helper()
	var crash []string
	if s.opt.Crash != "" {
		crash = []string{"CRASH_AT=" + s.opt.Crash}
	}
	for n := range max(s.opt.APIs, 1) {
		addr := Addr(s.T)
		p := s.process(fmt.Sprintf("api %d", n+1), "cmd/api", "HOMING_API_ADDR="+addr)
		s.urls[p] = "http://" + addr
		s.launch(p, crash)
		s.APIs = append(s.APIs, p)
		s.Serve(p)
	}
	s.API = s.APIs[0]
	for n := range max(s.opt.Workers, 1) {
		if s.opt.Workers < 0 {
			break
		}
		w := s.process(fmt.Sprintf("worker %d", n+1), "cmd/worker")
		s.launch(w, crash)
		s.Workers = append(s.Workers, w)
	}
	s.AwaitReady(s.APIs...)
	s.AwaitReady(s.Workers...)
}

// Serve lets requests go to an api, and Spare no more.
func (s *Stack) Serve(p *Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.service = append(s.service, p)
}

// Spare takes an api out of what requests go to.
func (s *Stack) Spare(p *Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.service = slices.DeleteFunc(s.service, func(other *Process) bool { return other == p })
}

// serving returns the address that a request goes to.
func (s *Stack) serving() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn++
	return s.urls[s.service[s.turn%len(s.service)]]
}

// launch starts a process of ours for the first time.
func (s *Stack) launch(p *Process, env []string) {
	s.T.Helper()
	p.Start(env...)
	if s.opt.Keep || s.opt.Crash != "" {
		s.Keep(p)
	}
}

// Keep starts a process again whenever it is killed, until it ends otherwise.
func (s *Stack) Keep(p *Process) { p.Keep(s.Killed) }

// Killed notes that a process was killed, and what was in flight then: those
// events may end unsure. Where Redis has forgotten the claims, all that was
// handed out has to count. Processes that are kept see to it by themselves.
func (s *Stack) Killed() {
	s.DoubtClaimed("a process died")
	if s.Redis.Forgot() {
		s.DoubtHandedOut("a process died, and Redis had lost its memory")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kills++
}

// Kills returns how often processes were killed.
func (s *Stack) Kills() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kills
}

// process describes a process of ours; env is added to the stack's.
func (s *Stack) process(name, pkg string, env ...string) *Process {
	ops := Addr(s.T)
	all := slices.Concat(s.env, []string{"HOMING_OPS_ADDR=" + ops}, env)
	var lines Lines
	if s.opt.Lines {
		lines = Lines{NATS: NewProxy(s.T, s.NATS.Addr), Redis: NewProxy(s.T, s.Redis.Addr), Meta: NewProxy(s.T, s.metaAddr)}
		all = append(all, "HOMING_NATS_URL=nats://"+lines.NATS.Addr, "HOMING_REDIS_URL=redis://"+lines.Redis.Addr+"/0",
			"HOMING_GRAPH_URL=http://"+lines.Meta.Addr)
	}
	p := NewProcess(s.T, name, s.bin.Path(s.T, pkg), all)
	s.ops[p], s.lines[p] = "http://"+ops, lines
	return p
}

// Lines returns what a process is connected by.
func (s *Stack) Lines(p *Process) Lines { return s.lines[p] }

// Command describes a run of a command of ours on the same servers.
func (s *Stack) Command(pkg string, args ...string) *Process {
	return NewProcess(s.T, filepath.Base(pkg), s.bin.Path(s.T, pkg), s.env, args...)
}

// Env is the environment of the stack's processes, without their own addresses.
func (s *Stack) Env() []string { return slices.Clone(s.env) }

// AwaitReady waits until the processes say that they can work.
func (s *Stack) AwaitReady(ps ...*Process) {
	s.T.Helper()
	for _, p := range ps {
		Eventually(s.T, upWithin, p.Name+" is ready", func() error {
			code, body, err := get(s.ops[p] + "/readyz")
			if err == nil && code != http.StatusOK {
				err = fmt.Errorf("%d %s", code, body)
			}
			return err
		})
	}
}

// Metrics returns what a process counts.
func (s *Stack) Metrics(p *Process) string {
	s.T.Helper()
	_, body, err := get(s.ops[p] + "/metrics")
	if err != nil {
		s.T.Fatal(err)
	}
	return body
}

// startMeta serves the sandbox and returns its address.
func (s *Stack) startMeta(opt Options) string {
	o := sandbox.Options{Datasets: map[string]sandbox.Dataset{}, MaxStored: 300_000, ClockSkew: time.Second}
	for _, t := range s.Tenants {
		o.Datasets[t.Dataset] = sandbox.Dataset{Token: t.Token, AppSecret: t.AppSecret, WABAs: []string{t.WABA}}
	}
	if opt.Sandbox != nil {
		opt.Sandbox(&o)
	}
	s.Meta = sandbox.New(o)
	s.witness = &witness{next: s.Meta, doubts: &s.doubts, tenant: s.tenantOf, texts: map[string]bool{}}
	srv := httptest.NewServer(s.witness)
	s.T.Cleanup(func() { s.Meta.Close(); srv.Close() })
	s.metaAddr = strings.TrimPrefix(srv.URL, "http://")
	return s.metaAddr
}

// Fault makes calls to Meta go wrong.
func (s *Stack) Fault(f sandbox.Fault) {
	s.T.Helper()
	if _, err := s.Meta.AddFault(f); err != nil {
		s.T.Fatal(err)
	}
}
