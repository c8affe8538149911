package main

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestQuantile(t *testing.T) {
	ms := func(values ...int) (d []time.Duration) {
		for _, v := range values {
			d = append(d, time.Duration(v)*time.Millisecond)
		}
		return d
	}
	var thousand []int
	for i := range 1000 {
		thousand = append(thousand, 1000-i)
	}
	for _, tt := range []struct {
		name string
		in   []time.Duration
		want *quantiles
	}{
		{"none", nil, nil},
		{"one", ms(7), &quantiles{7, 7, 7}},
		{"two", ms(9, 1), &quantiles{1, 9, 9}},
		{"a thousand", ms(thousand...), &quantiles{500, 990, 999}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, quantilesOf(tt.in)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestQuantileIsARank: at least the share q is not above it, and less than that
// is below it.
func TestQuantileIsARank(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.IntRange(1, 50), 1, 300).Draw(t, "values")
		q := rapid.SampledFrom([]float64{0.001, 0.5, 0.9, 0.99, 0.999, 1}).Draw(t, "q")
		var d []time.Duration
		for _, v := range values {
			d = append(d, time.Duration(v))
		}
		quantilesOf(d) // sorts
		got := quantile(d, q)
		notAbove, below := 0, 0
		for _, v := range d {
			if v <= got {
				notAbove++
			}
			if v < got {
				below++
			}
		}
		if n := q * float64(len(d)); float64(notAbove) < n || float64(below) >= n {
			t.Errorf("quantile %v of %v is %v", q, d, got)
		}
	})
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 5}, 5}} {
		if got := median(tt.in); got != tt.want {
			t.Errorf("median of %v is %v, want %v", tt.in, got, tt.want)
		}
	}
}

func TestPaired(t *testing.T) {
	// The second minute was slow for both: the pairs say the same.
	c := paired("p", "n", []float64{80, 40}, []float64{100, 50})
	if diff := cmp.Diff([]float64{0.8, 0.8}, c.Rounds); diff != "" || math.Abs(c.Value-0.8) > 1e-9 {
		t.Errorf("%v %s", c.Value, diff)
	}
	for _, tt := range []struct {
		name string
		c    comparison
		want string
	}{
		{"no target", c, "p|n|0.80|0.80 0.80||"},
		{"reached", c.atLeast(0.8), "p|n|0.80|0.80 0.80|at least 0.80|reached"},
		{"missed", c.atLeast(0.85), "p|n|0.80|0.80 0.80|at least 0.85|MISSED"},
		{"at most, reached", comparison{Part: "p", Name: "n", Value: 99.9, Unit: "MB"}.atMost(100), "p|n|99.9 MB||at most 100.0 MB|reached"},
		{"at most, missed", comparison{Part: "p", Name: "n", Value: 100.1, Unit: "MB"}.atMost(100), "p|n|100.1 MB||at most 100.0 MB|MISSED"},
		{"nothing measured", paired("p", "n", nil, []float64{1}).atLeast(0.1), "p|n|0.00||at least 0.10|MISSED"},
		{"never divided by nothing", paired("p", "n", []float64{1}, []float64{0}), "p|n|0.00|||"},
	} {
		if got := strings.Join(tt.c.row(), "|"); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestFigure(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 7.4: "7", 999.6: "1,000", 12345: "12,345", 1234567: "1,234,567"} {
		if got := figure(v); got != want {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
}

func TestParseUsage(t *testing.T) {
	// Fields 14 and 15 are 1234 and 66 ticks of 10 ms.
	stat := "4711 (a ) b (c) S 1 2 3 4 5 6 7 8 9 10 1234 66 14 15 16 17 18\n"
	status := "Name:\ta\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nThreads:\t4\n"
	for _, tt := range []struct {
		name, stat, status string
		want               usage
		fails              bool
	}{
		{"whole", stat, status, usage{13 * time.Second, 1 << 20, 2 << 20}, false},
		{"no name", "4711 S 1 2", status, usage{}, true},
		{"cut short", "4711 (a) S 1 2", status, usage{}, true},
		{"words", strings.Replace(stat, "1234", "many", 1), status, usage{}, true},
		{"no memory", stat, "Name:\ta\n", usage{}, true},
		{"memory in words", stat, "VmHWM:\tlots kB\n", usage{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseUsage([]byte(tt.stat), []byte(tt.status))
			if (err != nil) != tt.fails {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(usage{})); !tt.fails && diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMeanCosts(t *testing.T) {
	got := meanCosts([][]cost{{{"api", 1, 10, 50}, {"nats", 2, 20, 80}}, {{"api", 3, 30, 40}, {"nats", 2, 20, 90}}})
	if diff := cmp.Diff([]cost{{"api", 2, 20, 50}, {"nats", 2, 20, 90}}, got); diff != "" {
		t.Error(diff)
	}
	if meanCosts(nil) != nil {
		t.Error("costs of nothing")
	}
}

func TestCostRow(t *testing.T) {
	m := (&measurement{Part: "p", Name: "n"})
	m.round(1, nil, []cost{{"api", 1, 1.5, 50}, {"nats-server", 1, 0.5, 30}, {"generator", 1, 9, 90}})
	want := []string{"p", "n", "1.50 / 50", "", "", "0.50 / 30", "", "", "9.00 / 90", "2.00 / 80"}
	if diff := cmp.Diff(want, m.close().costRow()); diff != "" {
		t.Error(diff)
	}
}

func TestCPUOf(t *testing.T) {
	with := func(cpu float64) *measurement {
		return &measurement{Costs: []cost{{"worker", 0, cpu, 0}, {"nats-server", 0, 1, 0}, {"generator", 0, 99, 0}}}
	}
	if got := cpuOf("p", "n", with(5), with(2)); got.Value != 2 || got.verdict() != "" {
		t.Errorf("%+v", got)
	}
}

func TestTable(t *testing.T) {
	tab := table{title: "T", head: []string{"a", "b"}}
	tab.add("1", "22")
	tab.add("", "3")
	var plain, markdown strings.Builder
	if err := tab.print(&plain, false); err != nil {
		t.Fatal(err)
	}
	if err := tab.print(&markdown, true); err != nil {
		t.Fatal(err)
	}
	if want := "\nT\n\n  a  b\n  1  22\n     3\n"; plain.String() != want {
		t.Errorf("%q, want %q", plain.String(), want)
	}
	if want := "**T**\n\n| a | b |\n|---|---|\n| 1 | 22 |\n|  | 3 |\n\n"; markdown.String() != want {
		t.Errorf("%q, want %q", markdown.String(), want)
	}
}

func TestOutcomes(t *testing.T) {
	page := `# TYPE homing_outcomes_total counter
homing_outcomes_total{outcome="delivered",reason="",tenant="a"} 1.9e+05
homing_outcomes_total{outcome="delivered",reason="",tenant="b"} 5 # {trace_id="x"} 1
homing_outcomes_total{outcome="duplicate",reason="",tenant="a"} 10000
homing_outcomes_total{outcome="held",reason="delivery_unknown",tenant="a"} 0
homing_claims_total{result="fresh"} 7
`
	want := map[string]int{"delivered": 190_005, "duplicate": 10_000, "held": 0}
	if diff := cmp.Diff(want, outcomes([]byte(page))); diff != "" {
		t.Error(diff)
	}
}
