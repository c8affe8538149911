package graphapi

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// dyingServer answers the first request of each connection and closes on the
// second one, which it has read in full: a keep-alive that ends at the wrong
// moment.
func dyingServer(t *testing.T) (url string, requests *atomic.Int64) {
	requests = new(atomic.Int64)
	addr := rawServer(t, func(c net.Conn) {
		defer c.Close()
		r := bufio.NewReader(c)
		for n := range 2 {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			requests.Add(1)
			if n == 0 {
				_, _ = io.WriteString(c, okHead+`{"events_received":1}`)
			}
		}
	})
	return "http://" + addr, requests
}

func TestNeverReplayed(t *testing.T) {
	url, requests := dyingServer(t)
	c := newClient(t, Options{BaseURL: url})
	if _, err := c.Send(t.Context(), testCall()); err != nil {
		t.Fatal(err)
	}
	sendError(t, c, testCall(), Unknown)
	if got := requests.Load(); got != 2 {
		t.Errorf("2 calls made %d requests", got)
	}
}

// The same server sees a third request once the body can be had again: without
// this, TestNeverReplayed could pass for the wrong reason.
func TestReplayableRequestWouldBeReplayed(t *testing.T) {
	url, requests := dyingServer(t)
	tr := NewTransport()
	defer tr.CloseIdleConnections()
	c := newClient(t, Options{BaseURL: url, Transport: roundTrip(func(req *http.Request, body []byte) (*http.Response, error) {
		req = req.Clone(req.Context())
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		req.Body, _ = req.GetBody()
		req.Header.Set("Idempotency-Key", "x")
		return tr.RoundTrip(req)
	})})
	for range 2 {
		if _, err := c.Send(t.Context(), testCall()); err != nil {
			t.Fatal(err)
		}
	}
	if got := requests.Load(); got != 3 {
		t.Errorf("net/http made %d requests; it no longer replays, so simplify", got)
	}
}

// A body is read once, whoever asks.
func TestBodyIsReadOnce(t *testing.T) {
	b := newBody([][]byte{[]byte("x")}, "", "", "")
	if n, err := b.Read(make([]byte, 4)); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	if b.stop() {
		t.Error("4 of 10 bytes are not the whole")
	}
	if n, err := b.Read(make([]byte, 4)); n != 0 || err != errBodyStopped {
		t.Errorf("a stopped body gave %d bytes, %v", n, err)
	}
	b = newBody([][]byte{[]byte("x"), []byte("y")}, "a", "", "")
	if got, err := io.ReadAll(b); string(got) != `{"data":[x,y],"partner_agent":"a"}` || err != nil {
		t.Fatal(got, err)
	}
	if !b.stop() {
		t.Error("all bytes are the whole")
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var requests atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	c := newClient(t, Options{BaseURL: s.URL})
	if e := sendError(t, c, testCall(), Unknown); e.Status != http.StatusTemporaryRedirect {
		t.Errorf("status is %d", e.Status)
	}
	if requests.Load() != 1 {
		t.Errorf("%d requests", requests.Load())
	}
	c.CloseIdle()
}

func TestHTTP2(t *testing.T) {
	var requests atomic.Int64
	stuck := make(chan context.CancelFunc, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("spoke %s", r.Proto)
		}
		requests.Add(1)
		switch {
		case strings.Contains(r.URL.Path, "hang"): // the window fills
			(<-stuck)()
			<-r.Context().Done()
		case strings.Contains(r.URL.Path, "abort"):
			_, _ = io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		case strings.Contains(r.URL.Path, "silent"):
			_, _ = io.Copy(io.Discard, r.Body)
			(<-stuck)()
			<-r.Context().Done()
		default:
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, `{"events_received":1}`)
		}
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	defer s.Close()
	tr := NewTransport()
	tr.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig
	c := newClient(t, Options{BaseURL: s.URL, Transport: tr})
	defer c.CloseIdle()

	for _, tt := range []struct {
		dataset string
		event   []byte
		cancel  bool
		want    Class
	}{
		{"ok", []byte(`{}`), false, 0},
		{"abort", []byte(`{}`), false, Unknown},
		{"silent", []byte(`{}`), true, Unknown},
		{"hang", bigEvent(), true, NotSent},
		{"ok-again", []byte(`{}`), false, 0},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		if tt.cancel {
			stuck <- cancel
		}
		before := requests.Load()
		_, err := c.Send(ctx, Call{Dataset: tt.dataset, Token: testToken, Events: [][]byte{tt.event}})
		cancel()
		if tt.want != 0 {
			asError(t, err, tt.want)
		} else if err != nil {
			t.Errorf("%s: %v", tt.dataset, err)
		}
		if got := requests.Load() - before; got != 1 {
			t.Errorf("%s: %d requests", tt.dataset, got)
		}
	}
}
