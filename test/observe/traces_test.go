package observe_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/homing-dev/homing/internal/sandbox"
	"github.com/homing-dev/homing/test/harness"
)

const (
	posted    = "POST /api/v1/app/meta-ads/capi/send-event"
	looked    = "look up click"
	published = "send homing.ev"
	waited    = "wait homing.ev"
	passed    = "process homing.ev"
	claimed   = "claim"
	called    = "POST /{version}/{dataset}/events"
	settled   = "settle"
	acked     = "ack homing.ev"

	// guess is a verify token that somebody tries: it must not get into a span.
	guess = "a-guess-of-the-verify-token"
)

// traced is a stack of real processes that send their spans to a receiver.
type traced struct {
	*harness.Stack
	*receiver
	traces int
}

func startTraced(t *testing.T, protocol string, env ...string) *traced {
	t.Helper()
	r := startReceiver(t)
	endpoint := r.httpURL
	if protocol == "grpc" {
		endpoint = r.grpcURL
	}
	tenants := harness.DefaultTenants()
	tenants[1].OnUnknown = "{default: hold}"
	s := harness.Start(t, harness.Options{Binaries: binaries, Tenants: tenants, Env: append([]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol, "OTEL_BSP_SCHEDULE_DELAY=100",
	}, env...)})
	return &traced{Stack: s, receiver: r}
}

// send posts a conversion with a trace context of its own and returns its trace.
func (s *traced) send(tenant harness.Tenant, name, id, phone, flags string) string {
	s.T.Helper()
	trace, _ := s.try(tenant, name, id, phone, flags)
	return trace
}

// try is send, and reports whether the api found the click in time, which on a
// busy machine it may not.
func (s *traced) try(tenant harness.Tenant, name, id, phone, flags string) (string, bool) {
	s.T.Helper()
	s.traces++
	trace := fmt.Sprintf("%032x", 0xABC000+s.traces)
	header := tenant.Auth()
	header.Set("traceparent", "00-"+trace+"-00000000000000aa-"+flags)
	header.Set("tracestate", "vendor=1")
	body := harness.Conversion(name, id, phone)
	body["ctwa_clid"] = "clid-given"
	if phone != "" {
		delete(body, "ctwa_clid")
	} else {
		delete(body, "phone_number")
	}
	a, err := s.Do(http.MethodPost, harness.PathEvent, header, body)
	if err != nil || a.Code >= 300 {
		s.T.Fatalf("%s: %d %s %v", id, a.Code, a.Text, err)
	}
	return trace, a.Code == http.StatusOK && a.Body.Success
}

