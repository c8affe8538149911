package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/internal/telemetry"
	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/dedup"
)

// connectWithin is how long a command waits for NATS: unlike a process it has a
// person waiting for it.
const connectWithin = 5 * time.Second

// Connections are what a command of an operator works on. Each is opened when it
// is first asked for, so that a command needs no more than it uses.
type Connections struct {
	opt      Options
	log      *slog.Logger
	nats     *nats.Conn
	redis    redis.UniversalClient
	cleanups []func()
}

// Connect returns connections as opt has them. Warnings go to log.
func Connect(opt Options, log io.Writer) *Connections {
	return &Connections{opt: opt, log: newLogger(telemetry.NewLogBuffer(log), LogText, slog.LevelWarn)}
}

// Close closes what was opened.
func (c *Connections) Close() {
	for i := len(c.cleanups) - 1; i >= 0; i-- {
		c.cleanups[i]()
	}
	c.cleanups = nil
}

// JetStream opens NATS and changes nothing there.
func (c *Connections) JetStream() (jetstream.JetStream, error) {
	if c.nats == nil {
		url, err := c.opt.NATSURL()
		if err != nil {
			return nil, err
		}
		c.nats, err = queue.Connect(url, c.opt.NATSCreds, c.opt.NATSCA, c.log,
			nats.CustomInboxPrefix("_INBOX.operator"), nats.Name(connectionName("operator")),
			nats.RetryOnFailedConnect(false), nats.Timeout(connectWithin), nats.MaxReconnects(10))
		if err != nil {
			return nil, fmt.Errorf("%w; does NATS run where it points?", err)
		}
		c.cleanups = append(c.cleanups, c.nats.Close)
	}
	js, err := jetstream.New(c.nats)
	if err != nil {
		return nil, fmt.Errorf("app: %w", err)
	}
	return js, nil
}

// QueueConfig is the streams as opt wants them.
func (c *Connections) QueueConfig() queue.Config { return c.opt.queueConfig() }

// Queue opens the streams, with as many lanes as there are.
func (c *Connections) Queue(ctx context.Context) (*queue.Queue, error) {
	js, err := c.JetStream()
	if err != nil {
		return nil, err
	}
	_, err = js.Stream(ctx, queue.StreamEvents)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("there are no streams yet: start a process of Homing, or run: homing streams apply: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("JetStream does not answer; is it enabled, does HOMING_NATS_URL point at it? %w", err)
	}
	cfg := c.opt.queueConfig()
	cfg.Shards = 0
	q, err := queue.Open(c.nats, cfg, queue.WithLogger(c.log))
	if err != nil {
		return nil, err
	}
	c.cleanups = append(c.cleanups, q.Close)
	return q, nil
}

// Claims opens the claim store; Redis is not asked anything yet.
func (c *Connections) Claims() (dedup.Store, error) {
	rdb, err := c.openRedis()
	if err != nil {
		return nil, err
	}
	return dedup.New(rdb, dedup.Options{AckWait: c.opt.AckWait, TTL: c.opt.DedupTTL}), nil
}

// Clicks opens the click store; Redis is not asked anything yet.
func (c *Connections) Clicks() (*clicks.Store, error) {
	rdb, err := c.openRedis()
	if err != nil {
		return nil, err
	}
	return clicks.New(rdb, clicks.Options{TTL: c.opt.ClickTTL}), nil
}

func (c *Connections) openRedis() (redis.UniversalClient, error) {
	if c.redis != nil {
		return c.redis, nil
	}
	url, err := c.opt.RedisURL()
	if err != nil {
		return nil, err
	}
	opt, err := redisOptions(url, c.opt.RedisCA)
	if err != nil {
		return nil, err
	}
	c.redis = redis.NewUniversalClient(opt)
	c.cleanups = append(c.cleanups, func() { _ = c.redis.Close() })
	return c.redis, nil
}

// TenantSet reads the tenants file once.
func (c *Connections) TenantSet(lookupEnv func(string) (string, bool)) (*tenants.Set, error) {
	set, err := tenants.Load(c.opt.Tenants, lookupEnv)
	if err != nil {
		return nil, fmt.Errorf("HOMING_TENANTS: %w", err)
	}
	return set, nil
}

// Check reports what is wrong with opt beyond its values: the files that it
// names, the tenants file among them. It opens no connection.
func (o Options) Check(lookupEnv func(string) (string, bool)) error {
	var errs []error
	if _, err := o.NATSURL(); err != nil {
		errs = append(errs, err)
	}
	if url, err := o.RedisURL(); err != nil {
		errs = append(errs, err)
	} else if _, err := redisOptions(url, o.RedisCA); err != nil {
		errs = append(errs, err)
	}
	if err := tenants.Check(o.Tenants, lookupEnv); err != nil {
		errs = append(errs, fmt.Errorf("HOMING_TENANTS: %w", err))
	}
	return errors.Join(errs...)
}
