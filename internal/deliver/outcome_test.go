package deliver_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
	"github.com/homing-dev/homing/pkg/graphapi"
)

// ending is what an answer makes of an event, everywhere that it shows.
type ending struct {
	Action   queue.Action
	State    dedup.State
	Outcome  events.Outcome
	Reason   events.Reason
	Attempts int
	Unsure   bool
	Unknowns int
	Letters  int
}

// endingOf collects it.
func (f *fixture) endingOf(m *queue.Message, a queue.Action) ending {
	rec := f.record(m)
	return ending{
		Action: a, State: rec.State, Outcome: events.Outcome(rec.Outcome), Reason: events.Reason(rec.Reason),
		Attempts: rec.Note.Attempts, Unsure: rec.Unsure, Unknowns: rec.Unknowns, Letters: len(f.journal.letters),
	}
}

func TestEveryAnswerHasItsOutcome(t *testing.T) {
	delivered := ending{Action: queue.Ack, State: dedup.Decided, Outcome: "delivered", Attempts: 1}
	held := ending{Action: queue.Ack, State: dedup.Decided, Outcome: "held", Reason: "delivery_unknown", Attempts: 1, Unsure: true, Unknowns: 1, Letters: 1}
	again := ending{Action: queue.Retry, State: dedup.Waiting, Outcome: "retrying", Reason: "transient", Attempts: 1, Unsure: true, Unknowns: 1}
	tests := []struct {
		name   string
		event  events.Name
		answer error
		want   ending
	}{
		{"taken", events.Purchase, nil, delivered},
		{
			"not sent", events.Purchase, failure(graphapi.NotSent),
			ending{Action: queue.Retry, State: dedup.Waiting, Outcome: "retrying", Reason: "unreachable", Attempts: 1},
		},
		{
			"transient", events.Purchase, failure(graphapi.Transient),
			ending{Action: queue.Retry, State: dedup.Waiting, Outcome: "retrying", Reason: "transient", Attempts: 1},
		},
		{
			"throttled", events.Purchase, failure(graphapi.Throttled),
			ending{Action: queue.Park, State: dedup.Waiting, Outcome: "parked", Reason: "throttled", Attempts: 1},
		},
		{
			"auth, which is no attempt", events.Purchase, failure(graphapi.Auth),
			ending{Action: queue.Park, State: dedup.Waiting, Outcome: "parked", Reason: "auth"},
		},
		{
			"invalid", events.Purchase, failure(graphapi.Invalid),
			ending{Action: queue.Ack, State: dedup.Decided, Outcome: "dead", Reason: "rejected_by_meta", Attempts: 1, Letters: 1},
		},
		{"unknown, hold", events.Purchase, failure(graphapi.Unknown), held},
		{"unknown, hold, subscribe", events.Subscribe, failure(graphapi.Unknown), held},
		{"unknown, resend", events.Lead, failure(graphapi.Unknown), again},
		{"an error without a class", events.Lead, errors.New("what was that"), again},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := setup(t)
			f.graph.answer = always(tt.answer)
			m := f.message(f.event(tt.event, "order-1"))
			got := f.deliver(m)[0]
			if diff := cmp.Diff(tt.want, f.endingOf(m, got.Action)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			switch got.Action {
			case queue.Retry, queue.Park:
				want := m.Envelope
				want.Attempt, want.Unsure, want.Unknowns = tt.want.Attempts, tt.want.Unsure, tt.want.Unknowns
				if diff := cmp.Diff(&want, got.Next); diff != "" {
					t.Errorf("what travels on (-want +got):\n%s", diff)
				}
				if len(f.journal.lines) != 0 {
					t.Errorf("ledger of an event that has not ended: %+v", f.journal.lines)
				}
			default:
				f.checkLedger(m, tt.want)
			}
			if want := f.clock.now().Add(time.Minute); got.Action == queue.Retry && !got.At.Equal(want) {
				t.Errorf("retry at %v, want %v", got.At, want)
			}
		})
	}
}

