package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/internal/embedded"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
)

const (
	dedupTTL = 168 * time.Hour
	clickTTL = 2160 * time.Hour
)

// world is a NATS in this process, a redis-server, and our ways into both.
type world struct {
	js      jetstream.JetStream
	queue   *queue.Queue
	rdb     *redis.Client
	claims  *dedup.Redis
	clicks  *clicks.Store
	closers []func() error
}

func newWorld(ctx context.Context) (w *world, err error) {
	w = &world{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	dir, err := os.MkdirTemp("", "homing-footprint-")
	if err != nil {
		return nil, err
	}
	w.onClose(func() error { return os.RemoveAll(dir) })
	server, err := embedded.NATS(filepath.Join(dir, "nats"), embedded.Options{})
	if err != nil {
		return nil, err
	}
	w.onClose(server.Close)
	nc, err := nats.Connect("", server.ClientOption())
	if err != nil {
		return nil, err
	}
	w.onClose(func() error { nc.Close(); return nil })
	if w.js, err = jetstream.New(nc); err != nil {
		return nil, err
	}
	if _, err = queue.Apply(ctx, w.js, queue.Config{}); err != nil {
		return nil, err
	}
	if w.queue, err = queue.Open(nc, queue.Config{}); err != nil {
		return nil, err
	}
	if err := w.startRedis(ctx, dir); err != nil {
		return nil, err
	}
	w.claims = dedup.New(w.rdb, dedup.Options{TTL: dedupTTL})
	w.clicks = clicks.New(w.rdb, clicks.Options{TTL: clickTTL})
	return w, w.claims.Mark(ctx, dedup.Marker{})
}

// startRedis starts a redis-server on a socket in dir.
func (w *world) startRedis(ctx context.Context, dir string) error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return errors.New("there is no redis-server in PATH; a stand-in's memory would say nothing")
	}
	socket := filepath.Join(dir, "redis.sock")
	cmd := exec.CommandContext(ctx, path, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir)
	if err := cmd.Start(); err != nil {
		return err
	}
	w.onClose(func() error {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed, it says
		return nil
	})
	w.rdb = redis.NewClient(&redis.Options{
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
		ReadTimeout: time.Minute, MaxRetries: 50, MinRetryBackoff: 10 * time.Millisecond, MaxRetryBackoff: 100 * time.Millisecond,
	})
	w.onClose(w.rdb.Close)
	return w.rdb.Ping(ctx).Err()
}

func (w *world) onClose(f func() error) { w.closers = append(w.closers, f) }

func (w *world) close() error {
	var errs []error
	for len(w.closers) > 0 {
		last := len(w.closers) - 1
		errs = append(errs, w.closers[last]())
		w.closers = w.closers[:last]
	}
	return errors.Join(errs...)
}

// stored is the size of a stream, as its limits count it.
func stored(stream string) func(*world, context.Context) (float64, error) {
	return func(w *world, ctx context.Context) (float64, error) {
		s, err := w.js.Stream(ctx, stream)
		if err != nil {
			return 0, err
		}
		return float64(s.CachedInfo().State.Bytes), nil
	}
}

// remembered is what Redis keeps, by its own count.
func remembered(w *world, ctx context.Context) (float64, error) {
	info, err := w.rdb.Info(ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info) {
		if n, ok := strings.CutPrefix(line, "used_memory_dataset:"); ok {
			var bytes float64
			_, err := fmt.Sscan(n, &bytes)
			return bytes, err
		}
	}
	return 0, errors.New("redis does not tell used_memory_dataset")
}
