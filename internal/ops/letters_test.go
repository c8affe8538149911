package ops_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/homing-dev/homing/internal/ops"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// graveyard is a desk with five dead letters:
//
//	1 acme rejected   2 umbra rejected   3 acme held   4 acme expired, 8 days old   5 undecodable
func graveyard(t *testing.T) *desk {
	d := newDesk(t)
	now := d.now
	d.bury(d.accept("acme", 1), events.Dead, events.ReasonRejectedByMeta)
	d.bury(d.accept("umbra", 2), events.Dead, events.ReasonRejectedByMeta)
	d.bury(d.accept("acme", 3), events.Held, events.ReasonDeliveryUnknown)
	d.now = now.Add(-8 * 24 * time.Hour)
	d.bury(d.accept("acme", 4), events.Dead, events.ReasonExpired)
	d.now = now
	if _, err := d.js.PublishMsg(d.ctx, &nats.Msg{Subject: "homing.dead.acme", Data: []byte("+49 30 123456")}); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) letters() ops.Letters {
	l := ops.Letters{Queue: d.q, Now: func() time.Time { return d.now }, Pause: noPause}
	if d.claims != nil {
		l.Claims = d.claims
	}
	return l
}

func (d *desk) list(f ops.Filter) (ids []uint64) {
	d.t.Helper()
	if err := d.letters().List(d.ctx, f, func(l *ops.Letter) error {
		ids = append(ids, l.ID)
		return nil
	}); err != nil {
		d.t.Fatal(err)
	}
	return ids
}

