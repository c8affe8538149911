package integration

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/homing-dev/homing/test/harness"
)

// within is how long something may take that happens by itself.
const within = 30 * time.Second

func TestRedisAway(t *testing.T) {
	t.Parallel()
	s := start(t)
	acme := s.Tenants[0]
	s.Tap(acme, harness.Click{Phone: harness.Phone(1), Clid: "clid-1", At: time.Now()})
	s.Redis.Kill()
	// Purchases: what a worker had in hand when Redis went away was not sent, so
	// nothing of it may be held afterwards.
	var promises harness.Promises
	for n := range 10 {
		id := fmt.Sprintf("order-%d", n)
		a := s.MustPost(acme, harness.PathEvent, harness.Conversion("Purchase", id, harness.Phone(1)), http.StatusAccepted)
		if !a.Body.Success || a.Body.Status != "queued" {
			t.Errorf("answered %s", a.Text)
		}
		promises.Add(acme, "Purchase", id, "clid-1")
	}
	if a, err := s.Status(acme, "Purchase", "order-1"); err != nil || a.Code != http.StatusServiceUnavailable || a.Body.Reason != "status_unavailable" {
		t.Errorf("status: %d %s %v", a.Code, a.Text, err)
	}
	if n := s.Meta.Stats().Events; n != 0 {
		t.Errorf("%d events were sent without Redis", n)
	}
	s.Redis.Start()
	s.Redis.Await()
	if f, want := s.Judge(&promises, within), (harness.Findings{Delivered: 10}); f != want {
		t.Errorf("%s, want %s", f, want)
	}
}

func TestRedisForgets(t *testing.T) {
	for name, forget := range map[string]func(*harness.Stack){
		"flush":   func(s *harness.Stack) { s.Redis.Flush() },
		"replace": func(s *harness.Stack) { s.Redis.Replace() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			acme := s.Tenants[0]
			var promises harness.Promises
			post := func(n int) {
				id := fmt.Sprintf("order-%d", n)
				a, err := s.Insist(acme, harness.PathEvent, harness.Conversion("Purchase", id, harness.Phone(n)))
				if err != nil {
					t.Errorf("%s: %d %s %v", id, a.Code, a.Text, err)
				}
				promises.Add(acme, "Purchase", id, clidOf(n))
			}
			for n := range 20 {
				s.Tap(acme, harness.Click{Phone: harness.Phone(n), Clid: clidOf(n), At: time.Now()})
				post(n)
			}
			s.AwaitQuiet(within)

			forget(s)
			// A restarted JetStream has forgotten the ids of acked messages: nothing
			// but the ledger knows now what was sent.
			s.NATS.Kill()
			s.NATS.Start()
			s.NATS.Await()
			for n := range 20 {
				post(n)
			}
			harness.Eventually(t, within, "the clicks are there again", func() error {
				a, err := s.Post(acme, harness.PathEvent, harness.Conversion("AddToCart", "cart-1", harness.Phone(3)))
				if err == nil && a.Body.Clid != clidOf(3) {
					err = fmt.Errorf("%d %s", a.Code, a.Text)
				}
				return err
			})
			promises.Add(acme, "AddToCart", "cart-1", clidOf(3))
			f := s.Judge(&promises, within)
			if want := (harness.Findings{Delivered: 21}); f != want {
				t.Errorf("%s, want %s", f, want)
			}
			harness.Eventually(t, within, "a settled event is a duplicate", func() error {
				a, err := s.Post(acme, harness.PathEvent, harness.Conversion("Purchase", "order-7", harness.Phone(7)))
				if err == nil && (a.Code != http.StatusOK || !a.Body.Duplicate) {
					err = fmt.Errorf("%d %s", a.Code, a.Text)
				}
				return err
			})
		})
	}
}

