package graphapi

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

func BenchmarkSend(b *testing.B) {
	const event = `{"event_name":"Purchase","event_time":1675999999,"event_id":"0190f0a1-0000-7000-8000-000000000000",` +
		`"action_source":"business_messaging","messaging_channel":"whatsapp","user_data":{"whatsapp_business_account_id":"9876543210",` +
		`"ctwa_clid":"ARAkLk0123456789012345678901234567890123456789","ph":["254aa248acb47dd654ca3ea53f48c2c26d641d23d7e2e93a1ec56258df7674c4"]},` +
		`"custom_data":{"currency":"USD","value":123}}`
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			body := fmt.Sprintf(`{"events_received":%d,"messages":[],"fbtrace_id":"AbCdEf"}`, n)
			buf := make([]byte, 32<<10)
			c := newClient(b, Options{Transport: discarding(func(req *http.Request) (*http.Response, error) {
				for {
					if _, err := req.Body.Read(buf); err != nil {
						return answering(200, nil, body)(req, nil)
					}
				}
			})})
			call := testCall(slices.Repeat([]string{event}, n)...)
			b.SetBytes(int64(n * len(event)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Send(b.Context(), call); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type discarding func(*http.Request) (*http.Response, error)

func (f discarding) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
