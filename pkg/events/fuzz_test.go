package events

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func FuzzParsePhone(f *testing.F) {
	for _, s := range []string{
		"+16505551212", "+55 (31) 98765-4321", "+553187654321", "+5215512345678", "+54 9 11 15 2345-6789",
		"+44 (0)20 7946 0000", "+", "", "++1", "+390612345678", "+8001234567890", "+12345678901234567890",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePhone(s)
		if err != nil {
			if fe, ok := err.(*FieldError); !ok || fe.Reason != ReasonInvalidPhone {
				t.Fatalf("error %v", err)
			}
			return
		}
		if n := len(p.Hashes()); n == 0 || n > 2 {
			t.Fatalf("%d hashes", n)
		}
		again, err := ParsePhone("+" + p.canonical)
		if err != nil || again != p {
			t.Fatalf("the canonical form +%s is not canonical: +%s, %v", p.canonical, again.canonical, err)
		}
		for _, from := range []string{p.canonical, p.whatsApp} {
			if w, ok := WhatsAppPerson(from); !ok || w != p.Person() {
				t.Fatalf("+%s from a webhook as %s: another person", p.canonical, from)
			}
		}
	})
}

func FuzzParseConversion(f *testing.F) {
	for _, body := range []string{
		purchase(), lead(), `{}`, `[]`, ``, `{"event_name":"Lead",`,
		purchase(field{"custom_data", `{"contents":[{"id":"a"},{}],"a":{"b":[1,"\u00e9"]}}`}),
		lead(field{"custom_data", `{"currency":"usd","value":1.50}`}),
		lead(field{"email", `"a@example.com"`}, field{"external_id", `"M1"`}, field{"wa_user_id", `"US.1"`}),
		lead(field{"event_type", `"lead"`}, field{"phone", `"+1 650 555 1212"`}, field{"x", `1`}),
		purchase(field{"event_time", `"2026-03-01T11:00:00Z"`}, field{"event_id", `"e\u0041"`}, field{"ctwa_clid", `"ARAk\n"`}),
		lead(field{"custom_data", nested(17)}), `{"a":"` + "\xff" + `"}`, `{"a":"\ud800"}`,
	} {
		f.Add([]byte(body), "key-1")
	}
	f.Fuzz(func(t *testing.T, body []byte, key string) {
		opt := testOptions()
		opt.FallbackID = key
		c, err := ParseConversion(body, opt)
		if err != nil {
			if fe, ok := err.(*FieldError); !ok || fe.Reason == "" || fe.Message == "" || c != nil {
				t.Fatalf("%v, error %v", c, err)
			}
			return
		}
		if again := parsedFromCleared(t, body, opt); !cmp.Equal(c, again) {
			t.Fatalf("what was parsed lives in the body: %s", cmp.Diff(c, again))
		}
		e := c.Event
		if age := testNow.Unix() - e.Time; age < 0 || age > 7*86400 {
			t.Fatalf("event_time %d s ago", age)
		}
		if len(e.Persons) == 0 && e.Clid == "" || len(c.Warnings) > maxNamedFields+1 || e.Name.NeedsValue() && !e.HasValue() {
			t.Fatalf("accepted %+v", c)
		}
		e.Tenant = "acme"
		data := EncodeEvent(&e)
		got, err := DecodeEvent(data)
		if err != nil {
			t.Fatalf("%v: %s", err, data)
		}
		if diff := cmp.Diff(&e, got); diff != "" {
			t.Fatalf("decoded event (-want +got):\n%s", diff)
		}
	})
}

// parsedFromCleared parses a copy of body, and wipes it afterwards, as the buffer
// of the next request would. Meanwhile it parses something else.
func parsedFromCleared(t *testing.T, body []byte, opt ParseOptions) *Conversion {
	t.Helper()
	lent := bytes.Clone(body)
	c, err := ParseConversion(lent, opt)
	if err != nil {
		t.Fatalf("the second time: %v", err)
	}
	for i := range lent {
		lent[i] = 'x'
	}
	_, _ = ParseConversion([]byte(`{"event_name":{"event_name":["`), opt)
	return c
}

