package main

import "context"

// measureBacklog drains one long backlog and shows that the worker's memory does
// not follow its length.
func (l *lab) measureBacklog(ctx context.Context, b *book) error {
	if err := l.startMeta(ctx, drainLatency); err != nil {
		return err
	}
	if err := l.storeClicks(ctx, 1); err != nil {
		return err
	}
	p := plan{events: l.set.backlog, tenants: 1, inRow: 1, duplicates: true}
	m := &measurement{Part: "backlog", Name: figure(float64(p.events)) + " events, batches of 1,000, 16 calls in flight", Unit: "events/s"}
	l.sayf("backlog: storing %s events", figure(float64(p.events)))
	d, err := l.runDrain(ctx, b, m, p, workerOptions{batch: 1000, concurrency: 16})
	if err != nil {
		return err
	}
	m.drained(d)
	b.add(m.close())
	b.compare(peakOf("worker", m).atMost(200))
	return nil
}
