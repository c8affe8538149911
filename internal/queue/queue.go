package queue

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// ackTimeout is how long a publish waits for its PubAck: the library waits
	// for ever by itself.
	ackTimeout = 5 * time.Second
	// maxUnacked is how many publishes may wait for theirs at once.
	maxUnacked = 16_384
	// openTimeout bounds the reading of the number of lanes.
	openTimeout = 5 * time.Second
)

// Queue is one process's hold on the streams. Open makes one.
type Queue struct {
	nc  *nats.Conn
	js  jetstream.JetStream
	cfg Config
	log *slog.Logger
	now func() time.Time

	shards atomic.Int32
	added  chan struct{} // signalled when there are more lanes
	budget *budget

	mu    sync.Mutex
	hands map[place]*hand // what this process was handed and has not settled
	held  int64           // its bytes
}

// Option changes how a Queue is opened.
type Option func(*Queue)

// WithLogger sets where the queue logs; the default is nowhere.
func WithLogger(log *slog.Logger) Option { return func(q *Queue) { q.log = log } }

// WithClock sets the clock; the default is time.Now.
func WithClock(now func() time.Time) Option { return func(q *Queue) { q.now = now } }

// Open opens the queue of nc. The streams must be there: Apply makes them. The
// connection stays the caller's to close, after Close.
func Open(nc *nats.Conn, cfg Config, opts ...Option) (*Queue, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc,
		jetstream.WithPublishAsyncMaxPending(maxUnacked),
		jetstream.WithPublishAsyncTimeout(ackTimeout))
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	q := &Queue{
		nc:     nc,
		js:     js,
		cfg:    cfg,
		log:    slog.New(slog.DiscardHandler),
		now:    time.Now,
		added:  make(chan struct{}, 1),
		budget: newBudget(cfg.MaxInFlight, cfg.MaxInFlightBytes),
		hands:  make(map[place]*hand),
	}
	for _, opt := range opts {
		opt(q)
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	if err := q.readShards(ctx); err != nil {
		return nil, err
	}
	if _, err := settleShards(q.Shards(), cfg.Shards, false); err != nil {
		return nil, err
	}
	return q, nil
}

// Close lets go of what the library keeps for publishing. Publishes that still
// wait are left without an answer.
func (q *Queue) Close() { q.js.CleanupPublisher() }

// JetStream is the context that the queue works with, for what reads streams and
// settles nothing.
func (q *Queue) JetStream() jetstream.JetStream { return q.js }

// Shards is the number of lanes.
func (q *Queue) Shards() int { return int(q.shards.Load()) }

// Connected reports whether the link to NATS is up.
func (q *Queue) Connected() bool { return q.nc.IsConnected() }

// readShards reads the number of lanes from where it was written when the stream
// was made.
func (q *Queue) readShards(ctx context.Context) error {
	s, err := q.js.Stream(ctx, StreamEvents)
	if err != nil {
		return adminError("stream "+StreamEvents, err)
	}
	return q.learnShards(s.CachedInfo())
}

// learnShards takes over the number of lanes from what was just read.
func (q *Queue) learnShards(info *jetstream.StreamInfo) error {
	n, ok := shardsIn(info.Config.Metadata)
	if !ok {
		return fmt.Errorf("queue: stream %s: its metadata has no %s; run: homing streams apply", StreamEvents, metaShards)
	}
	if old := q.shards.Swap(int32(n)); old != 0 && old != int32(n) {
		q.log.Info("queue: the backlog has more lanes", "before", old, "now", n)
		select {
		case q.added <- struct{}{}:
		default:
		}
	}
	return nil
}
