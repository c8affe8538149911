package graphapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"pgregory.net/rapid"
)

func TestNewRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"not a URL":   {BaseURL: "https://user:hunter2@[::1"},
		"no scheme":   {BaseURL: "graph.facebook.com"},
		"other":       {BaseURL: "ftp://graph.facebook.com"},
		"no host":     {BaseURL: "https://"},
		"only a port": {BaseURL: "https://:443"},
		"user":        {BaseURL: "https://user:hunter2@graph.facebook.com"},
		"query":       {BaseURL: "https://graph.facebook.com?access_token=hunter2"},
		"empty query": {BaseURL: "https://graph.facebook.com?"},
		"fragment":    {BaseURL: "https://graph.facebook.com#hunter2"},
		"version":     {Version: "25.0"},
		"version/..":  {Version: "v25.0/../x"},
		"timeout":     {Timeout: -1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(o)
			if err == nil {
				t.Fatal("taken")
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("tells a secret: %v", err)
			}
		})
	}
}

func TestRequest(t *testing.T) {
	for base, want := range map[string]string{
		"":                          "https://graph.facebook.com/v25.0/1234567890/events",
		"https://graph.test/":       "https://graph.test/v25.0/1234567890/events",
		"http://127.0.0.1:8081/fb/": "http://127.0.0.1:8081/fb/v25.0/1234567890/events",
	} {
		c, err := New(Options{BaseURL: base, Transport: roundTrip(func(req *http.Request, body []byte) (*http.Response, error) {
			if req.Method != http.MethodPost || req.URL.String() != want {
				t.Errorf("%s %s, want POST %s", req.Method, req.URL, want)
			}
			wantHeader := http.Header{
				"Accept": {"application/json"}, "Authorization": {"Bearer " + testToken},
				"Content-Type": {"application/json"}, "User-Agent": {"homing"},
			}
			if diff := cmp.Diff(wantHeader, req.Header); diff != "" {
				t.Error(diff)
			}
			if req.ContentLength != int64(len(body)) || req.GetBody != nil {
				t.Errorf("ContentLength %d of %d, GetBody set: %v", req.ContentLength, len(body), req.GetBody != nil)
			}
			return answering(200, nil, `{"events_received":1}`)(req, body)
		})})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Send(t.Context(), testCall()); err != nil {
			t.Error(err)
		}
	}
}

func TestAppSecretProof(t *testing.T) {
	const want = "9bcde7f1d5e226d86e4692a62e5ec88f99306fb302d74b2dc3bff8a03770b63d"
	if got := appSecretProof("SECRET", "TOKEN"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// bodyText is a whole body, read in two ways; its length is as announced.
func bodyText(t interface{ Fatalf(string, ...any) }, events [][]byte, partner, test, proof string) string {
	b := newBody(events, partner, test, proof)
	text, err := io.ReadAll(iotest.OneByteReader(b))
	if err != nil {
		t.Fatalf("%v", err)
	}
	again, err := io.ReadAll(newBody(events, partner, test, proof))
	if err != nil || string(again) != string(text) {
		t.Fatalf("at once: %s, %v; byte by byte: %s", again, err, text)
	}
	if b.size != len(text) {
		t.Fatalf("%d bytes announced for %d", b.size, len(text))
	}
	return string(text)
}

func TestPayload(t *testing.T) {
	events := [][]byte{[]byte(`{"a":1.10}`), []byte(`{"b": "é"}`)}
	for _, tt := range []struct{ partner, test, proof, want string }{
		{"homing", "", "", `{"data":[{"a":1.10},{"b": "é"}],"partner_agent":"homing"}`},
		{`a"b`, "TEST1", "ff", `{"data":[{"a":1.10},{"b": "é"}],"partner_agent":"a\"b","test_event_code":"TEST1","appsecret_proof":"ff"}`},
	} {
		if got := bodyText(t, events, tt.partner, tt.test, tt.proof); got != tt.want {
			t.Errorf("got %s\nwant %s", got, tt.want)
		}
	}
}

// Whatever strings a tenant's file holds, the body stays one JSON object with the
// events as they were given.
func TestPayloadProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.String(), 1, 20).Draw(t, "values")
		partner, test := rapid.String().Draw(t, "partner"), rapid.String().Draw(t, "test")
		var events [][]byte
		for _, v := range values {
			events = append(events, fmt.Appendf(nil, `{"v":%s}`, quoted(v)))
		}
		b := []byte(bodyText(t, events, partner, test, ""))
		var got struct {
			Data    []json.RawMessage `json:"data"`
			Partner string            `json:"partner_agent"`
			Test    string            `json:"test_event_code"`
		}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got.Data, events, func(a json.RawMessage, b []byte) bool { return bytes.Equal(a, b) }) {
			t.Fatalf("events changed: %s", b)
		}
		if got.Partner != partner || got.Test != test {
			t.Fatalf("got %q, %q", got.Partner, got.Test)
		}
	})
}

