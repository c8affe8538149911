package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// handOver is how many messages are handed on at once at most.
	handOver = 256
	// patience is how long after the end of a request the server may keep us
	// waiting before the request is taken for lost.
	patience = time.Second
	// drainWait bounds the wait for what the server has sent already when an
	// inlet is closed.
	drainWait = 2 * time.Second
)

// inlet pulls from one durable consumer through one subscription. The library's
// Fetch has a subscription per request and drops what arrives after it has given
// a request up; that would hold messages up for AckWait. Here everything that
// the server sends is handed on, even what comes while it is closed.
//
// It is not closed before its request has ended: what the server is about to send
// to a subscription that is gone comes later, and as a second delivery (nats-server
// 2.15.2, consumer.go, didNotDeliver), which after an incident passes for sent.
type inlet struct {
	nc     *nats.Conn
	next   string // the subject to ask on
	inbox  string
	serial int // of the request
	sub    *nats.Subscription
	msgs   chan *nats.Msg
	closed chan struct{}
	now    func() time.Time
	// asked is when the oldest request was made that may still be served: nothing
	// that comes was sent before it, however long the line held it.
	asked   time.Time
	pending bool      // there is such a request
	reply   string    // of the newest request
	left    int       // how many messages it may still bring
	until   time.Time // when it is given up
}

func (q *Queue) openInlet(d durable) (*inlet, error) {
	in := &inlet{
		nc:     q.nc,
		next:   jetstream.DefaultAPIPrefix + "CONSUMER.MSG.NEXT." + d.Stream + "." + d.Config.Durable,
		inbox:  q.nc.NewInbox() + ".",
		msgs:   make(chan *nats.Msg, 2*burstPull),
		closed: make(chan struct{}),
		now:    q.now,
	}
	var err error
	if in.sub, err = q.nc.ChanSubscribe(in.inbox+"*", in.msgs); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	in.sub.SetClosedHandler(func(string) { close(in.closed) })
	return in, nil
}

// pullRequest is the body of a pull, as the server reads it
// (JSApiConsumerGetNextRequest).
type pullRequest struct {
	Batch    int           `json:"batch"`
	MaxBytes int64         `json:"max_bytes"`
	Expires  time.Duration `json:"expires"`
}

// pull asks for what fits into slots and calls use with what comes, as it comes,
// until the request is served or has expired, or ctx ends.
func (in *inlet) pull(ctx context.Context, slots grant, wait time.Duration, use func([]*nats.Msg)) error {
	if !in.pending {
		in.asked, in.pending = in.now(), true
	}
	in.serial++
	in.reply, in.left, in.until = in.inbox+strconv.Itoa(in.serial), slots.msgs, in.now().Add(wait+patience)
	body, err := json.Marshal(pullRequest{slots.msgs, slots.bytes, wait})
	if err != nil {
		return fmt.Errorf("queue: pull: %w", err)
	}
	if err := in.nc.PublishRequest(in.next, in.reply, body); err != nil {
		in.left = 0
		return fmt.Errorf("%w: pull: %w", ErrUnavailable, err)
	}
	return in.await(ctx, use)
}

// await calls use with what the newest request brings, until it has ended, is
// given up, or ctx ends.
func (in *inlet) await(ctx context.Context, use func([]*nats.Msg)) error {
	lost := time.NewTimer(in.until.Sub(in.now()))
	defer lost.Stop()
	for in.left > 0 {
		select {
		case <-ctx.Done():
			return nil
		case <-lost.C:
			in.left = 0
			return nil // the next request will tell what is wrong
		case m := <-in.msgs:
			batch, status := in.gather(m)
			if len(batch) > 0 {
				use(batch)
				in.left -= len(batch)
			}
			if status != nil {
				in.pending, in.left = false, 0
				return statusError(status)
			}
		}
	}
	in.pending = false
	return nil
}

// gather adds to m what is there already, up to the status that ends the newest
// request.
func (in *inlet) gather(m *nats.Msg) (batch []*nats.Msg, status *nats.Msg) {
	for {
		switch {
		case !strings.HasPrefix(m.Subject, in.inbox):
			batch = append(batch, m)
		case m.Subject == in.reply && m.Header.Get("Status") != "100": // 100 is a heartbeat
			return batch, m
		}
		if len(batch) == handOver {
			return batch, nil
		}
		select {
		case m = <-in.msgs:
		default:
			return batch, nil
		}
	}
}

// statusError is nil for the statuses that only say that a request is over. Their
// texts are nats-server's (server/consumer.go).
func statusError(m *nats.Msg) error {
	switch status, text := m.Header.Get("Status"), m.Header.Get("Description"); {
	case status == "404", status == "408",
		status == "409" && (text == "Batch Completed" || text == "Message Size Exceeds MaxBytes"):
		return nil
	case status == "503":
		return fmt.Errorf("%w: pull: %w", ErrUnavailable, nats.ErrNoResponders)
	default:
		return fmt.Errorf("%w: pull: %s %s", ErrUnavailable, status, text)
	}
}

// close waits for the request under way, ends the subscription, and calls use with
// what came by then.
func (in *inlet) close(use func([]*nats.Msg)) {
	if in.left > 0 {
		_ = in.await(context.Background(), use) // nobody asks again
	}
	if err := in.sub.Drain(); err == nil {
		t := time.NewTimer(drainWait)
		defer t.Stop()
		select {
		case <-in.closed:
		case <-t.C:
		}
	}
	var rest []*nats.Msg
	for {
		select {
		case m := <-in.msgs:
			if !strings.HasPrefix(m.Subject, in.inbox) {
				rest = append(rest, m)
			}
		default:
			use(rest)
			return
		}
	}
}

// ensure looks for a durable consumer, and makes it again when somebody deleted
// it: unacked messages of a work queue are still there for the new one.
func (q *Queue) ensure(ctx context.Context, d durable) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	_, err := q.js.Consumer(ctx, d.Stream, d.Config.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) && !q.cfg.External {
		_, err = q.js.CreateOrUpdateConsumer(ctx, d.Stream, d.Config)
	}
	if err != nil {
		return adminError("consumer "+d.Config.Durable+" of "+d.Stream, err)
	}
	return nil
}
