package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/homing-dev/homing/pkg/events"
)

// Reasons that only the edge gives; the others are in package events.
const (
	reasonUnauthorized      events.Reason = "unauthorized"
	reasonForbidden         events.Reason = "forbidden"
	reasonUnsupportedMedia  events.Reason = "unsupported_media_type"
	reasonNotFound          events.Reason = "not_found"
	reasonMethodNotAllowed  events.Reason = "method_not_allowed"
	reasonRateLimited       events.Reason = "rate_limited"
	reasonQueueFull         events.Reason = "queue_full"
	reasonQueueUnavailable  events.Reason = "queue_unavailable"
	reasonUnknownEvent      events.Reason = "unknown_event"
	reasonAmbiguousEvent    events.Reason = "ambiguous_event"
	reasonStatusUnavailable events.Reason = "status_unavailable"
	reasonInternal          events.Reason = "internal_error"
)

// answer is what a request gets.
type answer struct {
	status int
	// body is marshalled to JSON; a document goes out as it is.
	body any
	// refused is set when the request as a whole was refused.
	refused *refusal
	// async grants the client's wish not to wait.
	async bool
}

// document is a body that is not JSON.
type document struct {
	contentType string
	text        []byte
}

// result is the body of every answer to an event, alone or in a batch.
type result struct {
	Success   bool          `json:"success"`
	Status    string        `json:"status,omitempty"`
	Reason    events.Reason `json:"reason,omitempty"`
	Field     string        `json:"field,omitempty"`
	Message   string        `json:"message,omitempty"`
	EventName events.Name   `json:"event_name,omitempty"`
	Clid      string        `json:"ctwa_clid,omitempty"`
	EventID   string        `json:"event_id,omitempty"`
	Duplicate bool          `json:"duplicate,omitempty"`
	Warnings  []string      `json:"warnings,omitempty"`
	Index     *int          `json:"index,omitempty"` // in a batch only
}

// statusQueued is the status of what was stored and will be seen to later.
const statusQueued = "queued"

// refusal says why a request, or an item of a batch, is not taken. Its message
// never repeats what was sent.
type refusal struct {
	status     int
	reason     events.Reason
	field      string
	message    string
	retryAfter time.Duration // 0: no Retry-After
	allow      string        // 405 only
}

func (f *refusal) result() result {
	return result{Reason: f.reason, Field: f.field, Message: f.message}
}

func (f *refusal) answer() answer {
	return answer{status: f.status, body: f.result(), refused: f}
}

// header adds what a client needs beside the body.
func (f *refusal) header(h http.Header) {
	if f.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(wholeSeconds(f.retryAfter)))
	}
	if f.allow != "" {
		h.Set("Allow", f.allow)
	}
	if f.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Basic realm="homing", Bearer realm="homing"`)
	}
}

// wholeSeconds rounds up: who waits that long must not come too early.
func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// badRequest turns the refusal of a field into an answer.
func badRequest(err error) *refusal {
	var field *events.FieldError
	if !errors.As(err, &field) {
		field = &events.FieldError{Reason: events.ReasonInvalidJSON, Message: "the body could not be read"}
	}
	status := http.StatusBadRequest
	if field.Reason == events.ReasonBodyTooLarge {
		status = http.StatusRequestEntityTooLarge
	}
	return &refusal{status: status, reason: field.Reason, field: field.Field, message: field.Message}
}

// write sends a to the client.
func (a answer) write(w http.ResponseWriter) error {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if a.refused != nil {
		a.refused.header(h)
	}
	if a.async {
		h.Set("Preference-Applied", "respond-async")
	}
	doc, ok := a.body.(document)
	if !ok {
		text, err := encode(a.body)
		if err != nil {
			return err
		}
		doc = document{contentType: "application/json", text: text}
		h.Set("Cache-Control", "no-store")
	}
	h.Set("Content-Type", doc.contentType)
	h.Set("Content-Length", strconv.Itoa(len(doc.text)))
	w.WriteHeader(a.status)
	_, err := w.Write(doc.text)
	return err
}

// encode marshals without escaping <, > and &: the bytes of a click id stay
// readable.
func encode(body any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
