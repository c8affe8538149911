package ops

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

const (
	// metaRefuses is how old an event may be for Meta, and margin how long before
	// that it is not sent any more.
	// Source: Conversions API, event_time may be up to 7 days old.
	metaRefuses = 7 * 24 * time.Hour
	margin      = 10 * time.Minute
	// clockSlack is how far a letter's own time and the server's may differ.
	clockSlack = time.Hour
)

// Letters is what can be done with dead letters.
type Letters struct {
	Queue *queue.Queue
	// Claims tells what was delivered; nil when that is not to be known.
	Claims Claims
	Now    func() time.Time // nil: time.Now
	// Pause waits between two chunks of a replay; nil is a timer.
	Pause func(ctx context.Context, d time.Duration) error
}

// Claims is the part of the claim store that can be looked at.
type Claims interface {
	Get(ctx context.Context, keys []string) ([]dedup.Record, error)
}

// Filter says which letters are meant. The zero Filter means all of them.
type Filter struct {
	IDs          []uint64 // none: any
	Tenant       string
	EventName    events.Name // Lead and LeadSubmitted are one
	Reason       events.Reason
	Since, Until time.Time // of the letter; zero is no bound
	Limit        int       // the oldest ones; 0 is no limit
}

// Letter is a dead letter as it is shown.
type Letter struct {
	ID         uint64     `json:"id"`
	Tenant     string     `json:"tenant"`
	EventName  string     `json:"event_name"`
	EventID    string     `json:"event_id"`
	Outcome    string     `json:"outcome"`
	Reason     string     `json:"reason"`
	Error      string     `json:"error"`
	FbtraceID  string     `json:"fbtrace_id"`
	TraceID    string     `json:"trace_id"`
	Attempts   int        `json:"attempts"`
	Round      int        `json:"round"`
	Unsure     bool       `json:"unsure"`
	Accept     string     `json:"homing_id"`
	Number     uint64     `json:"acceptance"` // of the acceptance; 0 when it is not known
	AcceptedAt *time.Time `json:"accepted_at"`
	DeadAt     time.Time  `json:"dead_at"`
	// EventTime is when the conversion happened, and RefusedAt from when Meta
	// would refuse it; null when the event can't be decoded.
	EventTime *time.Time `json:"event_time"`
	RefusedAt *time.Time `json:"refused_at"`
	// Hopeless says why it can't be replayed: undecodable, broken headers or
	// expired; empty when it can.
	Hopeless string `json:"hopeless"`
}

// Left is how long Meta would still take the event; false when nobody knows.
func (l *Letter) Left(now time.Time) (time.Duration, bool) {
	if l.RefusedAt == nil {
		return 0, false
	}
	return max(l.RefusedAt.Sub(now), 0), true
}

// LetterDetail is all that is known of a dead letter.
type LetterDetail struct {
	Letter
	Headers map[string]string `json:"headers"`
	Event   *Event            `json:"event"` // null when it can't be decoded
	Bytes   int               `json:"bytes"` // of the stored event
	Fault   string            `json:"fault"` // what is wrong with the headers
}

// Event is a stored event as it is shown: whatever named a person is a hash.
type Event struct {
	Tenant      string   `json:"tenant"`
	Name        string   `json:"event_name"`
	ID          string   `json:"event_id"`
	Time        int64    `json:"event_time"`
	Clid        string   `json:"ctwa_clid"`
	WABA        string   `json:"waba_id"`
	Phones      []string `json:"ph"`
	Emails      []string `json:"em"`
	ExternalIDs []string `json:"external_id"`
	CustomData  rawJSON  `json:"custom_data"`
}

// rawJSON is shown as it is, and null when there is none.
type rawJSON []byte

// MarshalJSON implements json.Marshaler.
func (r rawJSON) MarshalJSON() ([]byte, error) {
	if len(r) == 0 {
		return []byte("null"), nil
	}
	return r, nil
}

func (o Letters) now() time.Time {
	if o.Now == nil {
		return time.Now()
	}
	return o.Now()
}

// List calls fn with the letters that f means, the newest last.
func (o Letters) List(ctx context.Context, f Filter, fn func(*Letter) error) error {
	_, err := o.read(ctx, f, func(l *letter) error { return fn(&l.Letter) })
	return err
}

