package harness

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// spanSearch takes what the processes tell of traces, by OTLP over HTTP, and
// searches it as it comes. Strings stand in protobuf as they are, so there is
// nothing to decode.
type spanSearch struct {
	url   string
	leaks *leaks
	bytes atomic.Int64
}

func newSpanSearch(t testing.TB, l *leaks) *spanSearch {
	s := &spanSearch{leaks: l}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

// AwaitSpans waits until spans have been searched: a search of none finds nothing.
func (s *Stack) AwaitSpans() {
	s.T.Helper()
	Eventually(s.T, spansWithin, "spans to search", func() error {
		if s.spans.bytes.Load() == 0 {
			return errors.New("none has come")
		}
		return nil
	})
}

// spansWithin is longer than the processes gather spans for.
const spansWithin = 20 * time.Second

func (s *spanSearch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil && r.Header.Get("Content-Encoding") == "gzip" {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, err = io.ReadAll(z)
		}
	}
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "not a trace export", http.StatusBadRequest)
		return
	}
	s.bytes.Add(int64(len(body)))
	s.leaks.look("a span", string(body))
	w.Header().Set("Content-Type", "application/x-protobuf")
}
