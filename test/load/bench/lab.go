package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
)

// lab is a Homing of real processes, with all that it needs.
type lab struct {
	set    settings
	say    io.Writer // progress
	dir    string
	people []person

	natsURL, redisAddr, metaAddr string
	natsProf                     string // set with -profile
	apiAddr, apiOps, workerOps   string

	nats, redis, meta, api, worker *process

	nc     *nats.Conn
	js     jetstream.JetStream
	queue  *queue.Queue
	rdb    *redis.Client
	claims dedup.Store
	clicks *clicks.Store

	watch *watch
	run   int // numbers event ids: no two measurements share one
	began time.Time
}

// newLab builds and starts everything but the processes under test.
func newLab(ctx context.Context, set settings, say io.Writer) (l *lab, err error) {
	l = &lab{set: set, say: say, began: time.Now()}
	if l.dir, err = os.MkdirTemp(set.dir, "homing-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	l.sayf("in %s; building", l.dir)
	if err := l.build(ctx); err != nil {
		return nil, err
	}
	for _, addr := range []*string{&l.metaAddr, &l.apiAddr, &l.apiOps, &l.workerOps} {
		if *addr, err = freeAddr(); err != nil {
			return nil, err
		}
	}
	if l.people, err = makePeople(peopleCount, time.Now()); err != nil {
		return nil, err
	}
	for _, n := range tenantCounts() {
		if err := os.WriteFile(l.tenantsFile(n), tenantsYAML(n), 0o600); err != nil {
			return nil, err
		}
	}
	if l.watch, err = newWatch(); err != nil {
		return nil, err
	}
	if err := l.startNATS(ctx); err != nil {
		return nil, err
	}
	if err := l.startRedis(ctx); err != nil {
		return nil, err
	}
	return l, l.connect(ctx)
}

// build builds what users run, as they build it, and the bare programs.
func (l *lab) build(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("go list -m: %w; run it in the checkout", err)
	}
	root := strings.TrimSpace(string(out))
	static := []string{"build", "-trimpath", "-ldflags", "-s -w", "-o", l.dir + "/bin/"}
	for _, args := range [][]string{
		{filepath.Join(root, "scripts/build-static"), l.dir + "/bin", "api", "worker", "sandbox"},
		slices.Concat([]string{"go"}, static, []string{"github.com/nats-io/nats-server/v2", "./test/load/bare"}),
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0", "VERSION=bench")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

func (l *lab) bin(name string) string { return filepath.Join(l.dir, "bin", name) }

// natsConfig is a nats-server with JetStream on disk and all else as it comes:
// sync_interval is 2m, as by default. With prof it tells its profiles there, at the
// host of addr.
func natsConfig(addr, prof, dir string) string {
	text := fmt.Sprintf("listen: %q\njetstream { store_dir: %q, max_file_store: 64GB, max_memory_store: 64MB }\n", addr, dir)
	if _, port, err := net.SplitHostPort(prof); err == nil {
		text += fmt.Sprintf("prof_port: %s\n", port)
	}
	return text
}

func (l *lab) startNATS(ctx context.Context) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	if l.set.profile != "" {
		if l.natsProf, err = freeAddr(); err != nil {
			return err
		}
	}
	config := filepath.Join(l.dir, "nats.conf")
	if err := os.WriteFile(config, []byte(natsConfig(addr, l.natsProf, filepath.Join(l.dir, "jetstream"))), 0o600); err != nil {
		return err
	}
	l.natsURL = "nats://" + addr
	if l.nats, err = start(l.dir, "nats-server", l.bin("nats-server"), nil, nil, "-c", config); err != nil {
		return err
	}
	return l.nats.listening(ctx, addr)
}

// redisArgs are the settings of redis-server: an append-only file as the README
// asks for, and no rewrite of it in the middle of a measurement.
func redisArgs() []string {
	return []string{"--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0"}
}

func (l *lab) startRedis(ctx context.Context) error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return errors.New("there is no redis-server in PATH: install Redis 7 or newer, or Valkey under that name; a stand-in would measure nothing")
	}
	if l.redisAddr, err = freeAddr(); err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(l.redisAddr)
	args := append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", l.dir}, redisArgs()...)
	if l.redis, err = start(l.dir, "redis-server", path, nil, nil, args...); err != nil {
		return err
	}
	return l.redis.listening(ctx, l.redisAddr)
}

