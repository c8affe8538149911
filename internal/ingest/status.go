package ingest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// statusSending is the status of an event that a worker has; settled ones have
// their outcome.
const statusSending = "sending"

// eventStatus is the body of a status; what is not known is null.
type eventStatus struct {
	EventID       string     `json:"event_id"`
	EventName     string     `json:"event_name"`
	Status        string     `json:"status"`
	Reason        *string    `json:"reason"`
	Attempts      int        `json:"attempts"`
	Clid          *string    `json:"ctwa_clid"`
	FbtraceID     *string    `json:"fbtrace_id"`
	TraceID       *string    `json:"trace_id"`
	AcceptedAt    *time.Time `json:"accepted_at"`
	SettledAt     *time.Time `json:"settled_at"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
}

// status tells how an event fared.
func (s *Server) status(c *call) answer {
	tenant, refused := s.authenticate(c)
	if refused != nil {
		return refused.answer()
	}
	c.told.eventID = clip(c.eventID)
	names, refused := statusNames(c.r.URL.Query()["event_name"])
	if refused != nil {
		return refused.answer()
	}
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = string(events.MakeKey(tenant.ID, name, c.eventID))
	}
	ctx, cancel := context.WithTimeout(c.context(), s.patience.status)
	defer cancel()
	records, err := ask(ctx, func(ctx context.Context) ([]dedup.Record, error) { return s.memory.Get(ctx, keys) })()
	if err != nil {
		s.away(ctx, "status", err)
		return (&refusal{
			status: http.StatusServiceUnavailable, reason: reasonStatusUnavailable,
			message: "the status can't be read now; the event itself is safe", retryAfter: 2 * time.Second,
		}).answer()
	}
	return statusAnswer(c, names, records)
}

// statusNames returns the names to look for: the one asked for, or all that
// have a key of their own.
func statusNames(asked []string) ([]events.Name, *refusal) {
	if len(asked) > 0 && asked[0] != "" {
		name, ok := events.ParseName(asked[0])
		if !ok {
			return nil, &refusal{
				status: http.StatusBadRequest, reason: events.ReasonInvalidEventName, field: "event_name",
				message: "not a name of an event; names are written as in /openapi.yaml",
			}
		}
		return []events.Name{name}, nil
	}
	return slices.DeleteFunc(events.Names(), func(n events.Name) bool { return n.Canonical() != n }), nil
}

// statusAnswer tells the one record there is.
func statusAnswer(c *call, names []events.Name, records []dedup.Record) answer {
	var bodies []eventStatus
	var found []string
	for i, r := range records {
		if r.State != dedup.None && i < len(names) {
			bodies = append(bodies, newStatus(c.eventID, names[i], r))
			found = append(found, bodies[len(bodies)-1].EventName)
		}
	}
	switch len(bodies) {
	case 0:
		return (&refusal{
			status: http.StatusNotFound, reason: reasonUnknownEvent,
			message: "no event of this event_id is remembered",
		}).answer()
	case 1:
		c.told.eventName = bodies[0].EventName
		return answer{status: http.StatusOK, body: bodies[0]}
	default:
		return (&refusal{
			status: http.StatusConflict, reason: reasonAmbiguousEvent, field: "event_name",
			message: fmt.Sprintf("several events have this event_id: ask again with event_name, one of %s",
				strings.Join(found, ", ")),
		}).answer()
	}
}

// newStatus tells a record in the words of the contract.
func newStatus(id string, name events.Name, r dedup.Record) eventStatus {
	b := eventStatus{
		EventID: id, EventName: r.Note.Name, Reason: text(r.Reason), Attempts: r.Note.Attempts,
		Clid: text(r.Note.Clid), FbtraceID: text(r.Note.FbtraceID), TraceID: text(r.Note.TraceID),
		AcceptedAt: instant(r.Note.AcceptedAt),
	}
	if b.EventName == "" {
		b.EventName = string(name)
	}
	switch r.State {
	case dedup.Claimed:
		b.Status = statusSending
	case dedup.Waiting:
		b.Status = r.Outcome
		if b.Status == "" {
			b.Status = string(events.Retrying)
		}
		b.NextAttemptAt = instant(r.NextAt)
	case dedup.Decided:
		b.Status = r.Outcome
		b.SettledAt = instant(r.At)
	default:
		b.Status = statusQueued
	}
	return b
}

// text returns s, or null for nothing.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// instant returns t in UTC, or null for the zero time.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// clip keeps what a client may invent in a path out of the log when it can't be
// an event_id.
func clip(id string) string {
	if len(id) > 128 || !printable(id) {
		return ""
	}
	return id
}
