// Package app puts the processes together: it is the only package that sees
// all the others. An App is one process's worth of Homing; several can live
// side by side in one program.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/internal/deliver"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/internal/recovery"
	"github.com/homing-dev/homing/internal/telemetry"
	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/dedup"
)

// Role says what an App does; roles can be combined.
type Role uint

// The roles.
const (
	API    Role = 1 << iota // takes conversions and webhooks
	Worker                  // delivers to Meta
)

func (r Role) has(other Role) bool { return r&other != 0 }

func (r Role) String() string {
	switch r {
	case API:
		return "api"
	case Worker:
		return "worker"
	default:
		return "homing"
	}
}

// Surroundings is what a process brings along. The zero value is right for a
// program of its own.
type Surroundings struct {
	LookupEnv func(string) (string, bool) // nil: os.LookupEnv
	Log       io.Writer                   // nil: os.Stderr
	Version   string
	// NATS are further options of the connection, such as an in-process server.
	NATS []nats.Option
	// Alone promises that no other worker shares the streams: after an incident
	// nobody else's requests have to be waited for.
	Alone bool
	// Grace is how long calls and requests under way may take when the process has
	// to end; 0: 30 s.
	Grace time.Duration
}

// App is one process. Use New, Start and Stop, or Run.
type App struct {
	opt  Options
	role Role
	env  Surroundings
	log  *slog.Logger
	logs *telemetry.LogBuffer
	// level is the least that is logged; the ops port changes it.
	level *slog.LevelVar

	telemetry *telemetry.Telemetry
	tenants   *tenants.Directory
	nats      *nats.Conn
	redis     redis.UniversalClient
	queue     *queue.Queue
	claims    dedup.Store
	guard     *recovery.Guard
	gates     *deliver.Gates // nil without the worker's role

	ops, api       net.Listener
	opsSrv, apiSrv *http.Server
	edge           edge
	ballast        []byte
	ready          readiness
	cleanups       []cleanup
	failed         chan error
}

// cleanup is one step of the teardown, run last in first out.
type cleanup struct {
	name string
	f    func(context.Context) error
}

// stopWithin bounds Stop: what is in flight has 30 s, writing it down against a
// silent Redis a few more, and the rest is quick.
const stopWithin = 45 * time.Second

// New reads the tenants file and binds the listeners. Nothing runs yet.
func New(opt Options, role Role, env Surroundings) (a *App, err error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	if env.LookupEnv == nil {
		env.LookupEnv = os.LookupEnv
	}
	if env.Log == nil {
		env.Log = os.Stderr
	}
	if env.Grace == 0 {
		env.Grace = inFlight
	}
	a = &App{opt: opt, role: role, env: env, failed: make(chan error, 1), level: new(slog.LevelVar)}
	a.level.Set(opt.LogLevel.Level())
	a.logs = telemetry.NewLogBuffer(env.Log)
	a.log = newLogger(a.logs, opt.LogFormat, a.level).With("process", role.String())
	defer func(made *App) { // by then the returned one is nil
		if err != nil {
			err = errors.Join(err, made.teardown(context.Background()))
			_ = made.logs.Flush()
		}
	}(a)

	if err := a.newTelemetry(); err != nil {
		return nil, err
	}
	a.tenants, err = tenants.Open(tenants.Config{
		Path: opt.Tenants, LookupEnv: env.LookupEnv, Logger: a.log, OnReload: a.telemetry.Metrics.Reload,
	})
	if err != nil {
		return nil, fmt.Errorf("HOMING_TENANTS: %w", err)
	}
	if a.ops, err = a.listen("HOMING_OPS_ADDR", opt.OpsAddr); err != nil {
		return nil, err
	}
	if role.has(API) {
		if a.api, err = a.listen("HOMING_API_ADDR", opt.APIAddr); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *App) newTelemetry() (err error) {
	getenv := func(name string) string { v, _ := a.env.LookupEnv(name); return v }
	a.telemetry, err = telemetry.New(context.Background(), telemetry.Options{
		Service: "homing-" + a.role.String(), Version: a.env.Version, Getenv: getenv,
	})
	if err != nil {
		return err
	}
	a.atStop("telemetry", a.telemetry.Shutdown)
	return nil
}

func (a *App) listen(variable, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; stop what listens there, or set another address", variable, err)
	}
	a.atStop(variable, func(context.Context) error {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return l, nil
}

// Addr is where the API listens; empty without that role.
func (a *App) Addr() string {
	if a.api == nil {
		return ""
	}
	return a.api.Addr().String()
}

// OpsAddr is where health and metrics are served.
func (a *App) OpsAddr() string { return a.ops.Addr().String() }

// Start connects and begins to work. It waits for NATS as long as ctx allows;
// Redis may come later.
func (a *App) Start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Stop(context.Background()))
		}
	}()
	background, cancel := context.WithCancel(context.Background())
	a.atStop("background", func(context.Context) error { cancel(); return nil })
	a.serveOps()
	if a.role.has(API) {
		a.serveAPI()
	}
	if err := a.connect(ctx); err != nil {
		return err
	}
	a.watchTenants(background)
	if a.role.has(API) {
		if err := a.startAPI(background); err != nil {
			return err
		}
	}
	if a.role.has(Worker) {
		if err := a.startWorker(background); err != nil {
			return err
		}
	}
	a.watchLevels(background, a.gates)
	a.ready.set(nil)
	a.log.Info("started", "api", a.Addr(), "ops", a.OpsAddr(), "tenants", len(a.tenants.All()), "version", a.env.Version)
	return nil
}

