package ops_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/homing-dev/homing/internal/ops"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

func TestFindAnEvent(t *testing.T) {
	d := newDesk(t).withClaims()
	env := d.accept("acme", 1)
	d.bury(env, events.Dead, events.ReasonRejectedByMeta)
	d.finish(d.accept("umbra", 1), events.Delivered, "")
	find := ops.Finder{Queue: d.q, Claims: d.claims, Tenants: []string{"acme", "umbra"}}

	got, err := find.Find(d.ctx, ops.EventQuery{ID: "order-1"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.States) != 0 || !got.LedgerRead || len(got.Ledger) != 2 || len(got.Letters) != 1 {
		t.Errorf("with an empty store: %+v", got)
	}
	err = d.claims.Restore(d.ctx, []dedup.Restored{{
		Key: string(events.MakeKey("acme", events.Purchase, "order-1")),
		Record: dedup.Record{
			State: dedup.Decided, Accept: env.Accept, Outcome: "dead", Reason: "rejected_by_meta", At: d.now,
			Note: dedup.Note{Name: "Purchase", Attempts: 2, FbtraceID: "AbC", AcceptedAt: env.AcceptedAt},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err = find.Find(d.ctx, ops.EventQuery{ID: "order-1"}); err != nil {
		t.Fatal(err)
	}
	at := d.now.UTC().Truncate(time.Millisecond)
	want := []ops.EventState{{
		Tenant: "acme", EventName: "Purchase", EventID: "order-1", Status: "dead", Reason: "rejected_by_meta",
		Attempts: 2, FbtraceID: "AbC", Accept: env.Accept, AcceptedAt: &env.AcceptedAt, SettledAt: &at,
	}}
	if diff := cmp.Diff(want, got.States); diff != "" || got.LedgerRead {
		t.Errorf("ledger read: %v; states (-want +got):\n%s", got.LedgerRead, diff)
	}
	for _, q := range []ops.EventQuery{
		{ID: "order-1", Tenant: "nobody"}, {ID: "order-1", Name: events.Lead}, {ID: "order-2"},
	} {
		if got, err := find.Find(d.ctx, q); err != nil || got.Found() {
			t.Errorf("%+v: %+v, %v", q, got, err)
		}
	}
	find.Claims = away{}
	if got, err := find.Find(d.ctx, ops.EventQuery{ID: "order-1"}); err != nil || got.StoreError == "" || len(got.Ledger) != 2 {
		t.Errorf("with the store away: %+v, %v", got, err)
	}
}

func TestStatesOfAnEventOnItsWay(t *testing.T) {
	next := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for want, rec := range map[string]dedup.Record{
		"queued":   {State: dedup.Queued},
		"sending":  {State: dedup.Claimed},
		"retrying": {State: dedup.Waiting, NextAt: next},
		"parked":   {State: dedup.Waiting, Outcome: "parked", Reason: "auth"},
		"held":     {State: dedup.Decided, Outcome: "held", At: next},
	} {
		d := newDesk(t)
		got, err := ops.Finder{Queue: d.q, Claims: answer{rec}}.Find(d.ctx, ops.EventQuery{ID: "x", Tenant: "acme", Name: events.Lead})
		if err != nil || len(got.States) != 1 || got.States[0].Status != want || got.States[0].EventName != "LeadSubmitted" {
			t.Errorf("%s: %+v, %v", want, got, err)
		}
	}
}

// answer is a claim store that knows one record of every key.
type answer struct{ dedup.Record }

func (a answer) Get(_ context.Context, keys []string) ([]dedup.Record, error) {
	all := make([]dedup.Record, len(keys))
	for i := range all {
		all[i] = a.Record
	}
	return all, nil
}

func TestStreamsStatusAndApply(t *testing.T) {
	d := newDesk(t)
	d.accept("acme", 1)
	all, err := ops.StreamsStatus(d.ctx, d.q)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 6 || all[0].Name != queue.StreamEvents || all[0].Messages != 1 || all[0].Pending != 1 ||
		all[0].Oldest == nil || len(all[0].Consumers) != 2 || all[0].Limit != 64<<20 {
		t.Errorf("%+v", all)
	}
	cfg := queue.Config{MaxBytes: 64 << 20}
	for _, dry := range []bool{true, false, true} {
		p, err := ops.StreamsApply(d.ctx, d.js, cfg, 3, dry)
		if err != nil || p.Shards != 3 {
			t.Fatalf("%+v, %v", p, err)
		}
		if changed := len(p.Changes) > 0; changed != (d.q.Shards() == 2) && !dry {
			t.Errorf("dry run %v: %v", dry, p.Changes)
		}
	}
	if p, err := ops.StreamsApply(d.ctx, d.js, cfg, 0, false); err != nil || len(p.Changes) != 0 || p.Shards != 3 {
		t.Errorf("with nothing to do: %+v, %v", p, err)
	}
	if _, err := ops.StreamsApply(d.ctx, d.js, cfg, 1, false); err == nil {
		t.Error("lanes were taken away")
	}
}

func TestRebuildClicks(t *testing.T) {
	d := newDesk(t)
	click := events.Click{Tenant: "acme", Persons: []events.Person{"p"}, Clid: "ARAk", At: d.now.Unix()}
	if err := d.q.PublishClicks(d.ctx, []events.Click{click}); err != nil {
		t.Fatal(err)
	}
	store := &shelf{}
	told := 0
	n, err := ops.RebuildClicks(d.ctx, d.q, store, func(n int) { told = n })
	if err != nil || n != 1 || told != 1 {
		t.Errorf("rebuilt %d, told %d, %v", n, told, err)
	}
	if diff := cmp.Diff([]events.Click{click}, store.clicks); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// shelf is a click store.
type shelf struct{ clicks []events.Click }

func (s *shelf) Put(_ context.Context, clicks []events.Click) error {
	s.clicks = append(s.clicks, clicks...)
	return nil
}

func TestListTenants(t *testing.T) {
	set, err := tenants.Parse("t.yaml", []byte(`tenants:
  - id: acme
    api_keys: ["s3cr3t-key"]
    dataset_id: "1111"
    access_token: "s3cr3t-token"
    waba_ids: ["111", "112"]
    rate_limit: 5
    on_unknown: {default: resend, Lead: hold}
    events:
      Subscribe: {action: reject}
`), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	want := []ops.Tenant{{
		ID: "acme", DatasetID: "1111", WABAs: []string{"111", "112"}, RateLimit: 5, Hold: []string{"Lead"},
	}}
	got := ops.ListTenants(set)
	if len(got) != 1 || len(got[0].Mapped) != 1 || got[0].Mapped[0].Name != "Subscribe" || !got[0].Mapped[0].Reject {
		t.Fatalf("%+v", got)
	}
	got[0].Mapped = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
