package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/internal/deliver"
	"github.com/homing-dev/homing/internal/ingest"
	"github.com/homing-dev/homing/internal/recovery"
	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/graphapi"
)

const (
	// maxCalls bounds the calls to Meta of one worker; the messages it holds are
	// bounded by the queue.
	maxCalls = 512
	// maxHeld bounds the messages of one worker.
	maxHeld = 20_000
	// aheadEvents bounds the events of a tenant that are read or settled while as
	// many of its calls as may be are under way.
	aheadEvents = 1000
	// inFlight is how long Stop waits for calls and requests under way.
	inFlight = 30 * time.Second
)

// The GOGC of both roles, unless one is set: what they hold is a few large batches,
// and touching less memory makes up for cleaning up more often.
const (
	apiGC    = 50
	workerGC = 40
)

// ballast is memory that is never touched, so it takes none of the machine's, but
// counts when Go decides how much garbage may gather: the api keeps so little
// that it would else clean up many times a second. A tenth of its CPU.
const ballast = 40 << 20

// startAPI serves conversions and webhooks.
func (a *App) startAPI(background context.Context) error {
	store := clicks.New(a.redis, clicks.Options{TTL: a.opt.ClickTTL, Marker: dedup.MarkerKey})
	shares := newShares(a.queue, int64(a.opt.QueueMaxBytes), a.opt.TenantQueueShare)
	server, err := ingest.New(ingest.Options{
		Directory: a.tenants, Queue: a.queue, Memory: a.claims, Clicks: store, Backlog: shares,
		Metrics: a.telemetry.Metrics, Logger: a.log, Tracer: a.telemetry.Tracer(),
	})
	if err != nil {
		return err
	}
	if _, set := a.env.LookupEnv("GOGC"); !set {
		a.ballast = make([]byte, ballast)
		debug.SetGCPercent(apiGC)
	}
	a.goUntilStop(background, shares.run)
	// A fresh Redis next to fresh streams has nothing to remember: no worker is
	// needed to find that out.
	guard := a.newGuard(store)
	first, cancel := context.WithTimeout(background, 2*time.Second)
	defer cancel()
	if guard.TryBless(first) != nil {
		a.goUntilStop(background, guard.Bless)
	}
	a.edge.open(server)
	// Registered now, so that requests end before what they need is closed.
	a.atStop("api", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, a.env.Grace)
		defer cancel()
		return a.apiSrv.Shutdown(ctx)
	})
	return nil
}

// serveAPI listens for requests. Until startAPI has opened the edge they are
// told to come again.
func (a *App) serveAPI() {
	a.apiSrv = ingest.NewHTTPServer(&a.edge, a.log)
	a.serve("api", a.apiSrv, a.api)
}

// edge is the public handler; it refuses everything until it is opened, so that
// nobody waits for a process that waits for NATS.
type edge struct{ handler atomic.Pointer[http.Handler] }

func (e *edge) open(h http.Handler) { e.handler.Store(&h) }

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := e.handler.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	w.Header().Set("Retry-After", "2")
	writeJSON(w, http.StatusServiceUnavailable, map[string]any{
		"success": false, "reason": "queue_unavailable",
		"message": "this process is starting and has no connection to the queue yet; send it again with the same event_id",
	})
}

