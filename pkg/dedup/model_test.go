package dedup_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/homing-dev/homing/pkg/dedup"
)

// newWorld starts a run on an empty Redis.
func newWorld(fake *fakeRedis, store func(*clock) *dedup.Redis, hold bool, choose func(int) int) *world {
	c := newClock()
	w := &world{choose: choose, hold: hold, clock: c, fake: fake, store: store(c), letters: map[string]*letter{}}
	clear(fake.data)
	fake.fault, fake.late = nil, nil
	if err := w.store.Mark(context.Background(), dedup.Marker{}); err != nil {
		w.bug = err.Error()
	}
	fake.fault, fake.between = w.network, w.others
	fake.prefix = func(n int) int { return choose(n + 1) }
	return w
}

// check returns what is wrong with the world at its end, "" for nothing.
func (w *world) check() string {
	if w.bug != "" {
		return w.bug
	}
	unsure := false
	final := map[string]line{}
	for _, l := range w.ledger {
		unsure = unsure || l.unsure
		if f, ok := final[l.accept]; !ok || l.round > f.round || (l.round == f.round && rank(l.outcome) > rank(f.outcome)) {
			final[l.accept] = l
		}
	}
	// An acceptance ends, and in one outcome.
	for n := range w.accepts {
		a := string(rune('a' + n))
		f, ok := final[a]
		if !ok {
			return "acceptance " + a + " has no outcome"
		}
		if f.outcome == "duplicate" && !w.recorded("delivered", "held") && !w.untold {
			return "acceptance " + a + " is a duplicate of nothing"
		}
		if f.outcome == "delivered" && len(w.sends) == 0 {
			return "acceptance " + a + " was never sent"
		}
		// The ledger prefers dead to held in one round; the held line is there.
		if f.outcome == "dead" && w.sentBy(a) && !w.recorded("held") && !w.excused() {
			return "acceptance " + a + " is dead although Meta may have it"
		}
	}
	if len(w.sends) > 1 && !w.excused() {
		switch operator := w.sends[len(w.sends)-1].operator; {
		case w.hold && !operator:
			return fmt.Sprintf("sent %d times under hold", len(w.sends))
		case !unsure:
			return fmt.Sprintf("sent %d times, and the ledger is sure", len(w.sends))
		}
	}
	if !w.troubled && (unsure || w.recorded("held")) {
		return "unsure without any trouble"
	}
	return ""
}

// recorded reports whether the ledger has a line of one of outcomes.
func (w *world) recorded(outcomes ...string) bool {
	return slices.ContainsFunc(w.ledger, func(l line) bool { return slices.Contains(outcomes, l.outcome) })
}

func (w *world) sentBy(accept string) bool {
	return slices.ContainsFunc(w.sends, func(s sent) bool { return s.accept == accept })
}

// excused reports the doubles that no rule can close, or tell. Redis forgot a
// claim whose worker had sent the event, or was just sending it, before the
// ledger knew: nothing remembers that when another message of the key comes for
// the first time, or the same one comes again only when the incident is long
// over (no worker pulled in between). And Redis forgot a takeover, whose worker
// died too: the stalled worker that comes last can't know of it; under resend
// alone, since under hold whoever takes over does not send. docs/delivery.md says
// so to users.
func (w *world) excused() bool {
	return w.unclosable || !w.hold && slices.ContainsFunc(w.sends, func(s sent) bool {
		return s.takeover && s.memory < w.memory
	})
}

// rank orders the outcomes of one round in the ledger.
func rank(outcome string) int {
	switch outcome {
	case "delivered":
		return 3
	case "dead", "no_click":
		return 2
	case "held":
		return 1
	default:
		return 0
	}
}

// modelRuns is how many runs each policy gets; HOMING_MODEL_RUNS sets another.
func modelRuns(t testing.TB, runs int) int {
	if v := os.Getenv("HOMING_MODEL_RUNS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatalf("HOMING_MODEL_RUNS: %v", err)
		}
		return n
	}
	return runs
}

// TestModel looks for a run in which the store breaks its promise. Rapid makes
// what it finds small.
func TestModel(t *testing.T) {
	fake, rdb := newFake(t)
	store := func(c *clock) *dedup.Redis { return dedup.New(rdb, options(c)) }
	if err := flag.Set("rapid.checks", strconv.Itoa(modelRuns(t, 400))); err != nil {
		t.Fatal(err)
	}
	for policy, hold := range map[string]bool{"hold": true, "resend": false} {
		t.Run(policy, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				w := newWorld(fake, store, hold, func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "choice") })
				w.run(rapid.IntRange(1, 60).Draw(rt, "steps"))
				if bad := w.check(); bad != "" {
					rt.Fatalf("%s\n%s", bad, strings.Join(w.trace, "\n"))
				}
			})
		})
	}
}

// search runs random worlds until one is bad, or there were enough.
func search(t testing.TB, runs int, off ...string) (bad string, trace []string) {
	t.Helper()
	fake, rdb := newFake(t)
	store := func(c *clock) *dedup.Redis {
		s := dedup.New(rdb, options(c))
		for _, name := range off {
			s.SwitchOff(dedup.RowNames[name])
		}
		return s
	}
	for seed := range uint64(runs) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(fake, store, seed%2 == 0, rng.IntN)
		w.run(10 + rng.IntN(60))
		if bad := w.check(); bad != "" {
			return fmt.Sprintf("seed %d: %s", seed, bad), w.trace
		}
	}
	return "", nil
}

// TestModelByChance is the same search without shrinking: ten times as fast.
func TestModelByChance(t *testing.T) {
	if bad, trace := search(t, modelRuns(t, 4000)); bad != "" {
		t.Fatalf("%s\n%s", bad, strings.Join(trace, "\n"))
	}
}
