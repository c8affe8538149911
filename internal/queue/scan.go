package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// scanPage and scanPageBytes bound one answer to a scan.
	scanPage      = 1000
	scanPageBytes = 4 * mib
	// scanPatience is how long the next message of a page may take to come, and
	// scanTries how often a page is asked for.
	scanPatience = 5 * time.Second
	scanTries    = 3
)

// span is the part of a stream that a scan reads. The zero span is all of it.
type span struct {
	from    uint64    // the first sequence
	since   time.Time // stored at or after; only without from
	to      uint64    // the last sequence; 0 is the last one there was when the scan began
	subject string    // may hold wildcards; empty is every subject
	page    int       // messages asked for at once; 0: scanPage
}

// storedMsg is a message as it lies in a stream.
type storedMsg struct {
	subject string
	seq     uint64
	at      time.Time
	header  nats.Header
	data    []byte
}

// scan calls fn with what a stream holds, in order. It reads by direct gets,
// since a work queue lets nobody but its own consumers read it, and leaves no
// trace: what is scanned stays where it is and goes to whom it would have gone.
// It returns the last sequence that it was to look at.
func (q *Queue) scan(ctx context.Context, stream string, s span, fn func(*storedMsg) error) (uint64, error) {
	found, err := q.js.Stream(ctx, stream)
	if err != nil {
		return 0, adminError("stream "+stream, err)
	}
	if s.to == 0 {
		s.to = found.CachedInfo().State.LastSeq
	}
	inbox := q.nc.NewInbox() // with the prefix that the account may be bound to
	sub, err := q.nc.SubscribeSync(inbox + ".*")
	if err != nil {
		return 0, fmt.Errorf("%w: read %s: %w", ErrUnavailable, stream, err)
	}
	defer func() { _ = sub.Unsubscribe() }()

	p := pager{q: q, sub: sub, inbox: inbox, stream: stream}
	next := max(s.from, 1)
	for tries := 0; next <= s.to; {
		more, err := p.page(ctx, s, next, func(m *storedMsg) error {
			next, tries = m.seq+1, 0
			if m.seq > s.to {
				return nil
			}
			return fn(m)
		})
		switch {
		case ctx.Err() != nil:
			return s.to, ctx.Err()
		case errors.Is(err, errPageLost) && tries < scanTries:
			tries++ // goes on behind the last message that came
		case err != nil:
			return s.to, err
		case !more:
			return s.to, nil
		}
		if next > 1 {
			s.since = time.Time{}
		}
	}
	return s.to, nil
}

// errPageLost says that an answer did not come, or not whole.
var errPageLost = fmt.Errorf("%w: no answer to a read", ErrUnavailable)

// pager asks for page after page. Each has its own reply subject, so that a late
// answer to one is not taken for the next.
type pager struct {
	q      *Queue
	sub    *nats.Subscription
	inbox  string
	stream string
	asked  int
}

// pageRequest is the server's request of a batched direct get.
// Source: NATS architecture decision record 31.
type pageRequest struct {
	Seq       uint64     `json:"seq,omitempty"`
	StartTime *time.Time `json:"start_time,omitempty"`
	Subject   string     `json:"next_by_subj,omitempty"`
	Batch     int        `json:"batch"`
	MaxBytes  int        `json:"max_bytes"`
}

// page reads one page from a sequence on and reports whether there are more.
func (p *pager) page(ctx context.Context, s span, from uint64, fn func(*storedMsg) error) (more bool, err error) {
	req := pageRequest{Seq: from, Subject: s.subject, Batch: cmp.Or(s.page, scanPage), MaxBytes: scanPageBytes}
	if from == 1 && !s.since.IsZero() {
		since := s.since.UTC()
		req.Seq, req.StartTime = 0, &since
	}
	body, err := json.Marshal(req)
	if err != nil {
		return false, fmt.Errorf("queue: read %s: %w", p.stream, err)
	}
	p.asked++
	reply := p.inbox + "." + strconv.Itoa(p.asked)
	if err := p.q.nc.PublishRequest("$JS.API.DIRECT.GET."+p.stream, reply, body); err != nil {
		return false, fmt.Errorf("%w: read %s: %w", ErrUnavailable, p.stream, err)
	}
	for {
		m, err := p.next(ctx, reply)
		if err != nil {
			return false, fmt.Errorf("%w: read %s: %w", errPageLost, p.stream, err)
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			msg, err := readStored(m)
			if err != nil {
				return false, fmt.Errorf("queue: read %s: %w", p.stream, err)
			}
			if err := fn(msg); err != nil {
				return false, err
			}
		case "204": // the end of the page
			return m.Header.Get("Nats-Num-Pending") != "0", nil
		case "404": // nothing there, or nothing any more
			return false, nil
		case "503":
			return false, fmt.Errorf("%w: read %s: nobody answers for it", errPageLost, p.stream)
		default:
			return false, fmt.Errorf("queue: read %s: status %s %s", p.stream, status, m.Header.Get("Description"))
		}
	}
}

// next waits for the next answer to the request that reply belongs to.
func (p *pager) next(ctx context.Context, reply string) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, scanPatience)
	defer cancel()
	for {
		m, err := p.sub.NextMsgWithContext(ctx)
		// The library answers for a server that has no such responder.
		if errors.Is(err, nats.ErrNoResponders) {
			return &nats.Msg{Header: nats.Header{"Status": {"503"}}}, nil
		}
		if err != nil || m.Subject == reply {
			return m, err
		}
	}
}

// readStored takes off what the server put on.
func readStored(m *nats.Msg) (*storedMsg, error) {
	s := &storedMsg{subject: m.Header.Get("Nats-Subject"), header: m.Header, data: m.Data}
	var err error
	if s.seq, err = strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64); err != nil || s.seq == 0 {
		return nil, errors.New("a message came without its sequence")
	}
	// Without its time it is still a message.
	s.at, _ = time.Parse(time.RFC3339Nano, m.Header.Get("Nats-Time-Stamp"))
	return s, nil
}

// own returns the headers that Homing wrote, without the server's.
func (s *storedMsg) own() nats.Header {
	h := make(nats.Header, len(s.header))
	for name, values := range s.header {
		if strings.HasPrefix(name, "Homing-") || name == HeaderTraceParent || name == HeaderTraceState {
			h[name] = values
		}
	}
	return h
}

func (s *storedMsg) envelope(stream string) (Envelope, error) {
	return openEnvelope(s.subject, s.header, place{stream, s.seq}, s.at)
}