// startWorker delivers events and stores clicks.
func (a *App) startWorker(background context.Context) error {
	graph, err := graphapi.New(graphapi.Options{
		BaseURL: a.opt.GraphURL, Version: a.opt.GraphVersion, Timeout: a.opt.GraphTimeout, PartnerAgent: "homing",
	})
	if err != nil {
		return fmt.Errorf("HOMING_GRAPH_URL: %w", err)
	}
	if _, set := a.env.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(workerGC)
	}
	a.atStop("graph", func(context.Context) error { graph.CloseIdle(); return nil })

	store := clicks.New(a.redis, clicks.Options{TTL: a.opt.ClickTTL, Marker: dedup.MarkerKey})
	a.guard = a.newGuard(store)
	gates := deliver.NewGates(deliver.GatesOptions{
		Redis: a.redis, Backoff: deliver.FullJitter(a.opt.RetryMin, a.opt.RetryMax),
		Probe: a.opt.GraphTimeout + 5*time.Second, Logger: a.log,
	})
	a.gates = gates
	drainer := deliver.NewDrainer(deliver.DrainOptions{Queue: a.queue, Gates: gates, Redis: a.redis, Logger: a.log})
	retries := &retries{queue: a.queue, limit: uint64(a.opt.RetryMaxPending)}
	places := deliver.NewPlaces(a.opt.TenantConcurrency)
	claims, looks := gathered(a.redis, a.claims, store)
	deliverer := deliver.New(deliver.Options{
		Claims: claims, Clicks: looks, ClickTail: a.queue, Graph: graph, Journal: a.queue, Tenants: a.tenants,
		Gates: gates, Places: places, Suspects: deliver.NewSuspects(a.redis), RetriesFull: retries.full, Alarm: a.guard.Alarm, Missed: a.guard.Missed,
		AckWait: a.opt.AckWait, BatchDeadline: a.opt.BatchDeadline, GraphTimeout: a.opt.GraphTimeout,
		RetryMin: a.opt.RetryMin, RetryMax: a.opt.RetryMax, RetryFor: a.opt.RetryFor, ClickGrace: a.opt.ClickGrace,
		Metrics: a.telemetry.Metrics, Tracer: a.telemetry.Tracer(), Logger: a.log,
	})
	lanes := deliver.NewLanes(deliver.LanesOptions{
		BatchSize: a.opt.BatchSize, Linger: a.opt.BatchLinger, Concurrency: a.opt.TenantConcurrency + ahead(a.opt), Calls: maxCalls,
		Budget: maxHeld, Full: a.queue.Heavy, Behind: a.queue.OthersWaiting,
		Deliver: deliverer.Deliver, Parking: deliverer.ShowBusy, Settle: a.queue.Settle,
	})
	audit := &auditor{queue: a.queue, redis: a.redis, ackWait: a.opt.AckWait, patience: auditPatience, now: time.Now, log: a.log}
	a.goUntilStop(background, a.guard.Run)
	a.goUntilStop(background, a.guard.CatchUp)
	a.goUntilStop(background, gates.Run)
	a.goUntilStop(background, audit.run)
	a.goUntilStop(background, retries.run)
	a.atStop("tenants", a.openOnNewSecret(gates))
	a.atStop("lanes", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, a.env.Grace)
		defer cancel()
		places.Close()
		lanes.Stop(ctx)
		return nil
	})
	// Stopped first, so nothing new comes in while the rest is finished.
	a.goUntilStop(background, func(ctx context.Context) { a.pull(ctx, lanes) })
	a.goUntilStop(background, drainer.Run)
	a.goUntilStop(background, func(ctx context.Context) { a.storeClicks(ctx, store) })
	return nil
}

// ahead is how many batches of a tenant are read or settled beside its calls, so
// that these follow each other: half as many, a few where batches are large.
func ahead(o Options) int {
	return max(1, min(o.TenantConcurrency/2, aheadEvents/o.BatchSize))
}

// pull hands events to the lanes while Redis can be trusted: without its memory
// nobody can say what was sent already.
func (a *App) pull(ctx context.Context, lanes *deliver.Lanes) {
	for ctx.Err() == nil {
		trust, err := a.guard.Wait(ctx)
		if err != nil {
			return
		}
		if err := a.queue.Consume(trust, lanes.Take); err != nil && ctx.Err() == nil && trust.Err() == nil {
			a.fail(fmt.Errorf("app: consuming events ended: %w", err))
			return
		}
	}
}

// openOnNewSecret opens the gate of every tenant that got a new token or app
// secret: what it was closed for may be mended.
func (a *App) openOnNewSecret(gates *deliver.Gates) func(context.Context) error {
	unsubscribe := a.tenants.Subscribe(func(old, now *tenants.Set) {
		for _, t := range now.SecretsChangedSince(old) {
			gates.Open(context.Background(), t.ID)
		}
	})
	return func(context.Context) error { unsubscribe(); return nil }
}

func (a *App) newGuard(store *clicks.Store) *recovery.Guard {
	wait := a.opt.BatchDeadline
	if a.env.Alone {
		wait = 0
	}
	return recovery.New(recovery.Options{
		Claims: a.claims, Clicks: store, Streams: a.queue, RunID: runID(a.redis), Wait: wait,
		Writes: writes(a.redis), Incident: a.telemetry.Metrics.Incident, Logger: a.log,
	})
}

// watchTenants follows the tenants file.
func (a *App) watchTenants(background context.Context) {
	a.goUntilStop(background, func(ctx context.Context) {
		if err := a.tenants.Run(ctx); err != nil && ctx.Err() == nil {
			a.fail(fmt.Errorf("app: following the tenants file ended: %w", err))
		}
	})
}

// goUntilStop runs f until its turn in the teardown comes, and waits for it.
func (a *App) goUntilStop(background context.Context, f func(context.Context)) {
	ctx, cancel := context.WithCancel(background)
	var wg sync.WaitGroup
	wg.Go(func() { f(ctx) })
	a.atStop("background", func(context.Context) error {
		cancel()
		wg.Wait()
		return nil
	})
}

// serve runs srv until it is shut down.
func (a *App) serve(name string, srv *http.Server, l net.Listener) {
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.fail(fmt.Errorf("%s: %w", name, err))
		}
	}()
}
