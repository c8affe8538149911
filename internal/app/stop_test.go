package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/events"
)

// frozen is a Redis behind a listener that, once told, goes on to accept and to
// read and never answers any more.
type frozen struct {
	net.Listener
	target string
	ice    chan struct{} // closed when it freezes
	over   chan struct{} // closed when the test ends
	conns  sync.WaitGroup
}

func newFrozen(t *testing.T, target string) *frozen {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &frozen{Listener: l, target: target, ice: make(chan struct{}), over: make(chan struct{})}
	f.conns.Go(f.serve)
	t.Cleanup(func() {
		close(f.over)
		_ = l.Close()
		f.conns.Wait()
	})
	return f
}

func (f *frozen) serve() {
	for {
		client, err := f.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", f.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		f.conns.Go(func() { <-f.over; _ = client.Close(); _ = server.Close() })
		f.conns.Go(func() { _, _ = io.Copy(server, client) })
		f.conns.Go(func() {
			buf := make([]byte, 64<<10)
			for {
				n, err := server.Read(buf)
				if err != nil {
					return
				}
				select {
				case <-f.ice:
					continue // the answer is never given
				default:
				}
				if _, err := client.Write(buf[:n]); err != nil {
					return
				}
			}
		})
	}
}

// meta takes a call, says so, and answers when it is told to.
type meta struct {
	*httptest.Server
	asked, answer chan struct{}
}

func newMeta(t *testing.T) *meta {
	t.Helper()
	m := &meta{asked: make(chan struct{}, 10), answer: make(chan struct{})}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		m.asked <- struct{}{}
		select {
		case <-m.answer:
			_, _ = io.WriteString(w, `{"events_received":1,"fbtrace_id":"A1"}`)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(m.Close)
	return m
}

// A process that is told to stop while Redis accepts and never answers ends in its
// time and without an error. What Meta took is in the ledger, and the rest is where
// it was.
func TestStopsInTimeWhileRedisIsFrozen(t *testing.T) {
	for name, tt := range map[string]struct {
		answers bool
		lines   int    // of the ledger
		left    uint64 // in the streams
	}{
		"Meta answers": {true, 1, 1},
		"Meta hangs":   {false, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s, graph := newSite(t), newMeta(t)
			real, err := url.Parse(s.opt.Redis.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			redis := newFrozen(t, real.Host)
			s.opt.Redis = tenants.NewSecret("redis://" + redis.Addr().String() + real.Path)
			s.opt.GraphURL = graph.URL
			a, err := New(s.opt, API|Worker, Surroundings{
				Log: io.Discard, LookupEnv: func(string) (string, bool) { return "", false }, Grace: time.Second,
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			send(t, a, "in-the-call")
			<-graph.asked
			close(redis.ice)
			send(t, a, "behind-it")
			if tt.answers {
				close(graph.answer)
			}

			told, tell := context.WithCancel(t.Context())
			tell()
			from := time.Now()
			if err := a.Wait(told); err != nil {
				t.Errorf("stopped with: %v", err)
			}
			if took := time.Since(from); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
			lines, left := s.left(t)
			if lines != tt.lines || left != tt.left {
				t.Errorf("%d lines in the ledger and %d events in the streams, want %d and %d", lines, left, tt.lines, tt.left)
			}
		})
	}
}

// send gives the api an event whose click is known.
func send(t *testing.T, a *App, id string) {
	t.Helper()
	body := fmt.Sprintf(`{"event_name":"Lead","event_id":%q,"ctwa_clid":"ARAk"}`, id)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"http://"+a.Addr()+"/api/v1/app/meta-ads/capi/send-event", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Basic s3cr3t-acme-key")
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		answer, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s: %d %s", id, resp.StatusCode, answer)
	}
}

// left counts the lines of the ledger, and the events that are not settled.
func (s *site) left(t *testing.T) (lines int, left uint64) {
	t.Helper()
	c := Connect(s.opt, io.Discard)
	defer c.Close()
	q, err := c.Queue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = q.ReadOutcomes(t.Context(), time.Time{}, func(l []events.Settlement) error { lines += len(l); return nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, stream := range []string{queue.StreamEvents, queue.StreamRetry} {
		err := q.ReadSightings(t.Context(), stream, func(queue.Sighting) error { left++; return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	return lines, left
}
