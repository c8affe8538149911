package deduptest

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// Redis returns a client of an empty Redis database, which is t's alone until it
// ends. The server is a child process, started from PATH by the first test of
// the binary that asks, and gone with it. Without redis-server on PATH it is
// miniredis, said loudly, and with CI=true a failure.
func Redis(t testing.TB) redis.UniversalClient {
	t.Helper()
	opt, err := redis.ParseURL(URL(t))
	if err != nil {
		t.Fatalf("deduptest: %v", err)
	}
	rdb := redis.NewClient(opt)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// URL is Redis for those who make their own client.
func URL(t testing.TB) string {
	t.Helper()
	server.once.Do(server.start)
	if server.err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("deduptest: no Redis server, and CI=true: %v", server.err)
		}
		t.Logf("deduptest: NO REDIS SERVER, TESTING ON MINIREDIS INSTEAD: %v", server.err)
		mini := miniredis.RunT(t)
		mini.ClockTTL(true) // else keys never expire by themselves
		return "redis://" + mini.Addr() + "/0"
	}
	db := <-server.free
	url := fmt.Sprintf("redis://%s/%d", server.addr, db)
	opt, err := redis.ParseURL(url)
	if err != nil {
		t.Fatalf("deduptest: %v", err)
	}
	rdb := redis.NewClient(opt)
	defer func() { _ = rdb.Close() }()
	if err := rdb.FlushDB(context.Background()).Err(); err != nil {
		t.Fatalf("deduptest: %v", err)
	}
	t.Cleanup(func() { server.free <- db })
	return url
}

// databases is how many a Redis server has by default, and so how many tests
// can use it at once.
const databases = 16

// server is the one child process of a test binary; tests only.
var server child

type child struct {
	once sync.Once
	err  error
	addr string
	free chan int // numbers of databases

	// stdin is never written: that it closes is how the child learns of our end.
	stdin io.WriteCloser
}

func (c *child) start() {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		c.err = err
		return
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.err = err
		return
	}
	c.addr = ln.Addr().String()
	port := strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
	_ = ln.Close()

	// The shell ends the server when our end of its stdin closes, however this
	// process ends.
	cmd := exec.Command("/bin/sh", "-c", `"$@" </dev/null >/dev/null & pid=$!; read -r _; kill $pid`, "sh",
		path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
		"--databases", strconv.Itoa(databases))
	if c.stdin, err = cmd.StdinPipe(); err == nil {
		err = cmd.Start()
	}
	if err == nil {
		err = c.ready()
	}
	if err != nil {
		c.err = fmt.Errorf("redis-server: %w", err)
		return
	}
	c.free = make(chan int, databases)
	for db := range databases {
		c.free <- db
	}
}

// ready waits until the server answers.
func (c *child) ready() error {
	rdb := redis.NewClient(&redis.Options{Addr: c.addr, MaxRetries: -1})
	defer func() { _ = rdb.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := rdb.Ping(ctx).Err()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}
