package deploy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/homing-dev/homing/internal/sandbox"
	"github.com/homing-dev/homing/test/harness"
)

// roll starts an api and a worker.
func (c *cluster) roll() (api, worker *pod) {
	c.t.Helper()
	api, worker = c.pod("Deployment", "homing-api", "api"), c.pod("Deployment", "homing-worker", "worker")
	c.begin(api)
	c.begin(worker)
	return api, worker
}

func (c *cluster) end(pods ...*pod) {
	c.t.Helper()
	for _, p := range pods {
		if code := p.Terminate(time.Duration(p.spec.Spec.Grace) * time.Second); code != 0 {
			c.t.Errorf("%s: exit code %d\n%s", p.Name, code, p.Output())
		}
	}
}

// inPlaceOf makes c stand where another cluster stood: the same Meta, and the same
// merchant. NATS is its own, and Redis is empty.
func (c *cluster) inPlaceOf(old *cluster) {
	c.meta = old.meta
	at := slices.IndexFunc(old.env, func(pair string) bool { return strings.HasPrefix(pair, "HOMING_GRAPH_URL=") })
	c.env = append(c.env, old.env[at])
}

func (c *cluster) tap(api *pod) {
	c.t.Helper()
	click := map[string]any{"phone_number": "+" + harness.Phone(1), "ctwa_clid": "clid-1"}
	if code, err := c.post(api, harness.PathClicks, click); err != nil || code != http.StatusAccepted {
		c.t.Fatalf("click: %d %v", code, err)
	}
}

// atMetaOnce waits until Meta has each of so many events, and wants none twice.
func (c *cluster) atMetaOnce(prefix string, n int) {
	c.t.Helper()
	harness.Eventually(c.t, upWithin, "every event is at Meta", func() error {
		for i := range n {
			if id := fmt.Sprint(prefix, i); c.meta.Count(c.tenant.Dataset, "Purchase", id) == 0 {
				return errors.New(id + " is not")
			}
		}
		return nil
	})
	if doubles := c.meta.Doubles(); len(doubles) > 0 {
		c.t.Errorf("Meta has %d events twice, such as %v", len(doubles), doubles[0])
	}
}

const some = 20

// TestMove carries the store of NATS elsewhere, as docs/production.md says of a move:
// processes and server stopped, the folder copied, Redis left behind.
func TestMove(t *testing.T) {
	here, there := t.TempDir(), t.TempDir()
	stored := func(dir string) func(map[string]any) {
		return func(config map[string]any) { config["jetstream"].(map[string]any)["store_dir"] = dir }
	}
	old := newCluster(t, stored(here))
	old.run("streams", "apply")
	api, worker := old.roll()
	old.tap(api)
	for i := range some {
		old.mustPost(api, fmt.Sprint("done-", i))
	}
	old.atMetaOnce("done-", some)
	old.end(worker)
	for i := range some {
		old.mustPost(api, fmt.Sprint("waits-", i))
	}
	old.end(api)
	old.nats.Shutdown()
	old.nats.WaitForShutdown()
	if err := os.CopyFS(there, os.DirFS(here)); err != nil {
		t.Fatal(err)
	}

	fresh := newCluster(t, stored(there))
	fresh.inPlaceOf(old)
	api, worker = fresh.roll()
	fresh.atMetaOnce("waits-", some)
	for i := range some { // a shop that is not sure
		fresh.mustPost(api, fmt.Sprint("done-", i))
	}
	fresh.mustPost(api, "new-0") // by a click from before
	fresh.atMetaOnce("new-", 1)
	fresh.run("audit", "--patience", "60s")
	fresh.atMetaOnce("done-", some)
	fresh.end(api, worker)
}

// TestRestore brings ledger, clicks and dead letters back from a backup, as `nats
// stream backup` and `restore` do it, next to a backlog that begins anew.
func TestRestore(t *testing.T) {
	old := newCluster(t, withAdministrator)
	old.run("streams", "apply")
	api, worker := old.roll()
	old.tap(api)
	for i := range some {
		old.mustPost(api, fmt.Sprint("done-", i))
	}
	old.atMetaOnce("done-", some)
	old.fault(sandbox.Fault{Times: 1, Action: sandbox.Action{Code: 100, Subcode: 2804003}})
	old.mustPost(api, "dead-0")
	old.awaitStatus(api, "dead-0", "dead")
	old.run("audit", "--patience", "60s")
	saved := map[string]backup{}
	admin := old.administrator()
	for _, stream := range []string{"HOMING_CLICKS", "HOMING_OUTCOMES", "HOMING_DEAD"} {
		saved[stream] = backUp(t, admin, stream)
	}
	old.end(api, worker)
	old.nats.Shutdown()

	fresh := newCluster(t, withAdministrator)
	fresh.inPlaceOf(old)
	since := time.Now()
	admin = fresh.administrator()
	for stream, b := range saved {
		b.restore(t, admin, stream)
	}
	fresh.run("streams", "apply")
	api, worker = fresh.roll()
	for i := range some {
		fresh.mustPost(api, fmt.Sprint("done-", i))
	}
	fresh.mustPost(api, "new-0") // by a click from the backup
	fresh.atMetaOnce("new-", 1)
	fresh.run("dlq", "replay", "--tenant", fresh.tenant.ID)
	fresh.atMetaOnce("dead-", 1)
	fresh.run("audit", "--patience", "60s", "--since", since.UTC().Format(time.RFC3339))
	fresh.atMetaOnce("done-", some)
	fresh.end(api, worker)
}

func (c *cluster) administrator() *nats.Conn {
	c.t.Helper()
	nc, err := nats.Connect("nats://"+c.servers[0], nats.UserInfo("administrator", password))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(nc.Close)
	return nc
}

// backup is a stream as the snapshot API tells it.
type backup struct {
	Config json.RawMessage `json:"config"`
	State  json.RawMessage `json:"state"`
	chunks [][]byte
}

// ask makes a request of the JetStream API.
func ask(t *testing.T, nc *nats.Conn, subject string, body []byte) (answer struct {
	Error          *struct{ Description string }
	DeliverSubject string `json:"deliver_subject"`
}, text []byte,
) {
	t.Helper()
	msg, err := nc.Request(subject, body, 10*time.Second)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	if len(msg.Data) > 0 {
		if err := json.Unmarshal(msg.Data, &answer); err != nil || answer.Error != nil {
			t.Fatalf("%s: %s %v", subject, msg.Data, err)
		}
	}
	return answer, msg.Data
}

func backUp(t *testing.T, nc *nats.Conn, stream string) (b backup) {
	t.Helper()
	sub, err := nc.SubscribeSync(nc.NewRespInbox())
	if err != nil {
		t.Fatal(err)
	}
	_, text := ask(t, nc, "$JS.API.STREAM.SNAPSHOT."+stream, fmt.Appendf(nil, `{"deliver_subject":%q}`, sub.Subject))
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	for {
		msg, err := sub.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if len(msg.Data) == 0 {
			return b
		}
		b.chunks = append(b.chunks, msg.Data)
		if msg.Reply != "" {
			_ = msg.Respond(nil)
		}
	}
}

func (b backup) restore(t *testing.T, nc *nats.Conn, stream string) {
	t.Helper()
	about, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	answer, _ := ask(t, nc, "$JS.API.STREAM.RESTORE."+stream, about)
	for _, chunk := range append(b.chunks, nil) { // the empty one ends it
		ask(t, nc, answer.DeliverSubject, chunk)
	}
}
