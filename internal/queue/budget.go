package queue

import (
	"container/list"
	"context"
	"sync"
)

// budget bounds the messages, and their bytes, that this process holds. Lanes
// take from it before they pull; settling gives back. Those who wait are served
// in the order they came, so that a busy lane can't starve the others.
type budget struct {
	mu      sync.Mutex
	msgs    int
	bytes   int64
	waiting list.List // of *request
}

// request asks for at least min and at most max messages, and the same of bytes.
type request struct {
	minMsgs, maxMsgs   int
	minBytes, maxBytes int64
	granted            chan grant // buffered, so that granting never blocks
}

// grant is what a request got.
type grant struct {
	msgs  int
	bytes int64
}

func newBudget(msgs int, bytes int64) *budget { return &budget{msgs: msgs, bytes: bytes} }

// take waits until r's minimum is free, then takes up to its maximum.
func (b *budget) take(ctx context.Context, r request) (grant, error) {
	r.granted = make(chan grant, 1)
	b.mu.Lock()
	e := b.waiting.PushBack(&r)
	b.serve()
	b.mu.Unlock()
	select {
	case g := <-r.granted:
		return g, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case g := <-r.granted: // it came in the same moment
		b.msgs += g.msgs
		b.bytes += g.bytes
	default:
		b.waiting.Remove(e)
	}
	b.serve()
	return grant{}, ctx.Err()
}

// try takes a slot for one message of so many bytes, if there is one, past those
// who wait: the message has come already.
func (b *budget) try(bytes int64) (grant, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.msgs == 0 {
		return grant{}, false
	}
	g := grant{1, min(bytes, b.bytes)}
	b.msgs -= g.msgs
	b.bytes -= g.bytes
	return g, true
}

// give returns slots.
func (b *budget) give(g grant) {
	if g == (grant{}) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.msgs += g.msgs
	b.bytes += g.bytes
	b.serve()
}

// serve grants what can be granted, in order. It needs the lock.
func (b *budget) serve() {
	for e := b.waiting.Front(); e != nil; e = b.waiting.Front() {
		r := e.Value.(*request)
		if b.msgs < r.minMsgs || b.bytes < r.minBytes {
			return
		}
		g := grant{min(b.msgs, r.maxMsgs), min(b.bytes, r.maxBytes)}
		b.msgs -= g.msgs
		b.bytes -= g.bytes
		b.waiting.Remove(e)
		r.granted <- g
	}
}
