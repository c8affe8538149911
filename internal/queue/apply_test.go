package queue_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/homing-dev/homing/internal/embedded"
	"github.com/homing-dev/homing/internal/queue"
)

func TestApplyMakesEverythingOnceAndThenNothing(t *testing.T) {
	f := server(t)
	cfg := small()
	preview, err := queue.Preview(f.ctx, f.js, cfg)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := queue.Apply(f.ctx, f.js, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if want := 6 + 2*cfg.Shards + 1; len(plan.Changes) != want || len(preview.Changes) != want {
		t.Errorf("%d changes, %d foretold, want %d: %v", len(plan.Changes), len(preview.Changes), want, plan.Changes)
	}
	for _, c := range plan.Changes {
		if !c.Create {
			t.Errorf("on an empty server: %v", c)
		}
	}
	if plan, err = queue.Apply(f.ctx, f.js, cfg); err != nil || len(plan.Changes) > 0 {
		t.Errorf("a second time: %v, %v", plan, err)
	}
	if err := queue.Verify(f.ctx, f.js, cfg); err != nil {
		t.Errorf("what Apply made doesn't verify: %v", err)
	}
}

func TestStreamsAreAsThePromisesNeedThem(t *testing.T) {
	f := start(t, small())
	for _, tc := range []struct {
		stream    string
		retention jetstream.RetentionPolicy
		discard   jetstream.DiscardPolicy
		maxBytes  int64
		maxAge    time.Duration
		schedules bool
	}{
		{queue.StreamEvents, jetstream.WorkQueuePolicy, jetstream.DiscardNew, 64 << 20, 0, false},
		{queue.StreamRetry, jetstream.WorkQueuePolicy, jetstream.DiscardOld, -1, 0, true},
		{queue.StreamParked, jetstream.LimitsPolicy, jetstream.DiscardNew, 64 << 20, 0, false},
		{queue.StreamClicks, jetstream.LimitsPolicy, jetstream.DiscardOld, -1, 2160 * time.Hour, false},
		{queue.StreamOutcomes, jetstream.LimitsPolicy, jetstream.DiscardOld, -1, 192 * time.Hour, false},
		{queue.StreamDead, jetstream.LimitsPolicy, jetstream.DiscardNew, 1 << 30, 720 * time.Hour, false},
	} {
		s, err := f.js.Stream(f.ctx, tc.stream)
		if err != nil {
			t.Fatal(err)
		}
		c := s.CachedInfo().Config
		if c.Retention != tc.retention || c.Discard != tc.discard || c.MaxBytes != tc.maxBytes || c.MaxAge != tc.maxAge ||
			c.AllowMsgSchedules != tc.schedules || c.Storage != jetstream.FileStorage || c.Duplicates != 2*time.Minute {
			t.Errorf("%s = %+v", tc.stream, c)
		}
		list := s.ListConsumers(f.ctx)
		for c := range list.Info() {
			if c.Config.MaxDeliver != -1 || len(c.Config.BackOff) > 0 || c.Config.AckPolicy != jetstream.AckExplicitPolicy || c.Config.AckWait != 30*time.Second {
				t.Errorf("consumer %s of %s = %+v", c.Name, tc.stream, c.Config)
			}
		}
	}
	if _, err := queue.Apply(f.ctx, f.js, queue.Config{Shards: 2, DedupTTL: 10 * 24 * time.Hour, MaxBytes: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	s, _ := f.js.Stream(f.ctx, queue.StreamOutcomes)
	if got := s.CachedInfo().Config.MaxAge; got != 11*24*time.Hour {
		t.Errorf("with HOMING_DEDUP_TTL=240h the ledger is kept for %v, want a day longer", got)
	}
}

func TestLanesAreOnlyAdded(t *testing.T) {
	f := start(t, small())
	for _, tc := range []struct {
		name   string
		shards int
		want   string
	}{
		{"more, unasked", 4, "homing streams apply --shards 4"},
		{"fewer", 1, "set HOMING_SHARDS=2"},
	} {
		cfg := f.cfg
		cfg.Shards = tc.shards
		_, err := queue.Apply(f.ctx, f.js, cfg)
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "HOMING_SHARDS is") {
			t.Errorf("%s: Apply: %v, want it to say %q", tc.name, err, tc.want)
		}
		if _, err := queue.Open(f.nc, cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: Open: %v, want it to say %q", tc.name, err, tc.want)
		}
		if err := queue.Verify(f.ctx, f.js, cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: Verify: %v, want it to say %q", tc.name, err, tc.want)
		}
	}
	if _, err := queue.ApplyShards(f.ctx, f.js, f.cfg, 1); err == nil {
		t.Error("lanes were taken away")
	}
	plan, err := queue.ApplyShards(f.ctx, f.js, f.cfg, 4)
	if err != nil {
		t.Fatal(err)
	}
	if plan.Shards != 4 || len(plan.Changes) != 1+4 {
		t.Errorf("raised: %+v", plan)
	}
	if _, err := f.q.Status(f.ctx); err != nil {
		t.Fatal(err)
	}
	if f.q.Shards() != 4 { // an open queue learns of them
		t.Errorf("an open queue has %d lanes, want 4", f.q.Shards())
	}
	cfg := f.cfg
	cfg.Shards = 0
	if q := f.open(t, cfg); q.Shards() != 4 {
		t.Errorf("without a number of its own a queue has %d lanes, want 4", q.Shards())
	}
}

func TestAChangeThatLosesDataIsRefused(t *testing.T) {
	f := start(t, small())
	big := event("acme", 1)
	for i := range 20 {
		big = event("acme", i)
		big.Data = make([]byte, 100<<10)
		f.publish(t, big)
	}
	if _, err := f.js.Publish(f.ctx, "homing.click.acme", []byte("c")); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		change func(*queue.Config)
		want   string // empty: taken
	}{
		{"a smaller queue than what is stored", func(c *queue.Config) { c.MaxBytes = 1 << 20 }, "HOMING_QUEUE_MAX_BYTES"},
		{"a smaller queue that still holds it", func(c *queue.Config) { c.MaxBytes = 32 << 20 }, ""},
		{"a shorter life of clicks", func(c *queue.Config) { c.ClickTTL = time.Hour }, "HOMING_CLICK_TTL"},
		{"a longer life of clicks", func(c *queue.Config) { c.ClickTTL = 3000 * time.Hour }, ""},
		{"another ack wait", func(c *queue.Config) { c.AckWait = time.Minute }, ""},
	} {
		cfg := f.cfg
		tc.change(&cfg)
		_, err := queue.Apply(f.ctx, f.js, cfg)
		if tc.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
			f.cfg = cfg
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want it to name %s", tc.name, err, tc.want)
		}
	}
	// Nothing of a refused plan is carried out.
	cfg := f.cfg
	cfg.ClickTTL, cfg.AckWait = time.Hour, 45*time.Second
	if _, err := queue.Apply(f.ctx, f.js, cfg); err == nil {
		t.Fatal("a refused change was taken")
	}
	if c, err := f.js.Consumer(f.ctx, queue.StreamEvents, "ev-0"); err != nil || c.CachedInfo().Config.AckWait != time.Minute {
		t.Errorf("a refused plan was half carried out: %v, %v", c.CachedInfo().Config.AckWait, err)
	}
	if n := f.messages(t, queue.StreamEvents); n != 20 {
		t.Errorf("%d messages left, want 20", n)
	}
}

