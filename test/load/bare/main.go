// Command bare holds the bare ceilings that the macro benchmark is measured
// against: the least that does the same job on the same servers. No validation
// but a phone check, no hashing, no authentication, no outcomes, no telemetry,
// nothing that survives a crash.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
)

// options are the flags of every role.
type options struct {
	nats, redis, stream    string
	listen, phone          string        // ingest
	meta                   string        // drain, client: the URL of the events edge
	batch, inFlight, count int           // drain, client
	start                  time.Time     // of the process
	timeout                time.Duration // of a call
}

func main() {
	o := options{start: time.Now(), timeout: 10 * time.Second}
	flag.StringVar(&o.nats, "nats", "nats://127.0.0.1:4222", "nats-server")
	flag.StringVar(&o.redis, "redis", "127.0.0.1:6379", "redis-server")
	flag.StringVar(&o.stream, "stream", "BARE", "stream to publish to, or to drain; subject bare.<STREAM>")
	flag.StringVar(&o.listen, "listen", "127.0.0.1:8080", "ingest: where to listen")
	flag.StringVar(&o.phone, "phone", "lib", "ingest: check of the phone number, lib or none")
	flag.StringVar(&o.meta, "meta", "", "drain, client: URL of the events edge")
	flag.IntVar(&o.batch, "batch", 1000, "drain: events of a call")
	flag.IntVar(&o.inFlight, "in-flight", 16, "drain, client: calls in flight")
	flag.IntVar(&o.count, "count", 0, "drain, client: messages to drain, or events to send")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: bare [flags] ingest|drain|client")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	roles := map[string]func(context.Context, options) error{"ingest": ingest, "drain": drain, "client": client}
	role, ok := roles[flag.Arg(0)]
	if !ok {
		flag.Usage()
		os.Exit(2)
	}
	if err := role(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "bare %s: %v\n", flag.Arg(0), err)
		os.Exit(1)
	}
}

// servers connects to both.
func (o *options) servers() (jetstream.JetStream, *redis.Client, error) {
	nc, err := nats.Connect(o.nats)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(16_384))
	if err != nil {
		return nil, nil, err
	}
	return js, redis.NewClient(&redis.Options{Addr: o.redis, PoolSize: 64, PipelinePoolSize: 64}), nil
}

// report is what a drain or a client prints when it is done.
type report struct {
	Events int       `json:"events"`
	Calls  int       `json:"calls"`
	Begin  time.Time `json:"begin"`
	End    time.Time `json:"end"`
}

func (r report) print() error { return json.NewEncoder(os.Stdout).Encode(r) }
