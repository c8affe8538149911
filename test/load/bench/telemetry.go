package main

import (
	"context"
	"fmt"

	"github.com/homing-dev/homing/internal/queue"
)

// measureTelemetry compares api and worker with traces and without, in turns:
// OTEL_SDK_DISABLED=true and no scraping. Logs are the same.
func (l *lab) measureTelemetry(ctx context.Context, b *book) error {
	if err := l.startMeta(ctx, drainLatency); err != nil {
		return err
	}
	if err := l.storeClicks(ctx, 1); err != nil {
		return err
	}
	defer l.stopAPI()
	pair := func(what string) (on, off *measurement) {
		return &measurement{Part: "telemetry", Name: what + ", with", Unit: "events/s"},
			&measurement{Part: "telemetry", Name: what + ", without", Unit: "events/s"}
	}
	ingestOn, ingestOff := pair("ingest, 64 connections")
	drainOn, drainOff := pair("drain, batches of 1,000")
	p := plan{events: l.set.events / 2, tenants: 1, inRow: 1, duplicates: true}
	for round := range l.set.rounds {
		for _, on := range []bool{true, false} {
			in, out := ingestOff, drainOff
			if on {
				in, out = ingestOn, drainOn
			}
			l.sayf("telemetry, round %d: %s", round+1, in.Name)
			if err := l.startAPI(ctx, on); err != nil {
				return err
			}
			t := &ingestTarget{in, l.apiAddr, l.api, queue.StreamEvents, 64, 1}
			if err := l.runIngest(ctx, b, t, l.set.length()); err != nil {
				return fmt.Errorf("%s: %w", in.Name, err)
			}
			l.stopAPI()
			l.sayf("telemetry, round %d: %s", round+1, out.Name)
			d, err := l.runDrain(ctx, b, out, p, workerOptions{batch: 1000, concurrency: 16, noTelemetry: !on})
			if err != nil {
				return fmt.Errorf("%s: %w", out.Name, err)
			}
			out.drained(d)
		}
	}
	b.add(ingestOn.close(), ingestOff.close(), drainOn.close(), drainOff.close())
	b.compare(
		paired("telemetry", "ingest with telemetry / without", ingestOn.Rounds, ingestOff.Rounds).atLeast(0.90),
		paired("telemetry", "drain with telemetry / without", drainOn.Rounds, drainOff.Rounds).atLeast(0.90),
	)
	return nil
}
