package app

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/internal/deliver"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/internal/telemetry"
	"github.com/homing-dev/homing/internal/tenants"
)

const (
	// levelsEvery is how old the gauges may be. A look costs JetStream eight small
	// requests and three pages, however often somebody scrapes.
	levelsEvery = 10 * time.Second
	levelsWait  = 5 * time.Second
	// sampled is how many of the oldest events of a stream are looked at for the
	// one that Meta refuses first.
	sampled = 100
	// refusedAfter is how old an event may be for Meta.
	// Source: Conversions API, "Using the API": event_time up to 7 days in the past.
	refusedAfter = 7 * 24 * time.Hour
)

// levels looks at what waits where, for the gauges.
type levels struct {
	queue interface {
		Levels(ctx context.Context) ([]queue.StreamStatus, error)
		RetriesDue(ctx context.Context) (uint64, error)
		Oldest(ctx context.Context, stream string, n int) ([]queue.Waiting, error)
		Connected() bool
	}
	redis   redis.UniversalClient
	tenants *tenants.Directory
	gates   *deliver.Gates // nil without the worker's role
	now     func() time.Time
	show    func(*telemetry.Levels)
}

// run looks until ctx ends.
func (l *levels) run(ctx context.Context) {
	ticker := time.NewTicker(levelsEvery)
	defer ticker.Stop()
	for {
		look, cancel := context.WithTimeout(ctx, levelsWait)
		l.show(l.look(look))
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (l *levels) look(ctx context.Context) *telemetry.Levels {
	seen := &telemetry.Levels{Up: map[string]bool{}}
	backlog, err := l.backlog(ctx)
	if err == nil {
		seen.Backlog = backlog
	}
	seen.Up["nats"] = err == nil && l.queue.Connected()
	last, err := readAudit(ctx, l.redis)
	seen.Up["redis"] = err == nil
	if last != nil {
		seen.Audit = &telemetry.Audit{Unaccounted: last.Unaccounted, Age: l.now().Sub(last.At)}
	}
	if l.gates != nil {
		for _, t := range l.tenants.All() {
			state, reason := l.gates.State(t.ID)
			seen.Gates = append(seen.Gates, telemetry.Gate{Tenant: t.ID, State: string(state), Reason: string(reason)})
		}
	}
	return seen
}

func (l *levels) backlog(ctx context.Context) (*telemetry.Backlog, error) {
	streams, err := l.queue.Levels(ctx)
	if err != nil {
		return nil, err
	}
	now := l.now()
	b := &telemetry.Backlog{Deadline: refusedAfter}
	for _, s := range streams {
		level := telemetry.Stream{Name: s.Name, Events: s.Messages, Bytes: s.Bytes, Limit: s.MaxBytes}
		age := time.Duration(0)
		if !s.Oldest.IsZero() {
			age = max(now.Sub(s.Oldest), 0)
		}
		switch s.Name {
		case queue.StreamEvents:
			level.Waiting, b.Oldest = true, age
		case queue.StreamRetry:
			level.Waiting, b.Retries = true, s.Messages
			if s.Messages > 0 {
				if b.RetriesDue, err = l.queue.RetriesDue(ctx); err != nil {
					return nil, err
				}
			}
		case queue.StreamParked:
			level.Waiting, b.Parked = true, s.Messages
		case queue.StreamDead:
			b.DeadLetters, b.OldestLetter = s.Messages, age
		}
		b.Streams = append(b.Streams, level)
		if level.Waiting && s.Messages > 0 {
			if err := l.sample(ctx, s.Name, b, now); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// sample looks at the oldest events of a stream.
func (l *levels) sample(ctx context.Context, stream string, b *telemetry.Backlog, now time.Time) error {
	oldest, err := l.queue.Oldest(ctx, stream, sampled)
	if err != nil {
		return err
	}
	for _, w := range oldest {
		if !w.EventAt.IsZero() {
			b.Deadline = min(b.Deadline, w.EventAt.Add(refusedAfter).Sub(now))
		}
		if stream == queue.StreamParked && !w.AcceptedAt.IsZero() {
			b.OldestParked = max(b.OldestParked, now.Sub(w.AcceptedAt))
		}
	}
	return nil
}

// showTenants begins the series of every tenant, now and when there are new ones.
func (a *App) showTenants() {
	begin := func(set *tenants.Set) {
		for _, t := range set.All() {
			a.telemetry.Metrics.Begin(t.ID)
		}
	}
	unsubscribe := a.tenants.Subscribe(func(_, now *tenants.Set) { begin(now) })
	a.atStop("tenants", func(context.Context) error { unsubscribe(); return nil })
	begin(a.tenants.Set())
}

// watchLevels keeps the gauges up to date; gates is nil without the worker's role.
func (a *App) watchLevels(background context.Context, gates *deliver.Gates) {
	a.showTenants()
	l := &levels{
		queue: a.queue, redis: a.redis, tenants: a.tenants, gates: gates, now: time.Now,
		show: a.telemetry.Metrics.SetLevels,
	}
	a.goUntilStop(background, l.run)
}
