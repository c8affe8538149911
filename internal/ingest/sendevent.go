package ingest

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// item is one event on its way through the edge: alone, or in a batch.
type item struct {
	tenant   *tenants.Tenant
	event    events.Event
	warnings []string
	key      events.Key
	accept   string // Homing-Id
	at       time.Time
	async    bool // the client doesn't wait for the click

	// refused is why the event is not taken; every later step passes it by.
	refused *refusal
	// twin is an earlier item of the same batch with the same key: it speaks for
	// this one.
	twin *item

	looked     bool         // Memory was asked
	unanswered bool         // ... or had to be, and said nothing
	before     dedup.Record // what Memory knew of the key; State None when nothing
	clickAway  bool         // whether there is a click could not be learned
	duplicate  bool
	apart      bool // not to be folded with an earlier acceptance
	acceptance bool // durable, and new
}

// sendEvent takes one conversion.
func (s *Server) sendEvent(c *call) answer {
	tenant, refused := s.authenticate(c)
	if refused != nil {
		return refused.answer()
	}
	if _, refused = mediaType(c.r, mediaJSON); refused != nil {
		return refused.answer()
	}
	body, refused := c.read(maxEvent)
	if refused != nil {
		return refused.answer()
	}
	if refused = s.limits.take(tenant, 1); refused != nil {
		return refused.answer()
	}
	async := c.prefersAsync()
	it := s.parse(tenant, body, c.r.Header.Get("Idempotency-Key"), async)
	one := []*item{it}
	s.look(c.context(), one)
	s.publish(c.context(), one)
	c.tell(it)
	return it.answer()
}

// parse reads one event and refuses what its tenant doesn't send.
func (s *Server) parse(t *tenants.Tenant, body []byte, fallbackID string, async bool) *item {
	it := &item{tenant: t, async: async, accept: s.newID(), at: s.now()}
	parsed, err := events.ParseConversion(body, events.ParseOptions{
		Now: it.at, FallbackID: fallbackID, NewID: s.newID,
	})
	if err != nil {
		it.refused = badRequest(err)
		return it
	}
	it.event, it.warnings = parsed.Event, parsed.Warnings
	it.event.Tenant = t.ID
	it.key = it.event.Key()
	if err := t.Mapping(it.event.Name).Check(&it.event); err != nil {
		it.refused = badRequest(err)
	}
	return it
}

// live reports whether the item still has to go somewhere.
func (it *item) live() bool { return it.refused == nil && it.twin == nil }

// settled reports whether an earlier acceptance ended for good: nothing is
// published again. A key that ended without a delivery may be sent again.
func (it *item) settled() bool { return it.before.State == dedup.Decided && !it.reopens() }

func (it *item) reopens() bool {
	outcome := events.Outcome(it.before.Outcome)
	return it.before.State == dedup.Decided && (outcome == events.NoClick || outcome == events.Dead)
}

// msgID is the event's Nats-Msg-Id: the key, so that a client's retry is folded
// by JetStream too, unless the key is to be opened again or may have to be.
func (it *item) msgID() string {
	if it.apart || it.reopens() {
		return string(it.key) + ":" + it.accept
	}
	return string(it.key)
}

// clid is the click that the answer names: of a duplicate the one that its
// first acceptance has.
func (it *item) clid() string {
	if it.duplicate && it.before.Note.Clid != "" && !it.reopens() {
		return it.before.Note.Clid
	}
	return it.event.Clid
}

// result is what the client is told.
func (it *item) result() result {
	if it.refused != nil {
		return it.refused.result()
	}
	outcome := it
	if it.twin != nil {
		if it.twin.refused != nil {
			return it.twin.refused.result()
		}
		outcome = it.twin
	}
	r := result{
		Success: true, EventName: it.event.Name, EventID: it.event.ID,
		Duplicate: it.duplicate, Warnings: it.warnings,
	}
	clid := outcome.clid()
	switch {
	case it.async, clid == "" && outcome.clickAway:
		r.Status = statusQueued
	case clid != "":
		r.Clid = clid
	default:
		r.Success, r.Reason = false, events.ReasonNoClick
	}
	return r
}

func (it *item) answer() answer {
	if it.refused != nil {
		return it.refused.answer()
	}
	r := it.result()
	if r.Status == statusQueued {
		return answer{status: http.StatusAccepted, body: r, async: it.async}
	}
	return answer{status: http.StatusOK, body: r}
}

// tell puts the item into the request's log line.
func (c *call) tell(it *item) {
	c.told.eventName, c.told.eventID = string(it.event.Name), it.event.ID
	if it.refused != nil {
		return
	}
	c.told.reason = string(it.result().Reason)
	c.told.duplicate = it.duplicate
	if !it.settled() {
		c.told.accept = it.accept
	}
}

// prefersAsync reports whether the client prefers not to wait (RFC 7240).
func (c *call) prefersAsync() bool {
	for _, header := range c.r.Header.Values("Prefer") {
		for preference := range strings.SplitSeq(header, ",") {
			name, _, _ := strings.Cut(preference, ";")
			if strings.EqualFold(strings.TrimSpace(name), "respond-async") {
				return true
			}
		}
	}
	return false
}

// queueRefusal says why the queue did not take an event.
func queueRefusal(err error) *refusal {
	if errors.Is(err, queue.ErrTooLarge) {
		return tooLarge(maxEvent)
	}
	if errors.Is(err, queue.ErrFull) {
		return &refusal{
			status: http.StatusServiceUnavailable, reason: reasonQueueFull,
			message:    "too much is waiting; nothing was stored, send it again with the same event_id",
			retryAfter: 10 * time.Second,
		}
	}
	return &refusal{
		status: http.StatusServiceUnavailable, reason: reasonQueueUnavailable,
		message:    "the queue can't be reached; send it again with the same event_id",
		retryAfter: 2 * time.Second,
	}
}
