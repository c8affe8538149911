package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"

	"github.com/redis/go-redis/v9"
)

// Exit codes of every command.
const (
	ExitDone   = 0
	ExitFailed = 1 // failed, or found something
	ExitUsage  = 2 // wrong flags, environment or files: it never started
)

// Program is what the operating system gives a command.
type Program struct {
	Args    []string // without the command's own name
	Environ []string
	Out     io.Writer
	Err     io.Writer
	Version string
}

// Main is the whole of a process with one role, from its environment to its exit
// code. It ends when ctx does.
func Main(ctx context.Context, role Role, p Program) int {
	if len(p.Args) > 0 {
		return usage(role, p)
	}
	opt, err := FromEnviron(p.Environ)
	if err != nil {
		return wrong(role, p, err)
	}
	a, err := New(opt, role, Surroundings{Version: p.Version, Log: p.Err})
	if err != nil {
		return wrong(role, p, err)
	}
	redis.SetLogger(redisLog{a.log})
	if err := a.Start(ctx); err != nil {
		if ctx.Err() != nil {
			return ExitDone // told to stop before it had begun
		}
		return wrong(role, p, err)
	}
	if err := a.Wait(ctx); err != nil {
		fmt.Fprintf(p.Err, "%s: %v\n", role, err)
		return ExitFailed
	}
	return ExitDone
}

// redisLog takes the lines of the Redis library, which has one log for all of a
// process. They repeat what its callers are told, so they are for the curious.
type redisLog struct{ log *slog.Logger }

// Printf takes a line.
func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.DebugContext(ctx, "redis.library", "message", fmt.Sprintf(format, v...))
}

func wrong(role Role, p Program, err error) int {
	fmt.Fprintf(p.Err, "%s: can't start:\n%v\n", role, err)
	return ExitUsage
}

// usage answers the few arguments there are: everything is configured by the
// environment.
func usage(role Role, p Program) int {
	switch p.Args[0] {
	case "version", "--version", "-version":
		_ = json.NewEncoder(p.Out).Encode(Version(p.Version))
		return ExitDone
	case "help", "--help", "-help", "-h":
		PrintUsage(p.Out, role.String())
		return ExitDone
	default:
		fmt.Fprintf(p.Err, "%s: unknown argument %q: it is configured by the environment alone; see %s --help\n", role, p.Args[0], role)
		return ExitUsage
	}
}

// PrintUsage lists the environment variables of a process.
func PrintUsage(w io.Writer, command string) {
	fmt.Fprintf(w, "Usage: %s [--help | --version]\n\nEverything is configured by the environment:\n\n", command)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, v := range Variables() {
		fmt.Fprintf(t, "  %s\t%s\t%s\n", v.Name, v.Default, v.Meaning)
	}
	_ = t.Flush()
	fmt.Fprintf(w, "\nTraces are exported when OTEL_EXPORTER_OTLP_ENDPOINT is set; see the OpenTelemetry specification for OTEL_*.\n")
}
