package deliver_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/homing-dev/homing/internal/deliver"
)

func TestFullJitterStaysInBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		least := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Minute)).Draw(t, "least"))
		most := least + time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "more"))
		n := rapid.IntRange(0, 10_000).Draw(t, "n")
		bound := least
		for range n {
			if bound = 2 * bound; bound >= most {
				bound = most
				break
			}
		}
		for range 20 {
			// The library rounds; a microsecond is far below the scheduler's seconds.
			if wait := deliver.FullJitter(least, most)(n); wait < 0 || wait > bound+time.Microsecond {
				t.Fatalf("try %d waits %v, want at most %v", n, wait, bound)
			}
		}
	})
}

// Uniform means that each tenth of the range is met about as often as the others.
func TestFullJitterIsUniform(t *testing.T) {
	for n, bound := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 3: 8 * time.Second, 4: 10 * time.Second, 9: 10 * time.Second} {
		wait := deliver.FullJitter(time.Second, 10*time.Second)
		const draws = 20_000
		var tenths [10]int
		for range draws {
			tenths[min(9, int(10*wait(n)/bound))]++
		}
		for i, got := range tenths {
			// 2,000 expected, with a standard deviation of 42.
			if got < draws/10-300 || got > draws/10+300 {
				t.Errorf("try %d: tenth %d was met %d times of %d", n, i, got, draws)
			}
		}
	}
}