// checkLedger compares the one line of the ledger, and the dead letter if there
// is one, with what the record says.
func (f *fixture) checkLedger(m *queue.Message, want ending) {
	f.t.Helper()
	rec := f.record(m)
	line := events.Settlement{
		Accept: m.Accept, Origin: m.Origin, Round: m.Round, Outcome: want.Outcome, Reason: want.Reason, Unsure: want.Unsure,
		Tenant: m.Tenant, Name: m.EventName, ID: m.EventID, Attempts: want.Attempts, Clid: rec.Note.Clid,
		FbtraceID: rec.Note.FbtraceID, AcceptedAt: m.AcceptedAt, At: rec.At,
	}
	if diff := cmp.Diff([]events.Settlement{line}, f.journal.lines); diff != "" {
		f.t.Errorf("ledger (-want +got):\n%s", diff)
	}
	for _, l := range f.journal.letters {
		if l.Message != m || l.Outcome != want.Outcome || l.Reason != want.Reason || l.Error == "" ||
			l.Envelope.Attempt != want.Attempts || l.Envelope.Unsure != want.Unsure || !l.At.Equal(rec.At) {
			f.t.Errorf("dead letter %+v", l)
		}
	}
	if rec.Note.FbtraceID == "" || rec.Note.Clid == "" || rec.Note.Name != string(m.EventName) || !rec.Note.AcceptedAt.Equal(m.AcceptedAt) {
		f.t.Errorf("the status would show %+v", rec.Note)
	}
}

