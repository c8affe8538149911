package main

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"
	"time"
)

// load is what the sizes are worked out for, beside the number of events.
type load struct {
	Peak           float64 `json:"peak"`             // the busiest second over the average one
	Batch          float64 `json:"batch"`            // events in a call to Meta
	ClicksPerEvent float64 `json:"clicks_per_event"` // taps on ads that come in, for each conversion
	Busy           float64 `json:"busy"`             // how busy a core may be at the peak
	Outage         float64 `json:"outage_hours"`     // of Meta, at the peak, that the backlog has to hold

	APIMicros    float64 `json:"api_us"`
	WorkerMicros float64 `json:"worker_us"`
	NATSMicros   float64 `json:"nats_us"`
	RedisMicros  float64 `json:"redis_us"`
}

// size is what a shop needs.
type size struct {
	PerDay    float64 `json:"events_per_day"`
	PerSecond float64 `json:"events_per_second"`
	AtPeak    float64 `json:"events_per_second_at_peak"`

	APICores    float64 `json:"api_cores"`
	WorkerCores float64 `json:"worker_cores"`
	NATSCores   float64 `json:"nats_cores"`
	RedisCores  float64 `json:"redis_cores"`
	Calls       float64 `json:"meta_calls_per_second_at_peak"`

	Backlog float64 `json:"backlog_bytes"`
	Ledger  float64 `json:"ledger_bytes"`
	Clicks  float64 `json:"clicks_bytes"`

	RedisEvents float64 `json:"redis_events_bytes"`
	RedisPeople float64 `json:"redis_people_bytes"`
}

// size works out the needs of a shop with so many events a day.
func (l load) size(perDay float64, costs []cost) size {
	bytes := make(map[string]float64, len(costs))
	for _, c := range costs {
		bytes[c.What] = c.Bytes
	}
	const ledgerDays = dedupTTL + 24*time.Hour
	s := size{PerDay: perDay, PerSecond: perDay / 86_400}
	s.AtPeak = s.PerSecond * l.Peak
	cores := func(micros float64) float64 { return s.AtPeak * micros / 1e6 / l.Busy }
	s.APICores, s.WorkerCores = cores(l.APIMicros), cores(l.WorkerMicros)
	s.NATSCores, s.RedisCores = cores(l.NATSMicros), cores(l.RedisMicros)
	s.Calls = s.AtPeak / l.Batch

	s.Backlog = s.AtPeak * 3600 * l.Outage * bytes[waitingEvent]
	s.Ledger = perDay * days(ledgerDays) * (bytes[ledgerLine] + (bytes[ledgerMessage]-bytes[ledgerLine])/l.Batch)
	clicks := perDay * l.ClicksPerEvent * days(clickTTL)
	s.Clicks = clicks * bytes[storedClick]
	s.RedisEvents = perDay * days(dedupTTL) * bytes[settledEvent]
	s.RedisPeople = clicks * bytes[knownPerson]
	return s
}

func days(d time.Duration) float64 { return d.Hours() / 24 }

// print writes both tables as Markdown.
func (r *report) print(w io.Writer) error {
	fmt.Fprintln(w, "| one | in | bytes |")
	fmt.Fprintln(w, "|---|---|---|")
	for _, c := range r.Costs {
		fmt.Fprintf(w, "| %s | %s | %.0f |\n", c.What, c.Of, c.Bytes)
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	row := func(name string, value func(size) string) {
		fmt.Fprintf(t, "| %s", name)
		for _, s := range r.Sizes {
			fmt.Fprintf(t, "\t| %s", value(s))
		}
		fmt.Fprintln(t, "\t|")
	}
	row("events a day", func(s size) string { return count(s.PerDay) })
	row("---", func(size) string { return "---" })
	row("a second, on average and at the peak", func(s size) string { return count(s.PerSecond) + ", " + count(s.AtPeak) })
	row("cores of api", func(s size) string { return cores(s.APICores) })
	row("cores of worker", func(s size) string { return cores(s.WorkerCores) })
	row("cores of NATS, for each replica", func(s size) string { return cores(s.NATSCores) })
	row("cores of Redis", func(s size) string { return cores(s.RedisCores) })
	row("calls to Meta a second at the peak", func(s size) string { return count(s.Calls) })
	row("disk: backlog of the outage, for each replica", func(s size) string { return binary(s.Backlog) })
	row("disk: ledger, 8 days", func(s size) string { return binary(s.Ledger) })
	row("disk: clicks, 90 days", func(s size) string { return binary(s.Clicks) })
	row("Redis: settled events, 7 days", func(s size) string { return binary(s.RedisEvents) })
	row("Redis: people with clicks, 90 days", func(s size) string { return binary(s.RedisPeople) })
	return t.Flush()
}

// count writes a number as people say it.
func count(n float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "B"}, {1e6, "M"}, {1e3, "k"}} {
		if n >= u.size {
			return trimmed(n/u.size) + u.name
		}
	}
	return trimmed(n)
}

func cores(n float64) string {
	if n < 0.1 {
		return "< 0.1"
	}
	return trimmed(n)
}

// binary writes bytes in KiB, MiB, GiB or TiB.
func binary(n float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; n >= 1024 && i < len(units)-1; i++ {
		n /= 1024
	}
	return trimmed(n) + " " + units[i]
}

// trimmed keeps two digits, or all before the point.
func trimmed(n float64) string {
	if n >= 10 || n == math.Trunc(n) {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.1f", n)
}

// defaultLoad is a shop whose busiest second has eight times the events of an
// average one. The CPU costs are those of docs/performance.md.
func defaultLoad() load {
	return load{
		Peak: 8, Batch: 25, ClicksPerEvent: 0.5, Busy: 0.6, Outage: 4,
		APIMicros: 115, WorkerMicros: 31, NATSMicros: 69, RedisMicros: 35,
	}
}
