package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/homing-dev/homing/test/harness"
)

// service stands for the Service homing-api and a proxy before it: a request goes
// to the next pod that is ready and not being ended.
type service struct {
	mu   sync.Mutex
	next int
	pods []*pod
}

func (s *service) add(p *pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pods = append(s.pods, p)
}

func (s *service) remove(p *pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pods = slices.DeleteFunc(s.pods, func(other *pod) bool { return other == p })
}

func (s *service) pick() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	return s.pods[s.next%len(s.pods)].api
}

func (s *service) proxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: s.pick()}) },
	}
}

// replace replaces one pod as a Deployment with maxSurge 1 and maxUnavailable 0
// does: the new one is ready before the old one leaves the Service, waits as its
// preStop says, is told to end, and has its grace period for that.
func (c *cluster) replace(old *pod, role string, s *service) *pod {
	c.t.Helper()
	fresh := c.pod("Deployment", old.Name, role)
	c.begin(fresh)
	if s != nil {
		s.add(fresh)
		s.remove(old)
	}
	main := old.spec.Spec.Containers[0]
	wait := time.Duration(main.Lifecycle.PreStop.Sleep.Seconds) * time.Second
	harness.Pass(wait)
	if code := old.Terminate(time.Duration(old.spec.Spec.Grace)*time.Second - wait); code != 0 {
		c.t.Errorf("%s: exit code %d\n%s", old.Name, code, old.Output())
	}
	return fresh
}

// begin starts a pod and waits until its probes are content.
func (c *cluster) begin(p *pod) {
	c.t.Helper()
	p.Start()
	main := p.spec.Spec.Containers[0]
	harness.Eventually(c.t, upWithin, p.Name+" is ready", func() error {
		return errors.Join(p.asks(main.Liveness), p.asks(main.Readiness))
	})
}

// TestRollout replaces three workers and two api processes one by one while
// events come in: no request fails, and every event reaches Meta once.
func TestRollout(t *testing.T) {
	c := newCluster(t)
	c.run("streams", "apply")
	s := &service{}
	var apis, workers []*pod
	for range 2 {
		p := c.pod("Deployment", "homing-api", "api")
		c.begin(p)
		s.add(p)
		apis = append(apis, p)
	}
	for range 3 {
		p := c.pod("Deployment", "homing-worker", "worker")
		c.begin(p)
		workers = append(workers, p)
	}
	front := harness.Addr(t)
	srv := &http.Server{Addr: front, Handler: s.proxy(), ReadHeaderTimeout: time.Second}
	go func() { _ = srv.ListenAndServe() }()
	t.Cleanup(func() { _ = srv.Close() })
	entry := &pod{api: front}
	harness.Eventually(t, upWithin, "the proxy", func() error {
		code, err := c.post(entry, harness.PathClicks, map[string]any{"phone_number": "+" + harness.Phone(1), "ctwa_clid": "clid-1"})
		if err == nil && code != http.StatusAccepted {
			err = fmt.Errorf("%d", code)
		}
		return err
	})

	ctx, cancel := context.WithCancel(t.Context())
	ids, failed := c.load(ctx, entry)
	for _, p := range workers {
		c.replace(p, "worker", nil)
	}
	for _, p := range apis {
		c.replace(p, "api", s)
	}
	cancel()
	sent := ids()
	if f := failed(); len(f) > 0 {
		t.Errorf("%d of %d requests failed:\n%s", len(f), len(f)+len(sent), strings.Join(f[:min(len(f), 10)], "\n"))
	}
	if len(sent) < 1000 {
		t.Errorf("only %d events: that is no load", len(sent))
	}
	harness.Eventually(t, upWithin, "every event is at Meta", func() error {
		for _, id := range sent {
			if n := c.meta.Count(c.tenant.Dataset, "Purchase", id); n != 1 {
				return fmt.Errorf("event %s is there %d times", id, n)
			}
		}
		return nil
	})
	c.run("audit")
	t.Logf("%d events during the rollout", len(sent))
}

// load sends events from eight clients until ctx ends. What it returns waits for
// them and gives the events that were taken, and the requests that failed.
func (c *cluster) load(ctx context.Context, to *pod) (ids, failed func() []string) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var taken, refused []string
	for client := range 8 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("order-%d-%d", client, n)
				code, err := c.post(to, harness.PathEvent, harness.Conversion("Purchase", id, harness.Phone(1)))
				mu.Lock()
				if err == nil && accepted(code) {
					taken = append(taken, id)
				} else {
					refused = append(refused, fmt.Sprintf("%s: %d %v", id, code, err))
				}
				mu.Unlock()
				harness.Pass(5 * time.Millisecond)
			}
		})
	}
	return func() []string { wg.Wait(); return taken }, func() []string { wg.Wait(); return refused }
}
