package sandbox_test

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/homing-dev/homing/internal/sandbox"
)

func BenchmarkBatchOf1000(b *testing.B) {
	now := time.Unix(1_790_000_000, 0)
	s := sandbox.New(sandbox.Options{Now: func() time.Time { return now }})
	hash := strings.Repeat("0123456789abcdef", 4)
	var body bytes.Buffer
	body.WriteString(`{"data":[`)
	for i := range 1000 {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"event_name":"Purchase","event_time":%d,"event_id":"01997b1c-0000-7000-8000-%012d","action_source":"business_messaging","messaging_channel":"whatsapp","user_data":{"whatsapp_business_account_id":"9876543210","ctwa_clid":"ARAkLkA8rmlFeiCktEJQ-QTwRiyYHAFDLMNDBH0CD3qpjd0HR4irJ6LEkR7JwFF4XvnO2E4Nx0-eM-GABDLOPaOdRMv-_zfUQ2a","ph":["%s"]},"custom_data":{"currency":"USD","value":12.5,"order_id":"o-%d"}}`, now.Unix(), i, hash, i)
	}
	body.WriteString(`],"partner_agent":"homing"}`)
	b.SetBytes(int64(body.Len()))
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", "/v25.0/1234567890/events", bytes.NewReader(body.Bytes()))
		r.Header.Set("Authorization", "Bearer token")
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}
