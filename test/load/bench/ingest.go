package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/homing-dev/homing/internal/queue"
)

// ingestTarget is one program that takes events, and how it is asked.
type ingestTarget struct {
	m       *measurement
	addr    string
	process *process
	stream  string
	conns   int
	batch   int // events of a request; 1: send-event
}

// measureIngest compares cmd/api with the bare program, both up all the time, in
// turns. The worker is down: it has its own part.
func (l *lab) measureIngest(ctx context.Context, b *book) (err error) {
	if err := l.makeBareStream(ctx); err != nil {
		return err
	}
	if err := l.startAPI(ctx, true); err != nil {
		return err
	}
	defer l.stopAPI()
	if err := l.storeClicks(ctx, 1); err != nil {
		return err
	}
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	bare, err := start(l.dir, "bare", l.bin("bare"), nil, nil, "-nats", l.natsURL, "-redis", l.redisAddr, "-stream", bareStream,
		"-listen", addr, "-phone", l.set.phone, "ingest")
	if err != nil {
		return err
	}
	defer bare.stop()
	if err := bare.listening(ctx, addr); err != nil {
		return err
	}

	target := func(name string, p *process, conns, batch int) *ingestTarget {
		t := &ingestTarget{&measurement{Part: "ingest", Name: name, Unit: "events/s"}, l.apiAddr, p, queue.StreamEvents, conns, batch}
		if p == bare {
			t.addr, t.stream = addr, bareStream
		}
		return t
	}
	single64, bare64 := target("single, 64 connections", l.api, 64, 1), target("bare, 64 connections", bare, 64, 1)
	single256, bare256 := target("single, 256 connections", l.api, 256, 1), target("bare, 256 connections", bare, 256, 1)
	batch100, batch1000 := target("batches of 100, 16 connections", l.api, 16, 100), target("batches of 1,000, 8 connections", l.api, 8, 1000)
	all := []*ingestTarget{single64, bare64, single256, bare256, batch100, batch1000}
	for round := range l.set.rounds {
		for _, t := range all {
			l.sayf("ingest, round %d: %s", round+1, t.m.Name)
			if err := l.runIngest(ctx, b, t, l.set.length()); err != nil {
				return fmt.Errorf("%s: %w", t.m.Name, err)
			}
		}
	}
	for _, t := range all {
		b.add(t.m.close())
	}
	tail := func(name string, a, b *ingestTarget) comparison {
		c := comparison{Part: "ingest", Name: name}
		c.Value = a.m.Latency.P99 / b.m.Latency.P99
		return c.atMost(1.25)
	}
	b.compare(
		paired("ingest", "single / bare, 64 connections", single64.m.Rounds, bare64.m.Rounds).atLeast(0.85),
		paired("ingest", "single / bare, 256 connections", single256.m.Rounds, bare256.m.Rounds).atLeast(0.85),
		tail("p99 of single / bare, 64 connections", single64, bare64),
		tail("p99 of single / bare, 256 connections", single256, bare256),
		paired("ingest", "batches of 100 / single, 64 connections", batch100.m.Rounds, single64.m.Rounds).atLeast(2.5),
		paired("ingest", "batches of 1,000 / single, 64 connections", batch1000.m.Rounds, single64.m.Rounds),
		cpuOf("ingest", "single / bare, 64 connections", single64.m, bare64.m),
		peakOf("api", single64.m, single256.m, batch100.m, batch1000.m).atMost(100),
	)
	return nil
}

// peakOf is the highest memory of a process in some measurements.
func peakOf(process string, ms ...*measurement) comparison {
	c := comparison{Part: "memory", Name: "most of the " + process, Unit: "MB"}
	for _, m := range ms {
		c.Value = max(c.Value, m.cost(process).PeakMB)
	}
	return c
}

// runIngest is one run of one program: a warm-up, the measurement, the count.
func (l *lab) runIngest(ctx context.Context, b *book, t *ingestTarget, length time.Duration) error {
	if err := l.forget(ctx); err != nil {
		return err
	}
	run := l.nextRun()
	var numbers atomic.Int64
	request, right := l.singleRequest(run), rightSingle
	if t.batch > 1 {
		request, right = l.batchRequest(run, t.batch), rightBatch(t.batch)
	}
	warm, err := closedLoop(ctx, t.addr, t.conns, min(time.Second, length), &numbers, request, right)
	if err != nil {
		return err
	}
	profiled := l.profile(ctx, t.m, t.process, length)
	m := newMeter(t.process, l.nats, l.redis)
	got, err := closedLoop(ctx, t.addr, t.conns, length, &numbers, request, right)
	if err != nil {
		return err
	}
	costs := m.read(got.requests * t.batch)
	profiled()
	t.m.round(got.rate()*float64(t.batch), got.latencies, costs)
	if got.queued > 0 {
		t.m.Note = fmt.Sprintf("%d of %d answers of the last round were 202, Redis having taken over 50 ms", got.queued, got.requests)
	}

	if wrong := warm.wrong + got.wrong; wrong > 0 {
		first := warm.err
		if first == nil {
			first = got.err
		}
		b.fault("%s: %d requests were not answered as they should be, the first: %v", t.m.Name, wrong, first)
	}
	want := (warm.requests + got.requests) * t.batch
	held, err := l.stored(ctx, t.stream)
	if err != nil {
		return err
	}
	if held != want {
		b.fault("%s: %d events were acknowledged and %d are stored", t.m.Name, want, held)
	}
	return nil
}

// fault notes a wrong count.
func (b *book) fault(format string, args ...any) {
	b.Faults = append(b.Faults, fmt.Sprintf(format, args...))
}

// singleRequest makes requests of one event each.
func (l *lab) singleRequest(run int) maker {
	heads := make([][]byte, len(l.people))
	for i := range l.people {
		p := &l.people[i]
		heads[i] = requestHead(eventPath, len(p.before)+idLength+len(p.after))
	}
	return func(b []byte, n int) []byte {
		at := n % len(l.people)
		b = append(b, heads[at]...)
		return l.people[at].appendBody(b, eventID{run, n})
	}
}

// requestHead is a request up to its body.
func requestHead(path string, length int) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer key-of-0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, length)
}

// batchRequest makes requests of a JSON array of size events each.
func (l *lab) batchRequest(run, size int) maker {
	return func(b []byte, n int) []byte {
		length := 1 + size // brackets and commas
		for i := range size {
			p := &l.people[(n*size+i)%len(l.people)]
			length += len(p.before) + idLength + len(p.after)
		}
		b = append(b, requestHead(batchPath, length)...)
		for i := range size {
			sep := byte(',')
			if i == 0 {
				sep = '['
			}
			b = append(b, sep)
			b = l.people[(n*size+i)%len(l.people)].appendBody(b, eventID{run, n*size + i})
		}
		return append(b, ']')
	}
}

// rightSingle asks for an acceptance.
func rightSingle(body []byte) bool {
	return bytes.Contains(body, []byte(`"success":true`)) && !bytes.Contains(body, []byte(`"duplicate"`))
}

// rightBatch asks for n of them.
func rightBatch(n int) func([]byte) bool {
	accepted := []byte(`"accepted":` + strconv.Itoa(n) + `,`)
	return func(body []byte) bool { return bytes.Contains(body[:min(len(body), 200)], accepted) }
}