func TestForeignStreamsAreRefused(t *testing.T) {
	f := server(t)
	create := func(c jetstream.StreamConfig) {
		t.Helper()
		if _, err := f.js.CreateStream(f.ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	create(jetstream.StreamConfig{Name: queue.StreamEvents, Subjects: []string{"homing.ev.*.*", "legacy.>"}, Discard: jetstream.DiscardNew})
	_, err := queue.Apply(f.ctx, f.js, small())
	for _, want := range []string{"retention", "legacy.>"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Apply over a foreign stream: %v, want it to name %s", err, want)
		}
	}
	if s, err := f.js.Stream(f.ctx, queue.StreamRetry); err == nil {
		t.Errorf("%s was made although the plan was refused", s.CachedInfo().Config.Name)
	}
}

func TestAnOperatorsSettingsAreKept(t *testing.T) {
	f := start(t, small())
	s, err := f.js.Stream(f.ctx, queue.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.Description, c.Compression, c.MaxBytes = "ours", jetstream.S2Compression, 48<<20
	if _, err := f.js.UpdateStream(f.ctx, c); err != nil {
		t.Fatal(err)
	}
	plan, err := queue.Apply(f.ctx, f.js, f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Changes) != 1 || plan.Changes[0].String() != "update stream HOMING_EVENTS: max_bytes 48MiB -> 64MiB" {
		t.Errorf("changes = %v", plan.Changes)
	}
	if s, err = f.js.Stream(f.ctx, queue.StreamEvents); err != nil {
		t.Fatal(err)
	}
	if c := s.CachedInfo().Config; c.Description != "ours" || c.Compression != jetstream.S2Compression {
		t.Errorf("lost: %+v", c)
	}
}

func TestTooLittleDiskNamesTheVariable(t *testing.T) {
	srv, err := embedded.NATS(t.TempDir(), embedded.Options{MaxStore: 32 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	f := connectTo(t, srv)
	_, err = queue.Apply(f.ctx, f.js, small())
	if err == nil || !strings.Contains(err.Error(), "HOMING_QUEUE_MAX_BYTES") {
		t.Errorf("Apply with too little disk: %v", err)
	}
}

func TestVerifySaysWhatIsMissing(t *testing.T) {
	f := server(t)
	if err := queue.Verify(f.ctx, f.js, small()); err == nil || !strings.Contains(err.Error(), "HOMING_DEAD: it does not exist") {
		t.Errorf("Verify of nothing: %v", err)
	}
	f.cfg = small()
	if _, err := queue.Apply(f.ctx, f.js, f.cfg); err != nil {
		t.Fatal(err)
	}
	update := func(stream string, change func(*jetstream.StreamConfig)) {
		t.Helper()
		s, err := f.js.Stream(f.ctx, stream)
		if err != nil {
			t.Fatal(err)
		}
		c := s.CachedInfo().Config
		change(&c)
		if _, err := f.js.UpdateStream(f.ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	// Wider is an operator's own business.
	update(queue.StreamEvents, func(c *jetstream.StreamConfig) { c.Subjects, c.MaxBytes = []string{"homing.ev.>"}, 96<<20 })
	if err := queue.Verify(f.ctx, f.js, f.cfg); err != nil {
		t.Errorf("Verify of a wider stream: %v", err)
	}
	update(queue.StreamEvents, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour })
	update(queue.StreamDead, func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld })
	update(queue.StreamClicks, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour })
	for stream, name := range map[string]string{queue.StreamEvents: "ev-1", queue.StreamRetry: "rt-0"} {
		if err := f.js.DeleteConsumer(f.ctx, stream, name); err != nil {
			t.Fatal(err)
		}
	}
	cfg := f.cfg
	cfg.AckWait = time.Minute
	err := queue.Verify(f.ctx, f.js, cfg)
	for _, want := range []string{
		"stream HOMING_EVENTS: it drops messages after 1h", "stream HOMING_DEAD: when full", "stream HOMING_CLICKS: it drops",
		"consumer ev-1 of HOMING_EVENTS: it does not exist", "consumer rt-0 of HOMING_RETRY: it does not exist",
		"HOMING_ACK_WAIT=1m0s", "homing streams apply",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Verify does not say %q:\n%v", want, err)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	f := server(t)
	for name, cfg := range map[string]queue.Config{
		"HOMING_SHARDS":          {Shards: 257},
		"HOMING_REPLICAS":        {Replicas: 2},
		"HOMING_QUEUE_MAX_BYTES": {MaxBytes: 1000},
		"HOMING_ACK_WAIT":        {AckWait: time.Millisecond},
	} {
		if _, err := queue.Apply(f.ctx, f.js, cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%+v: %v, want it to name %s", cfg, err, name)
		}
	}
}

func TestStatusCounts(t *testing.T) {
	f := start(t, small())
	for i := range 3 {
		f.publish(t, event("acme", i))
	}
	in, _ := f.consume(t, f.q)
	f.next(t, in)
	var st queue.Status
	eventually(t, "three in hand", func() bool {
		n, err := f.q.AckPending(f.ctx)
		return err == nil && n == 3
	})
	st, err := f.q.Status(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	ev := st.Stream(queue.StreamEvents)
	if len(st.Streams) != 6 || st.Shards != 2 || ev.Messages != 3 || ev.Bytes == 0 || ev.MaxBytes != 64<<20 || ev.Oldest.IsZero() || ev.LastSeq != 3 {
		t.Errorf("status = %+v", st)
	}
	if len(ev.Consumers) != 2 || !slices.ContainsFunc(ev.Consumers, func(c queue.ConsumerStatus) bool { return c.AckPending == 3 && c.Pending == 0 }) {
		t.Errorf("consumers = %+v", ev.Consumers)
	}
	if !st.Stream(queue.StreamDead).Oldest.IsZero() {
		t.Error("an empty stream has an oldest message")
	}
	if err := f.q.Ready(f.ctx); err != nil {
		t.Errorf("Ready = %v", err)
	}
	bytes, err := f.q.TenantBytes(f.ctx, 0)
	if err != nil || bytes["acme"] == 0 || len(bytes) != 1 {
		t.Errorf("TenantBytes = %v, %v", bytes, err)
	}
}
