package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

func costs() []cost {
	return []cost{
		{What: waitingEvent, Bytes: 1000},
		{What: ledgerLine, Bytes: 300},
		{What: ledgerMessage, Bytes: 400},
		{What: storedClick, Bytes: 200},
		{What: settledEvent, Bytes: 350},
		{What: knownPerson, Bytes: 250},
	}
}

// TestSize holds the model against sums done by hand.
func TestSize(t *testing.T) {
	l := load{Peak: 10, Batch: 50, ClicksPerEvent: 2, Busy: 0.5, Outage: 1, APIMicros: 40, WorkerMicros: 10, NATSMicros: 20, RedisMicros: 5}
	got := l.size(86_400_000, costs()) // 1,000 a second, 10,000 at the peak
	for name, x := range map[string]struct{ got, want float64 }{
		"api":     {got.APICores, 0.8},                      // 10,000 x 40 us, at half
		"worker":  {got.WorkerCores, 0.2},                   // 10,000 x 10 us
		"NATS":    {got.NATSCores, 0.4},                     //
		"Redis":   {got.RedisCores, 0.1},                    //
		"calls":   {got.Calls, 200},                         // 10,000 / 50
		"backlog": {got.Backlog, 36e9},                      // 10,000 x 3,600 x 1,000
		"ledger":  {got.Ledger, 86.4e6 * 8 * (300 + 2)},     // 100 more bytes a message, shared by 50
		"clicks":  {got.Clicks, 86.4e6 * 2 * 90 * 200},      //
		"events":  {got.RedisEvents, 86.4e6 * 7 * 350},      //
		"people":  {got.RedisPeople, 86.4e6 * 2 * 90 * 250}, //
	} {
		if math.Abs(x.got-x.want) > 1e-9*x.want {
			t.Errorf("%s: %g, want %g", name, x.got, x.want)
		}
	}
}

// TestStraight: a cost that grows or shrinks with the number is none.
func TestStraight(t *testing.T) {
	for _, tc := range []struct {
		steps    []float64
		straight bool
	}{
		{[]float64{100, 101, 99}, true},
		{[]float64{100, 110, 130}, false},
		{[]float64{0, 0, 0}, false},
	} {
		c := cost{Steps: tc.steps}
		for _, s := range tc.steps {
			c.Bytes += s / float64(len(tc.steps))
		}
		if err := c.straight(); (err == nil) != tc.straight {
			t.Errorf("%v: %v", tc.steps, err)
		}
	}
}

// TestFootprint measures a little, all the way to the tables.
func TestFootprint(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: starts a NATS and a Redis")
	}
	w, err := newWorld(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}()
	var r report
	for _, f := range fillings() {
		c, err := w.measure(t.Context(), f, 1000)
		if err != nil && c.Bytes <= 0 {
			t.Fatalf("%s: %v", f.what, err)
		}
		r.Costs = append(r.Costs, c)
	}
	r.Sizes = []size{defaultLoad().size(1e6, r.Costs)}
	var out bytes.Buffer
	if err := r.print(&out); err != nil || strings.Count(out.String(), "\n") != len(r.Costs)+3+13 {
		t.Errorf("%v, printed:\n%s", err, out.String())
	}
}