// connect opens the bench's own way to the streams and to Redis.
func (l *lab) connect(ctx context.Context) (err error) {
	if l.nc, err = queue.Connect(l.natsURL, "", "", slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	if l.js, err = jetstream.New(l.nc, jetstream.WithPublishAsyncMaxPending(16_384)); err != nil {
		return err
	}
	err = l.nats.await(ctx, func(ctx context.Context) error {
		_, err := queue.Apply(ctx, l.js, queue.Config{})
		return err
	})
	if err != nil {
		return err
	}
	if l.queue, err = queue.Open(l.nc, queue.Config{}); err != nil {
		return err
	}
	l.rdb = redis.NewClient(&redis.Options{Addr: l.redisAddr, ReadTimeout: time.Minute})
	l.claims = dedup.New(l.rdb, dedup.Options{AckWait: 90 * time.Second, TTL: 168 * time.Hour})
	l.clicks = clicks.New(l.rdb, clicks.Options{TTL: 2160 * time.Hour})
	return nil
}

// telemetryOn is the telemetry of a production process; see telemetryOff.
func (l *lab) telemetryOn() []string {
	return []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + l.watch.sinkURL(), "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
		"OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.01",
	}
}

func telemetryOff() []string { return []string{"OTEL_SDK_DISABLED=true"} }

// environ is what a process of ours is started with; what comes later counts.
func (l *lab) environ(tenants int, ops string, more []string) []string {
	return append([]string{
		"HOMING_NATS_URL=" + l.natsURL, "HOMING_REDIS_URL=redis://" + l.redisAddr + "/0",
		"HOMING_TENANTS=" + l.tenantsFile(tenants), "HOMING_GRAPH_URL=http://" + l.metaAddr,
		"HOMING_API_ADDR=" + l.apiAddr, "HOMING_OPS_ADDR=" + ops,
	}, more...)
}

// startAPI starts cmd/api in place of the one that runs; with telemetry it is
// scraped as well.
func (l *lab) startAPI(ctx context.Context, telemetry bool) (err error) {
	l.api.stop()
	env := telemetryOff()
	if telemetry {
		env = l.telemetryOn()
	}
	if l.api, err = start(l.dir, "api", l.bin("api"), l.environ(1, l.apiOps, env), nil); err != nil {
		return err
	}
	l.watch.scrape("api", l.apiOps, telemetry)
	return l.api.ready(ctx, l.apiOps)
}

// worker is how cmd/worker is started.
type workerOptions struct {
	batch, concurrency int // 0: the default
	tenants            int
	noTelemetry        bool
}

func (o workerOptions) env(l *lab) []string {
	env := l.telemetryOn()
	if o.noTelemetry {
		env = telemetryOff()
	}
	if o.batch > 0 {
		env = append(env, fmt.Sprintf("HOMING_BATCH_SIZE=%d", o.batch))
	}
	if o.concurrency > 0 {
		env = append(env, fmt.Sprintf("HOMING_TENANT_CONCURRENCY=%d", o.concurrency))
	}
	return env
}

// launchWorker starts cmd/worker and does not wait for it.
func (l *lab) launchWorker(o workerOptions) (err error) {
	l.worker.stop()
	l.worker, err = start(l.dir, "worker", l.bin("worker"), l.environ(max(o.tenants, 1), l.workerOps, o.env(l)), nil)
	l.watch.scrape("worker", l.workerOps, !o.noTelemetry)
	return err
}

func (l *lab) stopWorker() {
	l.watch.scrape("worker", "", false)
	l.worker.stop()
}

func (l *lab) stopAPI() {
	l.watch.scrape("api", "", false)
	l.api.stop()
}

// startMeta starts cmd/sandbox, which forgets what it got, in place of the one
// that runs.
func (l *lab) startMeta(ctx context.Context, latency time.Duration) (err error) {
	l.meta.stop()
	l.meta, err = start(l.dir, "sandbox", l.bin("sandbox"), nil, nil, "--quiet", "--addr", l.metaAddr, "--latency", latency.String())
	if err != nil {
		return err
	}
	return l.meta.listening(ctx, l.metaAddr)
}

// nextRun returns a number that no event id has yet.
func (l *lab) nextRun() int { l.run++; return l.run }

func (l *lab) sayf(format string, args ...any) {
	fmt.Fprintf(l.say, "%4.0fs  %s\n", time.Since(l.began).Seconds(), fmt.Sprintf(format, args...))
}

// close ends every child and removes the folder.
func (l *lab) close() {
	for _, p := range []*process{l.api, l.worker, l.meta} {
		p.stop()
	}
	if l.watch != nil {
		l.watch.close()
	}
	if l.nc != nil {
		l.nc.Close()
	}
	if l.rdb != nil {
		_ = l.rdb.Close()
	}
	for _, p := range []*process{l.nats, l.redis} {
		p.stop()
	}
	if l.set.keep {
		l.sayf("kept: %s", l.dir)
		return
	}
	if err := os.RemoveAll(l.dir); err != nil {
		l.sayf("%v", err)
	}
}
