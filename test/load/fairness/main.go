// Command fairness measures what one bad tenant costs the others: 100 tenants at
// equal rates and 60 % load, all healthy against one that fails, hangs or is
// throttled, in turns on one machine. It exits 1 when the others keep less than
// 90 % of their throughput or their p99 grows by more than half.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/homing-dev/homing/internal/sandbox"
)

const (
	tenantCount = 100
	load        = 0.6
	minKept     = 0.90
	maxSlower   = 1.5
)

// trouble is one way for a tenant to be bad.
type trouble struct {
	name   string
	action sandbox.Action
}

func troubles() []trouble {
	return []trouble{
		{"failing", sandbox.Action{Status: 503}},
		{"hanging", sandbox.Action{Hang: true}},
		{"throttled", sandbox.Action{Status: 400, Code: 80004, Usage: &sandbox.Usage{Percent: 100, RegainMinutes: 1}}},
	}
}

func main() {
	seconds := flag.Int("seconds", 10, "length of one run")
	rounds := flag.Int("rounds", 3, "pairs of runs for each kind of trouble")
	rate := flag.Float64("rate", 0, "events per second; 0: 60 % of what this machine does now")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, time.Duration(*seconds)*time.Second, *rounds, *rate); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "fairness:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, length time.Duration, rounds int, rate float64) (err error) {
	lab, err := newLab(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.close()) }()
	if rate == 0 {
		capacity := lab.capacity(ctx, length)
		rate = load * capacity
		fmt.Fprintf(out, "capacity %.0f events/s, load %.0f events/s\n", capacity, rate)
	}
	var rows []row
	bad := 0
	for _, t := range troubles() {
		var healthy, sick []sample
		for range rounds {
			fmt.Fprintf(out, "%s: healthy, ", t.name)
			healthy = append(healthy, lab.measure(ctx, rate, length, tenantCount))
			fmt.Fprintf(out, "one bad\n")
			forget, err := lab.spoil(bad, t.action)
			if err != nil {
				return err
			}
			sick = append(sick, lab.measure(ctx, rate, length, tenantCount))
			forget()
			bad++
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		rows = append(rows, newRow(t.name, healthy, sick))
	}
	return report(out, rows)
}

// row compares healthy runs with those next to them.
type row struct {
	name                     string
	healthy, sick            sample // medians
	keptThroughput, slowerBy float64
}

func newRow(name string, healthy, sick []sample) row {
	r := row{name: name, healthy: median(healthy), sick: median(sick)}
	r.keptThroughput = r.sick.rate / r.healthy.rate
	r.slowerBy = float64(r.sick.p99) / float64(r.healthy.p99)
	return r
}

func median(s []sample) sample {
	rates, p99s := make([]float64, len(s)), make([]time.Duration, len(s))
	for i := range s {
		rates[i], p99s[i] = s[i].rate, s[i].p99
	}
	slices.Sort(rates)
	slices.Sort(p99s)
	return sample{rates[len(s)/2], p99s[len(s)/2]}
}

func report(out io.Writer, rows []row) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "one of 100 is\thealthy events/s\tone bad\tkept\thealthy p99\tone bad\tslower by\t")
	var errs []error
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%.2f\t%v\t%v\t%.2f\t\n", r.name, r.healthy.rate, r.sick.rate, r.keptThroughput,
			r.healthy.p99.Round(time.Millisecond), r.sick.p99.Round(time.Millisecond), r.slowerBy)
		if r.keptThroughput < minKept || r.slowerBy > maxSlower {
			errs = append(errs, fmt.Errorf("%s: the others keep %.2f of their throughput and their p99 grows to %.2f",
				r.name, r.keptThroughput, r.slowerBy))
		}
	}
	return errors.Join(t.Flush(), errors.Join(errs...))
}
