package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/homing-dev/homing/internal/embedded"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup/deduptest"
	"github.com/homing-dev/homing/pkg/events"
)

// The secrets of the fixtures: each holds "s3cr3t", which must show nowhere.
const tenantsFile = `tenants:
  - id: acme
    api_keys: ["s3cr3t-key", "env:ACME_KEY"]
    dataset_id: "1111"
    access_token: "s3cr3t-token"
    waba_ids: ["111", "112"]
    events:
      Subscribe: {action: reject}
  - id: umbra
    api_keys: ["s3cr3t-key-2"]
    dataset_id: "2222"
    access_token: "s3cr3t-token-2"
    waba_ids: ["222"]
    rate_limit: 2.5
`

// terminal is where a test types commands.
type terminal struct {
	t       *testing.T
	environ []string
}

// result is what a command left behind.
type result struct {
	code     int
	out, err string
}

// files is a terminal with a tenants file and no servers.
func files(t *testing.T, tenants string) *terminal {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tenants.yaml")
	if err := os.WriteFile(path, []byte(tenants), 0o600); err != nil {
		t.Fatal(err)
	}
	return &terminal{t: t, environ: []string{
		"HOMING_TENANTS=" + path, "ACME_KEY=s3cr3t-other-key",
		"HOMING_NATS_URL=nats://u:s3cr3t@127.0.0.1:1", "HOMING_REDIS_URL=redis://:s3cr3t@127.0.0.1:1/0",
	}}
}

// run runs one command.
func (tm *terminal) run(args ...string) result {
	tm.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	code := run(ctx, args, tm.environ, &out, &errs)
	r := result{code, out.String(), errs.String()}
	if strings.Contains(r.out+r.err, "s3cr3t") {
		tm.t.Errorf("homing %s shows a secret:\n%s%s", strings.Join(args, " "), r.out, r.err)
	}
	return r
}

// wants runs one command and checks its exit code and what it prints.
func (tm *terminal) wants(code int, parts []string, args ...string) result {
	tm.t.Helper()
	r := tm.run(args...)
	if r.code != code {
		tm.t.Errorf("homing %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.code, code, r.out, r.err)
	}
	for _, part := range parts {
		if !strings.Contains(timeless(r.out), part) {
			tm.t.Errorf("homing %s: no %q in\n%s", strings.Join(args, " "), part, timeless(r.out))
		}
	}
	return r
}

// timeless replaces times and makes the columns of a table one space apart.
func timeless(s string) string {
	s = regexp.MustCompile(`20\d\d-\d\d-\d\dT[0-9:.]+Z`).ReplaceAllString(s, "TIME")
	s = regexp.MustCompile(`\b6d23h\b`).ReplaceAllString(s, "LEFT")
	return regexp.MustCompile(` +`).ReplaceAllString(s, " ")
}

// system is a terminal beside a running system.
type system struct {
	*terminal
	ctx context.Context
	q   *queue.Queue
	js  jetstream.JetStream
}

// servers is a terminal with servers and no streams.
func servers(t *testing.T) *system {
	t.Helper()
	srv, err := embedded.NATS(t.TempDir(), embedded.Options{Listen: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	tm := files(t, tenantsFile)
	tm.environ = append(tm.environ, "HOMING_NATS_URL="+srv.URL(), "HOMING_REDIS_URL="+deduptest.URL(t),
		"HOMING_SHARDS=2", "HOMING_QUEUE_MAX_BYTES=64MiB")
	nc, err := nats.Connect(srv.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &system{terminal: tm, ctx: ctx, js: js}
}

// streams is a terminal with servers and streams.
func streams(t *testing.T) *system {
	t.Helper()
	s := servers(t)
	cfg := queue.Config{Shards: 2, MaxBytes: 64 << 20}
	if _, err := queue.Apply(s.ctx, s.js, cfg); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.q, err = queue.Open(s.js.Conn(), cfg, queue.WithLogger(slog.New(slog.DiscardHandler))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.q.Close)
	return s
}

// accept publishes the n-th event of a tenant.
func (s *system) accept(tenant string, n int) queue.Envelope {
	s.t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	env := queue.Envelope{
		Tenant: tenant, Accept: fmt.Sprintf("%s-%d", tenant, n), EventName: events.Purchase,
		EventID: fmt.Sprintf("order-%d", n), AcceptedAt: now, Attempt: 1,
	}
	got, err := s.q.Publish(s.ctx, queue.Acceptance{Envelope: env, MsgID: env.Accept, Data: stored(env)})
	if err != nil {
		s.t.Fatal(err)
	}
	env.Origin = got.Seq
	return env
}

func stored(env queue.Envelope) []byte {
	return events.EncodeEvent(&events.Event{
		Tenant: env.Tenant, Name: env.EventName, ID: env.EventID, Time: env.AcceptedAt.Unix(), Clid: "ARAk",
	})
}

// finish writes how an event ended and takes it out of the backlog; a dead or
// held one becomes a letter.
func (s *system) finish(env queue.Envelope, o events.Outcome, r events.Reason) {
	s.t.Helper()
	if o == events.Dead || o == events.Held {
		l := queue.Letter{
			Message: &queue.Message{Envelope: env, Data: stored(env)}, Envelope: env, Outcome: o, Reason: r,
			Error: "Invalid parameter", At: env.AcceptedAt,
		}
		if err := errors.Join(s.q.Bury(s.ctx, []queue.Letter{l})...); err != nil {
			s.t.Fatal(err)
		}
	}
	err := s.q.Record(s.ctx, env.Tenant, []events.Settlement{{
		Accept: env.Accept, Origin: env.Origin, Outcome: o, Reason: r, Tenant: env.Tenant, Name: env.EventName,
		ID: env.EventID, Attempts: 1, AcceptedAt: env.AcceptedAt, At: env.AcceptedAt,
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.remove(queue.StreamEvents, env.Origin)
}

func (s *system) remove(stream string, seq uint64) {
	s.t.Helper()
	st, err := s.js.Stream(s.ctx, stream)
	if err == nil {
		err = st.DeleteMsg(s.ctx, seq)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}
