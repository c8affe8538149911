// Command homing is the operator's command line: dead letters, single events,
// streams, tenants, and the audit that none was lost. It is configured by the
// same environment as the processes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/internal/app"
)

// version is stamped by the build.
var version string

func main() {
	redis.SetLogger(silence{}) // each command says itself what Redis did not answer
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// silence is the log of the Redis library, which would write to stderr by itself.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// run is a whole call of the command: it returns the exit code.
func run(ctx context.Context, args, environ []string, out, err io.Writer) int {
	s := &shell{ctx: ctx, environ: environ, out: out, err: err, now: time.Now}
	command, code, done := parse(s, args)
	if done {
		return code
	}
	switch failure := command.Run(s); {
	case failure == nil:
		return app.ExitDone
	case errors.Is(failure, errFound):
		return app.ExitFailed // said already
	case errors.Is(failure, errUsage):
		fmt.Fprintf(err, "homing: %v\n", failure)
		return app.ExitUsage
	default:
		fmt.Fprintf(err, "homing: %v\n", failure)
		return app.ExitFailed
	}
}
