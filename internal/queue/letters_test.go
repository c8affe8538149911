package queue_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// bury publishes one event and moves it to the dead letters.
func (f *fixture) bury(t *testing.T, a queue.Acceptance, change func(*queue.Letter)) {
	t.Helper()
	got := f.publish(t, a)
	env := a.Envelope
	env.Origin = got.Seq
	l := queue.Letter{
		Message: &queue.Message{Envelope: env, Data: a.Data}, Envelope: env,
		Outcome: events.Dead, Reason: events.ReasonRejectedByMeta,
		Error: "Meta: geht nicht, größer als erlaubt", FbtraceID: "AbC", At: time.Date(2026, 11, 22, 13, 0, 0, 0, time.UTC),
	}
	if change != nil {
		change(&l)
	}
	if err := errors.Join(f.q.Bury(f.ctx, []queue.Letter{l})...); err != nil {
		t.Fatal(err)
	}
	if err := f.deleteFrom(queue.StreamEvents, got.Seq); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) deleteFrom(stream string, seq uint64) error {
	s, err := f.js.Stream(f.ctx, stream)
	if err != nil {
		return err
	}
	return s.DeleteMsg(f.ctx, seq)
}

func (f *fixture) letters(t *testing.T, want queue.LetterQuery) []*queue.StoredLetter {
	t.Helper()
	var all []*queue.StoredLetter
	err := f.q.ReadLetters(f.ctx, want, func(l *queue.StoredLetter) error {
		all = append(all, l)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestALetterIsReadAsItWasBuried(t *testing.T) {
	f := start(t, small())
	f.bury(t, event("acme", 1), func(l *queue.Letter) {
		l.Envelope.Attempt, l.Envelope.Unsure, l.Envelope.Unknowns, l.Envelope.Round = 3, true, 2, 1
		l.Outcome, l.Reason = events.Held, events.ReasonDeliveryUnknown
	})
	got, err := f.q.Letter(f.ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := event("acme", 1).Envelope
	want.Origin, want.Attempt, want.Unsure, want.Unknowns, want.Round = 1, 3, true, 2, 1
	if diff := cmp.Diff(want, got.Envelope); diff != "" {
		t.Errorf("envelope (-want +got):\n%s", diff)
	}
	if got.Message.Fault != nil {
		t.Errorf("fault: %v", got.Message.Fault)
	}
	if got.Outcome != events.Held || got.Reason != events.ReasonDeliveryUnknown || got.FbtraceID != "AbC" ||
		got.Error != "Meta: geht nicht, größer als erlaubt" || !got.At.Equal(time.Date(2026, 11, 22, 13, 0, 0, 0, time.UTC)) {
		t.Errorf("letter: %+v", got.Letter)
	}
	if !bytes.Equal(got.Message.Data, event("acme", 1).Data) {
		t.Errorf("data: %s", got.Message.Data)
	}
	if got.Header.Get(queue.HeaderID) != "acme-1" || got.Header.Get("Nats-Sequence") != "" || got.Header.Get(nats.MsgIdHdr) != "" {
		t.Errorf("headers: %v", got.Header)
	}
	if got.Stored.IsZero() {
		t.Error("no time of storage")
	}
}

func TestLettersOfOneTenantFromAnID(t *testing.T) {
	f := start(t, small())
	for n := 1; n <= 6; n++ {
		f.bury(t, event([]string{"acme", "umbra"}[n%2], n), nil)
	}
	ids := func(want queue.LetterQuery) (ids []uint64) {
		for _, l := range f.letters(t, want) {
			ids = append(ids, l.Message.Seq)
		}
		return ids
	}
	for _, c := range []struct {
		query queue.LetterQuery
		want  []uint64
	}{
		{queue.LetterQuery{}, []uint64{1, 2, 3, 4, 5, 6}},
		{queue.LetterQuery{Tenant: "acme"}, []uint64{2, 4, 6}},
		{queue.LetterQuery{Tenant: "umbra", From: 3}, []uint64{3, 5}},
		{queue.LetterQuery{Tenant: "nobody"}, nil},
		{queue.LetterQuery{Since: time.Now().Add(time.Hour)}, nil},
		{queue.LetterQuery{Since: time.Now().Add(-time.Hour)}, []uint64{1, 2, 3, 4, 5, 6}},
	} {
		if diff := cmp.Diff(c.want, ids(c.query)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.query, diff)
		}
	}
	if err := f.q.ReadLetters(f.ctx, queue.LetterQuery{Tenant: "a.>"}, nil); err == nil {
		t.Error("a wildcard was taken for a tenant")
	}
}

func TestReplayIsANewRound(t *testing.T) {
	f := start(t, small())
	f.bury(t, event("acme", 1), func(l *queue.Letter) { l.Envelope.Attempt, l.Envelope.Round = 7, 1 })
	f.bury(t, event("acme", 2), func(l *queue.Letter) { l.Outcome, l.Envelope.Unsure = events.Held, true })
	// What Homing did not write must not travel.
	letters := f.letters(t, queue.LetterQuery{})
	letters[0].Header.Set("Nats-Schedule-Next", "purge")
	if err := errors.Join(f.q.Replay(f.ctx, letters)...); err != nil {
		t.Fatal(err)
	}
	f.emptied(t, queue.StreamDead)
	in, _ := f.consume(t, f.q)
	got := map[string]*queue.Message{}
	for range 2 {
		m := f.next(t, in)
		got[m.Accept] = m
	}
	for accept, want := range map[string]queue.Envelope{
		"acme-1": func() queue.Envelope {
			e := event("acme", 1).Envelope
			e.Origin, e.Round, e.Replay = 1, 2, dedup.ReplayDead
			return e
		}(),
		"acme-2": func() queue.Envelope {
			e := event("acme", 2).Envelope
			e.Origin, e.Round, e.Replay, e.Unsure = 2, 1, dedup.ReplayHeld, true
			return e
		}(),
	} {
		m := got[accept]
		if m == nil {
			t.Fatalf("%s did not come", accept)
		}
		if diff := cmp.Diff(want, m.Envelope); diff != "" {
			t.Errorf("%s (-want +got):\n%s", accept, diff)
		}
		if m.Fault != nil || m.Stream != queue.StreamRetry {
			t.Errorf("%s: fault %v, stream %s", accept, m.Fault, m.Stream)
		}
	}
}

func TestReplayTwiceIsOneMessage(t *testing.T) {
	f := start(t, small())
	f.bury(t, event("acme", 1), nil)
	letters := f.letters(t, queue.LetterQuery{})
	for range 2 {
		if err := errors.Join(f.q.Replay(f.ctx, letters)...); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.messages(t, queue.StreamRetry); n != 1 {
		t.Errorf("HOMING_RETRY holds %d messages, want 1", n)
	}
}

func TestABrokenLetterIsKept(t *testing.T) {
	f := start(t, small())
	for i, m := range []*nats.Msg{
		{Subject: "homing.dead.acme", Data: []byte("no headers at all")},
		{Subject: "homing.dead.UNKNOWN", Data: []byte("nobody's")},
	} {
		if _, err := f.js.PublishMsg(f.ctx, m); err != nil {
			t.Fatal(i, err)
		}
	}
	letters := f.letters(t, queue.LetterQuery{})
	if len(letters) != 2 {
		t.Fatalf("read %d letters, want 2", len(letters))
	}
	for i, err := range f.q.Replay(f.ctx, letters) {
		if err == nil || letters[i].Message.Fault == nil {
			t.Errorf("letter %d was replayed", i+1)
		}
	}
	if n := f.messages(t, queue.StreamDead); n != 2 {
		t.Errorf("HOMING_DEAD holds %d messages, want 2", n)
	}
}

func TestDiscardLetter(t *testing.T) {
	f := start(t, small())
	f.bury(t, event("acme", 1), nil)
	if err := f.q.DiscardLetter(f.ctx, 1); err != nil {
		t.Fatal(err)
	}
	for _, id := range []uint64{0, 1, 99} {
		if err := f.q.DiscardLetter(f.ctx, id); !errors.Is(err, queue.ErrNoLetter) {
			t.Errorf("discard %d: %v, want ErrNoLetter", id, err)
		}
		if _, err := f.q.Letter(f.ctx, id); !errors.Is(err, queue.ErrNoLetter) {
			t.Errorf("letter %d: %v, want ErrNoLetter", id, err)
		}
	}
}

func TestAScanCrossesPagesAndHoles(t *testing.T) {
	f := start(t, small())
	const n = 2500
	var lines []queue.Acceptance
	for i := range n {
		lines = append(lines, event("acme", i+1))
	}
	for _, r := range f.q.PublishMany(f.ctx, lines) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	for _, seq := range []uint64{1, 1000, 1001, n} {
		if err := f.deleteFrom(queue.StreamEvents, seq); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[uint64]bool{}
	err := f.q.ReadSightings(f.ctx, queue.StreamEvents, func(s queue.Sighting) error {
		if seen[s.Number] || s.Tenant != "acme" || s.AcceptedAt.IsZero() {
			return fmt.Errorf("sighting %+v", s)
		}
		seen[s.Number] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != n-4 || seen[1] || seen[1000] || seen[1001] || seen[n] || !seen[2] || !seen[n-1] {
		t.Errorf("saw %d numbers", len(seen))
	}
}
