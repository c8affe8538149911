package deliver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/internal/deliver"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/dedup/deduptest"
	"github.com/homing-dev/homing/pkg/events"
	"github.com/homing-dev/homing/pkg/graphapi"
)

// The tenant of most tests: on_unknown is what a tenant has that says nothing,
// hold for Purchase and Subscribe, resend for the others.
const tenantsFile = `tenants:
  - id: acme
    api_keys: ["s3cr3t-acme-key"]
    dataset_id: "1111"
    access_token: "s3cr3t-acme-token"
    app_secret: "s3cr3t-acme-app"
    waba_ids: ["111", "112"]
    test_event_code: "TEST1"
    events:
      ViewContent: {action: reject}
      AddToCart: {as: InitiateCheckout}
      QualifiedLead: {as: ViewContent, action_source: system_generated}
`

// steps is what happened, in order, over all fakes.
type steps struct {
	mu   sync.Mutex
	list []string
}

func (s *steps) add(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, fmt.Sprintf(format, args...))
}

func (s *steps) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// clock stands still unless it is told to go on.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// graph is Meta: it takes every event, unless answer says otherwise.
type graph struct {
	steps  *steps
	answer func(c graphapi.Call, ids []string) error
	usage  graphapi.Usage

	mu    sync.Mutex
	calls []graphapi.Call
	taken map[string]int // event_id -> how often Meta took it
}

func (g *graph) Send(_ context.Context, c graphapi.Call) (graphapi.Result, error) {
	g.steps.add("post %d", len(c.Events))
	ids := make([]string, len(c.Events))
	for i, body := range c.Events {
		var e struct {
			ID string `json:"event_id"`
		}
		if err := json.Unmarshal(body, &e); err != nil {
			return graphapi.Result{}, &graphapi.Error{Class: graphapi.Invalid, Code: 100, Message: err.Error()}
		}
		ids[i] = e.ID
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, c)
	if g.answer != nil {
		if err := g.answer(c, ids); err != nil {
			return graphapi.Result{}, err
		}
	}
	for _, id := range ids {
		g.taken[id]++
	}
	return graphapi.Result{Received: len(ids), FbtraceID: "trace-ok", Usage: g.usage}, nil
}

// journal is the dead letters and the ledger.
type journal struct {
	steps             *steps
	buryErr, writeErr error

	mu      sync.Mutex
	letters []queue.Letter
	lines   []events.Settlement
}

func (j *journal) Bury(_ context.Context, letters []queue.Letter) []error {
	errs := make([]error, len(letters))
	for i, l := range letters {
		j.steps.add("bury %s", l.Outcome)
		if errs[i] = j.buryErr; errs[i] == nil {
			j.letters = append(j.letters, l)
		}
	}
	return errs
}

func (j *journal) Record(_ context.Context, tenant string, lines []events.Settlement) error {
	j.steps.add("record %s %d", tenant, len(lines))
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.writeErr != nil {
		return j.writeErr
	}
	j.lines = append(j.lines, lines...)
	return nil
}

// store is the real claim store, which tells when it is used.
type store struct {
	dedup.Store
	steps    *steps
	claimErr error
	onClaim  func()
	deferred func(context.Context) error // instead of the store's own, where there is one
}

func (s *store) Defer(ctx context.Context, deferred []dedup.Deferred) error {
	if s.deferred != nil {
		return s.deferred(ctx)
	}
	return s.Store.Defer(ctx, deferred)
}

func (s *store) Claim(ctx context.Context, msgs []dedup.Message) ([]dedup.Claim, error) {
	s.steps.add("claim %d", len(msgs))
	if s.onClaim != nil {
		s.onClaim()
	}
	if s.claimErr != nil {
		claims := make([]dedup.Claim, len(msgs))
		return claims, s.claimErr
	}
	return s.Store.Claim(ctx, msgs)
}

func (s *store) Settle(ctx context.Context, vs []dedup.Verdict) ([]dedup.Settlement, error) {
	for _, v := range vs {
		s.steps.add("settle %s", v.Next.Outcome)
	}
	return s.Store.Settle(ctx, vs)
}

func (s *store) Release(ctx context.Context, msgs []dedup.Message, claims []dedup.Claim) error {
	s.steps.add("release %d", len(msgs))
	return s.Store.Release(ctx, msgs, claims)
}

// fixture is a Deliverer over the real claim store and fakes for the rest.
type fixture struct {
	t       testing.TB
	rdb     redis.UniversalClient
	clock   *clock
	steps   *steps
	graph   *graph
	journal *journal
	store   *store
	clicks  *clickStore
	gates   *deliver.Gates
	opt     deliver.Options
	seq     uint64
}

