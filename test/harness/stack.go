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
	// CutNATS, CutRedis and CutMeta put a Proxy before those servers.
	CutNATS, CutRedis, CutMeta bool
	// Sandbox changes how the judge is set up.
	Sandbox func(*sandbox.Options)
}

// Stack is one Homing with all that it needs.
type Stack struct {
	T       testing.TB
	NATS    *NATS
	Redis   *Redis
	Meta    *sandbox.Sandbox
	API     *Process
	Workers []*Process
	Tenants []Tenant

	// NATSLine, RedisLine and MetaLine can be cut, where the options ask for it.
	NATSLine, RedisLine, MetaLine *Proxy

	bin     *Binaries
	apiURL  string
	ops     map[*Process]string
	env     []string
	file    string // of the tenants
	tap     *wiretap
	headers *headerLog

	mu       sync.Mutex
	kills    int
	atKill   int
	keepable bool
}

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
	s := &Stack{T: t, bin: opt.Binaries, Tenants: opt.Tenants, ops: map[*Process]string{}}
	if s.Tenants == nil {
		s.Tenants = DefaultTenants()
	}
	s.file = filepath.Join(t.TempDir(), "tenants.yaml")
	s.WriteTenants(s.Tenants)
	s.Redis = newRedis(t)
	s.NATS = newNATS(t, s.bin)
	s.tap = newWiretap(t, s.NATS.Addr)
	metaAddr := s.startMeta(opt)

	natsAddr, redisAddr := s.NATS.Addr, s.Redis.Addr
	line := func(cut bool, addr string) (*Proxy, string) {
		if !cut {
			return nil, addr
		}
		p := NewProxy(t, addr)
		return p, p.Addr
	}
	s.NATSLine, natsAddr = line(opt.CutNATS, natsAddr)
	s.RedisLine, redisAddr = line(opt.CutRedis, redisAddr)
	s.MetaLine, metaAddr = line(opt.CutMeta, metaAddr)

	s.env = slices.Concat([]string{
		"PATH=" + os.Getenv("PATH"), "HOMING_TENANTS=" + s.file, "HOMING_GRAPH_URL=http://" + metaAddr,
		"HOMING_NATS_URL=nats://" + natsAddr, "HOMING_REDIS_URL=redis://" + redisAddr + "/0",
	}, shortTimes(), opt.Env)
	t.Cleanup(func() { s.checkLeaks() })

	var crash []string
	if opt.Crash != "" {
		crash = []string{"CRASH_AT=" + opt.Crash}
	}
	apiAddr := Addr(t)
	s.apiURL = "http://" + apiAddr
	s.API = s.process("api", "cmd/api", "HOMING_API_ADDR="+apiAddr)
	s.keepable = opt.Keep || opt.Crash != ""
	s.launch(s.API, crash)
	for n := range max(opt.Workers, 1) {
		if opt.Workers < 0 {
			break
		}
		w := s.process(fmt.Sprintf("worker %d", n+1), "cmd/worker")
		s.launch(w, crash)
		s.Workers = append(s.Workers, w)
	}
	s.AwaitReady(s.API)
	s.AwaitReady(s.Workers...)
	return s
}

// launch starts a process of ours for the first time.
func (s *Stack) launch(p *Process, env []string) {
	s.T.Helper()
	p.Start(env...)
	if s.keepable {
		p.Keep(s.killed)
	}
}

// killed notes how much was in flight when a process died.
func (s *Stack) killed() {
	claimed := s.Claimed()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kills++
	s.atKill += claimed
}

// Kills returns how often processes were killed, and how many events were in
// calls to Meta at those moments, in all: no more than these can be held.
func (s *Stack) Kills() (kills, inFlight int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kills, s.atKill
}

// process describes a process of ours; env is added to the stack's.
func (s *Stack) process(name, pkg string, env ...string) *Process {
	ops := Addr(s.T)
	p := NewProcess(s.T, name, s.bin.Path(s.T, pkg), slices.Concat(s.env, []string{"HOMING_OPS_ADDR=" + ops}, env))
	s.ops[p] = "http://" + ops
	return p
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
	s.headers = &headerLog{next: s.Meta}
	srv := httptest.NewServer(s.headers)
	s.T.Cleanup(func() { s.Meta.Close(); srv.Close() })
	return strings.TrimPrefix(srv.URL, "http://")
}

// Fault makes calls to Meta go wrong.
func (s *Stack) Fault(f sandbox.Fault) {
	s.T.Helper()
	if _, err := s.Meta.AddFault(f); err != nil {
		s.T.Fatal(err)
	}
}
