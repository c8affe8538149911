// Package recovery keeps the memory in Redis whole: it notices when Redis has
// forgotten something, rebuilds what was forgotten from the streams, and says
// when events may be claimed again.
//
// JetStream is the truth and Redis a projection of it. A marker in Redis says
// that the projection is complete; a Redis that was flushed or replaced has
// none, and until it is back every worker keeps its hands off.
package recovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/homing-dev/homing/internal/crash"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// Claims is the part of the claim store that can be rebuilt.
type Claims interface {
	Marker(ctx context.Context) (dedup.Marker, error)
	Mark(ctx context.Context, m dedup.Marker) error
	Restore(ctx context.Context, decided []dedup.Restored) error
}

// Clicks is the click store.
type Clicks interface {
	Put(ctx context.Context, clicks []events.Click) error
}

// Streams are what the memory is rebuilt from. A zero since means everything.
type Streams interface {
	ReadOutcomes(ctx context.Context, since time.Time, f func([]events.Settlement) error) error
	ReadClicks(ctx context.Context, since time.Time, f func([]events.Click) error) error
	// Memories is how many messages the ledger and the clicks have, for those who
	// may not read them.
	Memories(ctx context.Context) (uint64, error)
	// AckPending is how many events are in some worker's hands, or were in the
	// hands of one that died.
	AckPending(ctx context.Context) (int, error)
}

// Options sets up a Guard.
type Options struct {
	Claims  Claims
	Clicks  Clicks
	Streams Streams
	// RunID names the server's process; an error or an empty string where the
	// server hides it.
	RunID func(ctx context.Context) (string, error)
	// Wait is how long after an incident a request of another worker may still
	// be under way (HOMING_BATCH_DEADLINE).
	Wait time.Duration
	// Writes tries a write: a server that is out of memory, or is a replica now,
	// answers reads as if it lacked nothing. nil: not tried.
	Writes func(ctx context.Context) error
	// Incident is told of every incident; nil when nobody counts.
	Incident func()
	Logger   *slog.Logger
	Now      func() time.Time // nil: time.Now
}

const (
	every = time.Second      // between two looks at a healthy store
	tail  = 15 * time.Minute // what a server may forget that has not lost everything
)

// Guard watches the claim store. Run must be running for it to change its mind.
type Guard struct {
	opt    Options
	alarm  chan struct{}
	missed atomic.Bool // see Missed

	mu      sync.Mutex
	whole   bool
	changed chan struct{} // closed and replaced whenever whole changes
	err     error         // why the memory is not whole
}