func TestMetaMayHaveItThreeTimesAndThenItIsHeld(t *testing.T) {
	f := setup(t)
	f.graph.answer = always(failure(graphapi.Unknown))
	m := f.message(f.event(events.Lead, "order-1"))
	for n := 1; n <= 3; n++ {
		got := f.deliver(m)[0]
		if got.Action != queue.Retry || got.Next.Unknowns != n || !got.Next.Unsure {
			t.Fatalf("call %d: %+v", n, got)
		}
		m = f.next(m, got)
	}
	got := f.deliver(m)[0]
	want := ending{Action: queue.Ack, State: dedup.Decided, Outcome: "held", Reason: "delivery_unknown", Attempts: 4, Unsure: true, Unknowns: 4, Letters: 1}
	if diff := cmp.Diff(want, f.endingOf(m, got.Action)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(f.graph.calls) != 4 {
		t.Errorf("%d calls, want the first and 3 more", len(f.graph.calls))
	}
}

// What the record knows counts even when the message forgot it.
func TestUnsureIsNeverForgotten(t *testing.T) {
	f := setup(t)
	f.graph.answer = always(failure(graphapi.Unknown))
	m := f.message(f.event(events.Lead, "order-1"))
	got := f.deliver(m)[0]
	next := f.next(m, got)
	next.Unsure, next.Unknowns = false, 0
	f.graph.answer = nil
	f.deliver(next)
	if rec := f.record(m); rec.Outcome != "delivered" || !rec.Unsure || rec.Unknowns != 1 {
		t.Errorf("record %+v", rec)
	}
	if line := f.journal.lines[0]; !line.Unsure {
		t.Errorf("ledger %+v", line)
	}
}

func TestDeadWhileUnsureIsHeld(t *testing.T) {
	for name, prepare := range map[string]func(f *fixture, m *queue.Message){
		"rejected": func(f *fixture, _ *queue.Message) { f.graph.answer = always(failure(graphapi.Invalid)) },
		"too old":  func(f *fixture, _ *queue.Message) { f.clock.forward(8 * 24 * time.Hour) },
		"no try left": func(f *fixture, _ *queue.Message) {
			f.graph.answer = always(failure(graphapi.Transient))
			f.clock.forward(6 * 24 * time.Hour)
		},
		"handed out too often": func(f *fixture, m *queue.Message) {
			m.Deliveries = 21
			key := fmt.Sprintf("homing:reading:%s:%d", m.Stream, m.Seq)
			if err := f.rdb.SAdd(f.t.Context(), key, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20).Err(); err != nil {
				f.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			m := f.message(f.event(events.Lead, "order-1"))
			m.Unsure, m.Unknowns = true, 1
			prepare(f, m)
			m.Received = f.clock.now()
			got := f.deliver(m)[0]
			if got.Action != queue.Ack {
				t.Errorf("decision %+v", got)
			}
			rec := f.record(m)
			if rec.Outcome != "held" || rec.Reason != "delivery_unknown" || !rec.Unsure {
				t.Errorf("record %+v", rec)
			}
			if len(f.journal.letters) != 1 || f.journal.letters[0].Outcome != events.Held || f.journal.lines[0].Outcome != events.Held {
				t.Errorf("letters %+v, ledger %+v", f.journal.letters, f.journal.lines)
			}
		})
	}
}

func TestRetryWaits(t *testing.T) {
	f := setup(t)
	refused := failure(graphapi.Transient)
	f.graph.answer = always(refused)
	m := f.message(f.event(events.Lead, "order-1"))
	for n := range 5 {
		got := f.deliver(m)[0]
		if want := f.clock.now().Add(time.Duration(n+1) * time.Minute); !got.At.Equal(want) || attempts(got) != n+1 {
			t.Fatalf("try %d: %+v, want the next at %v", n, got, want)
		}
		if rec := f.record(m); !rec.NextAt.Equal(got.At) {
			t.Errorf("the status would say %v, the retry is at %v", rec.NextAt, got.At)
		}
		f.clock.forward(got.At.Sub(f.clock.now()))
		m = f.next(m, got)
	}
	refused.RetryAfter = time.Hour
	if got := f.deliver(m)[0]; !got.At.Equal(f.clock.now().Add(time.Hour)) {
		t.Errorf("Meta asked for an hour: %+v", got)
	}
}

func TestRetriesFullParks(t *testing.T) {
	f := setup(t)
	f.opt.RetriesFull = func() bool { return true }
	f.graph.answer = always(failure(graphapi.Transient))
	m := f.message(f.event(events.Lead, "order-1"))
	got := f.deliver(m)[0]
	if rec := f.record(m); got.Action != queue.Park || attempts(got) != 1 || rec.Outcome != "parked" || rec.Reason != "busy" {
		t.Errorf("decision %+v, record %+v", got, rec)
	}
}

func TestAge(t *testing.T) {
	const day = 24 * time.Hour
	transient, auth := failure(graphapi.Transient), failure(graphapi.Auth)
	tests := []struct {
		name   string
		age    time.Duration
		answer error
		closed bool // the gate is closed before
		action queue.Action
		reason events.Reason
		calls  int
	}{
		{"young", day, transient, false, queue.Retry, "transient", 1},
		{"the next try would be in time", 6*day - time.Minute, transient, false, queue.Retry, "transient", 1},
		{"the next try would be too late", 6*day - time.Minute + time.Second, transient, false, queue.Ack, "expired", 1},
		{"tried once whatever its age", 7*day - 2*time.Second, transient, false, queue.Ack, "expired", 1},
		{"tried once and taken", 7*day - 2*time.Second, nil, false, queue.Ack, "", 1},
		{"Meta would refuse it", 7*day - time.Second, nil, false, queue.Ack, "expired", 0},
		{"parked to the last", 7*day - 10*time.Minute, auth, false, queue.Park, "auth", 1},
		{"parked too long", 7*day - 10*time.Minute + time.Second, auth, false, queue.Ack, "expired", 1},
		{"waits at a closed gate", 7*day - 10*time.Minute, nil, true, queue.Park, "auth", 0},
		{"expires at a closed gate", 7*day - 10*time.Minute + time.Second, nil, true, queue.Ack, "expired", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := setup(t)
			f.graph.answer = always(tt.answer)
			if tt.closed {
				f.gates.Failed(t.Context(), "acme", auth)
			}
			e := f.event(events.Lead, "order-1")
			e.Time = f.clock.now().Add(-tt.age).Unix()
			got := f.deliver(f.message(e))[0]
			if got.Action != tt.action || len(f.graph.calls) != tt.calls {
				t.Errorf("%v after %d calls, want %v after %d", got.Action, len(f.graph.calls), tt.action, tt.calls)
			}
			if tt.action == queue.Ack && (len(f.journal.lines) != 1 || f.journal.lines[0].Reason != tt.reason) {
				t.Errorf("ledger %+v, want reason %q", f.journal.lines, tt.reason)
			}
			if want := tt.reason == "expired"; (len(f.journal.letters) == 1) != want {
				t.Errorf("dead letters %+v", f.journal.letters)
			}
		})
	}
}

func TestUnknownTenant(t *testing.T) {
	f := setup(t)
	e := f.event(events.Lead, "order-1")
	e.Tenant = "umbra"
	m := f.message(e)
	// A minute old, so it waits a minute and the least wait.
	got := f.deliver(m)[0]
	if want := f.clock.now().Add(61 * time.Second); got.Action != queue.Retry || !got.At.Equal(want) || attempts(got) != 0 {
		t.Errorf("decision %+v, want a retry at %v", got, want)
	}
	f.clock.forward(59*time.Minute - time.Second)
	m = f.next(m, got)
	if got = f.deliver(m)[0]; got.Action != queue.Retry {
		t.Errorf("a second before the hour is over: %+v", got)
	}
	f.clock.forward(time.Second)
	m = f.next(m, got)
	got = f.deliver(m)[0]
	if rec := f.record(m); got.Action != queue.Ack || rec.Outcome != "dead" || rec.Reason != "unknown_tenant" {
		t.Errorf("after the hour: %+v, %+v", got, rec)
	}
	if len(f.journal.letters) != 1 || len(f.graph.calls) != 0 {
		t.Errorf("letters %+v, %d calls", f.journal.letters, len(f.graph.calls))
	}
}

