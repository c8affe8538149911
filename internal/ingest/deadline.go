package ingest

import (
	"context"
	"sync"
	"time"
)

// deadline is a context that all share who ask within a moment. With one each a
// request would spend more on its timers than on its JSON. The zero value is ready.
type deadline struct {
	mu      sync.Mutex
	limit   time.Duration
	renewed time.Time
	shared  context.Context
}

// within returns a context that ends after the limit, or up to a sixteenth of it
// earlier. It carries no values and belongs to no request.
func (d *deadline) within(limit time.Duration) context.Context {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shared == nil || d.limit != limit || now.Sub(d.renewed) > limit/16 {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		context.AfterFunc(ctx, cancel) // it has ended then, whoever has it
		d.limit, d.renewed, d.shared = limit, now, ctx
	}
	return d.shared
}
