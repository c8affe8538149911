package ingest

import (
	"context"
	"net/http"
	"runtime"
	"time"
)

// largeBatch is how many events make a batch that waits for a place.
const largeBatch = fullFlight

// places is how many large batches are under way at once: enough to keep every
// processor busy. Each takes some 9 MB a thousand events, and more at a time would
// only take more.
func places() int { return (3*runtime.GOMAXPROCS(0) + 1) / 2 }

// admit waits until there is a place for a batch of n events, and returns how to
// give it back.
func (s *Server) admit(ctx context.Context, n int) (leave func(), refused *refusal) {
	if n < largeBatch {
		return func() {}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, publishFor)
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
