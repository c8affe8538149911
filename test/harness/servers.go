package harness

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
)

// upWithin is how long a server may take to start on a busy machine.
const upWithin = 30 * time.Second

// NATS is a nats-server with JetStream on disk.
type NATS struct {
	*Process
	Addr string
}

func newNATS(t testing.TB, bin *Binaries) *NATS {
	t.Helper()
	dir := t.TempDir()
	addr := Addr(t)
	config := filepath.Join(dir, "nats.conf")
	text := fmt.Sprintf("listen: %q\njetstream { store_dir: %q, max_file_store: 6GB, max_memory_store: 64MB }\n", addr, filepath.Join(dir, "js"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n := &NATS{
		Process: NewProcess(t, "nats-server", bin.Path(t, "github.com/nats-io/nats-server/v2"), nil, "-c", config),
		Addr:    addr,
	}
	n.Start()
	n.Await()
	return n
}

// Await waits until the server has read its streams.
func (n *NATS) Await() {
	n.t.Helper()
	Eventually(n.t, upWithin, "nats-server", func() error {
		nc, err := nats.Connect("nats://"+n.Addr, nats.Timeout(time.Second))
		if err != nil {
			return err
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err = js.AccountInfo(ctx)
		return err
	})
}

// Redis is a redis-server that writes all it is told to disk at once.
type Redis struct {
	*Process
	Addr   string
	Client *redis.Client
	dir    string
	forgot atomic.Bool
}

// newRedis starts a real redis-server. Without one the test is skipped, on a
// laptop only.
func newRedis(t testing.TB) *Redis {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no redis-server, and CI=true: %v", err)
		}
		t.Skipf("SKIPPED: THERE IS NO redis-server ON PATH, AND NO STAND-IN CAN BE KILLED: %v", err)
	}
	addr := Addr(t)
	_, port, _ := net.SplitHostPort(addr)
	dir := t.TempDir()
	r := &Redis{
		Process: NewProcess(t, "redis-server", path, nil, "--port", port, "--bind", "127.0.0.1", "--dir", dir,
			"--save", "", "--appendonly", "yes", "--appendfsync", "always"),
		Addr:   addr,
		Client: redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DialTimeout: time.Second, ReadTimeout: 5 * time.Second}),
		dir:    dir,
	}
	t.Cleanup(func() { _ = r.Client.Close() })
	r.Start()
	r.Await()
	return r
}

// Await waits until the server answers.
func (r *Redis) Await() {
	r.t.Helper()
	Eventually(r.t, upWithin, "redis-server", func() error { return r.Client.Ping(context.Background()).Err() })
}

// Forgot reports whether the server was made to forget, or was killed: our
// processes then hold what was handed out before for sent.
func (r *Redis) Forgot() bool { return r.forgot.Load() }

// Kill ends the server as a power cut would.
func (r *Redis) Kill() {
	r.forgot.Store(true)
	r.Process.Kill()
}

// Flush makes the server forget everything.
func (r *Redis) Flush() {
	r.t.Helper()
	r.forgot.Store(true)
	if err := r.Client.FlushAll(context.Background()).Err(); err != nil {
		r.t.Fatal(err)
	}
}

// Replace ends the server and starts a new, empty one in its place.
func (r *Redis) Replace() {
	r.t.Helper()
	r.Kill()
	if err := os.RemoveAll(filepath.Join(r.dir, "appendonlydir")); err != nil {
		r.t.Fatal(err)
	}
	r.Start()
	r.Await()
}
