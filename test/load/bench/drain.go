package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/homing-dev/homing/internal/queue"
)

// drainLatency is how long the fake Meta takes.
const drainLatency = 100 * time.Millisecond

// drained is one drain.
type drained struct {
	rate    float64 // events/s, from the first event at Meta to the last outcome
	ready   float64 // events/s, from the worker's readiness
	calls   float64 // calls/s at Meta
	perCall float64
	costs   []cost
}

// measureDrain compares cmd/worker with the bare drain, in turns.
func (l *lab) measureDrain(ctx context.Context, b *book) error {
	if err := l.startMeta(ctx, drainLatency); err != nil {
		return err
	}
	if err := l.storeClicks(ctx, 1); err != nil {
		return err
	}
	p := plan{events: l.set.events, tenants: 1, inRow: 1, duplicates: true}
	type config struct {
		m *measurement
		w workerOptions
		n int // of a bare drain: events of a call
	}
	made := func(name string, w workerOptions, n int) config {
		m := &measurement{Part: "drain", Name: name, Unit: "events/s"}
		return config{m, w, n}
	}
	defaults := made("defaults: batches of 200, 8 calls in flight", workerOptions{}, 0)
	all200 := made("batches of 200, 16 calls in flight", workerOptions{batch: 200, concurrency: 16}, 0)
	eight := made("batches of 1,000, 8 calls in flight", workerOptions{batch: 1000}, 0)
	all1000 := made("batches of 1,000, 16 calls in flight", workerOptions{batch: 1000, concurrency: 16}, 0)
	bare200 := made("bare, batches of 200, 16 calls in flight", workerOptions{}, 200)
	bare1000 := made("bare, batches of 1,000, 16 calls in flight", workerOptions{}, 1000)
	all := []config{all1000, bare1000, eight, all200, bare200, defaults}
	for round := range l.set.rounds {
		for _, c := range all {
			l.sayf("drain, round %d: %s", round+1, c.m.Name)
			var d drained
			var err error
			if c.n > 0 {
				d, err = l.runBareDrain(ctx, b, c.m, p, c.n)
			} else {
				d, err = l.runDrain(ctx, b, c.m, p, c.w)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", c.m.Name, err)
			}
			c.m.drained(d)
		}
	}
	for _, c := range all {
		b.add(c.m.close())
	}
	b.compare(
		paired("drain", "batches of 1,000 / bare, 16 in flight each", all1000.m.Rounds, bare1000.m.Rounds).atLeast(0.85),
		paired("drain", "batches of 1,000 at 8 in flight / bare at 16", eight.m.Rounds, bare1000.m.Rounds),
		paired("drain", "batches of 200 / bare, 16 in flight each", all200.m.Rounds, bare200.m.Rounds).atLeast(0.75),
		paired("drain", "defaults (200, 8 in flight) / bare at 200 and 16", defaults.m.Rounds, bare200.m.Rounds),
		cpuOf("drain", "batches of 1,000 / bare", all1000.m, bare1000.m),
		cpuOf("drain", "batches of 200 / bare", all200.m, bare200.m),
		peakOf("worker", all1000.m, eight.m, all200.m, defaults.m).atMost(200),
	)
	return nil
}

// drained adds a drain to the rounds.
func (m *measurement) drained(d drained) {
	m.round(d.rate, nil, d.costs)
	m.Calls = d.calls
	m.Note = fmt.Sprintf("last round: %.0f events a call, %s calls/s", d.perCall, figure(d.calls))
	if d.ready > 0 {
		m.Note += fmt.Sprintf(", %s/s from readiness", figure(d.ready))
	}
}

// runDrain stores a backlog, starts a worker and waits until all of it is
// settled.
func (l *lab) runDrain(ctx context.Context, b *book, m *measurement, p plan, w workerOptions) (d drained, err error) {
	l.stopWorker()
	distinct, err := l.prepare(ctx, func() (int, error) { return l.storeEvents(ctx, p) })
	if err != nil {
		return d, err
	}
	costs := newMeter(l.nats, l.redis, l.meta)
	if err := l.launchWorker(w); err != nil {
		return d, err
	}
	costs.add(l.worker)
	if err := l.worker.ready(ctx, l.workerOps); err != nil {
		return d, err
	}
	readyAt := time.Now()
	profiled := l.profile(ctx, m, l.worker, 3*time.Second)
	if err := l.awaitEmpty(ctx, p.events); err != nil {
		return d, err
	}
	d.costs = costs.read(p.events)
	profiled()

	stats, err := l.metaStats(ctx)
	if err != nil {
		return d, err
	}
	ledger, err := l.info(ctx, queue.StreamOutcomes)
	if err != nil {
		return d, err
	}
	page, err := get(ctx, "http://"+l.workerOps+"/metrics")
	if err != nil {
		return d, err
	}
	l.stopWorker()
	b.judge(m, stats, distinct)
	if o := outcomes(page); o["delivered"] != distinct || o["duplicate"] != p.events-distinct || len(o) > 0 && o["delivered"]+o["duplicate"] != p.events {
		b.fault("%s: the worker counts the outcomes %v; want %d delivered and %d duplicate", m.Name, o, distinct, p.events-distinct)
	}
	end := ledger.State.LastTime
	if err := d.figures(p.events, stats, end); err != nil {
		return d, err
	}
	d.ready = float64(p.events) / end.Sub(readyAt).Seconds()
	return d, nil
}