func TestListFilters(t *testing.T) {
	d := graveyard(t)
	for name, c := range map[string]struct {
		filter ops.Filter
		want   []uint64
	}{
		"all":           {ops.Filter{}, []uint64{1, 2, 3, 4, 5}},
		"tenant":        {ops.Filter{Tenant: "acme"}, []uint64{1, 3, 4, 5}},
		"event name":    {ops.Filter{EventName: events.Purchase}, []uint64{1, 2, 3, 4}},
		"another name":  {ops.Filter{EventName: events.Lead}, nil},
		"reason":        {ops.Filter{Reason: events.ReasonRejectedByMeta}, []uint64{1, 2}},
		"since":         {ops.Filter{Since: d.now.Add(-time.Hour)}, []uint64{1, 2, 3, 5}},
		"just now":      {ops.Filter{Since: d.now}, []uint64{1, 2, 3, 5}},
		"until":         {ops.Filter{Until: d.now.Add(-time.Hour)}, []uint64{4}},
		"the oldest":    {ops.Filter{Limit: 2}, []uint64{1, 2}},
		"ids":           {ops.Filter{IDs: []uint64{3, 1, 3, 77}}, []uint64{1, 3}},
		"ids and more":  {ops.Filter{IDs: []uint64{1, 2, 3}, Tenant: "acme"}, []uint64{1, 3}},
		"ids and limit": {ops.Filter{IDs: []uint64{1, 2, 3}, Limit: 1}, []uint64{1}},
	} {
		if diff := cmp.Diff(c.want, d.list(c.filter)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestShowALetter(t *testing.T) {
	d := graveyard(t)
	got, err := d.letters().Show(d.ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got.TraceID != "0af7651916cd43dd8448eb211c80319c" || got.Hopeless != "" || got.Number != 1 || got.Error != "Invalid parameter" {
		t.Errorf("letter: %+v", got.Letter)
	}
	if left, ok := got.Left(d.now); !ok || left > 7*24*time.Hour || left < 7*24*time.Hour-time.Minute {
		t.Errorf("Meta takes it for %v", left)
	}
	if got.Event == nil || got.Event.Clid != "ARAk" || len(got.Event.Phones) != 1 {
		t.Errorf("event: %+v", got.Event)
	}
	if got.Headers[queue.HeaderEventID] != "order-1" {
		t.Errorf("headers: %v", got.Headers)
	}
	if _, err := d.letters().Show(d.ctx, 99); !errors.Is(err, queue.ErrNoLetter) {
		t.Errorf("a letter that is not there: %v", err)
	}
}

// What can't be decoded may be anything, a phone number too.
func TestShowNeverRepeatsUndecodableBytes(t *testing.T) {
	d := graveyard(t)
	got, err := d.letters().Show(d.ctx, 5)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "123456") {
		t.Errorf("it shows the bytes: %s", text)
	}
	if got.Hopeless != "undecodable" || got.Bytes != 13 || got.Fault == "" {
		t.Errorf("letter: %+v", got)
	}
}

func TestReplayTakesWhatCanBeReplayed(t *testing.T) {
	d := graveyard(t)
	dry, err := d.letters().Replay(d.ctx, ops.ReplayOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	want := &ops.ReplayReport{
		DryRun: true, Matched: 5, Replayed: 2,
		Groups: []ops.Group{
			{Tenant: "acme", Outcome: "dead", Reason: "rejected_by_meta", Letters: 1},
			{Tenant: "umbra", Outcome: "dead", Reason: "rejected_by_meta", Letters: 1},
		},
		Refused: map[string]int{"held": 1, "expired": 1, "undecodable": 1},
	}
	if diff := cmp.Diff(want, dry); diff != "" || !dry.OK() {
		t.Errorf("dry run (-want +got):\n%s", diff)
	}
	if n := d.messages(queue.StreamDead); n != 5 {
		t.Fatalf("a dry run left %d of 5 letters", n)
	}

	got, err := d.letters().Replay(d.ctx, ops.ReplayOptions{Held: true, Rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if got.Replayed != 3 || got.Refused["held"] != 0 || got.OK() {
		t.Errorf("replay: %+v", got)
	}
	if diff := cmp.Diff([]uint64{4, 5}, d.list(ops.Filter{})); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	d.settles(queue.StreamRetry, 3)
	// A second run finds nothing to do.
	again, err := d.letters().Replay(d.ctx, ops.ReplayOptions{Filter: ops.Filter{IDs: []uint64{1, 2, 3}}, Held: true})
	if err != nil || again.Gone != 3 || again.Replayed != 0 || !again.OK() {
		t.Errorf("a second run: %+v, %v", again, err)
	}
	if n := d.messages(queue.StreamRetry); n != 3 {
		t.Errorf("HOMING_RETRY holds %d messages, want 3", n)
	}
}

func TestReplayTellsWhatWasDelivered(t *testing.T) {
	d := graveyard(t).withClaims()
	key := string(events.MakeKey("acme", events.Purchase, "order-1"))
	err := d.claims.Restore(d.ctx, []dedup.Restored{{Key: key, Record: dedup.Record{
		State: dedup.Decided, Accept: "another", Outcome: "delivered", At: d.now,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.letters().Replay(d.ctx, ops.ReplayOptions{DryRun: true})
	if err != nil || got.Delivered != 1 || got.StoreError != "" {
		t.Errorf("%+v, %v", got, err)
	}
	letters := d.letters()
	letters.Claims = away{}
	if got, err = letters.Replay(d.ctx, ops.ReplayOptions{DryRun: true}); err != nil || got.Replayed != 2 || got.StoreError == "" {
		t.Errorf("with the store away: %+v, %v", got, err)
	}
}

// away is a claim store that does not answer.
type away struct{}

func (away) Get(context.Context, []string) ([]dedup.Record, error) {
	return nil, errors.New("connection refused")
}

func TestReplayKeepsItsRate(t *testing.T) {
	d := newDesk(t)
	for n := 1; n <= 25; n++ {
		d.bury(d.accept("acme", n), events.Dead, events.ReasonRejectedByMeta)
	}
	var pauses []time.Duration
	letters := d.letters()
	letters.Pause = func(_ context.Context, p time.Duration) error {
		pauses = append(pauses, p)
		return nil
	}
	chunks := 0
	_, err := letters.Replay(d.ctx, ops.ReplayOptions{Rate: 10, Progress: func(*ops.ReplayReport) { chunks++ }})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]time.Duration{time.Second, time.Second / 2}, pauses); diff != "" || chunks != 3 {
		t.Errorf("%d chunks; pauses (-want +got):\n%s", chunks, diff)
	}
}

func TestReplayStopsWhenTooManyFailAgain(t *testing.T) {
	for _, c := range []struct {
		again     int // of the ten replays of the first chunk
		wantsStop bool
	}{{2, false}, {3, true}} {
		d := newDesk(t)
		var all []queue.Envelope
		for n := 1; n <= 30; n++ {
			env := d.accept("acme", n)
			d.bury(env, events.Dead, events.ReasonRejectedByMeta)
			env.Round = 1
			all = append(all, env)
		}
		letters := d.letters()
		paused := false
		letters.Pause = func(context.Context, time.Duration) error {
			if paused {
				return nil
			}
			paused = true
			for i, env := range all[:10] {
				if i < c.again {
					d.record(env, events.Dead, events.ReasonRejectedByMeta)
				} else {
					d.record(env, events.Delivered, "")
				}
			}
			old := all[20] // of an older round: says nothing of the replay
			old.Round = 0
			d.record(old, events.Dead, events.ReasonRejectedByMeta)
			return nil
		}
		got, err := letters.Replay(d.ctx, ops.ReplayOptions{Rate: 10, StopRatio: 0.2})
		if err != nil {
			t.Fatal(err)
		}
		if (got.Stopped != "") != c.wantsStop || got.Settled != 10 || got.Again != c.again {
			t.Errorf("%d dead again: %+v", c.again, got)
		}
		if want := map[bool]int{true: 10, false: 30}[c.wantsStop]; got.Replayed != want || got.OK() == c.wantsStop {
			t.Errorf("%d dead again: replayed %d, want %d", c.again, got.Replayed, want)
		}
	}
}

func TestReplayEndsWithItsContext(t *testing.T) {
	d := graveyard(t)
	ctx, cancel := context.WithCancel(d.ctx)
	letters := d.letters()
	letters.Pause = func(context.Context, time.Duration) error { cancel(); return ctx.Err() }
	got, err := letters.Replay(ctx, ops.ReplayOptions{Rate: 1})
	if !errors.Is(err, context.Canceled) || got.Replayed != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if n := d.messages(queue.StreamDead); n != 4 {
		t.Errorf("%d letters are left, want 4", n)
	}
}

func TestDiscard(t *testing.T) {
	d := graveyard(t)
	f := ops.Filter{Reason: events.ReasonRejectedByMeta}
	dry, err := d.letters().Discard(d.ctx, f, true, nil)
	if err != nil || dry.Discarded != 2 || d.messages(queue.StreamDead) != 5 {
		t.Errorf("dry run: %+v, %v", dry, err)
	}
	got, err := d.letters().Discard(d.ctx, f, false, nil)
	if err != nil || got.Discarded != 2 || len(got.Groups) != 2 {
		t.Errorf("discard: %+v, %v", got, err)
	}
	if diff := cmp.Diff([]uint64{3, 4, 5}, d.list(ops.Filter{})); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if got, err := d.letters().Discard(d.ctx, ops.Filter{IDs: []uint64{1, 3}}, false, nil); err != nil || got.Discarded != 1 || got.Gone != 1 {
		t.Errorf("by ids: %+v, %v", got, err)
	}
}
