package main

import (
	"context"
	"fmt"
)

// bareClients are the calls in flight of the bare client: enough to be bound by
// the machine and not by Meta's latency.
const bareClients = 2048

// measureTenants drains the same number of events of 1, 100 and 10,000 tenants:
// in runs of 20, and fully interleaved, where a call to Meta can hardly hold more
// than one event.
func (l *lab) measureTenants(ctx context.Context, b *book) error {
	if err := l.startMeta(ctx, drainLatency); err != nil {
		return err
	}
	for _, n := range tenantCounts() {
		if err := l.storeClicks(ctx, n); err != nil {
			return err
		}
	}
	events := l.set.events / 2
	run := func(name string, p plan) (*measurement, error) {
		m := &measurement{Part: "tenants", Name: name, Unit: "events/s"}
		for round := range l.set.rounds {
			l.sayf("tenants, round %d: %s", round+1, name)
			d, err := l.runDrain(ctx, b, m, p, workerOptions{batch: 1000, concurrency: 16, tenants: p.tenants})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			m.drained(d)
			if p.inRow == 1 && p.tenants > 1 {
				break // slow, and no target hangs on it
			}
		}
		m.Settings = fmt.Sprintf("batches of 1,000, 16 calls in flight, %s events", figure(float64(p.events)))
		b.add(m.close())
		return m, nil
	}
	one, err := run("1 tenant", plan{events: events, tenants: 1, inRow: 20})
	if err != nil {
		return err
	}
	var runs [2]*measurement
	var mixed *measurement
	for i, n := range tenantCounts()[1:] {
		if runs[i], err = run(figure(float64(n))+" tenants, runs of 20", plan{events: events, tenants: n, inRow: 20}); err != nil {
			return err
		}
		// Every event is a call of its own: fewer of them take as long.
		if mixed, err = run(figure(float64(n))+" tenants, interleaved", plan{events: events / 2, tenants: n, inRow: 1}); err != nil {
			return err
		}
	}
	client, err := l.measureBareClient(ctx, b, events/2)
	if err != nil {
		return err
	}
	b.compare(
		paired("tenants", "100 tenants in runs of 20 / 1 tenant", runs[0].Rounds, one.Rounds),
		paired("tenants", "10,000 tenants in runs of 20 / 1 tenant", runs[1].Rounds, one.Rounds).atLeast(0.70),
		paired("tenants", "10,000 tenants interleaved: calls/s / bare client", []float64{mixed.Calls}, []float64{client.Rate}),
	)
	return nil
}

// measureBareClient posts one event a call, as fast as it goes.
func (l *lab) measureBareClient(ctx context.Context, b *book, events int) (*measurement, error) {
	m := &measurement{Part: "tenants", Name: "bare client, one event a call", Unit: "calls/s", Settings: fmt.Sprintf("%d calls in flight", bareClients)}
	l.sayf("tenants: %s", m.Name)
	if err := l.resetMeta(ctx); err != nil {
		return nil, err
	}
	costs := newMeter(l.meta)
	rep, used, err := l.runBare(ctx, "-meta", l.edge(0), "-in-flight", fmt.Sprint(bareClients), "-count", fmt.Sprint(events), "client")
	if err != nil {
		return nil, err
	}
	m.round(float64(rep.Calls)/rep.End.Sub(rep.Begin).Seconds(), nil, append(costs.read(events), used.per(events)))
	stats, err := l.metaStats(ctx)
	if err != nil {
		return nil, err
	}
	b.judge(m, stats, events)
	b.add(m.close())
	return m, nil
}
