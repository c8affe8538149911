package graphapi

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

// rawServer hands every connection to serve, and cuts those that are left when
// the test ends.
func rawServer(t *testing.T, serve func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			_ = c.(*net.TCPConn).SetReadBuffer(64 << 10) // the client's writes are to get stuck
			wg.Go(func() { serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// smallBuffers is our transport, whose connections hold little that was not read.
func smallBuffers() *http.Transport {
	tr := NewTransport()
	dial := tr.DialContext
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return c, c.(*net.TCPConn).SetWriteBuffer(64 << 10)
	}
	return tr
}

// testTLS borrows httptest's certificate.
func testTLS(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return &tls.Config{Certificates: s.TLS.Certificates}, s.Client().Transport.(*http.Transport).TLSClientConfig
}

// readRequest reads headers and, of the body, the given share in percent.
func readRequest(c net.Conn, percent int64) error {
	req, err := http.ReadRequest(bufio.NewReaderSize(c, 16))
	if err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, req.Body, req.ContentLength*percent/100)
	return err
}

const okHead = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n"

// Every stage at which a peer can leave or fall silent. A cut and a silence must
// mean the same.
func TestCutAtEveryStage(t *testing.T) {
	say := func(percent int64, text string) func(net.Conn) error {
		return func(c net.Conn) error {
			if err := readRequest(c, percent); err != nil {
				return err
			}
			_, err := io.WriteString(c, text)
			return err
		}
	}
	stages := []struct {
		name  string
		big   bool
		until func(net.Conn) error
		want  Class
	}{
		{"headers read", true, say(0, ""), NotSent},
		{"half the body read", true, say(50, ""), NotSent},
		{"whole request read", false, say(100, ""), Unknown},
		{"whole big request read", true, say(100, ""), Unknown},
		{"in the status line", false, say(100, "HTTP/1."), Unknown},
		{"in the answer's headers", false, say(100, "HTTP/1.1 200 OK\r\nContent-Le"), Unknown},
		{"answer's headers only", false, say(100, okHead), Unknown},
		{"in the answer's body", false, say(100, okHead+`{"events_re`), Unknown},
		{"in a refusal's body", false, say(100, "HTTP/1.1 400 Bad Request\r\nContent-Length: 99\r\n\r\n"+`{"error":{"code":100`), Unknown},
	}
	serverTLS, clientTLS := testTLS(t)
	for _, stage := range stages {
		for _, scheme := range []string{"http", "https"} {
			for _, end := range []string{"closes", "falls silent"} {
				t.Run(fmt.Sprintf("%s/%s/%s", stage.name, scheme, end), func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					addr := rawServer(t, func(c net.Conn) {
						if scheme == "https" {
							c = tls.Server(c, serverTLS)
						}
						if err := stage.until(c); err != nil {
							t.Errorf("server: %v", err)
						}
						if end == "closes" {
							c.Close()
						} else {
							cancel()
						}
					})
					tr := smallBuffers()
					tr.TLSClientConfig = clientTLS
					c := newClient(t, Options{BaseURL: scheme + "://" + addr, Transport: tr})
					call := testCall()
					if stage.big {
						call.Events = [][]byte{bigEvent()}
					}
					_, err := c.Send(ctx, call)
					e := asError(t, err, stage.want)
					if e.Status != 0 {
						t.Errorf("status is %d without a whole answer", e.Status)
					}
					if end == "falls silent" && !errors.Is(err, context.Canceled) {
						t.Errorf("the cause is lost: %v", err)
					}
				})
			}
		}
	}
}

// An answer that comes before the request has left: what Meta says counts; what a
// proxy says does not, for nobody can have seen the whole document.
func TestEarlyAnswer(t *testing.T) {
	for _, tt := range []struct {
		answer string
		want   Class
	}{
		{"HTTP/1.1 413 Too Large\r\nContent-Length: 6\r\n\r\n<html>", NotSent},
		{"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", NotSent},
		{"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", Throttled},
		{"HTTP/1.1 400 Bad Request\r\nContent-Length: 22\r\n\r\n" + `{"error":{"code":100}}`, Invalid},
		{"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", Unknown},
	} {
		t.Run(tt.answer[:16], func(t *testing.T) {
			addr := rawServer(t, func(c net.Conn) {
				if err := readRequest(c, 0); err != nil {
					t.Errorf("server: %v", err)
				}
				_, _ = io.WriteString(c, tt.answer)
			})
			c := newClient(t, Options{BaseURL: "http://" + addr, Transport: smallBuffers()})
			call := testCall()
			call.Events = [][]byte{bigEvent()}
			sendError(t, c, call, tt.want)
		})
	}
}

