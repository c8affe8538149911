// Command footprint measures what one event costs in bytes, on JetStream's disk
// and in Redis's memory, and works out from it what a shop of a given size needs.
// Each store is filled in steps: a cost is the slope, and where the steps
// disagree by more than 10 % there is no such cost and the command exits 1.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	l := defaultLoad()
	events := flag.Int("events", 20_000, "events of the first of three steps")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Float64Var(&l.APIMicros, "api-us", l.APIMicros, "CPU of the api per event, in microseconds (make bench)")
	flag.Float64Var(&l.WorkerMicros, "worker-us", l.WorkerMicros, "CPU of a worker per event")
	flag.Float64Var(&l.NATSMicros, "nats-us", l.NATSMicros, "CPU of nats-server per event, one replica")
	flag.Float64Var(&l.RedisMicros, "redis-us", l.RedisMicros, "CPU of Redis per event")
	flag.Float64Var(&l.Peak, "peak", l.Peak, "events in the busiest second, over those of an average one")
	flag.Float64Var(&l.Batch, "batch", l.Batch, "events in a call to Meta, on average")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *events, l, *asJSON); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "footprint:", err)
		os.Exit(1)
	}
}

// report is what the command prints as JSON.
type report struct {
	Costs []cost `json:"costs"`
	Load  load   `json:"load"`
	Sizes []size `json:"sizes"`
}

func run(ctx context.Context, n int, l load, asJSON bool) (err error) {
	if n < 1000 {
		return errors.New("-events must be at least 1000: below, what a store needs for itself outweighs its contents")
	}
	w, err := newWorld(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	var r report
	for _, f := range fillings() {
		fmt.Fprintf(os.Stderr, "footprint: %s\n", f.what)
		c, err := w.measure(ctx, f, n)
		if err != nil {
			return fmt.Errorf("%s: %w", f.what, err)
		}
		r.Costs = append(r.Costs, c)
	}
	r.Load = l
	for _, perDay := range []float64{1e6, 1e8, 1e9} {
		r.Sizes = append(r.Sizes, l.size(perDay, r.Costs))
	}
	if asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	return r.print(os.Stdout)
}
