package sandbox

import (
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
)

// Sandbox is a fake Graph API. Its methods are safe for concurrent use.
type Sandbox struct {
	opts   Options
	mux    *http.ServeMux
	faults faults
	ledger *ledger
	calls  atomic.Uint64

	batches sync.Pool // of *batch: a thousand events are too much to make anew
	closed  chan struct{}
	once    sync.Once
}

// dataset is a Dataset with its id.
type dataset struct {
	Dataset
	id string
}

// New makes a sandbox. It listens nowhere: hand it to an http.Server or to
// httptest.NewServer.
func New(opts Options) *Sandbox {
	s := &Sandbox{opts: opts.withDefaults(), mux: http.NewServeMux(), closed: make(chan struct{})}
	s.batches.New = func() any { return new(batch) }
	s.ledger = newLedger(s.opts.MaxStored)
	s.mux.HandleFunc("POST /{version}/{dataset}/events", s.postEvents)
	s.mux.HandleFunc("GET /_sandbox/events", s.getEvents)
	s.mux.HandleFunc("DELETE /_sandbox/events", s.deleteEvents)
	s.mux.HandleFunc("GET /_sandbox/stats", s.getStats)
	s.mux.HandleFunc("GET /_sandbox/faults", s.getFaults)
	s.mux.HandleFunc("POST /_sandbox/faults", s.postFault)
	s.mux.HandleFunc("DELETE /_sandbox/faults", s.deleteFaults)
	s.mux.HandleFunc("GET /{$}", servePage("page.html", "text/html; charset=utf-8"))
	s.mux.HandleFunc("GET /_sandbox/page.css", servePage("page.css", "text/css; charset=utf-8"))
	s.mux.HandleFunc("GET /_sandbox/page.js", servePage("page.js", "text/javascript; charset=utf-8"))
	s.mux.HandleFunc("/", s.unknownPath)
	return s
}

// ServeHTTP answers as the Graph API does, and serves the page and the
// read-back.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Close ends the calls that a fault holds open, so that a server can stop. The
// sandbox goes on answering; Close may be called more than once.
func (s *Sandbox) Close() { s.once.Do(func() { close(s.closed) }) }

// dataset finds a dataset by its id.
func (s *Sandbox) dataset(id string) (dataset, bool) {
	if len(s.opts.Datasets) == 0 {
		return dataset{Dataset: s.opts.AnyDataset, id: id}, isDigits(id)
	}
	d, ok := s.opts.Datasets[id]
	return dataset{Dataset: d, id: id}, ok
}

// knownVersion reports whether the Graph version still answers.
func (s *Sandbox) knownVersion(v string) bool { return slices.Contains(s.opts.Versions, v) }

// unknownPath answers what is not the events edge.
func (s *Sandbox) unknownPath(w http.ResponseWriter, r *http.Request) {
	ref := refusedRequest(http.StatusBadRequest, codePath, 0, "Unknown path components: "+cut(r.URL.Path, 80))
	writeJSON(w, ref.status, ref.body("en", traceID(s.opts.Seed, 0), false))
}
