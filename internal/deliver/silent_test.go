package deliver_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/homing-dev/homing/internal/deliver"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
	"github.com/homing-dev/homing/pkg/graphapi"
)

// mute is a claim store that grants every claim and then falls silent for a time.
type mute struct {
	dedup.Store
	until    time.Time
	claimErr error
	settles  int
	releases int
}

func (m *mute) Claim(_ context.Context, msgs []dedup.Message) ([]dedup.Claim, error) {
	claims := make([]dedup.Claim, len(msgs))
	if m.claimErr != nil {
		return claims, m.claimErr
	}
	for i := range claims {
		claims[i] = dedup.Claim{Result: dedup.Fresh, Record: dedup.Record{State: dedup.Claimed, Accept: msgs[i].Accept, Nonce: "n"}}
	}
	return claims, nil
}

func (m *mute) Settle(_ context.Context, vs []dedup.Verdict) ([]dedup.Settlement, error) {
	m.settles++
	if time.Now().Before(m.until) {
		return nil, errors.New("no answer")
	}
	out := make([]dedup.Settlement, len(vs))
	for i, v := range vs {
		out[i] = dedup.Settlement{Stands: true, Record: &v.Next}
	}
	return out, nil
}

func (m *mute) Release(context.Context, []dedup.Message, []dedup.Claim) error {
	m.releases++
	if time.Now().Before(m.until) {
		return errors.New("no answer")
	}
	return nil
}

func (m *mute) Defer(context.Context, []dedup.Deferred) error { return errors.New("no answer") }

// silent is a fixture without Redis, for the clock of synctest. Its gates stay
// open.
func silent(t *testing.T, m *mute) *fixture {
	t.Helper()
	f := &fixture{t: t, steps: &steps{}, clock: &clock{}}
	set, err := tenants.Parse("tenants.yaml", []byte(tenantsFile), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	f.graph = &graph{steps: f.steps, taken: map[string]int{}}
	f.journal = &journal{steps: f.steps}
	f.clicks = &clickStore{steps: f.steps}
	f.clock.t = time.Now()
	f.opt = deliver.Options{
		Claims: m, Clicks: f.clicks, ClickTail: f.clicks, Graph: f.graph, Journal: f.journal, Tenants: set,
		Gates:   deliver.NewGates(deliver.GatesOptions{Backoff: func(int) time.Duration { return time.Minute }}),
		AckWait: 90 * time.Second, BatchDeadline: time.Minute, GraphTimeout: 10 * time.Second,
		RetryMin: time.Second, RetryMax: time.Minute, RetryFor: 144 * time.Hour, Logger: slog.New(slog.DiscardHandler),
	}
	return f
}

func TestRedisSilentAfterTheCall(t *testing.T) {
	const forever = time.Hour
	for name, tt := range map[string]struct {
		silence time.Duration
		stop    bool // the process has to end
		answer  error
		action  queue.Action
		lines   int
		took    time.Duration // at most
	}{
		"taken, and back in time": {20 * time.Second, false, nil, queue.Ack, 1, 25 * time.Second},
		// What Meta has must stand in the ledger, which Redis learns it from.
		"taken, and never back":   {forever, false, nil, queue.Ack, 1, 89 * time.Second},
		"refused, and never back": {forever, false, failure(graphapi.Invalid), queue.Forget, 0, 89 * time.Second},
		"failed, and never back":  {forever, false, failure(graphapi.Transient), queue.Forget, 0, 89 * time.Second},
		// Even then it is tried for a moment.
		"taken, back before the end":  {2 * time.Second, true, nil, queue.Ack, 1, 5 * time.Second},
		"taken, not before the end":   {forever, true, nil, queue.Ack, 1, 5 * time.Second},
		"refused, not before the end": {forever, true, failure(graphapi.Invalid), queue.Forget, 0, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				m := &mute{until: start.Add(tt.silence)}
				f := silent(t, m)
				f.graph.answer = always(tt.answer)
				alarms := 0
				f.opt.Alarm = func(error) { alarms++ }
				missed := 0
				f.opt.Missed = func() { missed++ }
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.stop {
					time.AfterFunc(time.Second, cancel)
				}
				got := f.deliverIn(ctx, f.message(f.event(events.Lead, "order-1")))[0]
				if got.Action != tt.action || len(f.journal.lines) != tt.lines {
					t.Errorf("decision %+v, ledger %+v", got, f.journal.lines)
				}
				if tt.lines == 1 && f.journal.lines[0].Outcome != events.Delivered {
					t.Errorf("ledger %+v", f.journal.lines)
				}
				if only := tt.lines == 1 && tt.silence == forever; only != (missed == 1) {
					t.Errorf("only the ledger knows: %v; told %d times", only, missed)
				}
				if took := time.Since(start); took > tt.took || alarms == 0 || m.settles < 4 {
					t.Errorf("took %v, %d alarms, %d tries", took, alarms, m.settles)
				}
			})
		})
	}
}

func TestRedisSilentAfterAClaimWithoutAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		silence time.Duration
		action  queue.Action
	}{
		"back in time": {20 * time.Second, queue.Retry},
		"never back":   {time.Hour, queue.Forget},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &mute{until: time.Now().Add(tt.silence), claimErr: errors.New("no answer")}
				f := silent(t, m)
				got := f.deliver(f.message(f.event(events.Lead, "order-1")))[0]
				if got.Action != tt.action || len(f.graph.calls) != 0 || m.releases < 5 {
					t.Errorf("decision %+v, %d calls, %d releases", got, len(f.graph.calls), m.releases)
				}
			})
		})
	}
}

// A batch of which the first half took all the time is cut off: what could not
// be sent any more is released and handed back.
func TestBatchDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mute{}
		f := silent(t, m)
		f.graph.answer = func(c graphapi.Call, _ []string) error {
			<-time.After(9 * time.Second)
			if len(c.Events) > 1 {
				return failure(graphapi.Invalid)
			}
			return nil
		}
		start := time.Now()
		msgs := f.messages(8)
		got := f.deliver(msgs...)
		count := map[queue.Action]int{}
		for _, d := range got {
			count[d.Action]++
		}
		// Calls start until 50 s have passed: at 0, 9, 18, 27, 36 and 45 s.
		if len(f.graph.calls) != 6 || time.Since(start) != 54*time.Second {
			t.Errorf("%d calls in %v", len(f.graph.calls), time.Since(start))
		}
		if count[queue.Ack]+count[queue.Nak] != 8 || count[queue.Nak] == 0 || count[queue.Ack] != len(f.journal.lines) || m.releases != 1 {
			t.Errorf("actions %v, %d lines, %d releases", count, len(f.journal.lines), m.releases)
		}
	})
}