// await waits until a trace has spans of these names, and returns all of it.
func (s *traced) await(trace string, names ...string) []span {
	s.T.Helper()
	var found []span
	harness.Eventually(s.T, patience, "the trace is whole", func() error {
		found = s.of(trace)
		left := slices.Clone(names)
		for _, sp := range found {
			if i := slices.Index(left, sp.Name); i >= 0 {
				left = slices.Delete(left, i, i+1)
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("without %q: %s", left, drawn(found))
		}
		return nil
	})
	if len(found) > 12 {
		s.T.Errorf("%d spans:%s", len(found), drawn(found))
	}
	for _, sp := range found {
		if len(sp.Attributes) > 32 {
			s.T.Errorf("%s has %d attributes", sp.Name, len(sp.Attributes))
		}
	}
	return found
}

// drawn writes a trace for a person.
func drawn(spans []span) string {
	var b strings.Builder
	for _, sp := range spans {
		fmt.Fprintf(&b, "\n\t%s %s<-%s %s %v", sp.service, sp.id()[:4], sp.parent()[:min(4, len(sp.parent()))], sp.Name, sp.attrs["homing.outcome"])
	}
	return b.String()
}

// outcomes are those of the passes, in order.
func outcomes(spans []span) string {
	var all []string
	for _, sp := range named(spans, passed) {
		all = append(all, sp.attrs["homing.outcome"])
	}
	return strings.Join(all, " ")
}

func TestTraces(t *testing.T) {
	t.Parallel()
	s := startTraced(t, "grpc")
	acme, globex := s.Tenants[0], s.Tenants[1]
	phone := harness.Phone(1)
	s.Tap(acme, harness.Click{Phone: phone, Clid: "clid-1", At: time.Now()})
	if _, err := s.Do(http.MethodGet, harness.PathHook+"?hub.mode=subscribe&hub.challenge=1&hub.verify_token="+guess, nil, nil); err != nil {
		t.Fatal(err)
	}

	t.Run("delivered", func(t *testing.T) {
		for n := range 10 {
			if trace, found := s.try(acme, "Purchase", fmt.Sprint("order-1-", n), phone, "01"); found {
				s.checkWaterfall(t, trace)
				return
			}
		}
		t.Fatal("the api never found the click in time")
	})
	t.Run("not sampled", func(t *testing.T) {
		quiet := s.send(acme, "Purchase", "order-2", phone, "00")
		s.await(s.send(acme, "Purchase", "order-3", phone, "01"), acked)
		if spans := s.of(quiet); len(spans) > 0 {
			t.Errorf("the caller wanted none:%s", drawn(spans))
		}
		if a, _ := s.Status(acme, "Purchase", "order-2"); !strings.Contains(a.Text, quiet) {
			t.Errorf("its status has no trace id: %s", a.Text)
		}
	})
	t.Run("retried", func(t *testing.T) {
		s.Fault(sandbox.Fault{Match: sandbox.Match{EventID: "order-4"}, Times: 4, Action: sandbox.Action{Status: 503, Code: 2, Transient: true}})
		trace := s.send(acme, "Purchase", "order-4", phone, "01")
		s.AwaitStatus(acme, "Purchase", "order-4", "delivered")
		var spans []span
		harness.Eventually(t, patience, "its end is told", func() error {
			if spans = s.of(trace); !strings.HasSuffix(outcomes(spans), "delivered") {
				return errors.New(drawn(spans))
			}
			return nil
		})
		if got := outcomes(spans); !strings.HasPrefix(got, "retrying retrying") || len(spans) > 12 {
			t.Errorf("passes %q in %d spans:%s", got, len(spans), drawn(spans))
		}
		for _, pass := range named(spans, passed) {
			if !slices.ContainsFunc(named(s.all(), called), pass.linksTo) {
				t.Errorf("a pass (%s) links to no call", pass.attrs["homing.outcome"])
			}
		}
	})
	t.Run("held and replayed", func(t *testing.T) { s.checkReplay(t, globex) })
	t.Run("api killed in between", func(t *testing.T) {
		s.Workers[0].Pause()
		trace := s.send(acme, "Purchase", "order-6", phone, "01")
		s.await(trace, posted, published)
		s.API.Kill()
		s.API.Start()
		s.AwaitReady(s.API)
		s.Workers[0].Resume()
		s.AwaitStatus(acme, "Purchase", "order-6", "delivered")
		spans := s.await(trace, posted, published, passed, called)
		if got := outcomes(spans); !strings.HasSuffix(got, "delivered") {
			t.Errorf("passes %q:%s", got, drawn(spans))
		}
	})
	s.checkSecrets(t)
}

// checkWaterfall follows an ordinary event, and its click.
func (s *traced) checkWaterfall(t *testing.T, trace string) {
	spans := s.await(trace, posted, looked, published, waited, passed, claimed, called, settled, acked)
	of := map[string]span{}
	for _, sp := range spans {
		if _, twice := of[sp.Name]; twice {
			t.Errorf("%s is there twice:%s", sp.Name, drawn(spans))
		}
		of[sp.Name] = sp
	}
	for child, parent := range map[string]string{
		looked: posted, published: posted, waited: published, passed: published, claimed: passed, called: passed, settled: passed, acked: passed,
	} {
		if of[child].parent() != of[parent].id() {
			t.Errorf("%s is no child of %s:%s", child, parent, drawn(spans))
		}
	}
	if of[posted].parent() != "00000000000000aa" || !strings.Contains(of[published].TraceState+of[posted].TraceState, "vendor=1") {
		t.Error("the caller's trace context was not kept")
	}
	for name, kind := range map[string]tracepb.Span_SpanKind{
		posted: tracepb.Span_SPAN_KIND_SERVER, published: tracepb.Span_SPAN_KIND_PRODUCER,
		passed: tracepb.Span_SPAN_KIND_CONSUMER, called: tracepb.Span_SPAN_KIND_CLIENT,
	} {
		if of[name].Kind != kind {
			t.Errorf("%s is a %v, want a %v", name, of[name].Kind, kind)
		}
	}
	if of[posted].service != "homing-api" || of[passed].service != "homing-worker" {
		t.Errorf("services %q and %q", of[posted].service, of[passed].service)
	}
	if !of[passed].linksTo(of[called]) || !of[called].linksTo(of[passed]) {
		t.Error("the event and its call are not linked")
	}
	pass := of[passed].attrs
	for _, key := range []string{"homing.tenant", "homing.event_id", "homing.accept", "homing.outcome", "homing.fbtrace_id"} {
		if pass[key] == "" {
			t.Errorf("%s does not tell %s: %v", passed, key, slices.Sorted(maps.Keys(pass)))
		}
	}
	// The webhook began a trace of its own, which the click went on with.
	hooks := named(s.all(), "POST /webhooks/whatsapp")
	if len(hooks) != 1 {
		t.Fatalf("%d spans of the webhook", len(hooks))
	}
	click := s.await(hooks[0].trace(), "send homing.click", "process homing.click")
	if sent := named(click, "send homing.click")[0]; !of[looked].linksTo(sent) {
		t.Errorf("the event does not link to its click: %v", of[looked].Links)
	}
}

// checkReplay cuts a call off, and replays the event that is held for it.
func (s *traced) checkReplay(t *testing.T, tenant harness.Tenant) {
	s.Fault(sandbox.Fault{Match: sandbox.Match{EventID: "order-5"}, Times: 1, Action: sandbox.Action{Cut: sandbox.CutBeforeAnswer}})
	trace := s.send(tenant, "AddToCart", "order-5", "", "01")
	s.AwaitStatus(tenant, "AddToCart", "order-5", "held")
	if got := outcomes(s.await(trace, passed, called)); got != "held" {
		t.Errorf("passes %q", got)
	}
	var letters []byte
	for _, args := range [][]string{
		{"-o", "json", "dlq", "list"},
		{"dlq", "replay", "--tenant", tenant.ID, "--yes-meta-does-not-have-it"},
	} {
		cmd := exec.CommandContext(t.Context(), binaries.Path(t, "cmd/homing"), args...)
		cmd.Env = s.Env()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("homing %q: %v\n%s", args, err, out)
		}
		letters = append(letters, out...)
	}
	if !strings.Contains(string(letters), trace) {
		t.Errorf("the dead letter does not tell its trace: %s", letters)
	}
	s.AwaitStatus(tenant, "AddToCart", "order-5", "delivered")
	harness.Eventually(t, patience, "the replay is told in the same trace", func() error {
		if spans := s.of(trace); outcomes(spans) != "held delivered" || len(spans) > 12 {
			return errors.New(drawn(spans))
		}
		return nil
	})
}

