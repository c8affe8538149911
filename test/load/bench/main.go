// Command bench is the macro benchmark: real processes of nats-server,
// redis-server, the sandbox, api and worker on one machine, each measurement next
// to a bare program that does the least for the same job on the same servers.
// docs/performance.md says how to read it. It exits 1 when an event was lost or
// sent twice, or when something could not be measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	only            []string
	seconds, rounds int
	events, backlog int
	json, profile   string
	dir, phone      string
	keep, markdown  bool
}

func (s settings) length() time.Duration { return time.Duration(s.seconds) * time.Second }

// part is one group of measurements.
type part struct {
	name    string
	measure func(*lab, context.Context, *book) error
}

func parts() []part {
	return []part{
		{"ingest", (*lab).measureIngest},
		{"drain", (*lab).measureDrain},
		{"latency", (*lab).measureLatency},
		{"tenants", (*lab).measureTenants},
		{"telemetry", (*lab).measureTelemetry},
		{"idle", (*lab).measureIdle},
	}
}

// parts are those that were asked for.
func (s settings) parts() []part {
	if s.backlog > 0 {
		return []part{{"backlog", (*lab).measureBacklog}}
	}
	return slices.DeleteFunc(parts(), func(p part) bool {
		return len(s.only) > 0 && !slices.Contains(s.only, p.name)
	})
}

func partNames() []string {
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return names
}

func main() {
	var s settings
	only := flag.String("only", "", "comma-separated parts: "+strings.Join(partNames(), ", ")+"; empty: all")
	flag.IntVar(&s.seconds, "seconds", 4, "length of a run against the api")
	flag.IntVar(&s.rounds, "rounds", 2, "turns of product and bare program")
	flag.IntVar(&s.events, "events", 200_000, "stored events of a drain")
	flag.IntVar(&s.backlog, "backlog", 0, "only drain so many events, and print the worker's memory on the way")
	flag.StringVar(&s.json, "json", "bin/bench.json", "where the figures go")
	flag.StringVar(&s.profile, "profile", "", "folder for profiles of api, worker and nats-server at full load")
	flag.StringVar(&s.phone, "phone", "lib", "phone check of the bare ingest: lib (phonenumbers) or none")
	flag.StringVar(&s.dir, "dir", "", "where the servers' files are; empty: the system's folder for temporary files")
	flag.BoolVar(&s.keep, "keep", false, "keep the servers' files and the processes' logs")
	flag.BoolVar(&s.markdown, "markdown", false, "print the tables as Markdown")
	flag.Parse()
	if *only != "" {
		s.only = strings.Split(*only, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) (err error) {
	for _, name := range s.only {
		if !slices.Contains(partNames(), name) {
			return fmt.Errorf("-only: there is no part %q; there are %s", name, strings.Join(partNames(), ", "))
		}
	}
	if s.seconds < 1 || s.rounds < 1 || s.events < 1000 || s.backlog < 0 {
		return errors.New("-seconds and -rounds must be at least 1, -events at least 1000, -backlog not below 0")
	}
	for _, dir := range []string{s.profile, filepath.Dir(s.json)} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	l, err := newLab(ctx, s, os.Stderr)
	if err != nil {
		return err
	}
	defer l.close()
	b := &book{Settings: l.settingsUsed(), Faults: []string{}}
	for _, p := range s.parts() {
		if err := p.measure(l, ctx, b); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", p.name, err), b.err())
		}
	}
	l.sayf("done")
	if err := b.write(s.json); err != nil {
		return err
	}
	if err := b.print(os.Stdout, s.markdown); err != nil {
		return err
	}
	return b.err()
}
