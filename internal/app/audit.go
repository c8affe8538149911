package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/internal/ops"
	"github.com/homing-dev/homing/internal/queue"
)

const (
	auditKey   = "homing:audit"       // the result of the last audit
	auditLease = "homing:audit:lease" // the worker that audits, or rests after it

	auditEvery = 10 * time.Minute
	// auditRest is how many times as long as it took an audit rests: it never
	// takes more than two per cent of the time.
	auditRest = 50
	// auditMost bounds what a worker reads for an audit. Above it the audit is
	// left to the command line, on a machine of its own.
	auditMost = 2 << 30
	// auditPatience is how long an event on its way is looked for again.
	auditPatience = 30 * time.Second
	// auditKept is how long a result is worth showing.
	auditKept = 48 * time.Hour
)

// auditResult is what an audit leaves behind for the gauges of all workers.
type auditResult struct {
	Unaccounted uint64    `json:"unaccounted"`
	At          time.Time `json:"at"`
}

// readAudit returns the last result; nil when there is none.
func readAudit(ctx context.Context, rdb redis.Cmdable) (*auditResult, error) {
	text, err := rdb.Get(ctx, auditKey).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("app: the last audit: %w", err)
	}
	r := new(auditResult)
	if json.Unmarshal(text, r) != nil {
		return nil, nil // of another version: the next audit writes it anew
	}
	return r, nil
}

// auditor audits now and then, one worker of all at a time.
type auditor struct {
	queue    *queue.Queue
	redis    redis.UniversalClient
	ackWait  time.Duration
	patience time.Duration
	now      func() time.Time
	log      *slog.Logger
}

// run audits until ctx ends. It does not begin at once: a worker that has just
// started has more urgent things to do than to read the backlog twice.
func (a *auditor) run(ctx context.Context) {
	ticker := time.NewTicker(auditEvery / 10)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := a.round(ctx); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "audit.failed", "error", err)
		}
	}
}

// round audits if it is time to. Two workers that do so at once do no harm.
func (a *auditor) round(ctx context.Context) error {
	mine, err := a.redis.SetNX(ctx, auditLease, 1, auditEvery).Result()
	if err != nil || !mine {
		return nil // Redis is missed elsewhere
	}
	streams, err := a.queue.Levels(ctx)
	if err != nil {
		return err
	}
	size := uint64(0)
	for _, s := range streams {
		if s.Name != queue.StreamClicks && s.Name != queue.StreamDead {
			size += s.Bytes
		}
	}
	if size > auditMost {
		a.log.DebugContext(ctx, "audit.skipped", "bytes", size)
		return nil
	}
	start := a.now()
	report, err := ops.Audit{Queue: a.queue, AckWait: a.ackWait}.Run(ctx, ops.AuditOptions{Patience: a.patience})
	if err != nil {
		return err
	}
	took := a.now().Sub(start)
	result := auditResult{Unaccounted: report.Total.Nowhere + report.Total.Twice + report.Unreadable, At: a.now()}
	level := slog.LevelDebug
	if !report.OK() {
		level = slog.LevelError
	}
	a.log.LogAttrs(ctx, level, "audit", slog.Uint64("accepted", report.Total.Accepted), slog.Uint64("nowhere", report.Total.Nowhere),
		slog.Uint64("twice", report.Total.Twice), slog.Uint64("unreadable", report.Unreadable), slog.Duration("duration", took))
	text, err := json.Marshal(result)
	if err != nil {
		return err
	}
	pipe := a.redis.Pipeline()
	pipe.Set(ctx, auditKey, text, auditKept)
	pipe.PExpire(ctx, auditLease, max(auditEvery, auditRest*took))
	_, err = pipe.Exec(ctx)
	return err
}
