//go:build faults

package faults

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/homing-dev/homing/internal/sandbox"
	"github.com/homing-dev/homing/test/harness"
)

// TestRollingRestarts ends the only api and each worker again and again under
// load, without a word to the clients: they find the port closed, and that is all
// that may happen to them.
func TestRollingRestarts(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Options{Workers: 2})
	l := startLoad(s, "order", 8, 20*time.Millisecond)
	for n := range choose(4, 20) {
		for _, p := range []*harness.Process{s.Workers[n%2], s.API} {
			l.await(t, 30)
			restart(s, p)
		}
	}
	l.await(t, 30)
	f := l.finish(s)
	if want := (harness.Findings{Delivered: f.Delivered}); f != want {
		t.Errorf("%s; want all delivered", f)
	}
	attempts(t, s)
}

// restart ends a process as Kubernetes does, and starts it again.
func restart(s *harness.Stack, p *harness.Process) {
	s.T.Helper()
	if code := p.Terminate(within); code != 0 {
		s.T.Errorf("%s ended with %d", p.Name, code)
	}
	p.Start()
	s.AwaitReady(p)
}

// TestOrderlyRestarts restarts two apis in the order of deploy/k8s: out of the
// Service, a while for that to be known (preStop), SIGTERM. No request fails, not
// even one that could be sent again.
func TestOrderlyRestarts(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Options{APIs: 2, Workers: 2})
	tapAll(s)
	var promises harness.Promises
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for c := range 8 {
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("order-%d-%d", c, n)
				tenant, name := s.Tenants[c%2], names()[n%2]
				a, err := s.Post(tenant, harness.PathEvent, harness.Conversion(name, id, harness.Phone(n%people)))
				if err != nil || a.Code >= 300 {
					s.T.Errorf("%s: %d %s %v", id, a.Code, a.Text, err)
					continue
				}
				promises.Add(tenant, name, id, clidOf(n%people))
				harness.Pass(10 * time.Millisecond)
			}
		})
	}
	for range choose(2, 10) {
		for n, api := range s.APIs {
			s.Spare(api)
			harness.Pass(300 * time.Millisecond)
			restart(s, api)
			s.Serve(api)
			restart(s, s.Workers[n])
		}
	}
	close(stop)
	clients.Wait()
	f := s.Judge(&promises, within)
	if want := (harness.Findings{Delivered: promises.Len()}); f != want {
		t.Errorf("%s, want %s", f, want)
	}
	attempts(t, s)
}

// attempts wants one attempt for every event: a restart is none.
func attempts(t *testing.T, s *harness.Stack) {
	t.Helper()
	var wg sync.WaitGroup
	for _, e := range s.Meta.Events(sandbox.Filter{Limit: 200}) {
		wg.Go(func() {
			tenant := s.Tenants[0]
			if e.Dataset != tenant.Dataset {
				tenant = s.Tenants[1]
			}
			a, err := s.Status(tenant, e.Name, e.ID)
			if err != nil || a.Code != http.StatusOK || a.Body.Attempts != 1 {
				t.Errorf("%s: %d %s %v; want one attempt", e.ID, a.Code, a.Text, err)
			}
		})
	}
	wg.Wait()
}
