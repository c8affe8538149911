// Command sandbox serves a fake of Meta's Conversions API for Business
// Messaging on its own, for laptops and for CI.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/homing-dev/homing/internal/sandbox"
)

type flags struct {
	Addr      string        `help:"Address to listen on." default:"127.0.0.1:9999" env:"SANDBOX_ADDR"`
	Token     string        `help:"The only access token that is taken; any if left out." env:"SANDBOX_TOKEN"`
	Dataset   []string      `help:"A dataset that exists; any if left out." env:"SANDBOX_DATASET"`
	WABA      []string      `name:"waba" help:"A WhatsApp Business Account linked to the datasets; any if left out." env:"SANDBOX_WABA"`
	AppSecret string        `help:"App secret; makes appsecret_proof required." env:"SANDBOX_APP_SECRET"`
	Clid      []string      `help:"A click id that Meta made; any if left out." env:"SANDBOX_CLID"`
	Latency   time.Duration `help:"Delay of every answer." env:"SANDBOX_LATENCY"`
	Quiet     bool          `help:"Do not log calls." env:"SANDBOX_QUIET"`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("sandbox"), kong.Description("A fake of Meta's Conversions API for Business Messaging. Nothing reaches Meta."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, f); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags) error {
	ln, err := net.Listen("tcp", f.Addr)
	if err != nil {
		return err
	}
	sb := sandbox.New(f.options())
	srv := &http.Server{Handler: sb, ReadHeaderTimeout: 10 * time.Second}
	srv.RegisterOnShutdown(sb.Close)

	url := "http://" + ln.Addr().String()
	fmt.Printf("Graph sandbox on %s\n  page       %s/\n  Graph API  POST %s/v25.0/{dataset}/events  (set HOMING_GRAPH_URL=%s)\n  faults     POST %s/_sandbox/faults\n", url, url, url, url, url)

	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if srv.Shutdown(grace) != nil {
		return srv.Close() // a client that keeps its connection busy does not keep us
	}
	return nil
}