func TestCallThatCannotBeSent(t *testing.T) {
	c := newClient(t, Options{Transport: roundTrip(func(*http.Request, []byte) (*http.Response, error) {
		t.Error("a request was made")
		return nil, http.ErrNotSupported
	})})
	for name, tt := range map[string]struct {
		spoil func(*Call)
		want  Class
	}{
		"no dataset":   {func(c *Call) { c.Dataset = "" }, Auth},
		"dataset path": {func(c *Call) { c.Dataset = "1/../2" }, Auth},
		"no token":     {func(c *Call) { c.Token = "" }, Auth},
		"token, CRLF":  {func(c *Call) { c.Token = "x\r\nX-Y: z" }, Auth},
		"no events":    {func(c *Call) { c.Events = nil }, Invalid},
		"1001 events":  {func(c *Call) { c.Events = slices.Repeat(c.Events, 1001) }, Invalid},
		"empty event":  {func(c *Call) { c.Events = append(c.Events, nil) }, Invalid},
		"an array":     {func(c *Call) { c.Events = append(c.Events, []byte(`[{}]`)) }, Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			call := testCall()
			tt.spoil(&call)
			if e := sendError(t, c, call, tt.want); e.Err == nil || e.Status != 0 || e.Code != 0 {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestTransportWithoutAnAnswer(t *testing.T) {
	for name, res := range map[string]*http.Response{"nil": nil, "no body": {StatusCode: 200}} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{Transport: roundTrip(func(*http.Request, []byte) (*http.Response, error) { return res, nil })})
			sendError(t, c, testCall(), Unknown)
		})
	}
}

func TestTimeoutBoundsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, Options{Timeout: 7 * time.Second, Transport: roundTrip(func(req *http.Request, _ []byte) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		})})
		start := time.Now()
		sendError(t, c, testCall(), Unknown)
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Data []json.RawMessage }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, `{"events_received":%d}`, len(body.Data))
	}))
	defer s.Close()
	c := newClient(t, Options{BaseURL: s.URL})
	defer c.CloseIdle()
	var wg sync.WaitGroup
	for n := range 16 {
		wg.Go(func() {
			for range 10 {
				res, err := c.Send(t.Context(), testCall(slices.Repeat([]string{`{}`}, n+1)...))
				if err != nil || res.Received != n+1 {
					t.Errorf("got %+v, %v", res, err)
				}
			}
		})
	}
	wg.Wait()
}

// The caller's trace, the wrapper's and ours all see the request.
func TestComposesWithOpenTelemetry(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(spans))
	var outer, inner bool
	tr := NewTransport()
	defer tr.CloseIdleConnections()
	wrapped := otelhttp.NewTransport(tr, otelhttp.WithTracerProvider(provider),
		otelhttp.WithClientTrace(func(context.Context) *httptrace.ClientTrace {
			return &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { inner = true }}
		}))
	event := []byte(`{"x":"` + strings.Repeat("y", 40_000) + `"}`)
	addr := brokenServer(t, tr, 40_000)
	c := newClient(t, Options{BaseURL: "http://" + addr, Transport: wrapped})
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { outer = true }})

	_, err := c.Send(ctx, Call{Dataset: "1", Token: testToken, Events: [][]byte{event}})
	asError(t, err, NotSent) // only our trace could tell
	if !outer || !inner {
		t.Errorf("WroteRequest seen by the caller: %v, by the wrapper: %v", outer, inner)
	}
	ended := spans.Ended()
	if len(ended) != 1 {
		t.Fatalf("%d spans", len(ended))
	}
	assertNoSecret(t, fmt.Sprint(ended[0].Name(), ended[0].Attributes(), ended[0].Status()))
}
