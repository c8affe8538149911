package deploy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/homing-dev/homing/internal/sandbox"
	"github.com/homing-dev/homing/test/harness"
)

// TestAccounts runs the api, a worker and the command line under the accounts of
// deploy/nats: all that they do is allowed, and little else.
func TestAccounts(t *testing.T) {
	c := newCluster(t)
	api, worker := c.pod("Deployment", "homing-api", "api"), c.pod("Deployment", "homing-worker", "worker")
	api.Start()
	worker.Start()
	main := api.spec.Spec.Containers[0]
	harness.Eventually(t, upWithin, "the api lives", func() error { return api.asks(main.Liveness) })
	if api.asks(main.Readiness) == nil {
		t.Error("the api is ready before there are streams")
	}

	// The Job makes the streams; the pods waited and did not restart.
	job := c.pod("Job", "homing-streams", "operator")
	job.Start()
	if code := job.Exit(upWithin); code != 0 {
		t.Fatalf("the Job homing-streams: exit code %d\n%s", code, job.Output())
	}
	for _, p := range []*pod{api, worker} {
		probe := p.spec.Spec.Containers[0].Readiness
		harness.Eventually(t, upWithin, p.Name+" is ready", func() error { return p.asks(probe) })
	}

	c.deliver(t, api)
	c.operate(t, api)
	for _, p := range []*pod{api, worker} {
		if code := p.Terminate(time.Duration(p.spec.Spec.Grace) * time.Second); code != 0 {
			t.Errorf("%s: exit code %d", p.Name, code)
		}
	}
	if refused := c.nats.Refused(); len(refused) > 0 {
		t.Errorf("refused, though needed:\n%s", strings.Join(refused, "\n"))
	}
	for role, wishes := range forbidden() {
		c.refuses(t, role, wishes)
	}
}

// post sends JSON for the tenant and returns the answer's code.
func (c *cluster) post(p *pod, path string, body map[string]any) (int, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+p.api+path, bytes.NewReader(text))
	if err != nil {
		return 0, err
	}
	req.Header = c.tenant.Auth()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

func (c *cluster) mustPost(p *pod, id string) {
	c.t.Helper()
	code, err := c.post(p, harness.PathEvent, harness.Conversion("Purchase", id, harness.Phone(1)))
	if err != nil || !accepted(code) {
		c.t.Fatalf("event %s: %d %v", id, code, err)
	}
}

// accepted reports whether the api took an event: it answers 202 when Redis could
// not be asked in time.
func accepted(code int) bool { return code == http.StatusOK || code == http.StatusAccepted }

// awaitStatus waits for what becomes of an event.
func (c *cluster) awaitStatus(p *pod, id, want string) {
	c.t.Helper()
	harness.Eventually(c.t, upWithin, "event "+id+" is "+want, func() error {
		req, err := http.NewRequest(http.MethodGet, "http://"+p.api+harness.PathStatus+id, nil)
		if err != nil {
			return err
		}
		req.Header = c.tenant.Auth()
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		var body harness.Body
		if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
			return err
		}
		if body.Status != want {
			return fmt.Errorf("it is %s %s", body.Status, body.Reason)
		}
		return nil
	})
}

// deliver walks every way that an event can go.
func (c *cluster) deliver(t *testing.T, api *pod) {
	t.Helper()
	click := map[string]any{"phone_number": "+" + harness.Phone(1), "ctwa_clid": "clid-1"}
	if code, err := c.post(api, harness.PathClicks, click); err != nil || code != http.StatusAccepted {
		t.Fatalf("click: %d %v", code, err)
	}
	c.mustPost(api, "straight")
	c.awaitStatus(api, "straight", "delivered")

	c.fault(sandbox.Fault{Times: 1, Action: sandbox.Action{Code: 2}}) // transient
	c.mustPost(api, "again")
	c.awaitStatus(api, "again", "delivered")

	c.fault(sandbox.Fault{Times: 1, Action: sandbox.Action{Code: 100, Subcode: 2804003}})
	c.mustPost(api, "buried")
	c.awaitStatus(api, "buried", "dead")

	c.fault(sandbox.Fault{Times: 1, Action: sandbox.Action{Code: 190}})
	c.mustPost(api, "parked")
	c.awaitStatus(api, "parked", "delivered")
}

// operate gives the commands that reach for the streams.
func (c *cluster) operate(t *testing.T, api *pod) {
	t.Helper()
	for _, args := range [][]string{
		{"streams", "status", "--consumers"},
		{"streams", "apply", "--dry-run"},
		{"streams", "apply", "--shards", "9"},
		{"dlq", "list"},
		{"event", "buried"},
		{"clicks", "rebuild"},
		{"dlq", "replay", "--tenant", c.tenant.ID},
	} {
		c.run(args...)
	}
	c.awaitStatus(api, "buried", "delivered")
	c.run("audit")
}