// Whatever else the body holds, the numbers and addresses in it stay out of the
// queue's message.
func FuzzNoPlaintext(f *testing.F) {
	f.Add("ORD-1", `{"order_id":"1"}`)
	f.Add("", `{}`)
	f.Fuzz(func(t *testing.T, id, custom string) {
		secrets := []string{"5531987654321", "31987654321", "3187654321", "customer@", "example.com", "us.134912086"}
		for _, s := range secrets {
			if strings.Contains(strings.ToLower(id+custom), s) {
				t.Skip()
			}
		}
		opt := testOptions()
		opt.FallbackID = id
		c, err := ParseConversion([]byte(lead(
			field{"phone_number", `"+55 31 98765-4321"`}, field{"phone", `"+553187654321"`},
			field{"email", `"Customer@Example.com"`}, field{"external_id", `"customer@x"`},
			field{"wa_user_id", `"US.134912086"`}, field{"custom_data", custom},
		)), opt)
		if err != nil {
			return
		}
		data := strings.ToLower(string(EncodeEvent(&c.Event)))
		for _, s := range secrets {
			if strings.Contains(data, s) {
				t.Fatalf("%s shows in %s", s, data)
			}
		}
	})
}

func FuzzParseClick(f *testing.F) {
	for _, body := range []string{
		`{"phone_number":"+5531987654321","ctwa_clid":"ARAk","clicked_at":1772366000,"waba_id":"1"}`,
		`{"wa_user_id":"US.1","ctwa_clid":"a","clicked_at":"2026-03-01T11:00:00Z"}`, `{}`, ``, `[{}]`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c, _, err := ParseClick(body, testNow)
		if err != nil {
			if fe, ok := err.(*FieldError); !ok || fe.Reason == "" || c != nil {
				t.Fatalf("%v, error %v", c, err)
			}
			return
		}
		c.Tenant = "acme"
		got, err := DecodeClick(EncodeClick(c))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Fatalf("decoded click (-want +got):\n%s", diff)
		}
	})
}

func FuzzDecodeEvent(f *testing.F) {
	f.Add([]byte(`{"v":1,"tenant":"acme","name":"Lead","id":"1","time":2,"persons":["p"],"custom_data":{"value":1.0}}`))
	f.Add([]byte(`{"v":2}`))
	f.Add([]byte(`{"v":1,"ph":[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := DecodeEvent(data)
		if err != nil {
			return
		}
		got, err := DecodeEvent(EncodeEvent(e))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Fatalf("decoded again (-want +got):\n%s", diff)
		}
	})
}

func FuzzDecodeClick(f *testing.F) {
	f.Add([]byte(`{"v":1,"tenant":"acme","persons":["p"],"clid":"c","at":1}`))
	f.Add([]byte(`{"v":1,"tenant":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := DecodeClick(data)
		if err != nil {
			return
		}
		got, err := DecodeClick(EncodeClick(c))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Fatalf("decoded again (-want +got):\n%s", diff)
		}
	})
}

func FuzzDecodeSettlements(f *testing.F) {
	f.Add([]byte(`{"v":1,"lines":[{"accept":"a","outcome":"dead","origin":7,"at":1772366400123},{"accept":"b","outcome":"held","unsure":true}]}`))
	f.Add([]byte(`{"v":1,"lines":[{"accept":"a","outcome":"dead","at":0,"accepted_at":-62135596800000}]}`))
	f.Add([]byte(`{"v":1,"lines":[{}]}`))
	f.Add([]byte(`{"v":2,"all":{"outcome":"delivered","tenant":"t","attempts":1,"at":5},"lines":[{"accept":"a","at":-62135596800000},{"accept":"b","attempts":0}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, err := DecodeSettlements(data)
		if err != nil {
			return
		}
		got, err := DecodeSettlements(EncodeSettlements(lines))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(lines, got); diff != "" {
			t.Fatalf("decoded again (-want +got):\n%s", diff)
		}
	})
}
