// Command dev is Homing on a laptop: api and worker, an embedded NATS JetStream,
// a stand-in for Redis and a fake Meta, in one process. With the argument demo it
// plays a short story against one that runs.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is stamped by the build.
var version string

type flags struct {
	Dir     string `help:"Where streams and the tenants file are kept." default:".homing" type:"path"`
	API     string `help:"Address of the api." default:"127.0.0.1:8080" placeholder:"ADDR" env:"HOMING_API_ADDR"`
	Ops     string `help:"Address of health and metrics." default:"127.0.0.1:9090" placeholder:"ADDR" env:"HOMING_OPS_ADDR"`
	Sandbox string `help:"Address of the fake Meta." default:"127.0.0.1:9999" placeholder:"ADDR" env:"SANDBOX_ADDR"`

	Run  struct{} `cmd:"" default:"1" help:"Run everything; Ctrl-C stops it."`
	Demo struct{} `cmd:"" help:"Play a short story against a running one."`
}

func main() {
	var f flags
	kctx := kong.Parse(&f, kong.Name("dev"), kong.Description("Homing on a laptop, in one process."))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	run := runLaptop
	if kctx.Command() == "demo" {
		run = playDemo
	}
	if err := run(ctx, f, os.Stdout); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "dev:", err)
		os.Exit(1)
	}
}
