package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/events"
)

func TestEventIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := eventID{rapid.IntRange(0, 9999).Draw(t, "run"), rapid.IntRange(0, 999_999_999).Draw(t, "n")}
		s := id.String()
		if got, err := parseID(s); err != nil || got != id || len(s) != idLength {
			t.Errorf("%v is %q, and that is %v (%v)", id, s, got, err)
		}
	})
	for _, s := range []string{"", "order-0001-00000000x", "order-0001-0000000000"} {
		if _, err := parseID(s); err == nil {
			t.Errorf("%q passes for an event id", s)
		}
	}
}

// TestPeople posts what the generator posts through the product's own parser.
func TestPeople(t *testing.T) {
	now := time.Now()
	people, err := makePeople(2000, now)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[events.Person]bool{}
	for i := range people {
		body := people[i].appendBody(nil, eventID{1, i})
		got, err := events.ParseConversion(body, events.ParseOptions{Now: now})
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if got.Event.ID != (eventID{1, i}).String() || len(got.Warnings) > 0 {
			t.Errorf("%s: id %s, warnings %v", body, got.Event.ID, got.Warnings)
		}
		if len(body) < 300 || len(body) > 400 {
			t.Errorf("a body of %d bytes", len(body))
		}
		for _, p := range got.Event.Persons {
			seen[p] = true
		}
	}
	if len(seen) < len(people) {
		t.Errorf("%d people are %d persons", len(people), len(seen))
	}
}

func TestTenantsFile(t *testing.T) {
	set, err := tenants.Parse("tenants.yaml", tenantsYAML(100), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	if set.Len() != 100 {
		t.Errorf("%d tenants", set.Len())
	}
}

func TestOrders(t *testing.T) {
	for _, p := range []plan{
		{100_000, 1, 1, true}, {2000, 1, 1, true}, {50_000, 100, 20, false}, {50_000, 10_000, 20, false}, {25_000, 10_000, 1, false},
	} {
		all, distinct := p.orders(1)
		keys, duplicates, changes := map[int]order{}, 0, 0
		for i, o := range all {
			first, known := keys[o.n]
			switch {
			case o.duplicate != known:
				t.Fatalf("%+v: event %d is %+v; its key was known: %v", p, i, o, known)
			case o.duplicate:
				duplicates++
				if o.person != first.person || o.tenant != first.tenant {
					t.Fatalf("%+v: %+v is a duplicate of %+v", p, o, first)
				}
			default:
				keys[o.n] = o
			}
			if tenantOf(o.person, p.tenants) != o.tenant {
				t.Fatalf("%+v: person %d is no customer of tenant %d", p, o.person, o.tenant)
			}
			if i > 0 && all[i-1].tenant != o.tenant {
				changes++
			}
		}
		if distinct != len(keys) || distinct+duplicates != p.events {
			t.Errorf("%+v: %d keys, %d duplicates, said %d", p, len(keys), duplicates, distinct)
		}
		if p.tenants > 1 && changes != (p.events-1)/p.inRow {
			t.Errorf("%+v: the tenant changes %d times", p, changes)
		}
		if p.duplicates && duplicates < p.events/50 {
			t.Errorf("%+v: only %d duplicates", p, duplicates)
		}
	}
}

// TestClient reads answers of known and of unknown length from net/http.
func TestClient(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/chunked":
			for range 3 {
				_, _ = io.WriteString(w, long)
				_ = http.NewResponseController(w).Flush()
			}
		case "/refused":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/queued":
			w.WriteHeader(http.StatusAccepted)
		default:
			_, _ = fmt.Fprintf(w, "got %s", body)
		}
	}))
	defer srv.Close()
	clients, err := dialAll(t.Context(), srv.Listener.Addr().String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(clients)
	c := clients[0]
	for _, tt := range []struct {
		path, want string
		status     int
	}{
		{"/", "got 1", 200}, {"/chunked", long + long + long, 200}, {"/refused", "", 503}, {"/queued", "", 202}, {"/", "got 1", 200},
	} {
		request := func(b []byte, n int) []byte {
			return fmt.Appendf(b, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d", tt.path, n)
		}
		status, err := c.do(request, 1, func([]byte) bool { return true })
		if status != tt.status || (err != nil) != (tt.status == 503) || string(c.body) != tt.want {
			t.Errorf("%s: %d, %v, %d bytes", tt.path, status, err, len(c.body))
		}
	}
}

func TestClosedLoop(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	defer srv.Close()
	var numbers atomic.Int64
	odd := func(body []byte) bool { return (body[len(body)-1]-'0')%2 == 1 }
	request := func(b []byte, n int) []byte {
		return fmt.Appendf(b, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n%09d", n)
	}
	got, err := closedLoop(t.Context(), srv.Listener.Addr().String(), 4, 50*time.Millisecond, &numbers, request, odd)
	if err != nil {
		t.Fatal(err)
	}
	all := int(numbers.Load())
	if got.requests+got.wrong != all || got.requests != all/2 || len(got.latencies) != got.requests || got.err == nil {
		t.Errorf("%d requests: %d right, %d wrong, %d latencies, %v", all, got.requests, got.wrong, len(got.latencies), got.err)
	}
}

// TestRequests reads a batch as a server does.
func TestRequests(t *testing.T) {
	people, err := makePeople(50, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{people: people}
	for n, request := range []maker{l.singleRequest(3), l.batchRequest(3, 7)} {
		var all []byte
		for i := range 3 {
			all = request(all, i)
		}
		in := bufio.NewReader(strings.NewReader(string(all)))
		for range 3 {
			r, err := http.ReadRequest(in)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil || !json.Valid(body) {
				t.Fatalf("%v: %s", err, body)
			}
			if !slices.Contains([]string{eventPath, batchPath}[n:], r.URL.Path) {
				t.Errorf("posts to %s", r.URL.Path)
			}
		}
		if in.Buffered() > 0 {
			t.Error("more than was said")
		}
	}
}
