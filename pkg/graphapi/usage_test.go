package graphapi

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestUsage(t *testing.T) {
	const app, account, business = "X-App-Usage", "X-Ad-Account-Usage", "X-Business-Use-Case-Usage"
	for _, tt := range []struct {
		name   string
		header http.Header
		want   Usage
	}{
		{"none", nil, Usage{}},
		{"app", http.Header{app: {`{"call_count":28,"total_time":25,"total_cputime":97.5}`}}, Usage{Percent: 97.5}},
		{"account", http.Header{account: {`{"acc_id_util_pct":9.67,"reset_time_duration":100,"ads_api_access_tier":"standard_access"}`}}, Usage{Percent: 9.67}},
		{"account used up", http.Header{account: {`{"acc_id_util_pct":100,"reset_time_duration":120}`}}, Usage{100, 2 * time.Minute}},
		{"business, in minutes", http.Header{business: {
			`{"123":[{"type":"ads_management","call_count":95,"total_cputime":20,"total_time":20,"estimated_time_to_regain_access":0},` +
				`{"type":"custom_audience","call_count":1,"estimated_time_to_regain_access":19}],"456":[{"call_count":99}]}`,
		}}, Usage{99, 19 * time.Minute}},
		{"largest of all", http.Header{
			app: {`{"call_count":10}`, `{"call_count":80}`}, account: {`{"acc_id_util_pct":"70"}`}, business: {`{"1":[{"total_time":60}]}`},
		}, Usage{Percent: 80}},
		{"strings", http.Header{business: {`{"1":[{"call_count":"101","estimated_time_to_regain_access":"2"}]}`}}, Usage{101, 2 * time.Minute}},
		{"odd neighbours", http.Header{app: {`{"call_count":[1],"total_time":{"a":1},"total_cputime":44,"x":null}`}}, Usage{Percent: 44}},
		{"absurd", http.Header{business: {`{"1":[{"call_count":1e300,"estimated_time_to_regain_access":1e300}]}`}}, Usage{1000, 24 * time.Hour}},
		{"negative", http.Header{app: {`{"call_count":-5}`}, business: {`{"1":[{"estimated_time_to_regain_access":-1}]}`}}, Usage{}},
		{"not JSON", http.Header{app: {`call_count=99`}, account: {``}, business: {`[]`, `{"1":{}}`, `{"1":[7]}`}}, Usage{}},
		{"NaN", http.Header{app: {`{"call_count":"NaN","total_time":"Inf"}`}}, Usage{Percent: 1000}},
		{"too long", http.Header{app: {`{"call_count":99,"x":"` + strings.Repeat("x", maxUsageHeader) + `"}`}}, Usage{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, readUsage(tt.header)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 19, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"120":                           2 * time.Minute,
		" 1.5 ":                         1500 * time.Millisecond,
		"-3":                            0,
		"1e99":                          24 * time.Hour,
		"NaN":                           0,
		"Inf":                           24 * time.Hour,
		"99999999999999999999999":       24 * time.Hour,
		"soon":                          0,
		"Sun, 22 Nov 2026 19:00:30 GMT": 30 * time.Second,
		"Sun, 22 Nov 2026 18:59:00 GMT": 0,
		"Fri, 22 Nov 2126 19:00:00 GMT": 24 * time.Hour,
	} {
		if got := retryAfter(http.Header{"Retry-After": {v}}, now); got != want {
			t.Errorf("Retry-After %q: %v, want %v", v, got, want)
		}
	}
}

// The longest of both waits is told, with a success and with a failure.
func TestWaitsReachTheCaller(t *testing.T) {
	h := http.Header{
		"Retry-After":               {"Sun, 22 Nov 2026 19:00:30 GMT"},
		"X-Business-Use-Case-Usage": {`{"1":[{"call_count":98,"estimated_time_to_regain_access":3}]}`},
	}
	now := func() time.Time { return time.Date(2026, 11, 22, 19, 0, 0, 0, time.UTC) }
	usage := Usage{98, 3 * time.Minute}

	c := newClient(t, Options{Now: now, Transport: answering(400, h, `{"error":{"code":80004}}`)})
	e := sendError(t, c, testCall(), Throttled)
	if e.RetryAfter != 3*time.Minute || e.Usage != usage {
		t.Errorf("got %v, %+v", e.RetryAfter, e.Usage)
	}

	h.Del("X-Business-Use-Case-Usage")
	if e := sendError(t, c, testCall(), Throttled); e.RetryAfter != 30*time.Second {
		t.Errorf("got %v", e.RetryAfter)
	}

	h.Set("X-App-Usage", `{"call_count":98}`)
	c = newClient(t, Options{Transport: answering(200, h, `{"events_received":1,"fbtrace_id":"AbC"}`)})
	res, err := c.Send(t.Context(), testCall())
	if diff := cmp.Diff(Result{Received: 1, FbtraceID: "AbC", Usage: Usage{Percent: 98}}, res); err != nil || diff != "" {
		t.Error(err, diff)
	}
}
