package main

import (
	"slices"
	"time"
)

// measurement is one figure with its context: the rounds of one program in one
// configuration.
type measurement struct {
	Part     string     `json:"part"`
	Name     string     `json:"name"`
	Unit     string     `json:"unit"`
	Settings string     `json:"settings,omitempty"`
	Rounds   []float64  `json:"rounds"`
	Rate     float64    `json:"rate"`                       // median of the rounds
	Calls    float64    `json:"calls_per_second,omitempty"` // at Meta, in the last round
	Latency  *quantiles `json:"latency,omitempty"`
	Costs    []cost     `json:"costs,omitempty"`
	Note     string     `json:"note,omitempty"`

	costs     [][]cost
	latencies []time.Duration
}

// round adds one run.
func (m *measurement) round(rate float64, latencies []time.Duration, costs []cost) {
	m.Rounds = append(m.Rounds, rate)
	m.latencies = append(m.latencies, latencies...)
	m.costs = append(m.costs, costs)
}

// close computes what the rounds say together.
func (m *measurement) close() *measurement {
	m.Rate = median(m.Rounds)
	m.Latency = quantilesOf(m.latencies)
	m.Costs = meanCosts(m.costs)
	return m
}

// cost returns what a process used, the zero cost if it was not measured.
func (m *measurement) cost(process string) cost {
	for _, c := range m.Costs {
		if c.Process == process {
			return c
		}
	}
	return cost{}
}

// together names the cost of everything but the load generator.
const together = "all but generator"

// together adds up what all processes used, the load generator left out.
func (m *measurement) together() cost {
	all := cost{Process: together}
	for _, c := range m.Costs {
		if c.Process != "generator" {
			all.CPU += c.CPU
			all.CPUPer100 += c.CPUPer100
			all.PeakMB += c.PeakMB
		}
	}
	return all
}

// cpuOf compares what an event costs in two programs, servers included. Other
// work on the machine hardly moves it.
func cpuOf(part, name string, a, b *measurement) comparison {
	return paired(part, "CPU of an event, all processes: "+name, []float64{a.together().CPUPer100}, []float64{b.together().CPUPer100})
}

// median of an even number is the mean of the middle two; of nothing it is 0.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// comparison is a figure that there is a target for, or that is worth a line.
type comparison struct {
	Part   string  `json:"part"`
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit,omitempty"` // none: a ratio
	Target float64 `json:"target,omitempty"`
	AtMost bool    `json:"at_most,omitempty"` // the target is an upper bound
	// Rounds are the ratios of the pairs that were measured next to each other.
	Rounds []float64 `json:"rounds,omitempty"`
}

// paired compares a with b, round by round; its value is the median of the pairs,
// so that a slow minute of the machine counts on both sides.
func paired(part, name string, a, b []float64) comparison {
	c := comparison{Part: part, Name: name}
	for i := range min(len(a), len(b)) {
		if b[i] > 0 {
			c.Rounds = append(c.Rounds, a[i]/b[i])
		}
	}
	c.Value = median(c.Rounds)
	return c
}

func (c comparison) atLeast(target float64) comparison { c.Target = target; return c }

func (c comparison) atMost(target float64) comparison { c.Target, c.AtMost = target, true; return c }

// verdict says whether the target is reached; empty where there is none.
func (c comparison) verdict() string {
	switch {
	case c.Target == 0:
		return ""
	case c.AtMost && c.Value <= c.Target, !c.AtMost && c.Value >= c.Target:
		return "reached"
	default:
		return "MISSED"
	}
}

// book is everything that was measured.
type book struct {
	Settings     map[string]string `json:"settings"`
	Measurements []*measurement    `json:"measurements"`
	Comparisons  []comparison      `json:"comparisons"`
	// Faults are wrong counts: events lost, sent twice or not accounted for.
	Faults []string `json:"faults"`
}

func (b *book) add(ms ...*measurement) { b.Measurements = append(b.Measurements, ms...) }

func (b *book) compare(cs ...comparison) { b.Comparisons = append(b.Comparisons, cs...) }
