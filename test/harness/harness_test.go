package harness

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/homing-dev/homing/pkg/events"
)

// echo serves a server that says everything twice over.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	return l.Addr().String()
}

func say(c net.Conn, text string, within time.Duration) (string, error) {
	if err := c.SetDeadline(time.Now().Add(within)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	got := make([]byte, len(text))
	n, err := io.ReadFull(c, got)
	return string(got[:n]), err
}

func TestProxy(t *testing.T) {
	t.Parallel()
	p := NewProxy(t, echo(t))
	dial := func() (net.Conn, error) { return net.DialTimeout("tcp", p.Addr, 5*time.Second) }
	c, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := say(c, "hello", 5*time.Second); got != "hello" || err != nil {
		t.Fatalf("through: %q %v", got, err)
	}

	p.Freeze()
	if got, err := say(c, "frozen", 50*time.Millisecond); err == nil {
		t.Errorf("frozen: %q came through", got)
	}
	p.Mend()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len("frozen"))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "frozen" {
		t.Errorf("mended: %q %v; what was held up should come", got, err)
	}

	p.Cut()
	if _, err := say(c, "cut", 5*time.Second); err == nil {
		t.Error("a cut line carries")
	}
	if c, err := dial(); err == nil {
		_ = c.Close()
		t.Error("a cut line can be dialled")
	}
	p.Mend()
	if c, err = dial(); err != nil {
		t.Fatal(err)
	}
	if got, err := say(c, "again", 5*time.Second); got != "again" || err != nil {
		t.Errorf("mended: %q %v", got, err)
	}
}

func TestStrandedProxy(t *testing.T) {
	t.Parallel()
	p := NewProxy(t, echo(t))
	c, err := net.DialTimeout("tcp", p.Addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := say(c, "hello", 5*time.Second); got != "hello" || err != nil {
		t.Fatalf("through: %q %v", got, err)
	}
	p.Strand()
	if c, err := net.DialTimeout("tcp", p.Addr, 5*time.Second); err == nil {
		_ = c.Close()
		t.Error("a stranded line can be dialled")
	}
	p.Mend()
	if got, err := say(c, "lost", 50*time.Millisecond); err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("on a stranded connection: %q %v; want silence", got, err)
	}
	other, err := net.DialTimeout("tcp", p.Addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := say(other, "again", 5*time.Second); got != "again" || err != nil {
		t.Errorf("mended: %q %v", got, err)
	}
}

func TestSpansAreSearched(t *testing.T) {
	t.Parallel()
	l := newLeaks()
	s := newSpanSearch(t, l)
	for _, tt := range []struct {
		text string
		want int
	}{{"\n\x0ehoming.event_id", 0}, {"\n\x0e+" + Phone(3), 1}} {
		res, err := http.Post(s.url+"/v1/traces", "application/x-protobuf", strings.NewReader(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK || len(l.found) != tt.want {
			t.Errorf("%q: %d, found %v", tt.text, res.StatusCode, l.found)
		}
	}
}

func TestWitnessNotesLostAnswers(t *testing.T) {
	t.Parallel()
	var d doubts
	var cut atomic.Bool
	cut.Store(true)
	h := &witness{
		doubts: &d, texts: map[string]bool{}, tenant: func(string) Tenant { return Tenant{ID: "acme"} },
		next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			if cut.Load() {
				panic(http.ErrAbortHandler)
			}
		}),
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	post := func(id string) {
		res, err := http.Post(srv.URL+"/v25.0/1001/events", "application/json", strings.NewReader(`{"data":[{"event_name":"LeadSubmitted","event_id":"`+id+`"}]}`))
		if err == nil {
			_ = res.Body.Close()
		}
	}
	post("cut")
	cut.Store(false)
	post("fine")
	if !d.has(events.MakeKey("acme", "Lead", "cut")) || d.has(events.MakeKey("acme", "Lead", "fine")) || d.len() != 1 {
		t.Errorf("doubts %v", d.keys)
	}
}

func TestInsistTriesAgainOnlyWhereAClientMay(t *testing.T) {
	t.Parallel()
	after := http.Header{"Retry-After": {"1"}}
	for name, tt := range map[string]struct {
		first Answer
		err   error
		tries int
		ok    bool
	}{
		"taken":        {Answer{Code: 200}, nil, 1, true},
		"asked for":    {Answer{Code: 503, Header: after}, nil, 2, true},
		"refused":      {Answer{}, syscall.ECONNREFUSED, 2, true},
		"cut":          {Answer{}, io.EOF, 2, true},
		"just 503":     {Answer{Code: 503}, nil, 1, false},
		"broken":       {Answer{Code: 500, Header: after}, nil, 1, false},
		"never answer": {Answer{}, os.ErrDeadlineExceeded, 1, false},
		"bad request":  {Answer{Code: 400}, nil, 1, false},
	} {
		tries := 0
		_, err := insist(func() (Answer, error) {
			if tries++; tries > 1 {
				return Answer{Code: 200}, nil
			}
			return tt.first, tt.err
		})
		if tries != tt.tries || (err == nil) != tt.ok {
			t.Errorf("%s: %d tries, %v", name, tries, err)
		}
	}
}

func TestLeaksAreFound(t *testing.T) {
	t.Parallel()
	tenant := NewTenant("acme", 1)
	for _, text := range []string{
		"phone +" + Phone(7), "mail to someone@" + EmailDomain, "key " + tenant.Key, "token=" + tenant.Token,
		"secret " + tenant.AppSecret, verifyToken, webhookSecret,
	} {
		l := newLeaks()
		l.guard([]Tenant{tenant})
		if l.look("here", text); len(l.found) != 1 {
			t.Errorf("%q is not found", text)
		}
	}
	l := newLeaks()
	l.guard([]Tenant{tenant})
	if l.look("here", "acme 1795377651000 01a204d8-e0f8-717a-a6e8-8c494db807bd"); len(l.found) != 0 {
		t.Errorf("found %v", l.found)
	}
}

func TestProcessIsKeptAndEnded(t *testing.T) {
	t.Parallel()
	p := NewProcess(t, "sleeper", "/bin/sh", nil, "-c", "echo up; exec sleep 60")
	killed := make(chan struct{}, 2)
	p.Start()
	p.Keep(func() { killed <- struct{}{} })
	for range 2 {
		p.Kill()
		<-killed
		Eventually(t, 5*time.Second, "it runs again", func() error {
			if !p.Running() {
				return io.ErrUnexpectedEOF
			}
			return nil
		})
	}
	Eventually(t, 5*time.Second, "it says so", func() error {
		if !strings.Contains(p.Output(), "up") {
			return io.ErrUnexpectedEOF
		}
		return nil
	})
	if code := p.Terminate(5 * time.Second); code == 0 {
		t.Error("a process that a signal ended has exit code 0")
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	if got := tail("a\nb\nc\n", 2); !strings.HasSuffix(got, "b\nc\n") || strings.Contains(got, "a") {
		t.Errorf("%q", got)
	}
	if got := tail("a", 2); got != "a" {
		t.Errorf("%q", got)
	}
}