// forbidden is what each role must not be able to do, by subject.
func forbidden() map[string][]string {
	return map[string][]string{
		"api": {
			"homing.rt.0.acme", "homing.sched.0.x", "homing.parked.acme", "homing.outcome.acme", "homing.dead.acme",
			"$JS.ACK.HOMING_EVENTS.ev-0.1.1.1.1.1", "$JS.API.CONSUMER.MSG.NEXT.HOMING_EVENTS.ev-0",
			"$JS.API.STREAM.CREATE.HOMING_EVENTS", "$JS.API.STREAM.DELETE.HOMING_EVENTS", "$JS.API.STREAM.PURGE.HOMING_PARKED",
			"$JS.API.STREAM.MSG.DELETE.HOMING_EVENTS", "$JS.API.CONSUMER.CREATE.HOMING_EVENTS.spy", "$JS.API.DIRECT.GET.HOMING_CLICKS",
			"$JS.API.CONSUMER.CREATE.HOMING_CLICKS.clicks", "$JS.API.CONSUMER.DELETE.HOMING_CLICKS.clicks",
			"$JS.API.CONSUMER.CREATE.HOMING_CLICKS.spy.homing.click.>", "$JS.API.CONSUMER.CREATE.HOMING_OUTCOMES.spy",
			"$JS.API.DIRECT.GET.HOMING_OUTCOMES", "$JS.API.DIRECT.GET.HOMING_DEAD", "$JS.API.CONSUMER.MSG.NEXT.HOMING_CLICKS.clicks",
			"$JS.API.STREAM.MSG.GET.HOMING_EVENTS",
			"sub homing.>", "sub _INBOX.worker.>", "sub _INBOX.>", "sub >",
		},
		"worker": {
			"homing.ev.0.acme", "homing.click.acme",
			"$JS.API.STREAM.CREATE.HOMING_EVENTS", "$JS.API.STREAM.UPDATE.HOMING_EVENTS", "$JS.API.STREAM.DELETE.HOMING_EVENTS",
			"$JS.API.STREAM.PURGE.HOMING_EVENTS", "$JS.API.STREAM.PURGE.HOMING_OUTCOMES", "$JS.API.STREAM.MSG.DELETE.HOMING_DEAD",
			"$JS.API.CONSUMER.CREATE.HOMING_EVENTS.ev-0", "$JS.API.CONSUMER.DELETE.HOMING_EVENTS.ev-0",
			"$JS.API.CONSUMER.CREATE.HOMING_CLICKS.clicks", "$JS.API.CONSUMER.CREATE.HOMING_CLICKS.clicks.homing.click.>",
			"$JS.API.CONSUMER.DELETE.HOMING_CLICKS.clicks",
			"sub homing.>", "sub _INBOX.api.>", "sub $JS.>",
		},
		"operator": {
			"homing.ev.0.acme", "homing.click.acme", "homing.outcome.acme", "homing.dead.acme",
			"$JS.ACK.HOMING_EVENTS.ev-0.1.1.1.1.1", "$JS.API.CONSUMER.MSG.NEXT.HOMING_EVENTS.ev-0",
			"$JS.API.CONSUMER.MSG.NEXT.HOMING_CLICKS.clicks", "$JS.API.CONSUMER.DELETE.HOMING_CLICKS.clicks",
			"$JS.API.STREAM.DELETE.HOMING_EVENTS", "$JS.API.STREAM.PURGE.HOMING_DEAD", "$JS.API.STREAM.CREATE.OTHER",
			"$JS.API.CONSUMER.DELETE.HOMING_EVENTS.ev-0", "$JS.API.STREAM.MSG.DELETE.HOMING_OUTCOMES",
			"sub homing.>", "sub _INBOX.worker.>",
		},
	}
}

// refuses wants every wish of a role to be a violation.
func (c *cluster) refuses(t *testing.T, role string, wishes []string) {
	t.Helper()
	told := make(chan error, 1)
	nc, err := nats.Connect(c.natsURL(role), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { told <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, wish := range wishes {
		if subject, found := strings.CutPrefix(wish, "sub "); found {
			_, err = nc.SubscribeSync(subject)
		} else {
			err = nc.Publish(wish, []byte("{}"))
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-told:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%s: %s: %v", role, wish, err)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%s may %s", role, wish)
		}
	}
}

func (c *cluster) fault(f sandbox.Fault) {
	c.t.Helper()
	if _, err := c.meta.AddFault(f); err != nil {
		c.t.Fatal(err)
	}
}
