package graphapi

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
)

// codeClass is Meta's code table again, written as a list: 0 stands for a code
// that nobody has told us about.
func codeClass() map[int]Class {
	m := map[int]Class{
		1: Transient, 2: Transient,
		4: Throttled, 17: Throttled, 32: Throttled, 341: Throttled, 613: Throttled,
		190: Auth, 102: Auth, 3: Auth, 10: Auth, 200: Auth, 240: Auth, 270: Auth, 294: Auth, 299: Auth,
		100:   Invalid,
		80000: Throttled, 80001: Throttled, 80002: Throttled, 80003: Throttled, 80004: Throttled, 80005: Throttled,
		80006: Throttled, 80007: Throttled, 80008: Throttled, 80009: Throttled, 80010: Throttled, 80011: Throttled,
		80012: Throttled, 80013: Throttled, 80014: Throttled,
	}
	for _, unknown := range []int{0, -1, 5, 9, 99, 101, 103, 189, 191, 199, 300, 340, 342, 368, 506, 612, 614, 5000, 21009, 79999, 80015, 2804087} {
		m[unknown] = 0
	}
	return m
}

// subcodesOf100 are all that have been seen; only 33 is not the events' fault.
func subcodesOf100() []int {
	return []int{
		0, 34, 38, 2804001, 2804003, 2804004, 2804007, 2804008, 2804009, 2804011, 2804016, 2804017, 2804019, 2804023,
		2804030, 2804036, 2804043, 2804048, 2804050, 2804063, 2804064, 2804066, 2804071, 2804072, 2804075, 2804079,
		2804081, 2804087, 2804116, 2804131, 2804132, 2804133,
	}
}

func statuses() []int {
	return []int{200, 201, 204, 301, 302, 307, 308, 400, 401, 403, 404, 408, 413, 429, 451, 500, 501, 502, 503, 504, 529, 599}
}

func classFor(t *testing.T, status int, body string) Class {
	t.Helper()
	c := newClient(t, Options{Transport: answering(status, nil, body)})
	_, err := c.Send(t.Context(), testCall())
	if err == nil {
		return 0
	}
	e, ok := err.(*Error)
	if !ok {
		t.Fatalf("error is a %T", err)
	}
	if e.Status != status {
		t.Errorf("HTTP %d %s: Status is %d", status, body, e.Status)
	}
	return e.Class
}

func TestGraphCodeDecidesBeforeStatus(t *testing.T) {
	shapes := map[string]string{
		"number":             `{"error":{"code":%d,"error_subcode":%d}}`,
		"number, transient":  `{"error":{"code":%d,"error_subcode":%d,"is_transient":true}}`,
		"string":             `{"error":{"code":"%d","error_subcode":"%d","is_transient":"false"}}`,
		"error_data string":  `{"error":{"code":%d,"error_subcode":%d,"error_data":"{\"blame_field_specs\":[[\"data\"]]}","message":7}}`,
		"error_data object":  ` {"error":{"code":%d,"error_subcode":%d,"error_data":{"a":[1]},"fbtrace_id":null},"events_received":0}`,
		"null is_transient ": `{"error":{"type":"OAuthException","code":%d,"error_subcode":%d,"is_transient":null}}`,
	}
	check := func(code, sub int, want Class) {
		for name, shape := range shapes {
			for _, status := range statuses() {
				want := want
				if want == 0 {
					want = Transient
					if status == http.StatusTooManyRequests && name != "number, transient" {
						want = Throttled
					}
				}
				if got := classFor(t, status, fmt.Sprintf(shape, code, sub)); got != want {
					t.Errorf("code %d/%d, HTTP %d, %s: %v, want %v", code, sub, status, name, got, want)
				}
			}
		}
	}
	for code, want := range codeClass() {
		check(code, 0, want)
	}
	for _, sub := range subcodesOf100() {
		check(100, sub, Invalid)
	}
	check(100, 33, Auth)
	for _, sub := range []int{458, 459, 460, 463, 464, 467, 33} {
		check(190, sub, Auth)
	}
	check(80001, 2494055, Throttled)
}

func TestWithoutGraphErrorStatusDecides(t *testing.T) {
	bodies := []string{
		``, ` `, `<html><body>502 Bad Gateway</body></html>`, `{"error":{"code":100`, `[]`, `[{"error":{"code":100}}]`, `null`, `"x"`, `1`,
		`{}`, `{"error":null}`, `{"error":"bad gateway"}`, `{"error":[]}`, `{"error":{}}`, `{"error":{"message":"no code"}}`,
		`{"error":{"code":1.5}}`, `{"error":{"code":true}}`, `{"error":{"code":99999999999999999999}}`, `{"error":{"code":"x"}}`,
		`{"success":false}`, `{"events_received":1}}`, `{"events_received":0}`, `{"events_received":2}`, `{"events_received":-1}`,
		`{"events_received":"one"}`, `{"events_received":1.5}`, `{"events_received":null}`, `{"data":{"events_received":1}}`,
	}
	for _, body := range bodies {
		for _, status := range statuses() {
			want := Unknown
			switch status {
			case 429:
				want = Throttled
			case 503:
				want = Transient
			}
			if got := classFor(t, status, body); got != want {
				t.Errorf("HTTP %d %q: %v, want %v", status, body, got, want)
			}
		}
	}
}

func TestTakenOnlyIfEveryEventWasCounted(t *testing.T) {
	for _, tt := range []struct {
		body string
		sent int
		want Class
	}{
		{`{"events_received":1,"messages":[],"fbtrace_id":"Az"}`, 1, 0},
		{`{"events_received":"1"}`, 1, 0},
		{"\n" + `{"events_received":3,"messages":["x"],"new":{}}` + "\n", 3, 0},
		{`{"events_received":1}`, 2, Unknown},
		{`{"events_received":3}`, 2, Unknown},
		{`{"events_received":0}`, 1, Unknown},
		// It says both that it took events and that it did not.
		{`{"events_received":1,"error":{"code":100}}`, 1, Unknown},
		{`{"events_received":0,"error":{"code":100}}`, 1, Invalid},
	} {
		t.Run(strconv.Itoa(tt.sent)+tt.body, func(t *testing.T) {
			c := newClient(t, Options{Transport: answering(200, nil, tt.body)})
			res, err := c.Send(t.Context(), testCall(slices.Repeat([]string{`{}`}, tt.sent)...))
			if tt.want != 0 {
				asError(t, err, tt.want)
				return
			}
			if err != nil || res.Received != tt.sent {
				t.Fatalf("got %+v, %v", res, err)
			}
		})
	}
}

func TestClassWords(t *testing.T) {
	want := []string{"not_sent", "transient", "throttled", "auth", "invalid", "unknown", "class(7)"}
	for i, w := range want {
		if got := Class(i + 1).String(); got != w {
			t.Errorf("Class(%d) is %q, want %q", i+1, got, w)
		}
	}
}