// figures computes the rates of a drain from what the sandbox saw.
func (d *drained) figures(events int, s metaStats, end time.Time) error {
	took := end.Sub(s.FirstAt).Seconds()
	if s.FirstAt.IsZero() || took <= 0 {
		return errors.New("nothing reached Meta before the end")
	}
	d.rate = float64(events) / took
	d.calls = float64(s.Calls) / took
	d.perCall = float64(s.Events) / float64(max(s.Calls, 1))
	return nil
}

// prepare empties everything and stores a backlog.
func (l *lab) prepare(ctx context.Context, store func() (int, error)) (distinct int, err error) {
	if err := l.forget(ctx); err != nil {
		return 0, err
	}
	if err := l.resetMeta(ctx); err != nil {
		return 0, err
	}
	if distinct, err = store(); err != nil {
		return 0, fmt.Errorf("store the backlog: %w", err)
	}
	runtime.GC() // ours, before the clock runs
	return distinct, nil
}

// stuckAfter is how long a backlog may stay as it is.
const stuckAfter = time.Minute

// awaitEmpty waits until nothing waits in any stream; every tenth of the way it
// tells the worker's memory, if it is a long one.
func (l *lab) awaitEmpty(ctx context.Context, total int) error {
	last, moved, tenth := -1, time.Now(), 0
	for {
		left := 0
		for _, name := range []string{queue.StreamEvents, queue.StreamRetry, queue.StreamParked} {
			n, err := l.stored(ctx, name)
			if err != nil {
				return err
			}
			left += n
		}
		switch {
		case left == 0:
			return nil
		case !l.worker.running():
			return l.worker.failure("has ended")
		case left != last:
			last, moved = left, time.Now()
		case time.Since(moved) > stuckAfter:
			return l.worker.failure(fmt.Sprintf("does not get on: %d events are left", left))
		}
		if done := 10 * (total - left) / total; l.set.backlog > 0 && done > tenth {
			tenth = done
			if u, err := readUsage(l.worker.pid()); err == nil {
				l.sayf("%3d %% drained: the worker has %d MB, %d MB at most", 10*done, u.rss/1e6, u.top/1e6)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// runBareDrain is runDrain for the bare program.
func (l *lab) runBareDrain(ctx context.Context, b *book, m *measurement, p plan, batch int) (d drained, err error) {
	l.stopWorker()
	distinct, err := l.prepare(ctx, func() (int, error) { return l.storeBare(ctx, p) })
	if err != nil {
		return d, err
	}
	costs := newMeter(l.nats, l.redis, l.meta)
	rep, used, err := l.runBare(ctx, "-nats", l.natsURL, "-redis", l.redisAddr, "-stream", bareStream, "-meta", l.edge(0),
		"-batch", fmt.Sprint(batch), "-in-flight", "16", "-count", fmt.Sprint(p.events), "drain")
	if err != nil {
		return d, err
	}
	d.costs = append(costs.read(p.events), used.per(p.events))
	stats, err := l.metaStats(ctx)
	if err != nil {
		return d, err
	}
	b.judge(m, stats, distinct)
	return d, d.figures(p.events, stats, rep.End)
}

// bareReport is what a bare program prints when it is done.
type bareReport struct {
	Events int       `json:"events"`
	Calls  int       `json:"calls"`
	Begin  time.Time `json:"begin"`
	End    time.Time `json:"end"`
}

// runBare runs a bare program to its end.
func (l *lab) runBare(ctx context.Context, args ...string) (rep bareReport, used rusage, err error) {
	var out bytes.Buffer
	p, err := start(l.dir, "bare", l.bin("bare"), nil, &out, args...)
	if err != nil {
		return rep, used, err
	}
	defer p.stop()
	if err := p.ended(ctx); err != nil {
		return rep, used, err
	}
	if err := json.Unmarshal(out.Bytes(), &rep); err != nil {
		return rep, used, p.failure(fmt.Sprintf("printed no report: %v", err))
	}
	return rep, rusageOf(p), nil
}
