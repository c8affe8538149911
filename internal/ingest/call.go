package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// call is one request on its way, and what its log line will say.
type call struct {
	w    http.ResponseWriter
	r    *http.Request
	span trace.Span
	// ctx carries the span, and ends with the client.
	ctx context.Context

	id      string // X-Request-Id
	route   route
	eventID string // of the path
	started time.Time

	told line
}

// line is the part of the log line that handlers fill in.
type line struct {
	tenant, eventID, eventName, accept, reason string
	items, accepted, rejected                  int // of a batch or webhook
	duplicate                                  bool
}

// fields are what the log line and the span tell of the event.
func (l *line) fields() [5]field {
	return [5]field{
		{"tenant", l.tenant},
		{"event_name", l.eventName},
		{"event_id", l.eventID},
		{"accept", l.accept},
		{"reason", l.reason},
	}
}

type field struct{ key, value string }

// context returns a context that carries the request's trace and outlives its
// client: whoever hangs up after sending an event still sent it.
func (c *call) context() context.Context { return context.WithoutCancel(c.ctx) }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{w: w, r: r, id: s.requestID(r), started: s.now()}
	w.Header().Set("X-Request-Id", c.id)

	found, eventID, refused := s.router.find(r.Method, r.URL)
	c.route, c.eventID = found, eventID
	c.ctx, c.span = s.startServer(r, found)
	var a answer
	defer func() { s.conclude(c, a) }()
	if refused != nil {
		a = refused.answer()
	} else {
		a = s.handle(c)
	}
	if err := a.write(w); err != nil {
		// The client is gone; the event, if there was one, is safe.
		s.logger.DebugContext(c.ctx, "answer not sent", "request_id", c.id, "error", err)
	}
}

// handle runs the route. A bug becomes a 500, not a dead process.
func (s *Server) handle(c *call) (a answer) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(p)
		}
		s.logger.ErrorContext(c.ctx, "panic", "request_id", c.id, "panic", describe(p), "stack", string(debug.Stack()))
		a = (&refusal{
			status: http.StatusInternalServerError, reason: reasonInternal,
			message: "this is our fault; the same request with the same event_id may be sent again",
		}).answer()
	}()
	return c.route.handle(c)
}

// describe keeps the values that a panic may carry out of the log.
func describe(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}

// conclude writes the one line of a request, counts it and ends its span.
func (s *Server) conclude(c *call, a answer) {
	took := s.now().Sub(c.started)
	path := c.route.path
	if path == "" {
		path = "other"
	}
	if a.refused != nil {
		c.told.reason = string(a.refused.reason)
		if c.route.events {
			s.metrics.Rejected(c.ctx, c.told.reason)
		}
	}
	s.metrics.Request(c.ctx, path, a.status, took)
	defer c.end(a.status)

	level := slog.LevelInfo
	if a.status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	if !s.logger.Enabled(c.ctx, level) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 16),
		slog.String("method", method(c.r.Method)),
		slog.String("route", path),
		slog.Int("code", a.status),
		slog.Duration("duration", took),
		slog.String("request_id", c.id))
	for _, f := range c.told.fields() {
		if f.value != "" {
			attrs = append(attrs, slog.String(f.key, f.value))
		}
	}
	if id := traceID(c.ctx); id != "" {
		attrs = append(attrs, slog.String("trace_id", id))
	}
	if c.told.duplicate {
		attrs = append(attrs, slog.Bool("duplicate", true))
	}
	if c.told.items > 0 {
		attrs = append(attrs, slog.Int("items", c.told.items),
			slog.Int("accepted", c.told.accepted), slog.Int("rejected", c.told.rejected))
	}
	s.logger.LogAttrs(c.ctx, level, "request", attrs...)
}

// method keeps what a client may invent out of the log.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions:
		return m
	default:
		return "other"
	}
}

// requestID keeps the client's id when it is fit for a header and a log.
func (s *Server) requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if len(id) > 128 || !printable(id) {
		return s.newID()
	}
	return id
}

// printable reports whether s is some printable ASCII.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7E {
			return false
		}
	}
	return s != ""
}

// traceID returns the trace of ctx in hex, or nothing.
func traceID(ctx context.Context) string {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}
