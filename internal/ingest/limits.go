package ingest

import (
	"math"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/homing-dev/homing/internal/tenants"
)

// limits holds the tenants' rates. A tenant may use a second's worth at once.
type limits struct {
	now func() time.Time

	mu       sync.Mutex
	byTenant map[string]*rate.Limiter
}

func newLimits(now func() time.Time) *limits {
	return &limits{now: now, byTenant: map[string]*rate.Limiter{}}
}

// take spends n events of t's rate, or says how long to wait. A batch of more
// than a second's worth goes through when a whole second's worth is there, and
// the tenant owes the rest: else it could never be sent.
func (l *limits) take(t *tenants.Tenant, n int) *refusal {
	if t.RateLimit <= 0 {
		return nil
	}
	limiter, now := l.of(t), l.now()
	burst := limiter.Burst()
	if first := min(n, burst); !limiter.AllowN(now, first) {
		missing := float64(first) - limiter.TokensAt(now)
		wait := time.Duration(math.Max(missing, 0) / t.RateLimit * float64(time.Second))
		return &refusal{
			status: http.StatusTooManyRequests, reason: reasonRateLimited,
			message:    "more events a second than this tenant may send; wait for Retry-After seconds",
			retryAfter: max(wait, time.Second),
		}
	}
	for owed := n - burst; owed > 0; owed -= burst {
		limiter.ReserveN(now, min(owed, burst))
	}
	return nil
}

// of returns t's limiter, at the rate that t has now: the tenants file may have
// changed.
func (l *limits) of(t *tenants.Tenant) *rate.Limiter {
	burst := max(int(math.Ceil(t.RateLimit)), 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter, ok := l.byTenant[t.ID]
	if !ok {
		limiter = rate.NewLimiter(rate.Limit(t.RateLimit), burst)
		l.byTenant[t.ID] = limiter
	}
	if limiter.Limit() != rate.Limit(t.RateLimit) {
		limiter.SetLimitAt(l.now(), rate.Limit(t.RateLimit))
		limiter.SetBurstAt(l.now(), burst)
	}
	return limiter
}