func TestQueueAway(t *testing.T) {
	t.Parallel()
	s := start(t)
	acme := s.Tenants[0]
	s.NATS.Kill()
	a, err := s.Post(acme, harness.PathEvent, harness.Conversion("Purchase", "order-1", harness.Phone(1)))
	if err != nil || a.Code != http.StatusServiceUnavailable || a.Body.Reason != "queue_unavailable" || a.Header.Get("Retry-After") == "" {
		t.Errorf("event: %d %s %v %v", a.Code, a.Text, a.Header, err)
	}
	click := harness.Click{Phone: harness.Phone(1), Clid: "clid-1", At: time.Now()}
	if a, err := s.Webhook(acme, click); err != nil || a.Code != http.StatusServiceUnavailable {
		t.Errorf("webhook: %d %s %v", a.Code, a.Text, err)
	}
	s.NATS.Start()
	s.NATS.Await()
	s.Tap(acme, click)
	if _, err := s.Insist(acme, harness.PathEvent, harness.Conversion("Purchase", "order-1", harness.Phone(1))); err != nil {
		t.Fatal(err)
	}
	var promises harness.Promises
	promises.Add(acme, "Purchase", "order-1", "clid-1")
	if f, want := s.Judge(&promises, within), (harness.Findings{Delivered: 1}); f != want {
		t.Errorf("%s, want %s", f, want)
	}
}

// clidOf is the click of the n-th person.
func clidOf(n int) string { return fmt.Sprintf("clid-%d", n) }

// TestQueueFull fills the queue while no worker empties it: first one tenant its
// share, then all of them the whole.
func TestQueueFull(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{
		Binaries: binaries, Workers: -1,
		// The calls are large: a slow machine needs time for them.
		Env: []string{
			"HOMING_QUEUE_MAX_BYTES=2MiB", "HOMING_TENANT_QUEUE_SHARE=0.25",
			"HOMING_ACK_WAIT=30s", "HOMING_BATCH_DEADLINE=25s", "HOMING_GRAPH_TIMEOUT=15s",
		},
		Tenants: []harness.Tenant{
			harness.NewTenant("acme", 1), harness.NewTenant("globex", 2), harness.NewTenant("initech", 3),
			harness.NewTenant("umbrella", 4), harness.NewTenant("hooli", 5), harness.NewTenant("stark", 6),
		},
	})
	var promises harness.Promises
	// fill posts for a tenant until it is refused, and returns how much it got in.
	fill := func(tenant harness.Tenant, most int) (n int) {
		for ; n < most; n++ {
			id := fmt.Sprintf("order-%d", n)
			body := harness.Conversion("Purchase", id, harness.Phone(n))
			body["ctwa_clid"] = "clid-" + id
			body["custom_data"] = map[string]any{"content_name": string(make20k())}
			a, err := s.Post(tenant, harness.PathEvent, body)
			if err != nil {
				t.Fatal(err)
			}
			if a.Code == http.StatusServiceUnavailable {
				if a.Body.Reason != "queue_full" || a.Header.Get("Retry-After") == "" {
					t.Errorf("refused with %s %v", a.Text, a.Header)
				}
				return n
			}
			if a.Code != http.StatusOK {
				t.Fatalf("%d %s", a.Code, a.Text)
			}
			promises.Add(tenant, "Purchase", id, "clid-"+id)
			if n > 20 {
				harness.Pass(60 * time.Millisecond) // for the api to see how much waits
			}
		}
		return n
	}
	if n := fill(s.Tenants[0], 60); n == 60 {
		t.Errorf("one tenant may fill more than its share: %d events of 20 kB", n)
	}
	if n := fill(s.Tenants[1], 5); n != 5 {
		t.Errorf("a tenant far below its share got only %d in", n)
	}
	full := 0
	for _, tenant := range s.Tenants[1:] {
		full += fill(tenant, 60)
	}
	if full > 100 {
		t.Errorf("the queue of 2 MiB took %d events of 20 kB", full)
	}
	worker := harness.NewProcess(t, "worker", binaries.Path(t, "cmd/worker"), append(s.Env(), "HOMING_OPS_ADDR="+harness.Addr(t)))
	worker.Start()
	f := s.Judge(&promises, within)
	if want := (harness.Findings{Delivered: promises.Len()}); f != want {
		t.Errorf("%s, want %s", f, want)
	}
	harness.Eventually(t, within, "there is room again", func() error {
		a, err := s.Post(s.Tenants[0], harness.PathEvent, harness.Conversion("Purchase", "late", harness.Phone(1)))
		if err == nil && a.Code != http.StatusOK {
			err = errors.New(a.Text)
		}
		return err
	})
}

// make20k is a text that weighs something.
func make20k() []byte {
	b := make([]byte, 20_000)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	return b
}
