package sandbox_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/homing-dev/homing/internal/sandbox"
)

// A client that repeats a call whose answer was lost has sent the conversion
// twice, and the sandbox says so.
func Example() {
	now := time.Unix(1_790_000_000, 0)
	sb := sandbox.New(sandbox.Options{Now: func() time.Time { return now }})
	srv := httptest.NewServer(sb)
	defer srv.Close()
	defer sb.Close()

	lost := sandbox.Fault{Times: 1, Action: sandbox.Action{Counted: true, Cut: sandbox.CutBeforeAnswer}}
	if _, err := sb.AddFault(lost); err != nil {
		fmt.Println(err)
		return
	}
	body := `{"data":[{"event_name":"Purchase","event_time":1790000000,"event_id":"order-1","action_source":"business_messaging",
	  "messaging_channel":"whatsapp","user_data":{"whatsapp_business_account_id":"555","ctwa_clid":"ARAkLk"},"custom_data":{"currency":"EUR","value":9.99}}]}`
	for range 2 {
		req, err := http.NewRequest("POST", srv.URL+"/v25.0/1234567890/events", strings.NewReader(body))
		if err != nil {
			fmt.Println(err)
			return
		}
		req.Header.Set("Authorization", "Bearer token")
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println("no answer")
			continue
		}
		_ = resp.Body.Close()
		fmt.Println(resp.Status)
	}
	for _, d := range sb.Doubles() {
		fmt.Println(d.EventName, d.EventID, d.Count)
	}
	// Output:
	// no answer
	// 200 OK
	// Purchase order-1 2
}
