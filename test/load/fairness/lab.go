package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/homing-dev/homing/internal/app"
	"github.com/homing-dev/homing/internal/embedded"
	"github.com/homing-dev/homing/internal/sandbox"
)

// lab is a Homing with everything around it, and a load generator.
type lab struct {
	homing  *app.App
	meta    *sandbox.Sandbox
	client  *http.Client
	spoiled map[int]bool
	runs    atomic.Int64
	closers []func() error
}

// metaLatency is how long the fake Meta takes.
const metaLatency = 100 * time.Millisecond

func newLab(ctx context.Context) (l *lab, err error) {
	l = &lab{spoiled: map[int]bool{}, client: &http.Client{
		Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 512},
	}}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	dir, err := os.MkdirTemp("", "homing-fairness-")
	if err != nil {
		return nil, err
	}
	l.onClose(func() error { return os.RemoveAll(dir) })
	server, err := embedded.NATS(filepath.Join(dir, "nats"), embedded.Options{})
	if err != nil {
		return nil, err
	}
	l.onClose(server.Close)
	redisURL, err := l.startRedis()
	if err != nil {
		return nil, err
	}
	l.meta = sandbox.New(sandbox.Options{Latency: metaLatency, MaxStored: 2_000_000})
	graph := httptest.NewServer(l.meta)
	l.onClose(func() error { l.meta.Close(); graph.Close(); return nil })

	tenants := filepath.Join(dir, "tenants.yaml")
	if err := os.WriteFile(tenants, tenantsFile(), 0o600); err != nil {
		return nil, err
	}
	opt, err := app.FromEnviron([]string{
		"HOMING_REDIS_URL=" + redisURL, "HOMING_TENANTS=" + tenants, "HOMING_GRAPH_URL=" + graph.URL,
		"HOMING_API_ADDR=127.0.0.1:0", "HOMING_OPS_ADDR=127.0.0.1:0", "HOMING_QUEUE_MAX_BYTES=1GiB", "HOMING_LOG_LEVEL=error",
	})
	if err != nil {
		return nil, err
	}
	l.homing, err = app.New(opt, app.API|app.Worker, app.Surroundings{NATS: []nats.Option{server.ClientOption()}, Alone: true})
	if err != nil {
		return nil, err
	}
	if err := l.homing.Start(ctx); err != nil {
		return nil, err
	}
	l.onClose(func() error { return l.homing.Stop(context.Background()) })
	return l, nil
}

// startRedis starts a redis-server, or the stand-in, and says so.
func (l *lab) startRedis() (url string, err error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		fmt.Fprintln(os.Stderr, "NO redis-server IN PATH: MEASURING ON A STAND-IN")
		stand, err := embedded.Redis()
		if err != nil {
			return "", err
		}
		l.onClose(stand.Close)
		return stand.URL(), nil
	}
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	addr := probe.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	if err := probe.Close(); err != nil {
		return "", err
	}
	cmd := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
	if err := cmd.Start(); err != nil {
		return "", err
	}
	l.onClose(func() error { return errors.Join(cmd.Process.Kill(), ignoreExit(cmd.Wait())) })
	for range 100 {
		if c, err := net.Dial("tcp", addr); err == nil {
			return "redis://" + addr + "/0", c.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	return "", errors.New("redis-server does not listen")
}

func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

func (l *lab) onClose(f func() error) { l.closers = append(l.closers, f) }

func (l *lab) close() error {
	var errs []error
	for _, f := range slices.Backward(l.closers) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

func tenantsFile() []byte {
	var b strings.Builder
	b.WriteString("tenants:\n")
	for i := range tenantCount {
		fmt.Fprintf(&b, "  - {id: t%d, api_keys: [key-%d], dataset_id: %q, access_token: token-%d, waba_ids: [%q]}\n",
			i, i, dataset(i), i, "9"+dataset(i))
	}
	return []byte(b.String())
}

func dataset(tenant int) string { return strconv.Itoa(100000 + tenant) }

// spoil makes one tenant bad until the returned function is called. It is left
// out of all measurements from then on.
func (l *lab) spoil(tenant int, action sandbox.Action) (func(), error) {
	l.spoiled[tenant] = true
	_, err := l.meta.AddFault(sandbox.Fault{Match: sandbox.Match{Dataset: dataset(tenant)}, Action: action})
	return l.meta.ClearFaults, err
}

// sample is one run: what the tenants that were never spoiled got delivered.
type sample struct {
	rate float64
	p99  time.Duration
}

// measure posts events at a rate, open loop and in turn for each tenant, and
// waits for what arrives at Meta.
func (l *lab) measure(ctx context.Context, rate float64, length time.Duration, tenants int) sample {
	run := l.runs.Add(1)
	start := time.Now()
	n := int(rate * length.Seconds())
	var wg sync.WaitGroup
	for i := range n {
		at := start.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		if wait := time.Until(at); wait > time.Millisecond {
			time.Sleep(wait)
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() { l.post(ctx, i%tenants, run, at) })
	}
	wg.Wait()
	// The healthy ones need no longer than this, or they are late.
	time.Sleep(3 * time.Second)
	return l.collect(run, start, length)
}

// capacity is how many events a second go all the way when the client waits.
func (l *lab) capacity(ctx context.Context, length time.Duration) float64 {
	run := l.runs.Add(1)
	before := l.meta.Stats().Events
	end := time.Now().Add(length)
	var wg sync.WaitGroup
	for worker := range 64 {
		wg.Go(func() {
			for i := worker; time.Now().Before(end) && ctx.Err() == nil; i++ {
				l.post(ctx, i%tenantCount, run, time.Now())
			}
		})
	}
	wg.Wait()
	return float64(l.meta.Stats().Events-before) / length.Seconds()
}

// post sends one event; its id tells when it was due.
func (l *lab) post(ctx context.Context, tenant int, run int64, due time.Time) {
	body := fmt.Sprintf(`{"event_name":"Purchase","phone_number":"+919876543210","ctwa_clid":"ARfair","currency":"INR","value":1,"event_id":"%d.%d.%d"}`,
		run, tenant, due.UnixNano())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+l.homing.Addr()+"/api/v1/app/meta-ads/capi/send-event", strings.NewReader(body))
	if err != nil {
		return
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", fmt.Sprintf("Bearer key-%d", tenant))
	resp, err := l.client.Do(req)
	if err != nil {
		return // missing in the throughput
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

// collect reads back what arrived of a run.
func (l *lab) collect(run int64, since time.Time, length time.Duration) sample {
	var ages []time.Duration
	for _, e := range l.meta.Events(sandbox.Filter{Since: since}) {
		part := strings.Split(e.ID, ".")
		if len(part) != 3 || part[0] != strconv.FormatInt(run, 10) {
			continue
		}
		tenant, err := strconv.Atoi(part[1])
		due, err2 := strconv.ParseInt(part[2], 10, 64)
		if err != nil || err2 != nil || l.spoiled[tenant] {
			continue
		}
		ages = append(ages, e.ReceivedAt.Sub(time.Unix(0, due)))
	}
	if len(ages) == 0 {
		return sample{}
	}
	slices.Sort(ages)
	counted := float64(tenantCount-len(l.spoiled)) / tenantCount
	return sample{rate: float64(len(ages)) / counted / length.Seconds(), p99: ages[len(ages)*99/100]}
}
