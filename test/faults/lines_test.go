//go:build faults

package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/homing-dev/homing/test/harness"
)

// ends is a pair of processes and the lines between them.
type ends struct {
	name  string
	lines func(*harness.Stack) []*harness.Proxy
}

// pairs returns every pair of ours and a server; in a whole run also those where
// one of two workers is cut off.
func pairs() []ends {
	of := func(ps func(*harness.Stack) []*harness.Process, line func(harness.Lines) *harness.Proxy) func(*harness.Stack) []*harness.Proxy {
		return func(s *harness.Stack) (lines []*harness.Proxy) {
			for _, p := range ps(s) {
				lines = append(lines, line(s.Lines(p)))
			}
			return lines
		}
	}
	apis := func(s *harness.Stack) []*harness.Process { return s.APIs }
	workers := func(s *harness.Stack) []*harness.Process { return s.Workers }
	first := func(s *harness.Stack) []*harness.Process { return s.Workers[:1] }
	toNATS := func(l harness.Lines) *harness.Proxy { return l.NATS }
	toRedis := func(l harness.Lines) *harness.Proxy { return l.Redis }
	toMeta := func(l harness.Lines) *harness.Proxy { return l.Meta }
	all := []ends{
		{"api-nats", of(apis, toNATS)},
		{"api-redis", of(apis, toRedis)},
		{"worker-nats", of(workers, toNATS)},
		{"worker-redis", of(workers, toRedis)},
		{"worker-meta", of(workers, toMeta)},
	}
	return choose(all, append(all,
		ends{"one-worker-nats", of(first, toNATS)},
		ends{"one-worker-redis", of(first, toRedis)}))
}

// trouble is what can befall a line.
type trouble struct {
	name string
	do   func(*harness.Proxy)
}

func troubles() []trouble {
	return []trouble{
		{"cut", (*harness.Proxy).Cut},
		{"frozen", (*harness.Proxy).Freeze},
		{"half-open", (*harness.Proxy).Strand},
	}
}

// TestLines lets every line between two processes fail, in every way, for a
// moment and for longer than AckWait.
func TestLines(t *testing.T) {
	for _, pair := range pairs() {
		for _, lasts := range choose([]time.Duration{brief}, []time.Duration{brief, long}) {
			t.Run(fmt.Sprintf("%s/%s", pair.name, lasts), func(t *testing.T) {
				t.Parallel()
				s := start(t, harness.Options{Workers: 2, Lines: true})
				for _, trouble := range troubles() {
					l := startLoad(s, trouble.name, 8, 20*time.Millisecond)
					l.await(t, 100)
					enough := doubted(s, pair.name, lasts)
					s.Still(func() {
						if pair.name == "worker-meta" {
							s.DoubtClaimed("the line to Meta went out")
						}
						for _, line := range pair.lines(s) {
							trouble.do(line)
						}
					})
					harness.Pass(lasts)
					for _, line := range pair.lines(s) {
						line.Mend()
					}
					l.await(t, 100)
					enough()
					l.finish(s)
				}
			})
		}
	}
}

// doubted notes what may end unsure because a line is out. It is little:
//
//   - api: nothing, it sends nothing.
//   - worker to NATS, and to Redis for less than AckWait: nothing. The worker
//     has Meta's answers and brings them to where they belong later.
//   - worker to Redis for longer: what it has claimed, or was about to. It gives
//     up, and whoever is handed the event finds a claim.
//   - worker to Meta: what is in a call. Only calls that get no answer last for
//     long, so they are known by the age of their claims.
func doubted(s *harness.Stack, pair string, lasts time.Duration) (enough func()) {
	switch {
	case pair == "worker-meta":
		return s.DoubtSlow("the line to Meta was out", 300*time.Millisecond)
	case lasts == long && (pair == "worker-redis" || pair == "one-worker-redis"):
		return s.DoubtSlow("the line to Redis was out for longer than AckWait", 0)
	default:
		return func() {}
	}
}
