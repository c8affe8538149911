package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/homing-dev/homing/internal/app"
	"github.com/homing-dev/homing/pkg/events"
)

// cli is the grammar of the command line.
type cli struct {
	Output string `short:"o" enum:"table,json" default:"table" help:"How to print: table for a person, json for a program (one object per line)."`

	DLQ     dlqCmd     `cmd:"" name:"dlq" help:"Look at dead letters, replay them, discard them."`
	Event   eventCmd   `cmd:"" help:"Tell what became of an event."`
	Audit   auditCmd   `cmd:"" help:"Prove that no accepted event was lost."`
	Streams streamsCmd `cmd:"" help:"Make the streams, or look at them."`
	Clicks  clicksCmd  `cmd:"" help:"Rebuild the click store."`
	Tenants tenantsCmd `cmd:"" help:"Look at the tenants."`
	Config  configCmd  `cmd:"" help:"Check the configuration."`
	Version versionCmd `cmd:"" help:"Tell the version."`
}

const description = `Homing's operator command line.

It reads the same HOMING_* environment as the processes. Exit codes: 0 done, 1 failed or found something, 2 wrong use.`

// shell is what a command works with.
type shell struct {
	ctx      context.Context
	environ  []string
	out, err io.Writer
	json     bool
	now      func() time.Time
}

var (
	// errFound ends a command that did its work and found something wrong, which
	// it has told.
	errFound = errors.New("found something")
	errUsage = errors.New("wrong use")
)

// exit is how the parser ends a call early, after a --help.
type exit int

// parse reads the command line. done says that there is nothing to run.
func parse(s *shell, args []string) (command *kong.Context, code int, done bool) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case exit:
			command, code, done = nil, int(p), true
		default:
			panic(p)
		}
	}()
	var grammar cli
	parser := kong.Must(&grammar,
		kong.Name("homing"), kong.Description(description), kong.Writers(s.out, s.err),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(s.err, "homing: %v; see homing --help\n", err)
		return nil, app.ExitUsage, true
	}
	s.json = grammar.Output == "json"
	return command, 0, false
}

// options reads the environment. What is wrong with it is wrong use.
func (s *shell) options() (app.Options, error) {
	opt, err := app.FromEnviron(s.environ)
	if err != nil {
		return opt, fmt.Errorf("%w of the environment:\n%w", errUsage, err)
	}
	return opt, nil
}

// connect opens nothing yet: see app.Connections.
func (s *shell) connect() (*app.Connections, error) {
	opt, err := s.options()
	if err != nil {
		return nil, err
	}
	return app.Connect(opt, s.err), nil
}

// lookupEnv finds a variable that the tenants file names.
func (s *shell) lookupEnv(name string) (string, bool) {
	value, found := "", false
	for _, pair := range s.environ {
		if k, v, ok := strings.Cut(pair, "="); ok && k == name {
			value, found = v, true // the last one counts, as in a process
		}
	}
	return value, found
}

// progress tells a person what goes on.
func (s *shell) progress(format string, args ...any) { fmt.Fprintf(s.err, format+"\n", args...) }

// moment is a time on the command line: RFC 3339, a day, or how long ago.
type moment struct {
	at  time.Time
	ago time.Duration
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *moment) UnmarshalText(text []byte) error {
	s := string(text)
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			m.at = t
			return nil
		}
	}
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		d, err = time.ParseDuration(days + "h")
		d *= 24
	}
	if err != nil || d <= 0 {
		return errors.New("must be a time such as 2026-11-22T15:04:05Z or 2026-11-22, or how long ago, such as 90m or 2d")
	}
	m.ago = d
	return nil
}

// time returns when m is; zero when it was not given.
func (m moment) time(now time.Time) time.Time {
	if m.ago > 0 {
		return now.Add(-m.ago)
	}
	return m.at
}

// eventName is a name on the command line, in any case.
type eventName events.Name

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *eventName) UnmarshalText(text []byte) error {
	name, ok := events.ParseNameFold(string(text))
	if !ok {
		return fmt.Errorf("must be one of %v", events.Names())
	}
	*n = eventName(name)
	return nil
}

// reason is a reason of a dead letter on the command line.
type reason events.Reason

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *reason) UnmarshalText(text []byte) error {
	known := []events.Reason{
		events.ReasonRejectedByMeta, events.ReasonExpired, events.ReasonUndecodable, events.ReasonUnknownTenant,
		events.ReasonAttemptsExhausted, events.ReasonDeliveryUnknown,
	}
	for _, k := range known {
		if string(k) == string(text) {
			*r = reason(k)
			return nil
		}
	}
	return fmt.Errorf("must be one of %v", known)
}
