package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
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
	Addr    string
	monitor string // its URL
}

func newNATS(t testing.TB, bin *Binaries) *NATS {
	t.Helper()
	dir := t.TempDir()
	addr, monitor := Addr(t), Addr(t)
	config := filepath.Join(dir, "nats.conf")
	text := fmt.Sprintf("listen: %q\nhttp: %q\njetstream { store_dir: %q, max_file_store: 6GB, max_memory_store: 64MB }\n",
		addr, monitor, filepath.Join(dir, "js"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n := &NATS{
		Process: NewProcess(t, "nats-server", bin.Path(t, "github.com/nats-io/nats-server/v2"), nil, "-c", config),
		Addr:    addr,
		monitor: "http://" + monitor,
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

// AwaitGone waits until the server has noticed the end of every process of ours
// that has ended: it goes on handing out messages to a connection until then.
func (n *NATS) AwaitGone() error {
	return wait(upWithin, func() error {
		_, body, err := get(n.monitor + "/connz")
		if err != nil {
			return err
		}
		var told struct {
			Connections []struct {
				Name string `json:"name"`
			} `json:"connections"`
		}
		if err := json.Unmarshal([]byte(body), &told); err != nil {
			return err
		}
		for _, c := range told.Connections {
			// As our processes name their connections.
			pid, err := strconv.Atoi(c.Name[strings.LastIndexByte(c.Name, '/')+1:])
			if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
				return fmt.Errorf("%s is still connected", c.Name)
			}
		}
		return nil
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
