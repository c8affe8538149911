//go:build !race

package events

import "testing"

// Every event takes this way, so what it allocates is bounded. The race detector
// lets pools forget, hence not with it.
func TestAllocations(t *testing.T) {
	phone := "+55 31 98765-4321"
	body, opt := []byte(benchBody), testOptions()
	plain := []byte(purchase(field{"custom_data", `{"order_id":"ORD-2026-000123"}`}, field{"event_id", `"ORD-2026-000123"`}))
	event := benchEvent(t)
	wire := EncodeEvent(event)
	for _, tt := range []struct {
		name string
		most float64
		run  func() error
	}{
		{"ParsePhone", 2, func() error { _, err := ParsePhone(phone); return err }},
		{"ParseConversion", 8, func() error { _, err := ParseConversion(plain, opt); return err }},
		{"ParseConversion of more", 14, func() error { _, err := ParseConversion(body, opt); return err }},
		{"EncodeEvent", 2, func() error { EncodeEvent(event); return nil }},
		{"DecodeEvent", 7, func() error { _, err := DecodeEvent(wire); return err }},
		{"Key", 1, func() error { event.Key(); return nil }},
	} {
		got := testing.AllocsPerRun(200, func() {
			if err := tt.run(); err != nil {
				t.Fatal(err)
			}
		})
		if got > tt.most {
			t.Errorf("%s: %v allocations, at most %v wanted", tt.name, got, tt.most)
		}
		t.Logf("%s: %v allocations", tt.name, got)
	}
}
