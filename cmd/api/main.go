// Command api is Homing's HTTP edge: it takes conversions and WhatsApp webhooks
// and answers when JetStream holds them.
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
	code := app.Main(ctx, app.API, app.Program{
		Args: os.Args[1:], Environ: os.Environ(), Out: os.Stdout, Err: os.Stderr, Version: version,
	})
	stop()
	os.Exit(code)
}