// New returns a guard that trusts nothing yet.
func New(opt Options) *Guard {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Incident == nil {
		opt.Incident = func() {}
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	return &Guard{opt: opt, alarm: make(chan struct{}, 1), changed: make(chan struct{}), err: errors.New("redis was not asked yet")}
}

// Alarm asks the guard to look at once: somebody was refused, or not answered.
func (g *Guard) Alarm(error) {
	select {
	case g.alarm <- struct{}{}:
	default:
	}
}

// Missed tells that the ledger holds a decision that Redis would not take: it is
// to be brought there before the claim that still stands in its place grows old.
func (g *Guard) Missed() {
	g.missed.Store(true)
	g.Alarm(nil)
}

// Whole returns nil while the memory can be trusted, else why it can't.
func (g *Guard) Whole() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// Wait blocks until the memory can be trusted. The context it returns ends when
// that is over, or with ctx.
func (g *Guard) Wait(ctx context.Context) (context.Context, error) {
	for {
		g.mu.Lock()
		whole, changed := g.whole, g.changed
		g.mu.Unlock()
		if whole {
			trust, cancel := context.WithCancel(ctx)
			go func() {
				defer cancel()
				select {
				case <-changed:
				case <-ctx.Done():
				}
			}()
			return trust, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Run watches until ctx ends.
func (g *Guard) Run(ctx context.Context) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var down bool // Redis did not answer since it was last whole
	for ctx.Err() == nil {
		down = g.look(ctx, down)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-g.alarm:
		}
	}
}

// CatchUp waits for a memory that can be trusted and then rebuilds the tail of it
// once, for a worker that starts: the one before it may have died when it had
// told the ledger what Redis would not take. Nothing has to wait for it, since
// the dead one's claims stand for longer.
func (g *Guard) CatchUp(ctx context.Context) {
	if _, err := g.Wait(ctx); err != nil {
		return
	}
	if err := g.rebuild(ctx, g.opt.Now().Add(-tail)); err != nil && ctx.Err() == nil {
		g.opt.Logger.WarnContext(ctx, "redis.recovery", "error", err)
	}
}

// look asks Redis what it remembers, and rebuilds what it does not.
func (g *Guard) look(ctx context.Context, down bool) (stillDown bool) {
	down = g.missed.Swap(false) || down
	marker, err := g.opt.Claims.Marker(ctx)
	if err == nil && g.opt.Writes != nil {
		err = g.opt.Writes(ctx)
	}
	runID := ""
	if err == nil {
		// Where the server hides its run_id a lost connection is all there is to see.
		runID, _ = g.opt.RunID(ctx)
	}
	switch {
	case errors.Is(err, dedup.ErrIncident):
		err = g.recover(ctx, time.Time{}, g.opt.Wait)
	case err != nil:
		g.set(fmt.Errorf("redis does not answer: %w", err))
		return true
	case runID != "" && runID != marker.RunID, down && runID == "":
		err = g.recover(ctx, g.opt.Now().Add(-tail), g.opt.Wait)
	case down:
		// The same process with the same memory; but while it did not answer,
		// outcomes may have gone to the ledger alone.
		err = g.rebuild(ctx, g.opt.Now().Add(-tail))
	}
	if err != nil {
		g.set(err)
		g.opt.Logger.ErrorContext(ctx, "redis.recovery", "error", err)
		return true
	}
	g.set(nil)
	return false
}

// recover waits for what may be under way to end, rebuilds the memory and
// declares it whole.
func (g *Guard) recover(ctx context.Context, since time.Time, wait time.Duration) error {
	found := g.opt.Now()
	g.set(errors.New("redis lost its memory; it is being rebuilt from the streams"))
	quiet, err := g.quiet(ctx, wait)
	if err != nil {
		return err
	}
	marker := dedup.Marker{}
	marker.RunID, _ = g.opt.RunID(ctx) // hidden: empty
	if !quiet {
		g.opt.Incident()
		g.opt.Logger.WarnContext(ctx, "redis.incident", "since", since, "waited", g.opt.Now().Sub(found))
	}
	if err := g.rebuild(ctx, since); err != nil {
		return err
	}
	if !quiet {
		// Something was in flight: what comes back, now that claims go on, may
		// have been sent by a claim that Redis forgot.
		marker.IncidentAt = g.opt.Now()
	}
	return g.mark(ctx, marker)
}

// quiet waits until no event is in any worker's hands, at most for wait: by then
// every request that was under way has ended. It reports whether nothing was in
// flight to begin with.
func (g *Guard) quiet(ctx context.Context, wait time.Duration) (bool, error) {
	until := g.opt.Now().Add(wait)
	for first := true; ; first = false {
		n, err := g.opt.Streams.AckPending(ctx)
		if err != nil {
			return false, fmt.Errorf("recovery: ask for events in flight: %w", err)
		}
		if n == 0 || !g.opt.Now().Before(until) {
			return first && n == 0, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(every / 4):
		}
	}
}

// rebuild brings settled events and clicks back from the streams.
func (g *Guard) rebuild(ctx context.Context, since time.Time) error {
	start := g.opt.Now()
	settled, err := RebuildSettled(ctx, g.opt.Streams, g.opt.Claims, since)
	if err != nil {
		return err
	}
	clicks, err := RebuildClicks(ctx, g.opt.Streams, g.opt.Clicks, since)
	if err != nil {
		return err
	}
	g.opt.Logger.InfoContext(ctx, "redis.rebuilt", "settled", settled, "clicks", clicks,
		"everything", since.IsZero(), "took", g.opt.Now().Sub(start))
	return nil
}

func (g *Guard) set(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
	if g.whole == (err == nil) {
		return
	}
	g.whole = err == nil
	close(g.changed)
	g.changed = make(chan struct{})
}

// Bless tries to bless until there is a marker, whoever wrote it, or ctx ends.
func (g *Guard) Bless(ctx context.Context) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for g.TryBless(ctx) != nil {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// TryBless writes the marker of a Redis that has nothing to remember, so that an
// api next to fresh streams does not have to wait for a worker. It returns nil
// when there is a marker.
func (g *Guard) TryBless(ctx context.Context) error {
	_, err := g.opt.Claims.Marker(ctx)
	if errors.Is(err, dedup.ErrIncident) {
		return g.blessFresh(ctx)
	}
	return err
}

// errMemories says that there is something to rebuild, which is a worker's job.
var errMemories = errors.New("recovery: the streams hold memories")

func (g *Guard) blessFresh(ctx context.Context) error {
	n, err := g.opt.Streams.AckPending(ctx)
	if err != nil {
		return err
	}
	if n > 0 {
		return errMemories
	}
	memories, err := g.opt.Streams.Memories(ctx)
	if err != nil {
		return err
	}
	if memories > 0 {
		return errMemories
	}
	marker := dedup.Marker{}
	marker.RunID, _ = g.opt.RunID(ctx) // hidden: empty
	return g.mark(ctx, marker)
}

// mark declares the memory whole.
func (g *Guard) mark(ctx context.Context, m dedup.Marker) error {
	crash.At(crash.BeforeMark)
	defer crash.At(crash.AfterMark)
	return g.opt.Claims.Mark(ctx, m)
}
