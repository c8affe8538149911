package ops_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/homing-dev/homing/internal/ops"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/events"
)

// busy is a desk with an event in every place:
//
//	1 delivered  2 dead  3 no_click  4 held  5 duplicate  6 waiting  7 retrying  8 parked
func busy(t *testing.T) (*desk, []queue.Envelope) {
	d := newDesk(t)
	var all []queue.Envelope
	for n := 1; n <= 8; n++ {
		all = append(all, d.accept([]string{"acme", "umbra"}[n%2], n))
	}
	d.finish(all[0], events.Delivered, "")
	d.bury(all[1], events.Dead, events.ReasonRejectedByMeta)
	d.finish(all[2], events.NoClick, events.ReasonNoClick)
	d.bury(all[3], events.Held, events.ReasonDeliveryUnknown)
	d.finish(all[4], events.Duplicate, "")
	d.move(2, func(m *queue.Message) (queue.Verdict, bool) {
		switch m.Origin {
		case 7:
			return queue.Verdict{Action: queue.Retry, At: time.Now().Add(time.Hour), Next: &m.Envelope}, true
		case 8:
			return queue.Verdict{Action: queue.Park, Next: &m.Envelope}, true
		}
		return queue.Verdict{}, false
	})
	d.settles(queue.StreamEvents, 1)
	return d, all
}

