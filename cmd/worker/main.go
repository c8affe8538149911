// Command worker delivers conversions to Meta: it deduplicates, finds the click
// that earned each event, and calls the Conversions API.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/homing-dev/homing/internal/app"
)

// version is stamped by the build.
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := app.Main(ctx, app.Worker, app.Program{
		Args: os.Args[1:], Environ: os.Environ(), Out: os.Stdout, Err: os.Stderr, Version: version,
	})
	stop()
	os.Exit(code)
}
