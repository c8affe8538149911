//go:build faults

package faults

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/homing-dev/homing/internal/crash"
	"github.com/homing-dev/homing/internal/sandbox"
	"github.com/homing-dev/homing/test/harness"
)

// way makes events take a way that leads past some points, and returns how many
// of them Meta refuses for good.
type way func(s *harness.Stack, p *harness.Promises, at crash.Point) (dead int)

// wayTo returns the way that leads past a point.
func wayTo(p crash.Point) way {
	for part, w := range map[string]way{
		"bury": rejected, "retry": retried, "park": parked, "purge": parked, "release": handedBack,
		"nak": handedBack, "forget": refused, "restore": forgotten, "replay": replayed, "discard": replayed,
	} {
		if strings.HasSuffix(string(p), part) {
			return w
		}
	}
	return delivered
}

// TestKilledAtEveryPoint kills a process at each point of the way of an event
// and wants everything to come right after a restart.
func TestKilledAtEveryPoint(t *testing.T) {
	for _, point := range crash.Points() {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			s := start(t, harness.Options{
				Crash: string(point),
				// What is posted together goes into one call.
				Env: []string{"HOMING_BATCH_LINGER=200ms"},
			})
			var promises harness.Promises
			tapAll(s)
			dead := wayTo(point)(s, &promises, point)
			harness.Eventually(t, within, "a process dies "+string(point), func() error {
				if s.Kills() == 0 {
					return errors.New("the point was not passed")
				}
				return nil
			})
			// Life goes on.
			convertAll(s, &promises, "later", 4)
			f := s.Judge(&promises, within)
			t.Logf("%d killed with %d events in flight; %s", s.Kills(), s.Doubts(), f)
			if f.NoClick > 0 || f.Dead > dead || f.Dead+f.Held < dead {
				t.Errorf("%s, and Meta refuses %d", f, dead)
			}
		})
	}
}

// delivered is the way of events with which nothing is wrong.
func delivered(s *harness.Stack, p *harness.Promises, _ crash.Point) int {
	convertAll(s, p, "fine", 12)
	return 0
}

func rejected(s *harness.Stack, p *harness.Promises, _ crash.Point) int {
	s.Fault(poison("bad-2", 0))
	convertAll(s, p, "bad", 4)
	return 1
}

// poison is an event that Meta refuses, wherever it stands.
func poison(id string, latency time.Duration) sandbox.Fault {
	return sandbox.Fault{
		Match:  sandbox.Match{EventID: id},
		Action: sandbox.Action{Status: 400, Code: 100, Subcode: 2804019, Latency: latency},
	}
}

func retried(s *harness.Stack, p *harness.Promises, _ crash.Point) int {
	s.Fault(sandbox.Fault{Times: 2, Action: sandbox.Action{Status: 503, Code: 2, Transient: true}})
	convertAll(s, p, "again", 6)
	return 0
}

func parked(s *harness.Stack, p *harness.Promises, _ crash.Point) int {
	s.Fault(sandbox.Fault{Times: 2, Action: sandbox.Action{Status: 429, Code: 4}})
	convertAll(s, p, "parked", 12)
	return 0
}

// handedBack is a batch so slow to bisect that most of it has to be handed back.
func handedBack(s *harness.Stack, p *harness.Promises, _ crash.Point) int {
	s.Fault(poison("slow-1", 600*time.Millisecond))
	var batch []map[string]any
	for n := range 8 {
		batch = append(batch, harness.Conversion("Purchase", fmt.Sprintf("slow-%d", n), harness.Phone(n%people)))
	}
	if _, err := s.Insist(s.Tenants[0], harness.PathEvents, batch); err != nil {
		s.T.Error(err)
	}
	for n := range batch {
		p.Add(s.Tenants[0], "Purchase", fmt.Sprintf("slow-%d", n), clidOf(n%people))
	}
	return 1
}

// refused is what happens to events while the queue is away: the api takes back
// what it noted of them.
func refused(s *harness.Stack, p *harness.Promises, _ crash.Point) int {
	s.NATS.Kill()
	done := make(chan struct{})
	go func() {
		defer close(done)
		convertAll(s, p, "refused", 2)
	}()
	harness.Eventually(s.T, within, "the api dies", func() error {
		if s.Kills() == 0 {
			return errors.New("it lives")
		}
		return nil
	})
	s.NATS.Start()
	s.NATS.Await()
	<-done
	return 0
}

// forgotten leaves a flushed memory with events that are in a worker's hands and
// events that it has to know again. What the worker has when it dies there may be
// held: claims that a flush took can't be told from none.
func forgotten(s *harness.Stack, p *harness.Promises, _ crash.Point) int {
	convertAll(s, p, "before", 6)
	s.AwaitQuiet(within)
	s.Redis.Flush()
	convertAll(s, p, "after", 6)
	convertAll(s, p, "before", 6) // the same ones
	return 0
}

// replayed is what an operator does about dead letters, and again when the
// command died over it.
func replayed(s *harness.Stack, p *harness.Promises, at crash.Point) int {
	bury(s, p, 6)
	replay := s.Command("cmd/homing", "dlq", "replay")
	replay.Start("CRASH_AT=" + string(at))
	if replay.Exit(within); !replay.Killed() {
		s.T.Errorf("the command passed %s and lives", at)
	}
	s.Killed()
	mustRun(s, "dlq", "replay")
	return 0
}

// bury makes dead letters of conversions that Meta would take now.
func bury(s *harness.Stack, p *harness.Promises, count int) {
	s.T.Helper()
	s.Fault(sandbox.Fault{Action: sandbox.Action{Status: 400, Code: 100, Subcode: 2804019}})
	convertAll(s, p, "buried", count)
	s.AwaitQuiet(within)
	if n := len(s.Letters()); n != count {
		s.T.Errorf("%d dead letters, want %d", n, count)
	}
	s.Meta.ClearFaults()
}

// mustRun runs the command homing and returns what it printed.
func mustRun(s *harness.Stack, args ...string) string {
	s.T.Helper()
	c := s.Command("cmd/homing", args...)
	c.Start()
	if code := c.Exit(within); code != 0 {
		s.T.Errorf("homing %s: exit code %d\n%s", strings.Join(args, " "), code, c.Output())
	}
	return c.Output()
}
