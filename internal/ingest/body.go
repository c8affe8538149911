package ingest

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/homing-dev/homing/pkg/events"
)

// Limits of request bodies.
const (
	maxEvent   = events.MaxBodyBytes // one event or click
	maxBatch   = 4 << 20
	maxWebhook = 4 << 20 // Meta sends up to 3 MB
	maxItems   = 1000    // events in a batch
)

// Media types that are taken.
const (
	mediaJSON    = "application/json"
	mediaNDJSON  = "application/x-ndjson"
	mediaNDJSON2 = "application/ndjson"
)

// mediaType returns the request's media type when it is one of those wanted and
// nothing is wrapped around it.
func mediaType(r *http.Request, wanted ...string) (string, *refusal) {
	if refused := plainEncoding(r); refused != nil {
		return "", refused
	}
	if sent := r.Header.Get("Content-Type"); sent == mediaJSON && slices.Contains(wanted, sent) {
		return mediaJSON, nil // what nearly everybody sends
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !slices.Contains(wanted, media) {
		return "", unsupported("send Content-Type: " + strings.Join(wanted, " or "))
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "utf8") {
		return "", unsupported("send UTF-8")
	}
	return media, nil
}

// plainEncoding refuses compressed bodies: what they unfold to can't be seen
// from outside.
func plainEncoding(r *http.Request) *refusal {
	for _, coding := range r.Header.Values("Content-Encoding") {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return unsupported("send the body without Content-Encoding")
		}
	}
	return nil
}

func unsupported(message string) *refusal {
	return &refusal{status: http.StatusUnsupportedMediaType, reason: reasonUnsupportedMedia, message: message}
}

// read returns the body of at most limit bytes.
func (c *call) read(limit int64) ([]byte, *refusal) {
	if c.r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	body := c.r.Body
	if c.r.ContentLength < 0 { // else net/http reads no more than was announced
		body = http.MaxBytesReader(c.w, body, limit)
	}
	data, err := readAll(body, c.r.ContentLength)
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge(limit)
	case err != nil:
		// The client hung up or was too slow: no fault of ours.
		return nil, &refusal{
			status: http.StatusBadRequest, reason: events.ReasonInvalidJSON,
			message: "the body ended early; send it again",
		}
	}
	return data, nil
}

// believed is how much a client may say that it will send, for memory to be set
// aside once 64 KiB of it have come.
const believed = 1 << 20

// readAll is io.ReadAll with memory set aside where the length is known.
func readAll(r io.Reader, length int64) ([]byte, error) {
	if length < 0 || length > believed {
		return io.ReadAll(r)
	}
	data := make([]byte, min(length, maxEvent))
	n, err := io.ReadFull(r, data)
	if err == nil && length > maxEvent {
		data = append(make([]byte, 0, length), data...)[:length]
		_, err = io.ReadFull(r, data[n:])
	}
	return data, err
}

func tooLarge(limit int64) *refusal {
	return &refusal{
		status: http.StatusRequestEntityTooLarge, reason: events.ReasonBodyTooLarge,
		message: fmt.Sprintf("at most %d bytes are taken", limit),
	}
}
