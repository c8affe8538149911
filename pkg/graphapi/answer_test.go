package graphapi

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestErrorCarriesMetasWords(t *testing.T) {
	const body = `{"error":{"message":"Invalid parameter","type":"OAuthException","code":100,"error_subcode":2804003,"is_transient":false,
		"error_user_title":"Tidsstempel er for gammelt","error_user_msg":"Hændelsen er ældre end 7 dage","fbtrace_id":"AzByC"}}`
	c := newClient(t, Options{Transport: answering(400, nil, body)})
	e := sendError(t, c, testCall(), Invalid)
	want := &Error{
		Class: Invalid, Status: 400, Code: 100, Subcode: 2804003, Message: "Invalid parameter",
		UserTitle: "Tidsstempel er for gammelt", UserMsg: "Hændelsen er ældre end 7 dage", FbtraceID: "AzByC",
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Error(diff)
	}
	const text = "graphapi: invalid: HTTP 400: Graph error 100/2804003: Invalid parameter: " +
		"Tidsstempel er for gammelt: Hændelsen er ældre end 7 dage (fbtrace_id AzByC)"
	if e.Error() != text {
		t.Errorf("text is %q", e.Error())
	}
}

// A body over the bound counts as none: the status alone decides.
func TestHugeAnswer(t *testing.T) {
	fits := `{"events_received":1,"x":"` + strings.Repeat("x", maxAnswer-28) + `"}`
	if len(fits) != maxAnswer {
		t.Fatal(len(fits))
	}
	c := newClient(t, Options{Transport: answering(200, nil, fits)})
	if _, err := c.Send(t.Context(), testCall()); err != nil {
		t.Error(err)
	}
	c = newClient(t, Options{Transport: answering(200, nil, fits+" ")})
	sendError(t, c, testCall(), Unknown)

	endless := roundTrip(func(*http.Request, []byte) (*http.Response, error) {
		return &http.Response{StatusCode: 503, Body: io.NopCloser(endlessly{})}, nil
	})
	sendError(t, newClient(t, Options{Transport: endless}), testCall(), Transient)
}

type endlessly struct{}

func (endlessly) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Whatever an answer says, it is judged without a panic, a success is never made
// of anything but the right count, and the error is fit for a header.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"events_received":1,"messages":[],"fbtrace_id":"A"}`, `{"events_received":"1"}`, `{"EVENTS_RECEIVED":1}`,
		`{"error":{"code":100,"error_subcode":33,"message":"x"}}`, `{"error":{"code":"190","is_transient":"true","fbtrace_id":7}}`,
		`{"error":{"code":2,"error_data":"{}"},"error":null}`, `<html>`, ``, `[]`, `{"error":{"code":"`, "{\"error\":{\"code\":1,\"message\":\"\xff\\u0000\\ud800\"}}",
		strings.Repeat(`{"error":`, 20_000),
	} {
		f.Add(uint16(400), []byte(seed), "30", seed)
	}
	f.Fuzz(func(t *testing.T, status uint16, body []byte, wait, usage string) {
		h := http.Header{"Retry-After": {wait}, "X-App-Usage": {usage}, "X-Ad-Account-Usage": {usage}, "X-Business-Use-Case-Usage": {usage}}
		c := newClient(t, Options{Transport: answering(int(status), h, string(body))})
		res, err := c.Send(t.Context(), testCall())
		if err == nil {
			if a, ok := decodeAnswer(body); !ok || a.received != 1 || a.err != nil || !success(int(status)) || res.Received != 1 {
				t.Fatalf("HTTP %d %q was taken: %+v", status, body, res)
			}
			return
		}
		e := err.(*Error)
		switch e.Class {
		case Transient, Throttled, Auth, Invalid, Unknown:
		default:
			t.Errorf("class %v for a whole answer", e.Class)
		}
		if e.RetryAfter < 0 || e.RetryAfter > maxWait || e.Usage.Percent < 0 || !(e.Usage.Percent <= maxPercent) {
			t.Errorf("waits out of bounds: %+v", e)
		}
		for _, s := range []string{e.Message, e.UserTitle, e.UserMsg, e.FbtraceID} {
			if len(s) > maxText || !utf8.ValidString(s) || strings.ContainsAny(s, "\r\n\x00") {
				t.Errorf("unfit text %q", s)
			}
		}
	})
}
