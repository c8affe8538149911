package graphapi

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testToken = "EAAGtoken0123456789|app+secret/x"

// testCall is a call that check lets through.
func testCall(events ...string) Call {
	c := Call{Dataset: "1234567890", Token: testToken}
	for _, e := range events {
		c.Events = append(c.Events, []byte(e))
	}
	if len(events) == 0 {
		c.Events = [][]byte{[]byte(`{"event_name":"Purchase"}`)}
	}
	return c
}

// roundTrip is a transport in memory; it reads the body to its end, as a real
// one does, before it answers.
type roundTrip func(req *http.Request, body []byte) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	if err := req.Body.Close(); err != nil {
		return nil, err
	}
	return f(req, body)
}

// answering is a transport that always says the same.
func answering(status int, header http.Header, body string) roundTrip {
	return func(req *http.Request, _ []byte) (*http.Response, error) {
		if header == nil {
			header = http.Header{}
		}
		return &http.Response{
			StatusCode: status,
			Header:     header,
			Body:       io.NopCloser(strings.NewReader(body)),
			Request:    req,
		}, nil
	}
}

func newClient(t testing.TB, o Options) *Client {
	t.Helper()
	if o.BaseURL == "" {
		o.BaseURL = "http://graph.test"
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdle)
	return c
}

// sendError sends and wants an *Error of the class.
func sendError(t testing.TB, c *Client, call Call, want Class) *Error {
	t.Helper()
	_, err := c.Send(t.Context(), call)
	return asError(t, err, want)
}

func asError(t testing.TB, err error, want Class) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %T (%v), want *Error", err, err)
	}
	if e.Class != want {
		t.Fatalf("class is %v, want %v: %v", e.Class, want, e)
	}
	return e
}

// bigEvent is far more than the buffers of two sockets hold (see rawServer and
// smallBuffers), and more than a window of HTTP/2.
func bigEvent() []byte {
	const size = 3 << 20
	return append(append([]byte(`{"x":"`), bytes.Repeat([]byte("y"), size)...), `"}`...)
}
