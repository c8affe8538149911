package sandbox_test

import (
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/homing-dev/homing/internal/sandbox"
)

// FuzzBody: whatever comes, the answer is JSON, a bad batch is not counted, and
// a good one is counted whole and can be read back.
func FuzzBody(f *testing.F) {
	f.Add("application/json", encode(f, batchOf(purchase("e1"))))
	f.Add("application/json", encode(f, batchOf(purchase("e1"), purchase("e1"))))
	for _, c := range subcodeCases() {
		e := purchase("e1")
		c.change(e)
		f.Add("application/json", encode(f, batchOf(e)))
	}
	f.Add("application/json", `{"data":[{"user_data":{"ph":[]},"custom_data":{"value":1e999}}]}`)
	f.Add("application/json", `{"data":[{"event_name":"\u0000\ud800"}]}`)
	f.Add("application/x-www-form-urlencoded", `data=[{}]&access_token=x`)
	f.Add("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n[]\r\n--b--\r\n")
	f.Add(";", "")
	f.Fuzz(func(t *testing.T, media, body string) {
		s := newSandbox(sandbox.Options{})
		r := request("POST", path, body)
		r.Header.Set("Content-Type", media)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%d %q", w.Code, w.Body)
		}
		var got answer
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		events := s.Events(sandbox.Filter{})
		if len(events) != got.Received || s.Stats().Events != uint64(got.Received) {
			t.Fatalf("%d acknowledged, %d stored", got.Received, len(events))
		}
		for _, e := range events {
			if !json.Valid(e.Body) || s.Count(e.Dataset, e.Name, e.ID) == 0 {
				t.Fatalf("read back %+v", e)
			}
		}
	})
}
