package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/homing-dev/homing/internal/app"
	"github.com/homing-dev/homing/internal/embedded"
	"github.com/homing-dev/homing/internal/sandbox"
	"github.com/homing-dev/homing/internal/tenants"
)

// runLaptop runs every process of Homing, and what they need, in this one.
func runLaptop(ctx context.Context, f flags, out io.Writer) (err error) {
	demo, first, err := demoTenant(f.tenantsFile())
	if err != nil {
		return err
	}
	server, err := embedded.NATS(filepath.Join(f.Dir, "nats"), embedded.Options{})
	if err != nil {
		return fmt.Errorf("embedded NATS: %w; if another dev runs on %s, stop it first", err, f.Dir)
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	redis, err := embedded.Redis()
	if err != nil {
		return fmt.Errorf("stand-in for Redis: %w", err)
	}
	defer func() { err = errors.Join(err, redis.Close()) }()
	stopMeta, err := serveMeta(f.Sandbox, demo)
	if err != nil {
		return err
	}
	defer stopMeta()

	opt, err := app.FromEnviron(f.environ(redis.URL()))
	if err != nil {
		return err
	}
	homing, err := app.New(opt, app.API|app.Worker, app.Surroundings{
		Version: version, NATS: []nats.Option{server.ClientOption()}, Alone: true,
	})
	if err != nil {
		return err
	}
	if err := homing.Start(ctx); err != nil {
		return err
	}
	greet(out, f, demo, first)
	return homing.Wait(ctx)
}

func (f flags) tenantsFile() string { return filepath.Join(f.Dir, "tenants.yaml") }

// environ is the environment of a laptop. What the user sets wins, but for what
// makes it one process.
func (f flags) environ(redisURL string) []string {
	env := []string{
		"HOMING_QUEUE_MAX_BYTES=256MiB", "HOMING_LOG_FORMAT=text", "HOMING_LOG_LEVEL=warn",
		"HOMING_GRAPH_URL=http://" + f.Sandbox,
	}
	env = append(env, os.Environ()...)
	return append(env,
		"HOMING_REDIS_URL="+redisURL, "HOMING_TENANTS="+f.tenantsFile(),
		"HOMING_API_ADDR="+f.API, "HOMING_OPS_ADDR="+f.Ops)
}

// demoTenant reads the tenants file, or writes one on the first run.
func demoTenant(path string) (demo tenants.Demo, first bool, err error) {
	demo, err = tenants.ReadDemo(path, os.LookupEnv)
	if !errors.Is(err, fs.ErrNotExist) {
		return demo, false, err
	}
	if demo, err = tenants.NewDemo(rand.Reader); err != nil {
		return demo, false, err
	}
	return demo, true, tenants.WriteDemo(path, demo)
}

// serveMeta serves the fake Meta.
func serveMeta(addr string, demo tenants.Demo) (stop func(), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("SANDBOX_ADDR: %w; stop what listens there, or set another address", err)
	}
	meta := sandbox.New(sandbox.Options{
		Datasets: map[string]sandbox.Dataset{demo.DatasetID: {Token: demo.AccessToken.Reveal(), WABAs: []string{demo.WABA}}},
		Latency:  40 * time.Millisecond,
	})
	srv := &http.Server{Handler: meta, ReadHeaderTimeout: 5 * time.Second}
	srv.RegisterOnShutdown(meta.Close)
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "dev: sandbox:", err)
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close() // a page that is open in a browser does not keep us
		}
	}, nil
}

func greet(out io.Writer, f flags, demo tenants.Demo, first bool) {
	made := "read from"
	if first {
		made = "made in"
	}
	fmt.Fprintf(out, `
Homing is running. Nothing leaves this machine.

  api       http://%[1]s            (http://%[1]s/openapi.yaml)
  health    http://%[2]s/readyz     (also /metrics)
  Meta      http://%[3]s            a sandbox; its page shows what arrived
  demo key  %[4]s     (%[5]s %[6]s)

Paste these into a second terminal:

  # 1. A customer taps an ad: the click that WhatsApp's webhook would bring.
  curl -X POST http://%[1]s/api/v1/app/meta-ads/capi/clicks -H "Authorization: Basic %[4]s" -H "Content-Type: application/json" -d '{ "phone_number": "+919876543210", "ctwa_clid": "ARAkLkA8rmlFeiDemo" }'

  # 2. The customer pays.
  curl -X POST http://%[1]s/api/v1/app/meta-ads/capi/send-event -H "Authorization: Basic %[4]s" -H "Content-Type: application/json" -d '{ "event_name": "Purchase", "phone_number": "+919876543210", "currency": "INR", "value": 1499.00 }'

  # 3. What Meta received.
  curl http://%[3]s/_sandbox/events

Or play a whole story: make demo        Stop with Ctrl-C; events, clicks and what was settled are kept in %[7]s.
`, f.API, f.Ops, f.Sandbox, demo.APIKey.Reveal(), made, f.tenantsFile(), f.Dir)
}