func TestBeforeTheConnection(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		c := newClient(t, Options{BaseURL: "http://" + l.Addr().String()})
		sendError(t, c, testCall(), NotSent)
	})
	t.Run("dial hangs", func(t *testing.T) {
		tr := NewTransport()
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		c := newClient(t, Options{Transport: tr, Timeout: time.Millisecond})
		if e := sendError(t, c, testCall(), NotSent); !errors.Is(e, context.DeadlineExceeded) {
			t.Errorf("the cause is lost: %v", e)
		}
	})
	t.Run("given up before the start", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		c := newClient(t, Options{Transport: roundTrip(func(*http.Request, []byte) (*http.Response, error) {
			t.Error("a request was made")
			return nil, io.EOF
		})})
		_, err := c.Send(ctx, testCall())
		asError(t, err, NotSent)
	})
	t.Run("reset before the first byte", func(t *testing.T) {
		closed := make(chan struct{})
		addr := rawServer(t, func(c net.Conn) {
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
			close(closed)
		})
		tr := NewTransport()
		dial := tr.DialContext
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			<-closed
			return c, err
		}
		c := newClient(t, Options{BaseURL: "http://" + addr, Transport: tr})
		sendError(t, c, testCall(), NotSent)
	})
	for _, end := range []string{"closes", "falls silent"} {
		t.Run("TLS handshake "+end, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			addr := rawServer(t, func(c net.Conn) {
				_, _ = c.Read(make([]byte, 64)) // a part of the ClientHello
				if end == "closes" {
					c.Close()
				} else {
					cancel()
				}
			})
			c := newClient(t, Options{BaseURL: "https://" + addr})
			_, err := c.Send(ctx, testCall())
			asError(t, err, NotSent)
		})
	}
	t.Run("certificate of a stranger", func(t *testing.T) {
		s := httptest.NewUnstartedServer(nil)
		s.Config.ErrorLog = quiet()
		s.StartTLS()
		defer s.Close()
		c := newClient(t, Options{BaseURL: s.URL})
		sendError(t, c, testCall(), NotSent)
	})
}

func TestTimeoutAfterTheRequestIsUnknown(t *testing.T) {
	addr := rawServer(t, func(c net.Conn) { _ = readRequest(c, 100) })
	c := newClient(t, Options{BaseURL: "http://" + addr, Timeout: 100 * time.Millisecond})
	if e := sendError(t, c, testCall(), Unknown); !errors.Is(e, context.DeadlineExceeded) {
		t.Errorf("the cause is lost: %v", e)
	}
}

// An early answer that breaks off: who says 200 may have seen enough.
func TestEarlyAnswerCutShort(t *testing.T) {
	for status, want := range map[int]Class{400: NotSent, 429: NotSent, 502: NotSent, 200: Unknown} {
		c := newClient(t, Options{Transport: halfRead(func() (*http.Response, error) {
			body := io.MultiReader(strings.NewReader(`{"err`), iotest.ErrReader(io.ErrUnexpectedEOF))
			return &http.Response{StatusCode: status, Body: io.NopCloser(body)}, nil
		})})
		if e := sendError(t, c, testCall(), want); !errors.Is(e, io.ErrUnexpectedEOF) || e.Status != 0 {
			t.Errorf("HTTP %d: %+v", status, e)
		}
	}
}

// halfRead is a transport that does not fetch the last byte of the body.
type halfRead func() (*http.Response, error)

func (f halfRead) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, err := io.CopyN(io.Discard, req.Body, req.ContentLength-1); err != nil {
		return nil, err
	}
	return f()
}

// The last piece of the body was handed over, but its write fell short.
func TestWriteThatBreaks(t *testing.T) {
	event := []byte(`{"x":"` + strings.Repeat("y", 40_000) + `"}`)
	for _, after := range []int{0, 100, 30_000, 40_000} {
		t.Run(strconv.Itoa(after), func(t *testing.T) {
			tr := NewTransport()
			addr := brokenServer(t, tr, after)
			c := newClient(t, Options{BaseURL: "http://" + addr, Transport: tr})
			call := testCall()
			call.Events = [][]byte{event}
			if e := sendError(t, c, call, NotSent); !errors.Is(e, io.ErrClosedPipe) {
				t.Errorf("the cause is lost: %v", e)
			}
		})
	}
}

// In HTTP/2 an error of the writer may come after the last byte of the body.
func TestWriteErrorProvesNothingInHTTP2(t *testing.T) {
	for header, want := range map[string]Class{"Authorization": NotSent, ":method": Unknown} {
		c := newClient(t, Options{Transport: roundTrip(func(req *http.Request, _ []byte) (*http.Response, error) {
			trace := httptrace.ContextClientTrace(req.Context())
			trace.WroteHeaderField(header, nil)
			trace.WroteRequest(httptrace.WroteRequestInfo{Err: io.ErrClosedPipe})
			return nil, io.ErrClosedPipe
		})})
		sendError(t, c, testCall(), want)
	}
}

// brokenServer reads for ever; tr's connections to it break after so many bytes.
func brokenServer(t *testing.T, tr *http.Transport, after int) (addr string) {
	dial := tr.DialContext
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		return &brokenConn{Conn: c, left: after}, err
	}
	return rawServer(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
}

// brokenConn takes so many bytes and then breaks.
type brokenConn struct {
	net.Conn
	left int
}

func (c *brokenConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p[:min(len(p), c.left)])
	c.left -= n
	if err == nil && n < len(p) {
		err = io.ErrClosedPipe
	}
	return n, err
}
