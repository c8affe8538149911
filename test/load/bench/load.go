package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// load is what a run of the load generator saw.
type load struct {
	took      time.Duration
	requests  int // answered as they should be
	queued    int // of these, with 202: stored, but the look at Redis took too long
	latencies []time.Duration
	wrong     int   // answered otherwise
	err       error // the first of those
}

func (l *load) rate() float64 { return float64(l.requests) / l.took.Seconds() }

// maker appends the n-th request of a run, whole, to b.
type maker func(b []byte, n int) []byte

// closedLoop keeps conns connections busy, each with one request after the
// other, for as long as it is told. numbers hands out the requests' numbers.
func closedLoop(ctx context.Context, addr string, conns int, length time.Duration, numbers *atomic.Int64, request maker, right func([]byte) bool) (load, error) {
	clients, err := dialAll(ctx, addr, conns)
	if err != nil {
		return load{}, err
	}
	defer closeAll(clients)
	parts := make([]load, conns)
	begin := time.Now()
	end := begin.Add(length)
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			part := &parts[i]
			part.latencies = make([]time.Duration, 0, 4096)
			for at := time.Now(); at.Before(end) && ctx.Err() == nil; {
				status, err := c.do(request, int(numbers.Add(1)-1), right)
				now := time.Now()
				part.count(now.Sub(at), status, err)
				if err != nil && !errors.Is(err, errAnswer) {
					return // the connection is of no more use
				}
				at = now
			}
		})
	}
	wg.Wait()
	total := load{took: time.Since(begin)}
	for i := range parts {
		total.add(&parts[i])
	}
	if total.requests == 0 {
		return total, fmt.Errorf("%s answers nothing right: %w", addr, total.err)
	}
	return total, ctx.Err()
}

func (l *load) count(took time.Duration, status int, err error) {
	if err != nil {
		l.wrong++
		if l.err == nil {
			l.err = err
		}
		return
	}
	l.requests++
	if status == http.StatusAccepted {
		l.queued++
	}
	l.latencies = append(l.latencies, took)
}

func (l *load) add(other *load) {
	l.requests += other.requests
	l.queued += other.queued
	l.wrong += other.wrong
	l.latencies = append(l.latencies, other.latencies...)
	if l.err == nil {
		l.err = other.err
	}
}

// client is one keep-alive connection of a generator that has to share the cores
// with what it measures: net/http's client costs four times as much.
type client struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
	body []byte
}

func dialAll(ctx context.Context, addr string, n int) ([]*client, error) {
	clients := make([]*client, 0, n)
	for range n {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			closeAll(clients)
			return nil, err
		}
		clients = append(clients, &client{conn: conn, in: bufio.NewReaderSize(conn, 4096)})
	}
	return clients, nil
}

func closeAll(clients []*client) {
	for _, c := range clients {
		_ = c.conn.Close()
	}
}

// errAnswer is an answer that was read whole and is not the right one.
var errAnswer = errors.New("wrong answer")

// do sends one request and reads its answer.
func (c *client) do(request maker, n int, right func([]byte) bool) (status int, err error) {
	c.out = request(c.out[:0], n)
	if _, err := c.conn.Write(c.out); err != nil {
		return 0, err
	}
	if status, err = c.read(); err != nil {
		return status, err
	}
	if status != http.StatusOK && status != http.StatusAccepted || !right(c.body) {
		return status, fmt.Errorf("%w: %d %s", errAnswer, status, c.body[:min(len(c.body), 300)])
	}
	return status, nil
}

// read reads one answer; its body is in c.body until the next.
func (c *client) read() (status int, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, fmt.Errorf("not HTTP/1.1: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, err
	}
	length, chunked := 0, false
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case len(name) == 14 && bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, err
			}
		case len(name) == 17 && bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
	c.body = c.body[:0]
	if !chunked {
		return status, c.take(length)
	}
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		size, err := strconv.ParseUint(string(bytes.TrimRight(line, "\r\n")), 16, 31)
		if err != nil {
			return 0, err
		}
		if err := c.take(int(size)); err != nil {
			return 0, err
		}
		if _, err := c.in.Discard(2); err != nil {
			return 0, err
		}
		if size == 0 {
			return status, nil
		}
	}
}

// take appends the next n bytes to the body.
func (c *client) take(n int) error {
	at := len(c.body)
	c.body = slices.Grow(c.body, n)[:at+n]
	_, err := io.ReadFull(c.in, c.body[at:])
	return err
}

// quantiles are the figures of a set of latencies, in milliseconds.
type quantiles struct {
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
}

// quantilesOf sorts d.
func quantilesOf(d []time.Duration) *quantiles {
	if len(d) == 0 {
		return nil
	}
	slices.Sort(d)
	return &quantiles{millis(quantile(d, 0.5)), millis(quantile(d, 0.99)), millis(quantile(d, 0.999))}
}

// quantile returns the smallest value that at least a share q of the sorted
// values does not exceed (nearest rank).
func quantile(sorted []time.Duration, q float64) time.Duration {
	rank := int(q * float64(len(sorted)))
	if float64(rank) < q*float64(len(sorted)) {
		rank++
	}
	return sorted[min(max(rank, 1), len(sorted))-1]
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
