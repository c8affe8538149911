package observe_test

import (
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// receiver takes spans by OTLP, over gRPC and over HTTP.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	grpcURL, httpURL string

	mu    sync.Mutex
	spans []span
	texts []string // all that was sent
}

// span is a span with its attributes written out.
type span struct {
	*tracepb.Span
	service string
	attrs   map[string]string
}

func (s span) trace() string  { return hex.EncodeToString(s.TraceId) }
func (s span) id() string     { return hex.EncodeToString(s.SpanId) }
func (s span) parent() string { return hex.EncodeToString(s.ParentSpanId) }

// linksTo reports whether a span links to another.
func (s span) linksTo(o span) bool {
	return slices.ContainsFunc(s.Links, func(l *tracepb.Span_Link) bool {
		return hex.EncodeToString(l.SpanId) == o.id() && hex.EncodeToString(l.TraceId) == o.trace()
	})
}

func startReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, r)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	web := httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(web.Close)
	r.grpcURL, r.httpURL = "http://"+l.Addr().String(), web.URL
	return r
}

// Export implements the service over gRPC.
func (r *receiver) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.take(req)
	return &collector.ExportTraceServiceResponse{}, nil
}

// serve implements it over HTTP.
func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	message := new(collector.ExportTraceServiceRequest)
	if err != nil || req.URL.Path != "/v1/traces" || proto.Unmarshal(body, message) != nil {
		http.Error(w, "not a trace export", http.StatusBadRequest)
		return
	}
	r.take(message)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (r *receiver) take(req *collector.ExportTraceServiceRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range req.ResourceSpans {
		service := ""
		for _, a := range resource.Resource.Attributes {
			if a.Key == "service.name" {
				service = a.Value.GetStringValue()
			}
		}
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				attrs := map[string]string{}
				for _, a := range s.Attributes {
					attrs[a.Key] = a.Value.GetStringValue()
				}
				r.spans = append(r.spans, span{s, service, attrs})
			}
		}
	}
	r.texts = append(r.texts, req.String())
}

// all returns what has arrived.
func (r *receiver) all() []span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans)
}

// of returns the spans of a trace, in the order of their starts.
func (r *receiver) of(trace string) []span {
	found := slices.DeleteFunc(r.all(), func(s span) bool { return s.trace() != trace })
	slices.SortStableFunc(found, func(a, b span) int { return int(int64(a.StartTimeUnixNano) - int64(b.StartTimeUnixNano)) })
	return found
}

func named(spans []span, name string) []span {
	return slices.DeleteFunc(slices.Clone(spans), func(s span) bool { return s.Name != name })
}
