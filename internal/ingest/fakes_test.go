package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

var errDown = errors.New("connection refused")

// fakeQueue is JetStream with a duplicate window that never ends.
type fakeQueue struct {
	mu     sync.Mutex
	stored []queue.Acceptance
	clicks []events.Click
	seqs   map[string]uint64
	refuse func(queue.Acceptance) error // nil takes all
	err    error                        // of PublishClicks
}

func newFakeQueue() *fakeQueue { return &fakeQueue{seqs: map[string]uint64{}} }

func (q *fakeQueue) PublishMany(ctx context.Context, acceptances []queue.Acceptance) []queue.Result {
	q.mu.Lock()
	defer q.mu.Unlock()
	results := make([]queue.Result, len(acceptances))
	for i, a := range acceptances {
		if q.refuse != nil {
			if results[i].Err = q.refuse(a); results[i].Err != nil {
				continue
			}
		}
		seq, seen := q.seqs[a.MsgID]
		if !seen {
			seq = uint64(len(q.stored) + 1)
			q.seqs[a.MsgID] = seq
			q.stored = append(q.stored, a)
		}
		results[i].Accepted = queue.Accepted{Seq: seq, Duplicate: seen}
	}
	return results
}

func (q *fakeQueue) PublishClicks(_ context.Context, found []events.Click) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return q.err
	}
	q.clicks = append(q.clicks, found...)
	return nil
}

func (q *fakeQueue) all() []queue.Acceptance {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.stored)
}

func (q *fakeQueue) refuseAll(err error) { q.refuse = func(queue.Acceptance) error { return err } }

func (q *fakeQueue) dump() string {
	out := fmt.Sprintf("%+v", q.clicks)
	for _, a := range q.all() {
		out += fmt.Sprintf("%+v %s", a.Envelope, a.Data)
	}
	return out
}

// fakeMemory is dedup's store without its claims.
type fakeMemory struct {
	mu      sync.Mutex
	records map[string]dedup.Record // what workers wrote
	queued  map[string]dedup.Record // Q
	looks   int
	err     error
	hang    chan struct{} // not nil: nobody answers until it is closed
	deaf    bool          // ... not even when the context ends
}

func newFakeMemory() *fakeMemory {
	return &fakeMemory{records: map[string]dedup.Record{}, queued: map[string]dedup.Record{}}
}

func wait(ctx context.Context, hang chan struct{}, deaf bool) error {
	if hang == nil {
		return nil
	}
	if deaf {
		<-hang
		return errDown
	}
	select {
	case <-hang:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *fakeMemory) Look(ctx context.Context, keys []dedup.Look) ([]dedup.Record, error) {
	m.mu.Lock()
	m.looks++
	hang, deaf, err := m.hang, m.deaf, m.err
	m.mu.Unlock()
	if err := errors.Join(wait(ctx, hang, deaf), err); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	found := make([]dedup.Record, len(keys))
	for i, k := range keys {
		q, ok := m.queued[k.Key]
		if !ok {
			m.queued[k.Key] = dedup.Record{State: dedup.Queued, Accept: k.Accept, Note: k.Note}
		}
		if r, decided := m.records[k.Key]; decided {
			found[i] = r
		} else if ok {
			found[i] = q
		}
	}
	return found, nil
}

func (m *fakeMemory) Forget(_ context.Context, keys []dedup.Look) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		if m.queued[k.Key].Accept == k.Accept {
			delete(m.queued, k.Key)
		}
	}
	return m.err
}

func (m *fakeMemory) Get(ctx context.Context, keys []string) ([]dedup.Record, error) {
	if err := wait(ctx, m.hang, m.deaf); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	found := make([]dedup.Record, len(keys))
	for i, k := range keys {
		found[i] = m.queued[k]
		if r, ok := m.records[k]; ok {
			found[i] = r
		}
	}
	return found, m.err
}

func (m *fakeMemory) dump() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprintf("%+v %+v", m.records, m.queued)
}

// settle writes what a worker would.
func (m *fakeMemory) settle(tenant string, name events.Name, id string, r dedup.Record) {
	if r.Note.Name == "" {
		r.Note.Name = string(name)
	}
	m.records[string(events.MakeKey(tenant, name, id))] = r
}

// fakeClicks is the click store.
type fakeClicks struct {
	mu      sync.Mutex
	known   map[string][]clicks.Found // by tenant and person
	lookups int
	puts    int
	err     error
	hang    chan struct{}
	deaf    bool
}

func newFakeClicks() *fakeClicks { return &fakeClicks{known: map[string][]clicks.Found{}} }

func (c *fakeClicks) Lookup(ctx context.Context, queries []clicks.Query) ([]clicks.Found, error) {
	c.mu.Lock()
	c.lookups++
	hang, deaf, err := c.hang, c.deaf, c.err
	c.mu.Unlock()
	if err := errors.Join(wait(ctx, hang, deaf), err); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	answers := make([]clicks.Found, len(queries))
	for i, q := range queries {
		var newest clicks.Found
		for _, p := range q.Persons {
			for _, f := range c.known[q.Tenant+"/"+string(p)] {
				if f.At <= q.Before && f.At > answers[i].At {
					answers[i] = f
				}
				if f.At > newest.At {
					newest = f
				}
			}
		}
		if !answers[i].OK() && q.OrNewest {
			answers[i] = newest
		}
	}
	return answers, nil
}

func (c *fakeClicks) Put(ctx context.Context, found []events.Click) error {
	if err := wait(ctx, c.hang, c.deaf); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.puts++
	if c.err != nil {
		return c.err
	}
	for _, f := range found {
		for _, p := range f.Persons {
			k := f.Tenant + "/" + string(p)
			c.known[k] = append(c.known[k], clicks.Found{Clid: f.Clid, WABA: f.WABA, At: f.At})
		}
	}
	return nil
}

func (c *fakeClicks) add(tenant string, p events.Person, f clicks.Found) {
	c.known[tenant+"/"+string(p)] = append(c.known[tenant+"/"+string(p)], f)
}

func (c *fakeClicks) dump() string { return fmt.Sprint(slices.Collect(maps.Keys(c.known))) }

// fakeMetrics keeps what it is told as words.
type fakeMetrics struct {
	mu   sync.Mutex
	told map[string]int
}

func (m *fakeMetrics) count(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.told == nil {
		m.told = map[string]int{}
	}
	m.told[what]++
}

func (m *fakeMetrics) of(what string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.told[what]
}

func (m *fakeMetrics) Accepted(_ context.Context, tenant string) { m.count("accepted " + tenant) }

func (m *fakeMetrics) Rejected(_ context.Context, reason string)    { m.count("rejected " + reason) }
func (m *fakeMetrics) ClickLookup(_ context.Context, result string) { m.count("lookup " + result) }
func (m *fakeMetrics) Webhook(_ context.Context, result string)     { m.count("webhook " + result) }
func (m *fakeMetrics) Request(_ context.Context, route string, code int, _ time.Duration) {
	m.count(fmt.Sprintf("request %s %d", route, code))
}

type fakeBacklog struct{ over string }

func (b *fakeBacklog) OverShare(tenant string) bool { return tenant == b.over }

// locked lets the goroutines of one server share a buffer.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func lockedWriter(w *bytes.Buffer) io.Writer { return &locked{w: w} }

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
