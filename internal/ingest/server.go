package ingest

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/internal/gather"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// Directory knows the merchants and what proves them. *tenants.Directory is one.
type Directory interface {
	Authenticate(key string) (*tenants.Tenant, bool)
	ByWABA(waba string) (*tenants.Tenant, bool)
	VerifyToken(token string) bool
	VerifySignature(body []byte, header string) (tenants.Scope, bool)
}

// Queue makes events and clicks durable. *queue.Queue is one.
type Queue interface {
	PublishMany(ctx context.Context, acceptances []queue.Acceptance) []queue.Result
	PublishClicks(ctx context.Context, clicks []events.Click) error
}

// Memory remembers what became of events; the part of dedup.Store that never
// decides anything.
type Memory interface {
	Look(ctx context.Context, keys []dedup.Look) ([]dedup.Record, error)
	Forget(ctx context.Context, keys []dedup.Look) error
	Get(ctx context.Context, keys []string) ([]dedup.Record, error)
}

// Clicks remembers which ads a person tapped. *clicks.Store is one.
type Clicks interface {
	Lookup(ctx context.Context, queries []clicks.Query) ([]clicks.Found, error)
	Put(ctx context.Context, clicks []events.Click) error
}

// Backlog tells whether a tenant has more events waiting than its share of the
// queue (HOMING_TENANT_QUEUE_SHARE). It must answer from memory.
type Backlog interface {
	OverShare(tenant string) bool
}

// Metrics is told what happened, to be counted.
type Metrics interface {
	// Accepted is called once per event that became durable.
	Accepted(ctx context.Context, tenant string)
	// Rejected is called once per event that was refused.
	Rejected(ctx context.Context, reason string)
	// ClickLookup counts looks for a click: found, none, unavailable or skipped.
	ClickLookup(ctx context.Context, result string)
	// Webhook counts webhooks, and the clicks in them: see webhook.go.
	Webhook(ctx context.Context, result string)
	// Request is called once per request; route is the path's pattern or "other".
	Request(ctx context.Context, route string, code int, took time.Duration)
}

// Options sets up a Server. The first four are required.
type Options struct {
	Directory Directory
	Queue     Queue
	Memory    Memory
	Clicks    Clicks

	// Backlog is asked before an event is queued; nil refuses nobody.
	Backlog Backlog
	// Metrics is told what happens; nil counts nothing.
	Metrics Metrics
	// Logger gets a line per request; nil discards them.
	Logger *slog.Logger
	// Tracer makes the span of a publish; nil makes none.
	Tracer trace.Tracer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// NewID makes ids of acceptances, events and requests; nil makes UUIDv7s.
	NewID func() string
}

func (o Options) withDefaults() (Options, error) {
	if o.Directory == nil || o.Queue == nil || o.Memory == nil || o.Clicks == nil {
		return o, errors.New("ingest: Directory, Queue, Memory and Clicks are required")
	}
	if o.Backlog == nil {
		o.Backlog = nobodyOverShare{}
	}
	if o.Metrics == nil {
		o.Metrics = noMetrics{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Tracer == nil {
		o.Tracer = noop.NewTracerProvider().Tracer("")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = func() string { return uuid.Must(uuid.NewV7()).String() }
	}
	return o, nil
}

// Server is the HTTP edge, an http.Handler.
type Server struct {
	directory Directory
	queue     Queue
	memory    Memory
	clicks    Clicks
	backlog   Backlog
	metrics   Metrics
	logger    *slog.Logger
	tracer    trace.Tracer
	now       func() time.Time
	newID     func() string

	router     router
	patience   patience
	lookDue    deadline // of a look for one event,
	keyDue     deadline // of one that looks for no click,
	publishDue deadline // of a publish
	limits     *limits
	memoryAway *breaker
	clicksAway *breaker
	keys       *gather.Group[dedup.Look, dedup.Record]
	clids      *gather.Group[clicks.Query, clicks.Found]
	large      chan struct{} // a place for each large batch under way
}

// New returns a Server.
func New(opt Options) (*Server, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		directory:  opt.Directory,
		queue:      opt.Queue,
		memory:     opt.Memory,
		clicks:     opt.Clicks,
		backlog:    opt.Backlog,
		metrics:    opt.Metrics,
		logger:     opt.Logger,
		tracer:     opt.Tracer,
		now:        opt.Now,
		newID:      opt.NewID,
		patience:   defaultPatience(),
		limits:     newLimits(opt.Now),
		memoryAway: &breaker{now: opt.Now},
		clicksAway: &breaker{now: opt.Now},
		large:      make(chan struct{}, places()),
	}
	s.keys = gather.New(s.askKeys, gather.Options{Limit: s.flight})
	s.clids = gather.New(s.clicks.Lookup, gather.Options{Limit: s.flight})
	s.router = newRouter(s.routes())
	return s, nil
}

type nobodyOverShare struct{}

func (nobodyOverShare) OverShare(string) bool { return false }

type noMetrics struct{}

func (noMetrics) Accepted(context.Context, string)                    {}
func (noMetrics) Rejected(context.Context, string)                    {}
func (noMetrics) ClickLookup(context.Context, string)                 {}
func (noMetrics) Webhook(context.Context, string)                     {}
func (noMetrics) Request(context.Context, string, int, time.Duration) {}
