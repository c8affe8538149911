package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/events"
	"github.com/homing-dev/homing/test/harness"
)

// trio is three nats-servers that hold every stream three times, with the accounts
// of deploy/nats and an administrator.
type trio struct {
	t       *testing.T
	servers map[string]*harness.Process // by the name that JetStream knows
	addrs   []string
	js      jetstream.JetStream
}

func startTrio(t *testing.T) *trio {
	t.Helper()
	n := &trio{t: t, servers: map[string]*harness.Process{}}
	var routes []string
	for range 3 {
		n.addrs = append(n.addrs, harness.Addr(t))
		routes = append(routes, harness.Addr(t))
	}
	env := []string{"SYSTEM_PASSWORD=" + password + "system"}
	for _, role := range roles() {
		env = append(env, "HOMING_"+strings.ToUpper(role)+"_PASSWORD="+password+role)
	}
	for i, addr := range n.addrs {
		name := fmt.Sprint("nats-", i)
		config := natsConfig(t)
		withAdministrator(config)
		host, port, _ := net.SplitHostPort(routes[i])
		number, _ := strconv.Atoi(port)
		cluster := map[string]any{"name": "homing", "host": host, "port": number}
		for _, route := range routes {
			list, _ := cluster["routes"].([]string)
			cluster["routes"] = append(list, "nats://"+route)
		}
		config["server_name"], config["listen"], config["cluster"] = name, addr, cluster
		path := binaries.Path(t, "github.com/nats-io/nats-server/v2")
		n.servers[name] = harness.NewProcess(t, name, path, env, "-c", writeConfig(t, config))
		n.servers[name].Start()
	}
	nc, err := nats.Connect(n.url(), nats.UserInfo("administrator", password), nats.MaxReconnects(-1),
		nats.ReconnectWait(100*time.Millisecond), nats.RetryOnFailedConnect(true))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if n.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, upWithin, "the servers have found each other", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := n.js.AccountInfo(ctx)
		return err
	})
	return n
}

func (n *trio) url() string { return "nats://" + strings.Join(n.addrs, ",nats://") }

// info returns what the cluster says of a stream.
func (n *trio) info(stream string) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(n.t.Context(), 2*time.Second)
	defer cancel()
	s, err := n.js.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	info := s.CachedInfo()
	if info.Cluster == nil || info.Cluster.Leader == "" {
		return nil, errors.New("nobody leads it")
	}
	return info, nil
}

func (n *trio) leader(stream string) string {
	n.t.Helper()
	var leader string
	harness.Eventually(n.t, upWithin, "who leads "+stream, func() error {
		info, err := n.info(stream)
		if err == nil {
			leader = info.Cluster.Leader
		}
		return err
	})
	return leader
}

// awaitWhole waits until every stream is led, and current on three servers. What
// ends by itself meanwhile is started again, as a container would be.
func (n *trio) awaitWhole() {
	n.t.Helper()
	looked := time.Now()
	harness.Eventually(n.t, upWithin, "all streams are whole", func() error {
		if time.Since(looked) > time.Second {
			looked = time.Now()
			for name, s := range n.servers {
				if !s.Running() {
					n.t.Logf("%s %s, and is started again:\n%s", name, s.Fate(), s.Output())
					s.Start()
				}
			}
		}
		for _, cfg := range queue.Streams(queue.Config{}) {
			info, err := n.info(cfg.Name)
			if err != nil {
				return fmt.Errorf("%s: %w", cfg.Name, err)
			}
			current := 1
			for _, r := range info.Cluster.Replicas {
				if r.Current && !r.Offline {
					current++
				}
			}
			if current != 3 {
				return fmt.Errorf("%s is current on %d servers", cfg.Name, current)
			}
		}
		return nil
	})
}

// stepDown makes leaders give up: of a stream, and of one of its consumers.
func (n *trio) stepDown(stream, consumer string) {
	n.t.Helper()
	for _, subject := range []string{"STREAM.LEADER.STEPDOWN." + stream, "CONSUMER.LEADER.STEPDOWN." + stream + "." + consumer} {
		harness.Eventually(n.t, upWithin, subject, func() error {
			res, err := n.js.Conn().Request("$JS.API."+subject, nil, 2*time.Second)
			if err == nil && strings.Contains(string(res.Data), `"error"`) {
				err = errors.New(string(res.Data))
			}
			return err
		})
	}
}

