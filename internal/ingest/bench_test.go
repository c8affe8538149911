package ingest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// nothing stores nothing, at once: what is left is the
// edge's own cost.
type nothing struct{}

func (nothing) PublishMany(_ context.Context, as []queue.Acceptance) []queue.Result {
	return make([]queue.Result, len(as))
}
func (nothing) PublishClicks(context.Context, []events.Click) error { return nil }
func (nothing) Look(_ context.Context, keys []dedup.Look) ([]dedup.Record, error) {
	return make([]dedup.Record, len(keys)), nil
}
func (nothing) Forget(context.Context, []dedup.Look) error { return nil }
func (nothing) Get(_ context.Context, keys []string) ([]dedup.Record, error) {
	return make([]dedup.Record, len(keys)), nil
}

func (nothing) Lookup(_ context.Context, queries []clicks.Query) ([]clicks.Found, error) {
	found := make([]clicks.Found, len(queries))
	for i := range found {
		found[i] = clicks.Found{Clid: someClid, At: 1}
	}
	return found, nil
}
func (nothing) Put(context.Context, []events.Click) error { return nil }

// discard is a client that reads nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

const benchBody = `{"event_name":"Purchase","phone_number":"+5511987654321","currency":"BRL","value":1499.00,` +
	`"event_id":"order-4711","email":"jane@example.com","custom_data":{"order_id":"4711","content_type":"product",` +
	`"contents":[{"id":"sku-1","quantity":2},{"id":"sku-2","quantity":1}],"num_items":3}}`

func benchServer(tb testing.TB) *Server {
	s, err := New(Options{
		Directory: directory(), Queue: nothing{}, Memory: nothing{}, Clicks: nothing{},
		Logger: slog.New(slog.NewJSONHandler(io.Discard, nil)),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// BenchmarkEdge is the edge's share of a request: no sockets, no stores.
func BenchmarkEdge(b *testing.B) {
	for _, n := range []int{0, 100} {
		path, body := sendEventPath, benchBody
		if n > 0 {
			path = sendEventsPath
			bodies := make([]string, n)
			for i := range bodies {
				bodies[i] = strings.Replace(benchBody, "order-4711", fmt.Sprintf("order-%d", i), 1)
			}
			body = "[" + strings.Join(bodies, ",") + "]"
		}
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			s := benchServer(b)
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
				r.Header.Set("Authorization", "Bearer "+acmeKey)
				r.Header.Set("Content-Type", "application/json")
				s.ServeHTTP(&discard{header: http.Header{}}, r)
			}
		})
	}
}
