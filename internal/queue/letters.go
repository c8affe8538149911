package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/homing-dev/homing/internal/crash"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// StoredLetter is a dead letter as it lies in HOMING_DEAD: its Message holds the
// event's bytes, the letter's id as Seq, and in Fault what is wrong with its
// headers.
type StoredLetter struct {
	Letter
	Stored time.Time
	Header nats.Header // as it is stored, the server's own left out
}

// LetterQuery says which dead letters are wanted.
type LetterQuery struct {
	Tenant string    // empty: every tenant
	From   uint64    // the lowest id; 0: the first
	Since  time.Time // stored at or after; only without From
}

// ErrNoLetter: there is no dead letter of that id, or no longer.
var ErrNoLetter = errors.New("queue: there is no such dead letter")

// ReadLetters calls fn with dead letters, the oldest first, up to the last one
// there was when it was called.
func (q *Queue) ReadLetters(ctx context.Context, want LetterQuery, fn func(*StoredLetter) error) error {
	s := span{from: want.From, since: want.Since}
	if want.Tenant != "" {
		if !isToken(want.Tenant) {
			return fmt.Errorf("queue: tenant %q can't be one: ids are made of a-z, 0-9, _ and -", want.Tenant)
		}
		s.subject = subjectDead(want.Tenant)
	}
	_, err := q.scan(ctx, StreamDead, s, func(m *storedMsg) error { return fn(readLetter(m)) })
	return err
}

// Letter returns the dead letter of an id, or ErrNoLetter.
func (q *Queue) Letter(ctx context.Context, id uint64) (*StoredLetter, error) {
	var found *StoredLetter
	_, err := q.scan(ctx, StreamDead, span{from: id, to: id}, func(m *storedMsg) error {
		found = readLetter(m)
		return nil
	})
	if err == nil && (found == nil || id == 0) {
		return nil, fmt.Errorf("%w: %d", ErrNoLetter, id)
	}
	return found, err
}

// readLetter is the inverse of publishLetter.
func readLetter(m *storedMsg) *StoredLetter {
	env, fault := m.envelope(StreamDead)
	if env.Tenant == strayTenant {
		fault = errors.Join(fault, errors.New("its tenant is not known"))
	}
	msg := &Message{Envelope: env, Data: m.data, Stream: StreamDead, Seq: m.seq, Fault: fault}
	l := &StoredLetter{Letter: Letter{Message: msg, Envelope: env}, Stored: m.at, Header: m.own()}
	r := headerReader{h: m.header}
	l.Outcome = events.Outcome(r.oneOf(HeaderOutcome, string(events.Dead), string(events.Held)))
	l.Reason = events.Reason(r.text(HeaderReason))
	l.Error = clean(m.header.Get(HeaderError), maxErrorValue)
	l.FbtraceID = r.text(HeaderFbtraceID)
	if l.At = r.time(HeaderDeadAt); l.At.IsZero() {
		l.At = m.at
	}
	if l.Outcome == "" {
		r.fail(HeaderOutcome, "dead or held")
	}
	msg.Fault = errors.Join(append([]error{msg.Fault}, r.errs...)...)
	return l
}

// Replay starts a new round of each letter's event and then deletes the letter.
// The errors are in the order of the letters; nil for one that is on its way. A
// letter leaves HOMING_DEAD only when its replay is durable; one that is replayed
// a second time, because it could not be deleted, does no harm: it has the same
// acceptance and round.
func (q *Queue) Replay(ctx context.Context, letters []*StoredLetter) []error {
	errs := make([]error, len(letters))
	waiting := make([]*publication, len(letters))
	for i, l := range letters {
		waiting[i], errs[i] = q.publishReplay(l)
	}
	for i, p := range waiting {
		if p == nil {
			continue
		}
		_, errs[i] = q.await(ctx, p)
		crash.At(crash.AfterReplay)
		if errs[i] == nil {
			errs[i] = q.DiscardLetter(ctx, letters[i].Message.Seq)
		}
		if errors.Is(errs[i], ErrNoLetter) {
			errs[i] = nil // somebody else replayed it at the same time
		}
	}
	return errs
}

func (q *Queue) publishReplay(l *StoredLetter) (*publication, error) {
	if l.Message.Fault != nil {
		return nil, fmt.Errorf("queue: letter %d can't be replayed: %w", l.Message.Seq, l.Message.Fault)
	}
	env := l.Envelope
	env.Round++
	env.Attempt = 0 // a new round begins its backoff anew
	env.Replay = dedup.ReplayDead
	if l.Outcome == events.Held {
		env.Replay = dedup.ReplayHeld
	}
	crash.At(crash.BeforeReplay)
	return q.publish(&nats.Msg{
		Subject: subjectRetry(shardOf(env.Tenant, q.Shards()), env.Tenant),
		Header:  env.header(),
		Data:    l.Message.Data,
	}, StreamRetry, fmt.Sprintf("%s:%d", StreamDead, l.Message.Seq))
}

// DiscardLetter deletes a dead letter; ErrNoLetter when it is gone already.
func (q *Queue) DiscardLetter(ctx context.Context, id uint64) error {
	s, err := q.js.Stream(ctx, StreamDead)
	if err == nil {
		crash.At(crash.BeforeDiscard)
		err = s.DeleteMsg(ctx, id)
		crash.At(crash.AfterDiscard)
	}
	if err == nil {
		return nil
	}
	// The server's answer does not tell a letter that is gone from one that it
	// could not delete.
	if _, gone := q.Letter(ctx, id); errors.Is(gone, ErrNoLetter) {
		return gone
	}
	return adminError(fmt.Sprintf("dead letter %d", id), err)
}