// Stop ends the work: no new requests, no more pulling, what is in flight gets
// 30 s, the rest is handed back. It is bounded and may be called twice.
func (a *App) Stop(ctx context.Context) error {
	a.ready.set(errStopping)
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	err := a.teardown(ctx)
	a.log.Info("stopped", "error", err)
	return errors.Join(err, a.logs.Flush())
}

// Wait waits for ctx to end or for something to fail, then stops.
func (a *App) Wait(ctx context.Context) error {
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-a.failed:
	}
	return errors.Join(failure, a.Stop(context.WithoutCancel(ctx)))
}

// Run is Start and Wait.
func (a *App) Run(ctx context.Context) error {
	if err := a.Start(ctx); err != nil {
		return err
	}
	return a.Wait(ctx)
}

// fail ends Wait: something that must not end has ended.
func (a *App) fail(err error) {
	select {
	case a.failed <- err:
	default:
	}
}

func (a *App) atStop(name string, f func(context.Context) error) {
	a.cleanups = append(a.cleanups, cleanup{name, f})
}

// teardown undoes what was set up, last first. A step that outlasts ctx is left
// behind: what it holds was neither acked nor handed back, so it comes again.
func (a *App) teardown(ctx context.Context) error {
	var errs []error
	for len(a.cleanups) > 0 {
		last := a.cleanups[len(a.cleanups)-1]
		a.cleanups = a.cleanups[:len(a.cleanups)-1]
		if err := last.run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", last.name, err))
		}
	}
	return errors.Join(errs...)
}

// lastStep is what each step of the teardown gets when its time is over: most need
// none, and are none that should be left out.
const lastStep = 500 * time.Millisecond

// run waits for the step until a moment after ctx has ended.
func (c cleanup) run(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- c.f(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	late := time.NewTimer(lastStep)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		return fmt.Errorf("not done in time: %w", context.Cause(ctx))
	}
}

// newLogger writes lines for programs into the buffer, and lines for a person
// through it at once.
func newLogger(b *telemetry.LogBuffer, format LogFormat, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == LogText {
		return slog.New(telemetry.WithTrace(b.Flushing(slog.LevelDebug, slog.NewTextHandler(b, o))))
	}
	return slog.New(telemetry.WithTrace(b.Flushing(slog.LevelWarn, slog.NewJSONHandler(b, o))))
}
