package deploy_test

import (
	"bytes"
	"encoding/json"
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

	"github.com/nats-io/nats-server/v2/server"
	yaml "go.yaml.in/yaml/v3"

	"github.com/homing-dev/homing/internal/embedded"
	"github.com/homing-dev/homing/internal/sandbox"
	"github.com/homing-dev/homing/test/harness"
)

var binaries *harness.Binaries

func TestMain(m *testing.M) {
	var err error
	if binaries, err = harness.NewBinaries(""); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	binaries.Remove()
	os.Exit(code)
}

// cluster runs the containers of the overlay prod as processes: with their
// environment and their files, on NATS with the accounts of deploy/nats, with a
// stand-in for Redis and the sandbox for Meta.
type cluster struct {
	t      *testing.T
	prod   build
	nats   *natsServer
	meta   *sandbox.Sandbox
	tenant harness.Tenant
	root   string   // holds what is in /etc/homing, by role
	env    []string // over that of the manifests
}

const (
	upWithin = 60 * time.Second
	password = "a-password-of-"
)

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, prod: overlay(t, "prod"), tenant: harness.NewTenant("acme", 1), root: t.TempDir()}
	c.nats = startNATS(t)
	redis, err := embedded.Redis()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Close() })
	c.meta = sandbox.New(sandbox.Options{Datasets: map[string]sandbox.Dataset{
		c.tenant.Dataset: {Token: c.tenant.Token, AppSecret: c.tenant.AppSecret, WABAs: []string{c.tenant.WABA}},
	}})
	meta := httptest.NewServer(c.meta)
	t.Cleanup(func() { c.meta.Close(); meta.Close() })

	for _, role := range roles() {
		c.write(role+"/connections/nats-url", c.natsURL(role))
		c.write(role+"/connections/redis-url", redis.URL())
		c.write(role+"/tenants/tenants.yaml", fmt.Sprintf(
			"tenants:\n  - id: %s\n    api_keys: [%q]\n    dataset_id: %q\n    access_token: %q\n    app_secret: %q\n    waba_ids: [%q]\n",
			c.tenant.ID, c.tenant.Key, c.tenant.Dataset, c.tenant.Token, c.tenant.AppSecret, c.tenant.WABA))
	}
	// One server, no TLS, small streams: what the test has no use for.
	c.env = []string{
		"HOMING_NATS_CA=", "HOMING_REDIS_CA=", "HOMING_REPLICAS=1", "HOMING_QUEUE_MAX_BYTES=64MiB",
		"HOMING_GRAPH_URL=" + meta.URL,
	}
	return c
}

func roles() []string { return []string{"api", "worker", "operator"} }

func (c *cluster) natsURL(role string) string {
	return fmt.Sprintf("nats://homing_%s:%s%s@%s", role, password, role, c.nats.Addr().String())
}

func (c *cluster) write(name, text string) {
	c.t.Helper()
	path := filepath.Join(c.root, name)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// pod is a container's process with the addresses it was given.
type pod struct {
	*harness.Process
	spec     podTemplate
	api, ops string
}

// pod describes a pod of a workload of prod; extra arguments replace its own.
func (c *cluster) pod(kind, workload, role string, args ...string) *pod {
	c.t.Helper()
	o, ok := c.prod.find(kind, workload)
	if !ok {
		c.t.Fatalf("prod has no %s %s", kind, workload)
	}
	spec, _ := o.pods()
	main := spec.Spec.Containers[0]
	env, err := c.prod.environ(main)
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range env {
		env[i] = strings.ReplaceAll(env[i], "/etc/homing", filepath.Join(c.root, role))
	}
	p := &pod{spec: spec, api: harness.Addr(c.t), ops: harness.Addr(c.t)}
	env = slices.Concat(env, c.env, []string{"HOMING_API_ADDR=" + p.api, "HOMING_OPS_ADDR=" + p.ops})
	if len(args) == 0 {
		args = main.Args
	}
	path := binaries.Path(c.t, "cmd"+main.Command[0])
	p.Process = harness.NewProcess(c.t, workload, path, env, args...)
	return p
}

// asks asks what a probe asks.
func (p *pod) asks(probe *probe) error {
	res, err := (&http.Client{Timeout: time.Duration(max(probe.Timeout, 1)) * time.Second}).Get("http://" + p.ops + probe.HTTP.Path)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", probe.HTTP.Path, res.Status)
	}
	return nil
}

// run runs a command of an operator and returns what it prints.
func (c *cluster) run(args ...string) string {
	c.t.Helper()
	p := c.pod("CronJob", "homing-audit", "operator", args...)
	p.Start()
	if code := p.Exit(upWithin); code != 0 {
		c.t.Fatalf("homing %s: exit code %d\n%s", strings.Join(args, " "), code, p.Output())
	}
	return p.Output()
}

// natsServer is a server with the accounts of deploy/nats that remembers what it
// refused.
type natsServer struct {
	*server.Server
	mu      sync.Mutex
	refused []string
}

// startNATS starts a server with what deploy/nats/values.yaml adds to the
// configuration of the chart.
func startNATS(t *testing.T) *natsServer {
	t.Helper()
	var values struct {
		Config struct {
			Merge     map[string]any
			JetStream struct{ Merge map[string]any } `yaml:"jetstream"`
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "../../deploy/nats/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	config := values.Config.Merge
	config["listen"] = harness.Addr(t)
	config["jetstream"] = values.Config.JetStream.Merge
	values.Config.JetStream.Merge["store_dir"] = t.TempDir()
	var text bytes.Buffer
	encoder := json.NewEncoder(&text) // the format of nats-server takes JSON
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(config); err != nil {
		t.Fatal(err)
	}
	// As the chart does it.
	conf := strings.NewReplacer(`"<< `, "", ` >>"`, "").Replace(text.String())
	for _, role := range roles() {
		t.Setenv("HOMING_"+strings.ToUpper(role)+"_PASSWORD", password+role)
	}
	t.Setenv("SYSTEM_PASSWORD", password+"system")
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !opts.SyncAlways {
		t.Error("values.yaml does not make the server write what it acknowledges")
	}
	opts.NoSigs = true
	inner, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s := &natsServer{Server: inner}
	inner.SetLoggerV2(s, false, false, false)
	inner.Start()
	t.Cleanup(func() { inner.Shutdown(); inner.WaitForShutdown() })
	if !inner.ReadyForConnections(upWithin) {
		t.Fatal("nats-server does not start")
	}
	return s
}

// Refused returns what was refused so far.
func (s *natsServer) Refused() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.refused)
}

// Errorf takes a line of the server's log. It makes a natsServer a logger,
// together with the methods below.
func (s *natsServer) Errorf(format string, v ...any) {
	if line := fmt.Sprintf(format, v...); strings.Contains(line, "Violation") {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.refused = append(s.refused, line)
	}
}

// Noticef takes a line of the server's log.
func (s *natsServer) Noticef(string, ...any) {}

// Warnf takes a line of the server's log.
func (s *natsServer) Warnf(string, ...any) {}

// Fatalf takes a line of the server's log.
func (s *natsServer) Fatalf(string, ...any) {}

// Debugf takes a line of the server's log.
func (s *natsServer) Debugf(string, ...any) {}

// Tracef takes a line of the server's log.
func (s *natsServer) Tracef(string, ...any) {}
