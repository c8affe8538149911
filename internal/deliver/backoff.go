package deliver

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// FullJitter returns the wait before try n, from 0: uniform in
// [0, min(most, least x 2^n)].
func FullJitter(least, most time.Duration) func(n int) time.Duration {
	return func(n int) time.Duration {
		// The library spreads evenly over interval x (1 +- factor): half the
		// bound and a factor of one make that [0, bound].
		b := backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(least/2),
			backoff.WithMaxInterval(most/2),
			backoff.WithMultiplier(2),
			backoff.WithRandomizationFactor(1),
			backoff.WithMaxElapsedTime(0),
		)
		wait := b.NextBackOff()
		for range min(n, doublings(most, least)) {
			wait = b.NextBackOff()
		}
		return wait
	}
}

// doublings is how often d must be doubled to reach reach.
func doublings(reach, d time.Duration) int {
	n := 0
	for ; d > 0 && d < reach; d *= 2 {
		n++
	}
	return n
}
