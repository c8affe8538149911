package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/homing-dev/homing/internal/tenants"
)

// laptop is a running `make run`.
type laptop struct {
	f    flags
	demo tenants.Demo
	out  *screen
	stop func()
}

// screen is where a laptop prints.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestAddressesFromTheEnvironment: what an error about an address names is what
// can be set.
func TestAddressesFromTheEnvironment(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, variable := range []string{"HOMING_API_ADDR", "HOMING_OPS_ADDR", "SANDBOX_ADDR"} {
		t.Run(variable, func(t *testing.T) {
			for _, v := range []string{"HOMING_API_ADDR", "HOMING_OPS_ADDR", "SANDBOX_ADDR"} {
				t.Setenv(v, freeAddr(t))
			}
			t.Setenv(variable, busy.Addr().String())
			var f flags
			parser, err := kong.New(&f)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse([]string{"--dir", t.TempDir()}); err != nil {
				t.Fatal(err)
			}
			err = runLaptop(t.Context(), f, io.Discard)
			if err == nil || !strings.Contains(err.Error(), variable) || !strings.Contains(err.Error(), "set another address") {
				t.Errorf("%v", err)
			}
		})
	}
}

// freeAddr is an address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func startLaptop(t *testing.T, f flags) *laptop {
	t.Helper()
	l := &laptop{f: f, out: &screen{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- runLaptop(ctx, f, l.out) }()
	l.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the laptop ended with %v", err)
		}
	})
	t.Cleanup(l.stop)
	eventually(t, "the greeting", func() bool { return strings.Contains(l.out.String(), "Homing is running") })
	var err error
	if l.demo, err = tenants.ReadDemo(f.tenantsFile(), func(string) (string, bool) { return "", false }); err != nil {
		t.Fatal(err)
	}
	return l
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(time.Minute); !ok(); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s did not come", what)
		}
	}
}

func (l *laptop) send(t *testing.T, method, addr, path, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Basic "+l.demo.APIKey.Reveal())
	req.Header.Set("Content-Type", "application/json")
	code, answer, err := do(req)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", code, bytes.TrimSpace(answer))
}

// TestLaptop runs everything in one process, plays the demo against it, and
// starts it again on what it left behind.
func TestLaptop(t *testing.T) {
	f := flags{Dir: t.TempDir(), API: freeAddr(t), Ops: freeAddr(t), Sandbox: freeAddr(t)}
	const capi = "/api/v1/app/meta-ads/capi"
	purchase := `{"event_name":"Purchase","phone_number":"+919876543210","currency":"INR","value":1499.00,"event_id":"order-1"}`

	first := startLaptop(t, f)
	if got := first.send(t, "POST", f.API, capi+"/clicks", `{"phone_number":"+919876543210","ctwa_clid":"ARAfirst"}`); !strings.HasPrefix(got, "202 ") {
		t.Fatalf("the click: %s", got)
	}
	eventually(t, "the click in an answer", func() bool {
		return strings.Contains(first.send(t, "POST", f.API, capi+"/send-event", purchase), `"ctwa_clid":"ARAfirst"`)
	})
	eventually(t, "the purchase at Meta", func() bool {
		return strings.Contains(first.send(t, "GET", f.Sandbox, "/_sandbox/events", ""), `"event_id":"order-1"`)
	})
	var told bytes.Buffer
	if err := playDemo(t.Context(), f, &told); err != nil {
		t.Errorf("the demo: %v\n%s", err, told.String())
	}
	for _, want := range []string{`"duplicate":true`, "no_ctwa_click_id_for_phone", `"reason":"invalid_value"`, `"status":"delivered"`, "LeadSubmitted"} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("the demo shows no %s:\n%s", want, told.String())
		}
	}
	first.stop()

	second := startLaptop(t, f)
	eventually(t, "the memory of what was settled", func() bool {
		return strings.Contains(second.send(t, "POST", f.API, capi+"/send-event", purchase), `"duplicate":true`)
	})
	// The newer click of the demo, brought back from its stream.
	eventually(t, "the click in an answer", func() bool {
		return strings.Contains(second.send(t, "POST", f.API, capi+"/send-event",
			`{"event_name":"Lead","phone_number":"+919876543210","event_id":"lead-2"}`), `"ctwa_clid":"ARDemo`)
	})
	eventually(t, "the lead at Meta", func() bool {
		return strings.Contains(second.send(t, "GET", f.Sandbox, "/_sandbox/events", ""), `"event_id":"lead-2"`)
	})
	if got := second.send(t, "GET", f.Sandbox, "/_sandbox/events", ""); strings.Contains(got, `"event_id":"order-1"`) {
		t.Errorf("sent again after the restart: %s", got)
	}
}
