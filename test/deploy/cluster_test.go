package deploy_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/homing-dev/homing/internal/sandbox"
	"github.com/homing-dev/homing/pkg/dedup/deduptest"
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
// Redis database of their own and the sandbox for Meta.
type cluster struct {
	t       *testing.T
	prod    build
	nats    *natsServer // nil when there are several
	servers []string    // host:port of each
	meta    *sandbox.Sandbox
	tenant  harness.Tenant
	root    string   // holds what is in /etc/homing, by role
	env     []string // over that of the manifests
}

const (
	upWithin = 60 * time.Second
	password = "a-password-of-"
)

// newCluster is a cluster with a single nats-server.
func newCluster(t *testing.T, changes ...func(config map[string]any)) *cluster {
	t.Helper()
	server := startNATS(t, changes...)
	c := newClusterOn(t, server.Addr().String())
	c.nats = server
	c.env = append(c.env, "HOMING_REPLICAS=1")
	return c
}

func newClusterOn(t *testing.T, servers ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, prod: overlay(t, "prod"), servers: servers, tenant: harness.NewTenant("acme", 1), root: t.TempDir()}
	redis := deduptest.URL(t)
	c.meta = sandbox.New(sandbox.Options{Datasets: map[string]sandbox.Dataset{
		c.tenant.Dataset: {Token: c.tenant.Token, AppSecret: c.tenant.AppSecret, WABAs: []string{c.tenant.WABA}},
	}})
	meta := httptest.NewServer(c.meta)
	t.Cleanup(func() { c.meta.Close(); meta.Close() })

	for _, role := range roles() {
		c.write(role+"/connections/nats-url", c.natsURL(role))
		c.write(role+"/connections/redis-url", redis)
		c.write(role+"/tenants/tenants.yaml", fmt.Sprintf(
			"tenants:\n  - id: %s\n    api_keys: [%q]\n    dataset_id: %q\n    access_token: %q\n    app_secret: %q\n    waba_ids: [%q]\n",
			c.tenant.ID, c.tenant.Key, c.tenant.Dataset, c.tenant.Token, c.tenant.AppSecret, c.tenant.WABA))
	}
	// No TLS, small streams: what the test has no use for.
	c.env = []string{
		"HOMING_NATS_CA=", "HOMING_REDIS_CA=", "HOMING_QUEUE_MAX_BYTES=64MiB", "HOMING_GRAPH_URL=" + meta.URL,
	}
	return c
}

func roles() []string { return []string{"api", "worker", "operator"} }

func (c *cluster) natsURL(role string) string {
	var urls []string
	for _, server := range c.servers {
		urls = append(urls, fmt.Sprintf("nats://homing_%s:%s%s@%s", role, password, role, server))
	}
	return strings.Join(urls, ",")
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
	out, code := c.try(args...)
	if code != 0 {
		c.t.Fatalf("homing %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

func (c *cluster) try(args ...string) (out string, code int) {
	c.t.Helper()
	p := c.pod("CronJob", "homing-audit", "operator", args...)
	p.Start()
	code = p.Exit(upWithin)
	return p.Output(), code
}
