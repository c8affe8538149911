package main

import (
	"context"
	"time"
)

const (
	idleFor   = 10 * time.Second
	idleAfter = 3 * time.Second // what starts is done by then
)

// measureIdle asks what a worker costs that has nothing to do.
func (l *lab) measureIdle(ctx context.Context, b *book) error {
	l.sayf("idle: a worker with empty queues for %s", idleFor)
	if err := l.startMeta(ctx, 0); err != nil {
		return err
	}
	if err := l.forget(ctx); err != nil {
		return err
	}
	if err := l.launchWorker(workerOptions{}); err != nil {
		return err
	}
	defer l.stopWorker()
	if err := l.worker.ready(ctx, l.workerOps); err != nil {
		return err
	}
	if err := pause(ctx, idleAfter); err != nil {
		return err
	}
	before, err := readUsage(l.worker.pid())
	if err != nil {
		return err
	}
	began := time.Now()
	if err := pause(ctx, idleFor); err != nil {
		return err
	}
	after, err := readUsage(l.worker.pid())
	if err != nil {
		return err
	}
	share := 100 * (after.cpu - before.cpu).Seconds() / time.Since(began).Seconds()
	b.compare(comparison{Part: "idle", Name: "CPU of an idle worker", Unit: "% of a core", Value: share}.atMost(1))
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
