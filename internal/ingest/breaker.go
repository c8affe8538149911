package ingest

import (
	"sync/atomic"
	"time"
)

// awayFor is how long a store that failed is left alone, so that an outage
// doesn't cost every request its look.
const awayFor = time.Second

// breaker remembers that a store is away. Safe for concurrent use; it only needs
// its clock.
type breaker struct {
	now   func() time.Time
	until atomic.Int64 // Unix nanoseconds; 0: the store is there
}

// try reports whether to ask the store. When a store was away, one caller per
// awayFor is let through to see whether it is back.
func (b *breaker) try() bool {
	until := b.until.Load()
	if until == 0 {
		return true
	}
	now := b.now().UnixNano()
	return now >= until && b.until.CompareAndSwap(until, now+int64(awayFor))
}

// report says how asking went.
func (b *breaker) report(err error) {
	switch {
	case err != nil:
		b.until.Store(b.now().UnixNano() + int64(awayFor))
	case b.until.Load() != 0:
		b.until.Store(0)
	}
}
