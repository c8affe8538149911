package ingest

import (
	"context"
	"net/http"
	"runtime"
	"time"
)

const (
	// A batch of so many events or bytes waits for a place.
	largeBatch = 200
	largeBody  = 256 << 10
	// admitFor is how long it waits: the rest of a request may take long enough.
	admitFor = 2 * time.Second
)

// places is how many large batches are under way at once: enough to keep every
// processor busy. Each takes some 9 MB a thousand events, and more at a time would
// only take more.
func places() int { return (3*runtime.GOMAXPROCS(0) + 1) / 2 }

// admit waits until there is a place for a batch of so many events and bytes, and
// returns how to give it back.
func (s *Server) admit(ctx context.Context, events, bytes int) (leave func(), refused *refusal) {
	if events == 0 || events < largeBatch && bytes < largeBody {
		return func() {}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, admitFor)
	defer cancel()
	select {
	case s.large <- struct{}{}:
		return func() { <-s.large }, nil
	case <-ctx.Done():
		return nil, &refusal{
			status: http.StatusServiceUnavailable, reason: reasonQueueUnavailable,
			message:    "too many large batches are under way; nothing was stored, send it again with the same event ids",
			retryAfter: 2 * time.Second,
		}
	}
}