// TestQuorum runs the api and a worker on three nats-servers while one is killed,
// leaders step down, and then two are killed: what was acknowledged reaches Meta
// once, and nothing else is acknowledged.
func TestQuorum(t *testing.T) {
	if testing.Short() {
		t.Skip("three servers and what becomes of them take most of a minute")
	}
	n := startTrio(t)
	c := newClusterOn(t, n.addrs...)
	c.env = append(c.env, "HOMING_GRAPH_TIMEOUT=2s", "HOMING_BATCH_DEADLINE=8s", "HOMING_ACK_WAIT=15s", "HOMING_RETRY_MAX=2s")
	c.run("streams", "apply")
	n.awaitWhole()
	t.Run("duplicate in process", n.checkDuplicates)

	api, worker := c.pod("Deployment", "homing-api", "api"), c.pod("Deployment", "homing-worker", "worker")
	c.begin(api)
	c.begin(worker)
	click := map[string]any{"phone_number": "+" + harness.Phone(1), "ctwa_clid": "clid-1"}
	if code, err := c.post(api, harness.PathClicks, click); err != nil || code != http.StatusAccepted {
		t.Fatalf("click: %d %v", code, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	taken, refused := c.load(ctx, api)
	takes := func(when string) {
		t.Helper()
		harness.Eventually(t, upWithin, "the api takes events "+when, func() error {
			return c.takes(api, strings.ReplaceAll(when, " ", "-"), true)
		})
	}
	takes("with three servers")

	first := n.leader(queue.StreamEvents)
	n.servers[first].Kill()
	takes("with two servers")
	n.servers[first].Start()
	n.awaitWhole()
	n.stepDown(queue.StreamEvents, "ev-0")
	n.stepDown(queue.StreamRetry, "rt-0")
	takes("after leaders have stepped down")

	lost := slices.Sorted(maps.Keys(n.servers))[:2]
	for _, name := range lost {
		n.servers[name].Kill()
	}
	harness.Eventually(t, upWithin, "one server is not enough", func() error { return c.takes(api, "alone", false) })
	for _, name := range lost {
		n.servers[name].Start()
	}
	// Not awaitWhole: under load a server that catches up may look late for long,
	// and two that agree are enough to go on.
	takes("with three servers again")
	cancel()

	ids := taken()
	harness.Eventually(t, upWithin, "every event that was acknowledged is at Meta", func() error {
		for _, id := range ids {
			if c.meta.Count(c.tenant.Dataset, "Purchase", id) == 0 {
				return fmt.Errorf("event %s is not", id)
			}
		}
		return nil
	})
	// A stream whose servers still agree on a leader can't be read; an audit that
	// finds something finds it every time.
	harness.Eventually(t, upWithin, "the audit agrees", func() error {
		if out, code := c.try("audit", "--patience", "60s"); code != 0 {
			return fmt.Errorf("exit code %d: %s", code, out)
		}
		return nil
	})
	if doubles := c.meta.Doubles(); len(doubles) > 0 {
		t.Errorf("Meta has %d events twice, such as %v", len(doubles), doubles[0])
	}
	for _, f := range refused() {
		if !strings.Contains(f, ": 503 ") {
			t.Errorf("refused otherwise than with 503: %s", f)
		}
	}
	t.Logf("%d events taken, %d refused", len(ids), len(refused()))
	for _, p := range []*pod{api, worker} {
		if code := p.Terminate(time.Duration(p.spec.Spec.Grace) * time.Second); code != 0 {
			t.Errorf("%s: exit code %d", p.Name, code)
		}
	}
	for name, s := range n.servers {
		if strings.Contains(s.Output(), "Violation") {
			t.Errorf("%s refused something that is needed", name)
		}
	}
}

// takes posts an event and wants it taken, or answered 503.
func (c *cluster) takes(p *pod, id string, want bool) error {
	code, err := c.post(p, harness.PathEvent, harness.Conversion("Purchase", id, harness.Phone(1)))
	if err != nil || accepted(code) != want || !want && code != http.StatusServiceUnavailable {
		return fmt.Errorf("%d %v", code, err)
	}
	return nil
}

// checkDuplicates publishes one acceptance from many sides at once: the leader of
// a replicated stream answers 10158 to those that come before the first of them
// is settled, and each has to hear in the end what became of it.
func (n *trio) checkDuplicates(t *testing.T) {
	q, err := queue.Open(n.js.Conn(), queue.Config{Replicas: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	early := 0
	for round := range 20 {
		id := fmt.Sprint("same-", round)
		e := events.Event{Tenant: "nobody", Name: "Lead", ID: id, Time: time.Now().Unix(), Clid: "c"}
		a := queue.Acceptance{
			Envelope: queue.Envelope{Tenant: e.Tenant, Accept: "accept-" + id, EventName: e.Name, EventID: id, AcceptedAt: time.Now()},
			MsgID:    string(e.Key()), Data: events.EncodeEvent(&e),
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		seqs, fresh := map[uint64]bool{}, 0
		for side := range 16 {
			wg.Go(func() {
				if side%2 == 0 { // as any client would
					_, err := n.js.Publish(t.Context(), "homing.click.nobody", nil, jetstream.WithMsgID(id))
					var refusal *jetstream.APIError
					mu.Lock()
					defer mu.Unlock()
					if errors.As(err, &refusal) && refusal.ErrorCode == 10158 {
						early++
					}
					return
				}
				got, err := q.Publish(t.Context(), a)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Errorf("%s: %v", id, err)
					return
				}
				seqs[got.Seq] = true
				if !got.Duplicate {
					fresh++
				}
			})
		}
		wg.Wait()
		if len(seqs) != 1 || fresh != 1 {
			t.Errorf("%s: %d of eight were the first, at %v", id, fresh, seqs)
		}
	}
	if early == 0 {
		t.Error("the server never answered 10158: nothing was tried")
	}
}
