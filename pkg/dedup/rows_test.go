package dedup_test

import (
	"context"
	"maps"
	"runtime"
	"strings"
	"testing"

	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/dedup/deduptest"
)

// fakeCase is a case that only a fake network can set up.
type fakeCase struct {
	name string
	run  func(testing.TB, *dedup.Redis, *fakeRedis)
}

func fakeCases() []fakeCase {
	ctx := context.Background()
	m := dedup.Message{Key: "k", Accept: "a", Stream: "EVENTS", Seq: 1, Deliveries: 1}
	claim := func(t testing.TB, s *dedup.Redis, m dedup.Message, want dedup.Result) dedup.Claim {
		t.Helper()
		claims, err := s.Claim(ctx, []dedup.Message{m})
		if err != nil || claims[0].Result != want {
			t.Fatalf("Claim = %+v, %v; want %v", claims, err, want)
		}
		return claims[0]
	}
	once := func(f *fakeRedis, what fault) {
		f.fault = func() fault { f.fault = nil; return what }
	}
	return []fakeCase{
		{"row 4: a claim that the client library sent twice is fresh", func(t testing.TB, s *dedup.Redis, f *fakeRedis) {
			once(f, repeated)
			if c := claim(t, s, m, dedup.Fresh); c.Record.Unsure || c.Before != nil {
				t.Fatalf("claim %+v, want a sure one that replaced nothing", c)
			}
		}},
		{"row 4: sent twice after an incident is as if sent once", func(t testing.TB, s *dedup.Redis, f *fakeRedis) {
			_ = s.Mark(ctx, dedup.Marker{IncidentAt: newClock().now})
			again := m
			again.Deliveries = 2
			once(f, repeated)
			claim(t, s, again, dedup.Interrupted)
		}},
		{"a claim that comes late, after its release, finds its place taken", func(t testing.TB, s *dedup.Redis, f *fakeRedis) {
			again := m
			for range 3 { // over nothing, then over what was given back
				once(f, late)
				claims, err := s.Claim(ctx, []dedup.Message{again})
				if err == nil {
					t.Fatal("a late claim was answered")
				}
				if err := s.Release(ctx, []dedup.Message{again}, claims); err != nil {
					t.Fatal(err)
				}
				f.land(0)
				again.Deliveries++
			}
			claim(t, s, again, dedup.Fresh)
		}},
		{"so does the swap of one, after its first step", func(t testing.TB, s *dedup.Redis, f *fakeRedis) {
			if err := s.Release(ctx, []dedup.Message{m}, []dedup.Claim{claim(t, s, m, dedup.Fresh)}); err != nil {
				t.Fatal(err)
			}
			calls := 0
			f.fault = func() fault {
				if calls++; calls == 2 {
					return late
				}
				return healthy
			}
			claims, err := s.Claim(ctx, []dedup.Message{m})
			if err == nil || calls != 2 {
				t.Fatalf("%d calls, %v; want the second one late", calls, err)
			}
			f.fault = nil
			if err := s.Release(ctx, []dedup.Message{m}, claims); err != nil {
				t.Fatal(err)
			}
			f.land(0)
			claim(t, s, m, dedup.Fresh)
		}},
		{"a claim whose answer was lost is released as if it had never been", func(t testing.TB, s *dedup.Redis, f *fakeRedis) {
			for _, what := range []fault{lostRequest, lostReply} {
				once(f, what)
				claims, err := s.Claim(ctx, []dedup.Message{m})
				if err == nil || claims[0].Result != dedup.Unanswered {
					t.Fatalf("Claim = %+v, %v; want an error and an unanswered claim", claims, err)
				}
				if err := s.Release(ctx, []dedup.Message{m}, claims); err != nil {
					t.Fatal(err)
				}
				again := claim(t, s, m, dedup.Fresh)
				if err := s.Release(ctx, []dedup.Message{m}, []dedup.Claim{again}); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"a settle that the client library sent twice stands", func(t testing.TB, s *dedup.Redis, f *fakeRedis) {
			c := claim(t, s, m, dedup.Fresh)
			once(f, repeated)
			next := dedup.Record{State: dedup.Decided, Outcome: "delivered"}
			settled, err := s.Settle(ctx, []dedup.Verdict{{Message: &m, Claim: &c, Next: next}})
			if err != nil || !settled[0].Stands || settled[0].Record.Unsure {
				t.Fatalf("Settle = %+v, %v; want a sure delivery", settled, err)
			}
		}},
		{"deferred: beside a decision nothing is left that would outlive it", func(t testing.TB, s *dedup.Redis, f *fakeRedis) {
			c := claim(t, s, m, dedup.Fresh)
			next := dedup.Record{State: dedup.Decided, Outcome: "delivered"}
			if _, err := s.Settle(ctx, []dedup.Verdict{{Message: &m, Claim: &c, Next: next}}); err != nil {
				t.Fatal(err)
			}
			before := f.snapshot()
			if err := s.Defer(ctx, []dedup.Deferred{{Message: m, Outcome: "parked"}}); err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(f.data, before) {
				t.Fatalf("written: %v", f.data)
			}
		}},
		{"a lost race is decided again", func(t testing.TB, s *dedup.Redis, f *fakeRedis) {
			c := claim(t, s, m, dedup.Fresh)
			wait := dedup.Record{State: dedup.Waiting}
			if _, err := s.Settle(ctx, []dedup.Verdict{{Message: &m, Claim: &c, Next: wait}}); err != nil {
				t.Fatal(err)
			}
			// b claims between a's look at W and a's swap.
			b := m
			b.Accept, b.Seq = "b", 2
			pipelines := 0
			f.between = func() { f.fault = nil; claim(t, s, b, dedup.Fresh) }
			f.fault = func() fault {
				if pipelines++; pipelines == 2 {
					return interleaved
				}
				return healthy
			}
			claim(t, s, m, dedup.Taken)
		}},
		{"a settle that met another's claim, which was given up, is as sure as it was", func(t testing.TB, s *dedup.Redis, f *fakeRedis) {
			c := claim(t, s, m, dedup.Fresh)
			own := maps.Clone(f.data)
			another := c.Record
			another.Nonce, another.Seq = "another", 2
			pipelines := 0
			f.fault = func() fault { return interleaved }
			f.between = func() {
				if pipelines++; pipelines == 1 {
					for key := range own {
						if strings.HasPrefix(key, "homing:ev:") {
							f.data[key] = dedup.EncodeRecord(another)
						}
					}
				} else {
					maps.Copy(f.data, own)
				}
			}
			next := dedup.Record{State: dedup.Decided, Outcome: "delivered"}
			settled, err := s.Settle(ctx, []dedup.Verdict{{Message: &m, Claim: &c, Next: next}})
			if err != nil || !settled[0].Stands || settled[0].Record.Unsure || pipelines < 3 {
				t.Fatalf("Settle = %+v, %v after %d pipelines; want a sure delivery after 3", settled, err, pipelines)
			}
		}},
	}
}

func TestOnABadNetwork(t *testing.T) {
	for _, c := range fakeCases() {
		t.Run(c.name, func(t *testing.T) {
			_, store, fake := fakeHarness(t)
			c.run(t, store, fake)
		})
	}
}

// recorder is a testing.TB that notes a failure instead of failing the test.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Fatal(...any)          { r.failed = true; runtime.Goexit() }
func (r *recorder) Fatalf(string, ...any) { r.failed = true; runtime.Goexit() }

// fails reports whether run fails.
func fails(t *testing.T, run func(testing.TB)) bool {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(r)
	}()
	<-done
	return r.failed
}

// TestEveryRowIsNeeded turns off one row after the other and wants a case of the
// suite, by name, to notice.
func TestEveryRowIsNeeded(t *testing.T) {
	if len(dedup.RowNames) != dedup.RowCount {
		t.Fatalf("%d rows have a name, of %d", len(dedup.RowNames), dedup.RowCount)
	}
	for name, row := range dedup.RowNames {
		t.Run(name, func(t *testing.T) {
			var noticed []string
			for _, c := range deduptest.Cases() {
				h, store, _ := fakeHarness(t)
				store.SwitchOff(row)
				if fails(t, func(t testing.TB) { c.Run(t, h) }) {
					noticed = append(noticed, c.Name)
				}
			}
			for _, c := range fakeCases() {
				_, store, fake := fakeHarness(t)
				store.SwitchOff(row)
				if fails(t, func(t testing.TB) { c.run(t, store, fake) }) {
					noticed = append(noticed, c.name)
				}
			}
			if len(noticed) == 0 {
				t.Errorf("without row %q nothing fails", name)
			}
			t.Logf("noticed by:\n\t%s", strings.Join(noticed, "\n\t"))
		})
	}
}

// TestModelNoticesRows does the same to the model: that it can find what is
// wrong is what makes its silence worth something.
func TestModelNoticesRows(t *testing.T) {
	for _, name := range modelRows() {
		t.Run(name, func(t *testing.T) {
			bad, _ := search(t, modelRuns(t, 10000), name)
			if bad == "" {
				t.Errorf("without row %q the model finds nothing wrong", name)
			}
			t.Log(bad)
		})
	}
}

// modelRows are the rows whose absence breaks a promise soon. Without the others
// the store is slower, sends less, or calls more unsure than it need; the suite
// sees to those.
func modelRows() []string {
	return []string{"2 after an incident", "2", "3", "6", "7", "9", "10", "11", "dead while unsure", "deferred"}
}