func setup(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{
		t: t, rdb: deduptest.Redis(t), steps: &steps{},
		// Not before the real time, which bounds what is tried again and again.
		clock: &clock{t: time.Now().Truncate(time.Second).Add(time.Second)},
	}
	set, err := tenants.Parse("tenants.yaml", []byte(tenantsFile), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	f.graph, f.journal, f.clicks = &graph{steps: f.steps}, &journal{steps: f.steps}, &clickStore{steps: f.steps}
	f.store = &store{Store: dedup.New(f.rdb, dedup.Options{AckWait: 90 * time.Second, Now: f.clock.now}), steps: f.steps}
	f.gates = newGates(f.rdb, f.clock)
	f.begin()
	f.opt = deliver.Options{
		Claims: f.store, Clicks: f.clicks, ClickTail: f.clicks, Graph: f.graph, Journal: f.journal,
		Tenants: set, Gates: f.gates, Suspects: deliver.NewSuspects(f.rdb),
		AckWait: 90 * time.Second, BatchDeadline: time.Minute, GraphTimeout: 10 * time.Second,
		RetryMin: time.Second, RetryMax: 15 * time.Minute, RetryFor: 144 * time.Hour,
		Logger: slog.New(slog.DiscardHandler), Now: f.clock.now,
		Backoff: func(n int) time.Duration { return time.Duration(n+1) * time.Minute },
	}
	return f
}

// begin forgets everything that was delivered.
func (f *fixture) begin() {
	f.t.Helper()
	f.graph.calls, f.graph.taken = nil, map[string]int{}
	f.journal.letters, f.journal.lines = nil, nil
	if err := f.rdb.FlushDB(f.t.Context()).Err(); err != nil {
		f.t.Fatal(err)
	}
	if err := f.store.Mark(f.t.Context(), dedup.Marker{}); err != nil {
		f.t.Fatal(err)
	}
}

func newGates(rdb redis.UniversalClient, c *clock) *deliver.Gates {
	return deliver.NewGates(deliver.GatesOptions{
		Redis: rdb, Now: c.now, Probe: 15 * time.Second,
		Backoff: func(n int) time.Duration { return time.Duration(n+1) * time.Minute },
	})
}

// event is one of acme's with a pinned click, an hour old.
func (f *fixture) event(name events.Name, id string) *events.Event {
	e := &events.Event{
		Tenant: "acme", Name: name, ID: id, Time: f.clock.now().Add(-time.Hour).Unix(), Clid: "clid-" + id, WABA: "112",
		Persons: []events.Person{events.Person(hash("person"))}, Phones: []string{hash("phone")},
	}
	if name.NeedsValue() {
		e.CustomData = json.RawMessage(`{"currency":"BRL","value":10.50}`)
	}
	return e
}

// message is the first delivery of an acceptance of e, a minute old.
func (f *fixture) message(e *events.Event) *queue.Message {
	f.seq++
	return &queue.Message{
		Envelope: queue.Envelope{
			Tenant: e.Tenant, Accept: fmt.Sprintf("accept-%d", f.seq), Origin: f.seq,
			EventName: e.Name, EventID: e.ID, AcceptedAt: f.clock.now().Add(-time.Minute),
		},
		Data: events.EncodeEvent(e), Stream: queue.StreamEvents, Seq: f.seq, Deliveries: 1, Received: f.clock.now(),
	}
}

// messages are n Leads, named e000, e001 and so on.
func (f *fixture) messages(n int) []*queue.Message {
	msgs := make([]*queue.Message, n)
	for i := range msgs {
		msgs[i] = f.message(f.event(events.Lead, fmt.Sprintf("e%03d", i)))
	}
	return msgs
}

func (f *fixture) deliver(msgs ...*queue.Message) []deliver.Decision {
	f.t.Helper()
	return f.deliverIn(f.t.Context(), msgs...)
}

func (f *fixture) deliverIn(ctx context.Context, msgs ...*queue.Message) []deliver.Decision {
	f.t.Helper()
	got := deliver.New(f.opt).Deliver(ctx, msgs[0].Tenant, msgs)
	if len(got) != len(msgs) {
		f.t.Fatalf("%d decisions for %d messages", len(got), len(msgs))
	}
	return got
}

// next is the message that a retry or a drained lane makes of m.
func (f *fixture) next(m *queue.Message, d deliver.Decision) *queue.Message {
	f.seq++
	return &queue.Message{
		Envelope: *d.Next, Data: m.Data, Stream: queue.StreamRetry, Seq: f.seq, Deliveries: 1, Received: f.clock.now(),
	}
}

// attempts is how many the copy of a message counts, if there is to be one.
func attempts(d deliver.Decision) int {
	if d.Next == nil {
		return 0
	}
	return d.Next.Attempt
}

// again is m handed out once more.
func (f *fixture) again(m *queue.Message) *queue.Message {
	copied := *m
	copied.Deliveries++
	copied.Received = f.clock.now()
	return &copied
}

// record is what Redis remembers of m's key.
func (f *fixture) record(m *queue.Message) dedup.Record {
	f.t.Helper()
	key := string(events.MakeKey(m.Tenant, m.EventName, m.EventID))
	got, err := f.store.Get(context.Background(), []string{key})
	if err != nil {
		f.t.Fatal(err)
	}
	return got[0]
}

// claimOf holds m's key as a worker would that then died.
func (f *fixture) claimOf(m *queue.Message) {
	f.t.Helper()
	claims, err := f.store.Store.Claim(f.t.Context(), []dedup.Message{{
		Key: string(events.MakeKey(m.Tenant, m.EventName, m.EventID)), Accept: m.Accept, Round: m.Round,
		Stream: m.Stream, Seq: m.Seq, Deliveries: m.Deliveries,
	}})
	if err != nil || !claims[0].Held() {
		f.t.Fatalf("claims %+v, error %v", claims, err)
	}
}

// hash stands for a SHA-256 in hex.
func hash(s string) string {
	return fmt.Sprintf("%064x", s)
}

func failure(class graphapi.Class) *graphapi.Error {
	return &graphapi.Error{Class: class, Status: 400, Code: 1, FbtraceID: "trace-" + class.String()}
}

// always answers every call with err.
func always(err error) func(graphapi.Call, []string) error {
	return func(graphapi.Call, []string) error { return err }
}
