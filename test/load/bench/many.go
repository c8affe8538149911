package main

import (
	"context"
	"fmt"
)

// bareClients are the calls in flight of the bare client: enough to be bound by
// the machine and not by Meta's latency.
const bareClients = 2048

// crowd is a number of tenants, and how their events lie.
type crowd struct {
	m *measurement
	p plan
}

func newCrowd(name string, p plan) crowd {
	return crowd{&measurement{
		Part: "tenants", Name: name, Unit: "events/s",
		Settings: fmt.Sprintf("batches of 1,000, 16 calls in flight, %s events", figure(float64(p.events))),
	}, p}
}

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
	one := newCrowd("1 tenant", plan{events: events, tenants: 1, inRow: 20})
	runs100 := newCrowd("100 tenants, runs of 20", plan{events: events, tenants: 100, inRow: 20})
	runs10k := newCrowd("10,000 tenants, runs of 20", plan{events: events, tenants: 10_000, inRow: 20})
	// One event a call or little more, and no target: fewer events, in one round.
	mixed100 := newCrowd("100 tenants, interleaved", plan{events: events / 2, tenants: 100, inRow: 1})
	mixed10k := newCrowd("10,000 tenants, interleaved", plan{events: events / 4, tenants: 10_000, inRow: 1})
	all := []crowd{one, runs100, runs10k, mixed100, mixed10k}
	for round := range l.set.rounds {
		for _, c := range all {
			if c.p.inRow == 1 && round > 0 {
				continue
			}
			l.sayf("tenants, round %d: %s", round+1, c.m.Name)
			d, err := l.runDrain(ctx, b, c.m, c.p, workerOptions{batch: 1000, concurrency: 16, tenants: c.p.tenants})
			if err != nil {
				return fmt.Errorf("%s: %w", c.m.Name, err)
			}
			c.m.drained(d)
		}
	}
	for _, c := range all {
		b.add(c.m.close())
	}
	client, err := l.measureBareClient(ctx, b, events/4)
	if err != nil {
		return err
	}
	b.compare(
		paired("tenants", "100 tenants in runs of 20 / 1 tenant", runs100.m.Rounds, one.m.Rounds),
		paired("tenants", "10,000 tenants in runs of 20 / 1 tenant", runs10k.m.Rounds, one.m.Rounds).atLeast(0.70),
		paired("tenants", "10,000 tenants interleaved: calls/s / bare client", []float64{mixed10k.m.Calls}, []float64{client.Rate}),
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
