package recovery_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/homing-dev/homing/internal/recovery"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// watch runs a guard in a bubble until the test ends.
func watch(t *testing.T, m *memory) *recovery.Guard {
	t.Helper()
	g := guardOf(m)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); g.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
	return g
}

// after lets a time pass and everything come to rest.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestNothingIsTrustedBeforeTheFirstLook(t *testing.T) {
	if guardOf(whole()).Whole() == nil {
		t.Error("trusted unseen")
	}
}

func TestWholeMemoryIsTrustedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := whole()
		m.inFlight = []int{5}
		g := watch(t, m)
		if err := g.Whole(); err != nil {
			t.Error(err)
		}
		after(time.Minute)
		if len(m.since) != 0 || m.incidents != 0 || len(m.marked) != 0 {
			t.Errorf("rebuilt %v, %d incidents, marked %v", m.since, m.incidents, m.marked)
		}
	})
}

func TestLostMemoryIsRebuilt(t *testing.T) {
	const tail = 15 * time.Minute
	for name, tt := range map[string]struct {
		lose     func(m *memory)
		inFlight []int
		since    time.Duration // before the look; 0 for everything
		trusted  time.Duration // after the look
		incident bool
	}{
		"flushed, all quiet":                {lose: func(m *memory) { m.marker = nil }},
		"flushed, in flight to the end":     {lose: func(m *memory) { m.marker = nil }, inFlight: []int{3}, trusted: time.Minute, incident: true},
		"flushed, in flight for a moment":   {lose: func(m *memory) { m.marker = nil }, inFlight: []int{3, 3, 0}, trusted: 500 * time.Millisecond, incident: true},
		"another process, all quiet":        {lose: func(m *memory) { m.runID = "run-2" }, since: tail},
		"another process, events in flight": {lose: func(m *memory) { m.runID = "run-2" }, inFlight: []int{1}, since: tail, trusted: time.Minute, incident: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := whole()
				m.settled = []events.Settlement{settlement("e1", events.Dead)}
				m.clicks = []events.Click{{Tenant: "acme", Clid: "c"}}
				g := watch(t, m)
				m.locked(func() { m.inFlight = tt.inFlight; tt.lose(m) })
				g.Alarm(errors.New("look"))
				start := time.Now()
				if tt.trusted > 0 {
					after(tt.trusted - 1)
					if g.Whole() == nil {
						t.Errorf("trusted after %v", time.Since(start))
					}
					m.locked(func() {
						if len(m.since) != 0 {
							t.Error("rebuilt while events were in flight")
						}
					})
					after(1)
				}
				synctest.Wait()
				if err := g.Whole(); err != nil {
					t.Fatalf("after %v: %v", tt.trusted, err)
				}
				want := time.Time{}
				if tt.since > 0 {
					want = start.Add(-tt.since)
				}
				if len(m.since) != 1 || !m.since[0].Equal(want) || len(m.restored) != 1 || len(m.put) != 1 {
					t.Errorf("rebuilt since %v, want %v; %d restored, %d clicks", m.since, want, len(m.restored), len(m.put))
				}
				// A redelivery is suspect from the moment that claims go on.
				marker := dedup.Marker{RunID: m.runID}
				if tt.incident {
					marker.IncidentAt = start.Add(tt.trusted)
				}
				if diff := cmp.Diff(marker, *m.marker); diff != "" {
					t.Errorf("marker (-want +got):\n%s", diff)
				}
				if tt.incident != (m.incidents == 1) || len(m.marked) != 1 {
					t.Errorf("%d incidents, marked %d times", m.incidents, len(m.marked))
				}
				after(time.Minute)
				if len(m.since) != 1 || len(m.marked) != 1 {
					t.Errorf("rebuilt %d times, marked %d times", len(m.since), len(m.marked))
				}
			})
		})
	}
}

// Reads alone don't show that claims are possible, nor that what was delivered
// meanwhile is remembered.
func TestRedisThatTakesNoWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := whole()
		g := watch(t, m)
		m.locked(func() { m.full = true })
		g.Alarm(errors.New("OOM"))
		synctest.Wait()
		if g.Whole() == nil {
			t.Error("trusted although it takes no writes")
		}
		m.locked(func() { m.full = false })
		after(time.Second)
		if err := g.Whole(); err != nil || len(m.since) != 1 || len(m.marked) != 0 {
			t.Errorf("%v; rebuilt %v, marked %v", err, m.since, m.marked)
		}
	})
}

// A delivery that only the ledger knows would, once its claim is old, be sent again.
func TestWhatRedisMissedIsBroughtThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := whole()
		g := watch(t, m)
		m.locked(func() { m.settled = []events.Settlement{settlement("e1", events.Delivered)} })
		g.Missed()
		synctest.Wait()
		if len(m.restored) != 1 || g.Whole() != nil {
			t.Errorf("%d restored, %v", len(m.restored), g.Whole())
		}
		after(time.Minute)
		if len(m.since) != 1 || m.incidents != 0 {
			t.Errorf("rebuilt %v, %d incidents", m.since, m.incidents)
		}
	})
}

