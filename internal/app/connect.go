package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
)

// connect opens NATS and Redis. NATS is waited for, since nothing works without
// it; settings that can't be right are errors at once.
func (a *App) connect(ctx context.Context) error {
	natsURL, err := a.opt.NATSURL()
	if err != nil {
		return err
	}
	// A prefix of its own for each role lets an account keep the answers to one
	// role from the others.
	servers, opts := a.opt.natsLogin(natsURL, a.log)
	opts = append(opts, nats.CustomInboxPrefix("_INBOX."+a.role.String()), nats.Name(connectionName(a.role.String())))
	a.nats, err = queue.Connect(servers, a.opt.NATSCreds, a.opt.NATSCA, a.log, append(opts, a.env.NATS...)...)
	if err != nil {
		return err
	}
	a.atStop("nats", func(context.Context) error { a.nats.Close(); return nil })

	redisURL, err := a.opt.RedisURL()
	if err != nil {
		return err
	}
	redisOpt, err := redisOptions(redisURL, a.opt.RedisCA)
	if err != nil {
		return err
	}
	a.opt.redisLogin(redisOpt, a.log)
	a.redis = redis.NewUniversalClient(redisOpt)
	a.atStop("redis", func(context.Context) error { return a.redis.Close() })
	a.claims = dedup.New(a.redis, dedup.Options{AckWait: a.opt.AckWait, TTL: a.opt.DedupTTL})

	return a.openQueue(ctx)
}

// connectionName tells the processes apart in what NATS says of its connections.
func connectionName(process string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("homing-%s@%s/%d", process, host, os.Getpid())
}

// openQueue makes or checks the streams and opens them.
func (a *App) openQueue(ctx context.Context) error {
	cfg := a.opt.queueConfig()
	js, err := jetstream.New(a.nats)
	if err != nil {
		return fmt.Errorf("app: %w", err)
	}
	prepare := func() error {
		try, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if a.opt.Streams == StreamsExternal {
			return queue.Verify(try, js, cfg)
		}
		_, err := queue.Apply(try, js, cfg)
		return err
	}
	open := func() (err error) {
		if err = prepare(); err == nil {
			a.queue, err = queue.Open(a.nats, cfg, queue.WithLogger(a.log))
		}
		if err != nil && a.nats.IsConnected() && !transient(err) {
			return backoff.Permanent(err)
		}
		return err
	}
	patient := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(0))
	err = backoff.RetryNotify(open, backoff.WithContext(patient, ctx), func(err error, wait time.Duration) {
		a.log.Warn("queue.waiting", "error", err, "again_in", wait)
	})
	if err != nil {
		return err
	}
	a.atStop("queue", func(context.Context) error { a.queue.Close(); return nil })
	return nil
}

// transient reports whether err may pass when JetStream has settled, or when
// whoever makes the streams has.
func transient(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, queue.ErrUnavailable) || errors.Is(err, queue.ErrNotMade)
}

func (o Options) queueConfig() queue.Config {
	shards := 0 // what is there, and the default where nothing is
	if o.ShardsGiven {
		shards = o.Shards
	}
	return queue.Config{
		Shards: shards, Replicas: o.Replicas, MaxBytes: int64(o.QueueMaxBytes),
		ClickTTL: o.ClickTTL, DedupTTL: o.DedupTTL, AckWait: o.AckWait,
		External: o.Streams == StreamsExternal, MaxInFlight: maxHeld,
	}
}

// writes tries a write to Redis.
func writes(rdb redis.UniversalClient) func(context.Context) error {
	return func(ctx context.Context) error { return rdb.Set(ctx, "homing:written", 1, time.Hour).Err() }
}

// runID names the process, or the processes, that hold Redis's memory.
// A server that is not the one it was may have forgotten something.
// Source: Redis documentation, INFO server: run_id is random at each start.
func runID(rdb redis.UniversalClient) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		cluster, ok := rdb.(*redis.ClusterClient)
		if !ok {
			return runIDOf(ctx, rdb)
		}
		var mu sync.Mutex
		var ids []string
		err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			id, err := runIDOf(ctx, node)
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, id)
			return err
		})
		if err != nil {
			return "", err
		}
		slices.Sort(ids)
		sum := sha256.Sum256([]byte(strings.Join(ids, ",")))
		return hex.EncodeToString(sum[:8]), nil
	}
}

func runIDOf(ctx context.Context, rdb redis.Cmdable) (string, error) {
	info, err := rdb.Info(ctx, "server").Result()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(info) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "run_id:"); ok {
			return id, nil
		}
	}
	return "", nil
}