// checkSecrets searches everything that was exported.
func (s *traced) checkSecrets(t *testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	secrets := []string{guess, "4915110", "verify-token-7Hq2", "whatsapp-app-secret-9fK4", "Bearer"}
	for _, tenant := range s.Tenants {
		secrets = append(secrets, tenant.Key, tenant.Token, tenant.AppSecret)
	}
	for _, text := range s.texts {
		for _, secret := range secrets {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("a span holds %s: %s", secret, text[max(0, at-200):min(len(text), at+100)])
			}
		}
	}
}

// TestTracesOverHTTP: the other protocol, and a ratio that the environment names.
func TestTracesOverHTTP(t *testing.T) {
	t.Parallel()
	s := startTraced(t, "http/protobuf", "OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0")
	acme := s.Tenants[0]
	s.MustTake(acme, harness.PathEvent, map[string]any{"event_name": "AddToCart", "event_id": "cart-1", "ctwa_clid": "c"})
	s.await(s.send(acme, "AddToCart", "cart-2", "", "01"), posted, published, passed, called, acked)
	s.AwaitStatus(acme, "AddToCart", "cart-1", "delivered")
	// An event that ends dead is told although nobody drew a lot for it.
	s.Fault(sandbox.Fault{Match: sandbox.Match{EventID: "cart-3"}, Action: sandbox.Action{Status: 400, Code: 100}})
	s.MustTake(acme, harness.PathEvent, map[string]any{"event_name": "AddToCart", "event_id": "cart-3", "ctwa_clid": "c"})
	var status struct {
		TraceID string `json:"trace_id"`
	}
	if err := json.Unmarshal([]byte(s.AwaitStatus(acme, "AddToCart", "cart-3", "dead").Text), &status); err != nil {
		t.Fatal(err)
	}
	if got := outcomes(s.await(status.TraceID, passed)); got != "dead" {
		t.Errorf("passes %q", got)
	}
	for _, sp := range s.all() {
		if sp.attrs["homing.event_id"] == "cart-1" {
			t.Errorf("%s of an event that is not in the sample", sp.Name)
		}
	}
	s.API.Signal(syscall.SIGTERM)
}
