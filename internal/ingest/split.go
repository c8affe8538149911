package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/homing-dev/homing/pkg/events"
)

// split cuts a batch into its events without reading them: a bad one must not
// sink its neighbours.
func split(body []byte, media string) ([][]byte, *refusal) {
	cut := splitArray
	if media != mediaJSON {
		cut = splitLines
	}
	bodies, refused := cut(body)
	switch {
	case refused != nil:
		return bodies, refused
	case len(bodies) == 0:
		return nil, badBatch(events.ReasonInvalidField, "the batch is empty; send 1 to 1000 events")
	case len(bodies) > maxItems:
		return bodies, badBatch(events.ReasonInvalidField, "the batch is too long; send 1 to 1000 events")
	default:
		return bodies, nil
	}
}

// splitLines cuts NDJSON; blank lines are skipped.
func splitLines(body []byte) ([][]byte, *refusal) {
	var bodies [][]byte
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			bodies = append(bodies, line)
		}
		if len(bodies) > maxItems {
			break
		}
	}
	return bodies, nil
}

// splitArray cuts a JSON array. What makes a single event bad, such as a name
// that it holds twice, is left to whoever reads the event; after a syntax error
// nothing more can be told apart.
func splitArray(body []byte) ([][]byte, *refusal) {
	d := jsontext.NewDecoder(bytes.NewReader(body),
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if open, err := d.ReadToken(); err != nil {
		return nil, malformed(d)
	} else if open.Kind() != '[' {
		return nil, badBatch(events.ReasonInvalidJSON,
			"send a JSON array of events, or one event per line as "+mediaNDJSON)
	}
	var bodies [][]byte
	for d.PeekKind() != ']' {
		value, err := d.ReadValue()
		if err != nil {
			return bodies, malformed(d)
		}
		// The decoder reuses its buffer; the same bytes stand in the body.
		end := d.InputOffset()
		bodies = append(bodies, body[end-int64(len(value)):end])
		if len(bodies) > maxItems {
			return bodies, nil
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return bodies, malformed(d)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return bodies, badBatch(events.ReasonInvalidJSON, "something follows the array")
	}
	return bodies, nil
}

func malformed(d *jsontext.Decoder) *refusal {
	return badBatch(events.ReasonInvalidJSON, fmt.Sprintf("not valid JSON near byte %d", d.InputOffset()))
}

func badBatch(reason events.Reason, message string) *refusal {
	return &refusal{status: http.StatusBadRequest, reason: reason, message: message}
}
