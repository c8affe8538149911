package ingest

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// startServer begins the span of a request, a child of the caller's where the
// caller is traced. Attributes are read from the request only for the few that
// are recorded. Their names: OpenTelemetry's semantic conventions for HTTP.
func (s *Server) startServer(r *http.Request, found route) (context.Context, trace.Span) {
	ctx := r.Context()
	if r.Header.Get("Traceparent") != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	name := "HTTP"
	if found.path != "" {
		name = method(r.Method) + " " + found.path
	}
	ctx, span := s.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer))
	if !span.IsRecording() {
		return ctx, span
	}
	span.SetAttributes(
		attribute.String("http.request.method", method(r.Method)),
		attribute.String("url.scheme", scheme(r)),
		attribute.String("network.protocol.version", strconv.Itoa(r.ProtoMajor)+"."+strconv.Itoa(r.ProtoMinor)),
	)
	if found.path != "" {
		// An unknown path may be anything, a phone number too.
		span.SetAttributes(attribute.String("http.route", found.path), attribute.String("url.path", excerpt(r.URL.Path)))
	}
	host, port := r.Host, 0
	if h, p, err := net.SplitHostPort(r.Host); err == nil {
		host = h
		port, _ = strconv.Atoi(p)
	}
	if span.SetAttributes(attribute.String("server.address", host)); port > 0 {
		span.SetAttributes(attribute.Int("server.port", port))
	}
	if peer, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		span.SetAttributes(attribute.String("network.peer.address", peer))
	}
	if agent := excerpt(r.UserAgent()); agent != "" {
		span.SetAttributes(attribute.String("user_agent.original", agent))
	}
	return ctx, span
}

// excerpt is as much of what a client sent as a span should hold, in UTF-8: an export
// that holds anything else fails whole.
func excerpt(s string) string { return strings.ToValidUTF8(s[:min(len(s), 256)], "?") }

// startChild begins a span within a request's, unless that one is not recorded:
// what is published then names the request's own span as its parent.
func (s *Server) startChild(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, noop.Span{}
	}
	return s.tracer.Start(ctx, name, opts...)
}

// end marks the span with what was answered, and ends it.
func (c *call) end(status int) {
	defer c.span.End()
	if !c.span.IsRecording() {
		return
	}
	c.span.SetAttributes(attribute.Int("http.response.status_code", status))
	for _, f := range c.told.fields() {
		if f.value != "" {
			c.span.SetAttributes(attribute.String("homing."+f.key, f.value))
		}
	}
	if status >= http.StatusInternalServerError {
		c.span.SetStatus(codes.Error, "")
	}
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}