func (d *desk) audit(opt ops.AuditOptions) *ops.AuditReport {
	d.t.Helper()
	if opt.Patience == 0 {
		opt.Patience = 3 * time.Second
	}
	r, err := ops.Audit{Queue: d.q, AckWait: time.Minute, Pause: noPause}.Run(d.ctx, opt)
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

func TestAuditCountsEveryPlace(t *testing.T) {
	d, _ := busy(t)
	r := d.audit(ops.AuditOptions{})
	want := &ops.AuditReport{
		First: 1, Last: 8,
		Total: ops.Counts{Accepted: 8, Delivered: 1, Duplicate: 1, NoClick: 1, Dead: 1, Held: 1, Waiting: 1, Retrying: 1, Parked: 1},
		Tenants: []ops.TenantCounts{
			{Tenant: "acme", Counts: ops.Counts{Accepted: 4, Dead: 1, Held: 1, Waiting: 1, Parked: 1}},
			{Tenant: "umbra", Counts: ops.Counts{Accepted: 4, Delivered: 1, NoClick: 1, Duplicate: 1, Retrying: 1}},
		},
		Nowhere: []ops.Range{}, Twice: []ops.Double{},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !r.OK() {
		t.Error("it found something")
	}
}

func TestAuditNamesWhatIsLost(t *testing.T) {
	for stream, number := range map[string]uint64{
		queue.StreamEvents: 6, queue.StreamRetry: 7, queue.StreamParked: 8, queue.StreamOutcomes: 1,
	} {
		t.Run(stream, func(t *testing.T) {
			d, _ := busy(t)
			s, err := d.js.Stream(d.ctx, stream)
			if err != nil {
				t.Fatal(err)
			}
			d.remove(stream, s.CachedInfo().State.FirstSeq)
			r := d.audit(ops.AuditOptions{})
			if diff := cmp.Diff([]ops.Range{{From: number, To: number}}, r.Nowhere); diff != "" || r.Total.Nowhere != 1 || r.OK() {
				t.Errorf("nowhere %d (-want +got):\n%s", r.Total.Nowhere, diff)
			}
			if r.Total.Accepted != 8 {
				t.Errorf("accepted %d, want 8", r.Total.Accepted)
			}
		})
	}
}

func TestAuditFoldsOutcomesOfOneAcceptance(t *testing.T) {
	d, all := busy(t)
	d.record(all[0], events.Delivered, "") // an effect that was repeated
	d.record(all[4], events.Delivered, "") // delivered before duplicate
	replayed := all[1]
	replayed.Round = 1
	d.record(replayed, events.Held, events.ReasonDeliveryUnknown) // the higher round counts
	r := d.audit(ops.AuditOptions{})
	want := ops.Counts{Accepted: 8, Delivered: 2, NoClick: 1, Held: 2, Waiting: 1, Retrying: 1, Parked: 1}
	if diff := cmp.Diff(want, r.Total); diff != "" || !r.OK() {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAuditNamesWhatIsTwice(t *testing.T) {
	d, all := busy(t)
	d.record(all[7], events.Delivered, "")
	r := d.audit(ops.AuditOptions{})
	want := []ops.Double{{Number: 8, Tenant: "acme", Where: []string{"parked", "delivered"}}}
	if diff := cmp.Diff(want, r.Twice); diff != "" || r.OK() || r.Total.Twice != 1 {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := d.audit(ops.AuditOptions{Tenant: "umbra"}); len(got.Twice) != 0 || len(got.Tenants) != 1 {
		t.Errorf("of umbra: %+v", got)
	}
}

func TestAReplayIsNotTwice(t *testing.T) {
	d, _ := busy(t)
	letters := ops.Letters{Queue: d.q}
	if r, err := letters.Replay(d.ctx, ops.ReplayOptions{Filter: ops.Filter{IDs: []uint64{1}}}); err != nil || r.Replayed != 1 {
		t.Fatal(r, err)
	}
	r := d.audit(ops.AuditOptions{})
	if !r.OK() || r.Total.Dead != 0 || r.Total.Retrying != 2 {
		t.Errorf("after a replay: %+v", r.Total)
	}
}

// What moves during the audit looks lost or doubled at first.
func TestAuditLooksAgain(t *testing.T) {
	d, all := busy(t)
	d.remove(queue.StreamEvents, 6)        // nowhere, until its outcome comes
	d.record(all[7], events.Delivered, "") // twice, until its copy goes
	looks := 0
	audit := ops.Audit{Queue: d.q, AckWait: time.Minute, Pause: func(context.Context, time.Duration) error {
		if looks++; looks == 2 {
			d.record(all[5], events.Delivered, "")
			d.remove(queue.StreamParked, 1)
		}
		return nil
	}}
	r, err := audit.Run(d.ctx, ops.AuditOptions{Patience: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() || r.Total.Delivered != 3 || r.Total.Parked != 0 || r.Total.Accepted != 8 {
		t.Errorf("after %d looks: %+v", looks, r)
	}
	if looks != 2 {
		t.Errorf("looked again %d times, want 2", looks)
	}
}

// A worker that died after its copy was durable leaves the original to whoever
// JetStream hands it to next.
func TestAuditIsPatientWithWhatWorkersHold(t *testing.T) {
	d := newDesk(t)
	env := d.accept("acme", 1)
	ctx, cancel := context.WithCancel(d.ctx)
	in := make(chan *queue.Message, 1)
	done := make(chan error, 1)
	go func() { done <- d.q.Consume(ctx, func(m []*queue.Message) { in <- m[0] }) }()
	m := <-in
	d.record(env, events.Delivered, "")
	waited := time.Duration(0)
	audit := ops.Audit{Queue: d.q, AckWait: time.Minute, Pause: func(_ context.Context, wait time.Duration) error {
		if waited += wait; waited > 40*time.Second && m != nil {
			d.q.Settle(d.ctx, []*queue.Message{m}, []queue.Verdict{{Action: queue.Ack}})
			d.settles(queue.StreamEvents, 0)
			m = nil
		}
		return nil
	}}
	r, err := audit.Run(d.ctx, ops.AuditOptions{Patience: 5 * time.Second})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err != nil || !r.OK() || waited < 40*time.Second {
		t.Errorf("after %v: %+v, %v", waited, r, err)
	}
}

func TestAuditOfATime(t *testing.T) {
	d := newDesk(t)
	start := d.now.Add(-6 * time.Hour)
	for n := 1; n <= 6; n++ {
		d.now = start.Add(time.Duration(n) * time.Hour)
		env := d.accept("acme", n)
		if n != 4 {
			d.finish(env, events.Delivered, "")
		} else {
			d.remove(queue.StreamEvents, env.Origin)
		}
	}
	at := func(h int) time.Time { return start.Add(time.Duration(h)*time.Hour - time.Minute) }
	for _, c := range []struct {
		since, until      time.Time
		accepted, nowhere uint64
	}{
		{at(3), at(6), 3, 1},
		{at(5), time.Time{}, 3, 1}, // when 4 was accepted nobody knows: after 3, before 5
		{at(6), time.Time{}, 1, 0},
		{time.Time{}, at(3), 2, 0},
		{time.Time{}, time.Time{}, 6, 1},
		{at(9), time.Time{}, 0, 0},
	} {
		r := d.audit(ops.AuditOptions{Since: c.since, Until: c.until})
		if r.Total.Accepted != c.accepted || r.Total.Nowhere != c.nowhere {
			t.Errorf("from %v to %v: %+v", c.since, c.until, r.Total)
		}
	}
}

func TestAuditOfNothing(t *testing.T) {
	if r := newDesk(t).audit(ops.AuditOptions{}); !r.OK() || r.Total != (ops.Counts{}) {
		t.Errorf("%+v", r)
	}
}

func TestAuditTellsOfAnUnreadableLedger(t *testing.T) {
	d, _ := busy(t)
	if _, err := d.js.Publish(d.ctx, "homing.outcome.acme", []byte("?")); err != nil {
		t.Fatal(err)
	}
	if r := d.audit(ops.AuditOptions{}); r.OK() || r.Unreadable != 1 {
		t.Errorf("%+v", r)
	}
}
