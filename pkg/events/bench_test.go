package events

import (
	"testing"

	"github.com/nyaruka/phonenumbers"
)

const benchBody = `{"event_name":"Purchase","phone_number":"+55 31 98765-4321","currency":"BRL","value":249.90,` +
	`"event_id":"ORD-2026-000123","event_time":1772366000,"email":"customer@example.com",` +
	`"custom_data":{"order_id":"ORD-2026-000123","content_type":"product","num_items":2,` +
	`"contents":[{"id":"sku-1","quantity":1,"item_price":199.90},{"id":"sku-2","quantity":1,"item_price":50.00}]}}`

func benchEvent(b testing.TB) *Event {
	c, err := ParseConversion([]byte(benchBody), testOptions())
	if err != nil {
		b.Fatal(err)
	}
	c.Event.Tenant, c.Event.Clid, c.Event.WABA = "acme", "ARAkLkA8rmlFeiCktEJQ-QTwRiyYHAFDLMNDBH0CD3qpjd0HR4irJ6LEkR7JwFF4XvnO", "9876543210"
	return &c.Event
}

// What most merchants post.
func BenchmarkParsePlainConversion(b *testing.B) {
	opt := testOptions()
	body := []byte(purchase(field{"custom_data", `{"order_id":"ORD-2026-000123"}`}, field{"event_id", `"ORD-2026-000123"`}))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseConversion(body, opt); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseConversion(b *testing.B) {
	body, opt := []byte(benchBody), testOptions()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseConversion(body, opt); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParsePhone(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParsePhone("+55 31 98765-4321"); err != nil {
			b.Fatal(err)
		}
	}
}

// A number with a trunk prefix is left to the phone library.
func BenchmarkParsePhoneByLibrary(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParsePhone("+44 (0)20 7946 0000"); err != nil {
			b.Fatal(err)
		}
	}
}

// The first number of the country with the largest plan.
func BenchmarkNumberingPlan(b *testing.B) {
	var regions []*phonenumbers.PhoneMetadata
	for _, m := range phoneMetadata(b) {
		if m.GetId() == "DE" {
			regions = append(regions, m)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := newNumberingPlan(49, regions); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeEvent(b *testing.B) {
	e := benchEvent(b)
	b.ReportAllocs()
	for b.Loop() {
		EncodeEvent(e)
	}
}

func BenchmarkDecodeEvent(b *testing.B) {
	data := EncodeEvent(benchEvent(b))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeEvent(data); err != nil {
			b.Fatal(err)
		}
	}
}