func TestRedisThatWasAway(t *testing.T) {
	for name, tt := range map[string]struct {
		hidden, lost bool
		marked       int
	}{
		// What went to the ledger alone comes back; nothing was forgotten.
		"the same process":        {},
		"a process without name":  {hidden: true, marked: 1},
		"another one, and a hole": {lost: true, marked: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := whole()
				if tt.hidden {
					m.runID = ""
					m.marker.RunID = ""
				}
				g := watch(t, m)
				m.locked(func() { m.away = true })
				after(time.Second)
				if g.Whole() == nil {
					t.Error("trusted although nobody answers")
				}
				m.locked(func() {
					m.away = false
					if tt.lost {
						m.runID = "run-2"
					}
				})
				after(time.Second)
				if err := g.Whole(); err != nil {
					t.Error(err)
				}
				if len(m.since) != 1 || m.since[0].IsZero() || len(m.marked) != tt.marked {
					t.Errorf("rebuilt since %v, marked %d times, want %d", m.since, len(m.marked), tt.marked)
				}
			})
		})
	}
}

func TestRebuildThatFailsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := whole()
		m.marker = nil
		m.readErr = errors.New("stream away")
		g := watch(t, m)
		after(3 * time.Second)
		if g.Whole() == nil || len(m.marked) != 0 {
			t.Errorf("trusted: %v, marked %v", g.Whole(), m.marked)
		}
		m.locked(func() { m.readErr = nil })
		after(time.Second)
		if err := g.Whole(); err != nil || len(m.marked) != 1 {
			t.Errorf("%v, marked %v", err, m.marked)
		}
	})
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := whole()
		m.away = true
		g := watch(t, m)
		type answer struct {
			ctx context.Context
			err error
		}
		answers := make(chan answer, 1)
		go func() {
			ctx, err := g.Wait(t.Context())
			answers <- answer{ctx, err}
		}()
		after(5 * time.Second)
		if len(answers) != 0 {
			t.Fatal("did not wait")
		}
		m.locked(func() { m.away = false })
		after(time.Second)
		got := <-answers
		if got.err != nil || got.ctx.Err() != nil {
			t.Fatalf("%v, %v", got.err, got.ctx.Err())
		}
		after(time.Minute)
		if got.ctx.Err() != nil {
			t.Error("trust ended while nothing happened")
		}
		m.locked(func() { m.away = true })
		g.Alarm(errors.New("no answer"))
		synctest.Wait()
		if got.ctx.Err() == nil {
			t.Error("trust outlived the memory")
		}

		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

func TestWhoWaitedIsLetGoWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := watch(t, whole())
		ctx, cancel := context.WithCancel(t.Context())
		trust, err := g.Wait(ctx)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		if trust.Err() == nil {
			t.Error("trust outlived its parent")
		}
	})
}

func TestBless(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(m *memory)
		blessed bool
	}{
		"fresh all over":      {func(m *memory) { m.marker = nil }, true},
		"marked already":      {func(*memory) {}, false},
		"clicks to remember":  {func(m *memory) { m.marker = nil; m.clicks = make([]events.Click, 1) }, false},
		"outcomes as well":    {func(m *memory) { m.marker = nil; m.settled = make([]events.Settlement, 1) }, false},
		"events in flight":    {func(m *memory) { m.marker = nil; m.inFlight = []int{1} }, false},
		"streams do not tell": {func(m *memory) { m.marker = nil; m.readErr = errAway }, false},
		"redis does not tell": {func(m *memory) { m.away = true }, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := whole()
			tt.prepare(m)
			err := guardOf(m).TryBless(t.Context())
			if tt.blessed != (len(m.marked) == 1) || (err == nil) != (m.marker != nil && !m.away) {
				t.Errorf("error %v, marker %+v", err, m.marker)
			}
			if tt.blessed {
				if diff := cmp.Diff(dedup.Marker{RunID: "run-1"}, *m.marker); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestBlessWaitsForSomebodysMarker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := whole()
		m.marker = nil
		m.settled = make([]events.Settlement, 1)
		done := make(chan struct{})
		go func() { defer close(done); guardOf(m).Bless(t.Context()) }()
		after(10 * time.Second)
		select {
		case <-done:
			t.Fatal("gave up")
		default:
		}
		m.locked(func() { m.marker = &dedup.Marker{} }) // a worker's
		<-done
		if len(m.marked) != 0 {
			t.Error("wrote over it")
		}

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		m.locked(func() { m.marker = nil })
		guardOf(m).Bless(ctx) // returns
	})
}
