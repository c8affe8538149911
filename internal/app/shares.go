package app

import (
	"context"
	"sync/atomic"
	"time"
)

// shares knows which tenants fill more of the queue than their share
// (HOMING_TENANT_QUEUE_SHARE): they are refused, so that they alone are.
type shares struct {
	queue backlog
	limit int64
	over  atomic.Pointer[map[string]bool]
}

// backlog counts what waits, by tenant; see queue.Queue.
type backlog interface {
	TenantBytes(ctx context.Context, above int64) (map[string]int64, error)
}

// sharesEvery is how old the picture of the backlog may be.
const sharesEvery = time.Second

func newShares(q backlog, maxBytes int64, share float64) *shares {
	return &shares{queue: q, limit: int64(float64(maxBytes) * share)}
}

// OverShare reports whether a tenant has more than its share waiting.
func (s *shares) OverShare(tenant string) bool {
	over := s.over.Load()
	return over != nil && (*over)[tenant]
}

// run looks at the backlog until ctx ends.
func (s *shares) run(ctx context.Context) {
	ticker := time.NewTicker(sharesEvery)
	defer ticker.Stop()
	for {
		s.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *shares) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	bytes, err := s.queue.TenantBytes(ctx, s.limit)
	if err != nil {
		return // nobody is refused on old knowledge; a full queue refuses all
	}
	over := map[string]bool{}
	for tenant, n := range bytes {
		if n > s.limit {
			over[tenant] = true
		}
	}
	s.over.Store(&over)
}

// retries knows whether HOMING_RETRY holds more than it should
// (HOMING_RETRY_MAX_PENDING): a restart has to read all that is overdue at once.
type retries struct {
	queue interface {
		Retries(ctx context.Context) (uint64, error)
	}
	limit uint64
	over  atomic.Bool
}

func (r *retries) full() bool { return r.over.Load() }

// run counts until ctx ends.
func (r *retries) run(ctx context.Context) {
	ticker := time.NewTicker(sharesEvery)
	defer ticker.Stop()
	for {
		if n, err := r.queue.Retries(ctx); err == nil {
			r.over.Store(n >= r.limit)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
