package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// settingsUsed tells under what conditions the figures came about.
func (l *lab) settingsUsed() map[string]string {
	out := map[string]string{
		"machine":      fmt.Sprintf("%d cores, %s, %s/%s; everything on loopback, load generator on the same cores", runtime.NumCPU(), cpuName(), runtime.GOOS, runtime.GOARCH),
		"nats-server":  "file store, sync_interval 2m (its default), 1 replica, " + firstLine(l.bin("nats-server"), "--version"),
		"redis-server": strings.Join(redisArgs(), " ") + ", " + firstLine("redis-server", "--version"),
		"telemetry":    "OTLP over http/protobuf to a sink, parentbased_traceidratio 0.01, metrics read every " + scrapeEvery.String() + ", logs at info into a file",
		"workload":     fmt.Sprintf("Purchase of about %d bytes, %d phone numbers of %d countries' prefixes, a click of each stored", len(l.people[0].before)+idLength+len(l.people[0].after), peopleCount, len(countries())),
		"worker":       "HOMING_BATCH_SIZE and HOMING_TENANT_CONCURRENCY as named, all else as by default; events looked at by Redis as the api does, their clicks not pinned",
		"duplicates":   fmt.Sprintf("5 %% of a drain, each at least %s events behind its first; none where tenants are many", figure(duplicateAfter)),
		"Meta":         fmt.Sprintf("cmd/sandbox, validating, answers after %s in drains and %s in part latency", drainLatency, latencyMeta),
		"bare drain":   fmt.Sprintf("Fetch(1000), SET NX and GET in one pipeline, POST, SET in one pipeline, acks; 16 calls in flight; bare client: net/http, %d in flight", bareClients),
		"bare ingest":  "net/http, encoding/json, phone check: " + l.set.phone + ", SET NX by go-redis's auto-pipeline, PublishMsgAsync with Nats-Msg-Id, PubAck",
		"rounds":       fmt.Sprintf("%d, in turns; ingest %ds a run; drain of %d events", l.set.rounds, l.set.seconds, l.set.events),
		"go":           runtime.Version(),
	}
	return out
}

func firstLine(command string, args ...string) string {
	out, err := exec.CommandContext(context.Background(), command, args...).Output()
	if err != nil {
		return "version unknown"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

func cpuName() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown CPU"
}

// err is what makes the bench fail: wrong counts.
func (b *book) err() error {
	var errs []error
	for _, f := range b.Faults {
		errs = append(errs, errors.New(f))
	}
	return errors.Join(errs...)
}

func (b *book) write(path string) error {
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// print writes the tables for people.
func (b *book) print(w io.Writer, markdown bool) error {
	for _, t := range b.tables() {
		if err := t.print(w, markdown); err != nil {
			return err
		}
	}
	return nil
}

func (b *book) tables() []table {
	settings := table{title: "Settings", head: []string{"what", "how"}}
	for _, name := range slices.Sorted(maps.Keys(b.Settings)) {
		settings.add(name, b.Settings[name])
	}
	rates := table{title: "Measured", head: []string{"part", "what", "per second", "rounds", "p50 ms", "p99 ms", "p99.9 ms"}}
	costs := table{title: "Cost: CPU seconds per 100,000 events / most memory in MB", head: append([]string{"part", "what"}, columns()...)}
	for _, m := range b.Measurements {
		row := []string{m.Part, m.title(), figure(m.Rate), figures(m.Rounds), "", "", ""}
		if q := m.Latency; q != nil {
			row[4], row[5], row[6] = fmt.Sprintf("%.1f", q.P50), fmt.Sprintf("%.1f", q.P99), fmt.Sprintf("%.1f", q.P999)
		}
		rates.add(row...)
		if len(m.Costs) > 0 {
			costs.add(m.costRow()...)
		}
	}
	against := table{title: "Against the targets", head: []string{"part", "what", "is", "rounds", "target", ""}}
	for _, c := range b.Comparisons {
		against.add(c.row()...)
	}
	return []table{settings, rates, costs, against}
}

// columns are the processes whose costs are shown.
func columns() []string {
	return []string{"api", "worker", "bare", "nats-server", "redis-server", "sandbox", "generator", together}
}

func (m *measurement) costRow() []string {
	row := []string{m.Part, m.Name}
	all := m.together()
	for _, name := range columns() {
		cell := ""
		c := m.cost(name)
		if name == all.Process && len(m.Costs) > 0 {
			c = all
		}
		if c.Process != "" {
			cell = fmt.Sprintf("%.2f / %.0f", c.CPUPer100, c.PeakMB)
		}
		row = append(row, cell)
	}
	return row
}

// title is the name with what it was made with.
func (m *measurement) title() string {
	out := m.Name
	if m.Settings != "" {
		out += " (" + m.Settings + ")"
	}
	if m.Note != "" {
		out += "; " + m.Note
	}
	return out
}

func (c comparison) row() []string {
	value := func(v float64) string {
		if c.Unit == "" {
			return fmt.Sprintf("%.2f", v)
		}
		return fmt.Sprintf("%.1f %s", v, c.Unit)
	}
	var rounds []string
	for _, r := range c.Rounds {
		rounds = append(rounds, value(r))
	}
	target := ""
	switch {
	case c.Target == 0:
	case c.AtMost:
		target = "at most " + value(c.Target)
	default:
		target = "at least " + value(c.Target)
	}
	return []string{c.Part, c.Name, value(c.Value), strings.Join(rounds, " "), target, c.verdict()}
}

// figure writes a rate: whole, with its thousands apart.
func figure(v float64) string {
	digits := fmt.Sprintf("%.0f", v)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

func figures(all []float64) string {
	var out []string
	for _, v := range all {
		out = append(out, figure(v))
	}
	return strings.Join(out, " ")
}

// table is what people read.
type table struct {
	title string
	head  []string
	rows  [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print(w io.Writer, markdown bool) error {
	if len(t.rows) == 0 {
		return nil
	}
	if markdown {
		return t.printMarkdown(w)
	}
	fmt.Fprintf(w, "\n%s\n\n", t.title)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.head}, t.rows...) {
		fmt.Fprintln(tw, "  "+strings.Join(row, "\t"))
	}
	return tw.Flush()
}

func (t *table) printMarkdown(w io.Writer) error {
	rule := strings.Repeat("|---", len(t.head)) + "|"
	if _, err := fmt.Fprintf(w, "**%s**\n\n| %s |\n%s\n", t.title, strings.Join(t.head, " | "), rule); err != nil {
		return err
	}
	for _, row := range t.rows {
		if _, err := fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | ")); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w)
	return err
}