// Show returns one letter, or queue.ErrNoLetter.
func (o Letters) Show(ctx context.Context, id uint64) (*LetterDetail, error) {
	stored, err := o.Queue.Letter(ctx, id)
	if err != nil {
		return nil, err
	}
	l := o.open(stored)
	d := &LetterDetail{Letter: l.Letter, Headers: map[string]string{}, Bytes: len(stored.Message.Data)}
	for name := range stored.Header {
		d.Headers[name] = stored.Header.Get(name)
	}
	if fault := stored.Message.Fault; fault != nil {
		d.Fault = fault.Error()
	}
	if e := l.event; e != nil {
		d.Event = &Event{
			Tenant: e.Tenant, Name: string(e.Name), ID: e.ID, Time: e.Time, Clid: e.Clid, WABA: e.WABA,
			Phones: e.Phones, Emails: e.Emails, ExternalIDs: e.ExternalIDs, CustomData: rawJSON(e.CustomData),
		}
	}
	return d, nil
}

// letter is one that was read and looked into.
type letter struct {
	Letter
	stored *queue.StoredLetter
	event  *events.Event // nil when it can't be decoded
}

// read calls fn with the letters that f means. gone is how many of f.IDs are not
// there, or no longer.
func (o Letters) read(ctx context.Context, f Filter, fn func(*letter) error) (gone int, err error) {
	n := 0
	visit := func(s *queue.StoredLetter) error {
		if f.Limit > 0 && n >= f.Limit {
			return errEnough
		}
		l := o.open(s)
		if !f.matches(l) {
			return nil
		}
		n++
		return fn(l)
	}
	if len(f.IDs) == 0 {
		q := queue.LetterQuery{Tenant: f.Tenant}
		if !f.Since.IsZero() {
			q.Since = f.Since.Add(-clockSlack)
		}
		err = o.Queue.ReadLetters(ctx, q, visit)
		return 0, enough(err)
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(f.IDs))) {
		s, err := o.Queue.Letter(ctx, id)
		if errors.Is(err, queue.ErrNoLetter) {
			gone++
			continue
		}
		if err == nil {
			err = visit(s)
		}
		if err != nil {
			return gone, enough(err)
		}
	}
	return gone, nil
}

var errEnough = errors.New("ops: read enough")

func enough(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func (f *Filter) matches(l *letter) bool {
	switch {
	case f.Tenant != "" && f.Tenant != l.Tenant,
		f.EventName != "" && f.EventName.Canonical() != events.Name(l.EventName).Canonical(),
		f.Reason != "" && string(f.Reason) != l.Reason,
		!f.Since.IsZero() && l.DeadAt.Before(f.Since),
		!f.Until.IsZero() && !l.DeadAt.Before(f.Until):
		return false
	}
	return true
}

// open looks into a letter.
func (o Letters) open(s *queue.StoredLetter) *letter {
	env := s.Envelope
	l := &letter{stored: s, Letter: Letter{
		ID: s.Message.Seq, Tenant: env.Tenant, EventName: string(env.EventName), EventID: env.EventID,
		Outcome: string(s.Outcome), Reason: string(s.Reason), Error: s.Error, FbtraceID: s.FbtraceID,
		TraceID: traceID(env.Trace), Attempts: env.Attempt, Round: env.Round, Unsure: env.Unsure,
		Accept: env.Accept, Number: env.Origin, AcceptedAt: instant(env.AcceptedAt), DeadAt: s.At.UTC(),
	}}
	event, err := events.DecodeEvent(s.Message.Data)
	switch {
	case err != nil:
		l.Hopeless = "undecodable"
		return l
	case s.Message.Fault != nil:
		l.Hopeless = "broken headers"
	}
	l.event = event
	at := time.Unix(event.Time, 0)
	l.EventTime, l.RefusedAt = instant(at), instant(at.Add(metaRefuses))
	if l.Hopeless == "" && !o.now().Before(at.Add(metaRefuses-margin)) {
		l.Hopeless = "expired"
	}
	return l
}

// key names the event of a letter in the claim store.
func (l *letter) key() string {
	return string(events.MakeKey(l.event.Tenant, l.event.Name, l.event.ID))
}

// traceID cuts the trace id out of a traceparent, version-traceid-spanid-flags.
func traceID(t queue.Trace) string {
	if len(t.Parent) < 35 {
		return ""
	}
	return t.Parent[3:35]
}

// instant returns t in UTC, or null for the zero time.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
