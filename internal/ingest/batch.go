package ingest

import (
	"net/http"

	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/events"
)

// batchResult is the body of an answer to a batch.
type batchResult struct {
	Success  bool          `json:"success"`
	Reason   events.Reason `json:"reason,omitempty"`
	Message  string        `json:"message,omitempty"`
	Accepted int           `json:"accepted"`
	Rejected int           `json:"rejected"`
	Results  []result      `json:"results"`
	Warnings []string      `json:"warnings,omitempty"`
}

// sendEvents takes a batch of conversions.
func (s *Server) sendEvents(c *call) answer {
	tenant, refused := s.authenticate(c)
	if refused != nil {
		return refused.answer()
	}
	media, refused := mediaType(c.r, mediaJSON, mediaNDJSON, mediaNDJSON2)
	if refused != nil {
		return refused.answer()
	}
	body, refused := c.read(maxBatch)
	if refused != nil {
		return refused.answer()
	}
	bodies, malformed := split(body, media)
	// First a place: who gets none must not have spent its rate on it.
	leave, refused := s.admit(c.ctx, len(bodies), len(body))
	if refused != nil {
		return s.batchAnswer(c, allRefused(len(bodies), refused), false)
	}
	defer leave()
	if refused = s.limits.take(tenant, max(len(bodies), 1)); refused != nil {
		return refused.answer()
	}
	if malformed != nil {
		return malformed.answer()
	}
	async := c.prefersAsync()
	items := s.parseAll(tenant, bodies, async)
	s.look(c.context(), items)
	s.publish(c.context(), items)
	return s.batchAnswer(c, items, async)
}

// parseAll reads every event, and finds the ones that the batch holds twice.
func (s *Server) parseAll(t *tenants.Tenant, bodies [][]byte, async bool) []*item {
	items := make([]*item, len(bodies))
	first := make(map[events.Key]*item, len(bodies))
	for i, body := range bodies {
		it := s.parse(t, body, "", async)
		items[i] = it
		if it.refused != nil {
			continue
		}
		if twin, ok := first[it.key]; ok {
			it.twin, it.duplicate = twin, true
			continue
		}
		first[it.key] = it
	}
	return items
}

// allRefused are n events that nobody has looked at.
func allRefused(n int, why *refusal) []*item {
	items := make([]*item, n)
	for i := range items {
		items[i] = &item{refused: why}
	}
	return items
}

// batchAnswer tells each item's fate. When the queue took nothing, the client
// is to send the whole batch again.
func (s *Server) batchAnswer(c *call, items []*item, async bool) answer {
	body := batchResult{Success: true, Results: make([]result, len(items))}
	var queueSaid *refusal
	for i, it := range items {
		body.Results[i] = it.result()
		body.Results[i].Index = &i
		why := it.refused
		if it.twin != nil {
			why = it.twin.refused
		}
		if why == nil {
			body.Accepted++
			continue
		}
		body.Rejected++
		s.metrics.Rejected(c.ctx, string(why.reason))
		if why.status == http.StatusServiceUnavailable {
			queueSaid = why
		}
	}
	if c.r.Header.Get("Idempotency-Key") != "" {
		body.Warnings = append(body.Warnings, "Idempotency-Key is ignored: give each event its event_id")
	}
	c.told.items, c.told.accepted, c.told.rejected = len(items), body.Accepted, body.Rejected

	switch {
	case body.Accepted == 0 && queueSaid != nil:
		body.Success, body.Reason, body.Message = false, queueSaid.reason, queueSaid.message
		c.told.reason = string(queueSaid.reason)
		queueSaid.header(c.w.Header())
		return answer{status: http.StatusServiceUnavailable, body: body}
	case async:
		return answer{status: http.StatusAccepted, body: body, async: true}
	default:
		return answer{status: http.StatusOK, body: body}
	}
}