func TestUndecodableBytesAreBuriedUnchanged(t *testing.T) {
	for name, spoil := range map[string]func(f *fixture, m *queue.Message){
		"garbage":              func(_ *fixture, m *queue.Message) { m.Data = []byte("\xff{not json") },
		"nothing":              func(_ *fixture, m *queue.Message) { m.Data = nil },
		"broken headers":       func(_ *fixture, m *queue.Message) { m.Fault = errors.New("Homing-Origin is no number") },
		"headers without name": func(_ *fixture, m *queue.Message) { m.EventName, m.EventID = "", "" },
		"another id":           func(_ *fixture, m *queue.Message) { m.EventID = "order-2" },
		"another name":         func(_ *fixture, m *queue.Message) { m.EventName = events.Purchase },
		"another tenant": func(f *fixture, m *queue.Message) {
			e := f.event(events.Lead, "order-1")
			e.Tenant = "umbra"
			m.Data = events.EncodeEvent(e)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			m := f.message(f.event(events.Lead, "order-1"))
			spoil(f, m)
			data := string(m.Data)
			neighbour := f.message(f.event(events.Lead, "order-3"))
			got := f.deliver(m, neighbour)
			if got[0].Action != queue.Ack || got[1].Action != queue.Ack || f.graph.taken["order-3"] != 1 || len(f.graph.taken) != 1 {
				t.Errorf("decisions %+v, Meta has %v", got, f.graph.taken)
			}
			if len(f.journal.letters) != 1 {
				t.Fatalf("letters %+v", f.journal.letters)
			}
			l := f.journal.letters[0]
			if l.Outcome != events.Dead || l.Reason != events.ReasonUndecodable || l.Error == "" || string(l.Message.Data) != data {
				t.Errorf("letter %+v", l)
			}
			if len(f.journal.lines) != 2 {
				t.Errorf("ledger %s", fmt.Sprint(f.journal.lines))
			}
		})
	}
}

// TestLateEndOfWhatWasNotSent stalls a worker until its message is in other hands.
// What Meta has it tells however late; what Meta has not may by now have been sent
// by somebody else.
func TestLateEndOfWhatWasNotSent(t *testing.T) {
	for _, tt := range []struct {
		answer error
		late   queue.Action
		lines  int
	}{{failure(graphapi.Invalid), queue.Forget, 0}, {nil, queue.Ack, 1}} {
		f := setup(t)
		var log bytes.Buffer
		f.opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
		f.graph.answer = func(graphapi.Call, []string) error {
			f.clock.forward(f.opt.AckWait + time.Second)
			return tt.answer
		}
		m := f.message(f.event(events.Lead, "order-1"))
		if got := f.deliver(m)[0]; got.Action != tt.late || len(f.journal.lines) != tt.lines {
			t.Errorf("%v: %+v, ledger %+v", tt.answer, got, f.journal.lines)
		}
		if got := f.deliver(f.again(m))[0]; got.Action != queue.Ack || len(f.journal.lines) != tt.lines+1 || f.graph.taken["order-1"] > 1 {
			t.Errorf("%v, again: %+v, ledger %+v", tt.answer, got, f.journal.lines)
		}
		// One letter of what is dead, told once.
		if told := strings.Count(log.String(), "event.buried"); told != len(f.journal.letters) || told != 1-tt.lines {
			t.Errorf("%v: told %d times of %d letters", tt.answer, told, len(f.journal.letters))
		}
	}
}

// TestLateEndOfWhatHasNoKey ends what nobody else can claim, however late: left to
// others it would be as late again with them.
func TestLateEndOfWhatHasNoKey(t *testing.T) {
	f := setup(t)
	m := f.message(f.event(events.Lead, "order-1"))
	m.EventName, m.EventID = "", ""
	f.clock.forward(f.opt.AckWait + time.Second)
	if got := f.deliver(m)[0]; got.Action != queue.Ack || len(f.journal.letters) != 1 || len(f.journal.lines) != 1 {
		t.Errorf("%+v, letters %+v, ledger %+v", got, f.journal.letters, f.journal.lines)
	}
}
