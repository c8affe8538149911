package events

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 5e8, time.UTC)

func testOptions() ParseOptions {
	return ParseOptions{Now: testNow, NewID: func() string { return "made" }}
}

// field is one member of a body: its name and JSON value.
type field struct{ name, value string }

// purchase returns a good body with some fields changed; an empty value removes
// the field.
func purchase(changes ...field) string {
	fields := []field{
		{"event_name", `"Purchase"`},
		{"phone_number", `"+16505551212"`},
		{"currency", `"BRL"`},
		{"value", `10`},
	}
next:
	for _, c := range changes {
		for i := range fields {
			if fields[i].name == c.name {
				fields[i].value = c.value
				continue next
			}
		}
		fields = append(fields, c)
	}
	var members []string
	for _, f := range fields {
		if f.value != "" {
			members = append(members, fmt.Sprintf("%q:%s", f.name, f.value))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

// lead is purchase without currency and value, of a name that needs none.
func lead(changes ...field) string {
	return purchase(append([]field{{"event_name", `"Lead"`}, {"currency", ""}, {"value", ""}}, changes...)...)
}

func TestParseConversion(t *testing.T) {
	phone, _ := ParsePhone("+16505551212")
	brazil, _ := ParsePhone("+5531987654321")
	user, _ := UserPerson("US.1349")
	plain := func(change func(e *Event)) Event {
		e := Event{
			Name: Purchase, ID: "made", Time: testNow.Unix(),
			Persons: []Person{phone.Person()}, Phones: phone.Hashes(),
			CustomData: []byte(`{"currency":"BRL","value":10}`),
		}
		change(&e)
		return e
	}
	asLead := func(e *Event) { e.Name, e.CustomData = Lead, nil }

	for _, tt := range []struct {
		name, body string
		want       func(e *Event)
		warnings   []string
	}{
		{"plain", purchase(), func(*Event) {}, nil},
		{"white space", " \n" + purchase() + "\r\n\t", func(*Event) {}, nil},
		{"lead", lead(), asLead, nil},
		{"event_type, any case", lead(field{"event_name", ""}, field{"event_type", `"lEAD"`}), asLead, nil},
		{"event_type beside event_name", lead(field{"event_type", `"lead"`}), asLead, nil},
		{"event_type means the same event", lead(field{"event_type", `"leadsubmitted"`}), asLead, nil},
		{"phone", lead(field{"phone_number", ""}, field{"phone", `"+1 650 555 1212"`}), asLead, nil},
		{"phone beside phone_number", lead(field{"phone", `"+1 650 555 1212"`}), asLead, nil},
		{"null is absent", purchase(
			field{"event_id", "null"}, field{"event_time", "null"}, field{"email", "null"}, field{"external_id", "null"},
			field{"custom_data", "null"}, field{"ctwa_clid", "null"}, field{"wa_user_id", "null"}, field{"phone", "null"},
			field{"event_type", "null"}), func(*Event) {}, nil},
		{"escaped names", `{"event\u005fname":"Lead","\u0070hone":"+16505551212"}`, asLead, nil},
		{"two forms of one phone", lead(field{"phone_number", `"+5531987654321"`}), func(e *Event) {
			asLead(e)
			e.Persons, e.Phones = []Person{brazil.Person()}, brazil.Hashes()
		}, nil},
		{"user id comes first", lead(field{"wa_user_id", `"US.1349"`}), func(e *Event) {
			asLead(e)
			e.Persons = []Person{user, phone.Person()}
		}, nil},
		{"only a user id", lead(field{"phone_number", ""}, field{"wa_user_id", `"US.1349"`}), func(e *Event) {
			asLead(e)
			e.Persons, e.Phones = []Person{user}, nil
		}, nil},
		{"only a click id, byte for byte", lead(field{"phone_number", ""}, field{"ctwa_clid", `" ARAk\/x\"\u0041 "`}), func(e *Event) {
			asLead(e)
			e.Persons, e.Phones, e.Clid = nil, nil, ` ARAk/x"A `
		}, nil},
		{"e-mail and external id", lead(field{"email", `" Test@Example.com"`}, field{"external_id", `" M11AE "`}), func(e *Event) {
			asLead(e)
			e.Emails, e.ExternalIDs = []string{hash("test@example.com")}, []string{hash("m11ae")}
		}, nil},
		{"event_id", purchase(field{"event_id", `"ORD-1!~"`}), func(e *Event) { e.ID = "ORD-1!~" }, nil},
		{"longest event_id", purchase(field{"event_id", `"` + strings.Repeat("x", 128) + `"`}), func(e *Event) { e.ID = strings.Repeat("x", 128) }, nil},
		{"event_time in seconds", purchase(field{"event_time", fmt.Sprint(testNow.Unix() - 5)}), func(e *Event) { e.Time -= 5 }, nil},
		{"event_time, RFC 3339", purchase(field{"event_time", `"2026-03-01T08:59:55.9-03:00"`}), func(e *Event) { e.Time -= 5 }, nil},
		{"event_time a little ahead", purchase(field{"event_time", fmt.Sprint(testNow.Unix() + 60)}), func(*Event) {}, nil},
		{"event_time just 7 days ago", purchase(field{"event_time", fmt.Sprint(testNow.Unix() - 7*86400)}), func(e *Event) { e.Time -= 7 * 86400 }, nil},
		{"currency in lower case", purchase(field{"currency", `"brl"`}), func(*Event) {}, nil},
		{"currency newer than the library", purchase(field{"currency", `"ves"`}), func(e *Event) { e.CustomData = []byte(`{"currency":"VES","value":10}`) }, nil},
		{"value digit for digit", purchase(field{"value", `1234567890123456789.10e-2`}), func(e *Event) {
			e.CustomData = []byte(`{"currency":"BRL","value":1234567890123456789.10e-2}`)
		}, nil},
		{"nothing was paid", purchase(field{"value", `0`}), func(e *Event) { e.CustomData = []byte(`{"currency":"BRL","value":0}`) }, nil},
		{"custom_data behind currency and value", purchase(field{"custom_data", ` { "order_id" : "A 1\u00e9" , "num_items" : 2.50 } `}), func(e *Event) {
			e.CustomData = []byte(`{"currency":"BRL","value":10,"order_id":"A 1\u00e9","num_items":2.50}`)
		}, nil},
		{"custom_data alone", lead(field{"custom_data", `{"a":{"b":[1, {"c":"\" "}]}}`}), func(e *Event) {
			asLead(e)
			e.CustomData = []byte(`{"a":{"b":[1,{"c":"\" "}]}}`)
		}, nil},
		{"many members, one of them escaped", lead(field{"custom_data", `{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"\u0069\n":9,"j" : 10}`}), func(e *Event) {
			asLead(e)
			e.CustomData = []byte(`{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i\n":9,"j":10}`)
		}, nil},
		{"empty custom_data", lead(field{"custom_data", `{ }`}), asLead, nil},
		{"currency and value inside custom_data", lead(field{"custom_data", `{"value":1.50,"x":1,"currency":"usd"}`}), func(e *Event) {
			asLead(e)
			e.CustomData = []byte(`{"currency":"USD","value":1.50,"x":1}`)
		}, nil},
		{"nulls inside custom_data", purchase(field{"custom_data", `{"value":null,"currency":null,"x":null}`}), func(e *Event) {
			e.CustomData = []byte(`{"currency":"BRL","value":10,"x":null}`)
		}, nil},
		{"contents with ids", lead(field{"custom_data", `{"contents":[ {"id":"a"}, {"quantity":1,"id":7} , "x" ]}`}), func(e *Event) {
			asLead(e)
			e.CustomData = []byte(`{"contents":[{"id":"a"},{"quantity":1,"id":7},"x"]}`)
		}, nil},
		{"empty contents", lead(field{"custom_data", `{"contents":[ ]}`}), func(e *Event) {
			asLead(e)
			e.CustomData = []byte(`{"contents":[]}`)
		}, nil},
		{"contents that are no list", lead(field{"custom_data", `{"contents":"[]"}`}), func(e *Event) {
			asLead(e)
			e.CustomData = []byte(`{"contents":"[]"}`)
		}, nil},
		{"deepest", lead(field{"custom_data", nested(16)}), func(e *Event) {
			asLead(e)
			e.CustomData = []byte(nested(16))
		}, nil},
		{"wide, not deep", lead(field{"custom_data", `{"a":[` + strings.Repeat(`{},`, 40) + `{}]}`}), func(e *Event) {
			asLead(e)
			e.CustomData = []byte(`{"a":[` + strings.Repeat(`{},`, 40) + `{}]}`)
		}, nil},
		{"brackets in strings nest nothing", lead(field{"custom_data", `{"a":"\"` + strings.Repeat("[", 40) + `","b":"\\"}`}), func(e *Event) {
			asLead(e)
			e.CustomData = []byte(`{"a":"\"` + strings.Repeat("[", 40) + `","b":"\\"}`)
		}, nil},
		{
			"unknown fields", purchase(field{"utm", `{"a":[1]}`}, field{"Value", `1`}), func(*Event) {},
			[]string{`unknown field "utm" was ignored`, `unknown field "Value" was ignored`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseConversion([]byte(tt.body), testOptions())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(plain(tt.want), got.Event); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.warnings, got.Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// nested returns an object that is n levels deep.
func nested(n int) string {
	return strings.Repeat(`{"a":`, n-1) + `{"b":1}` + strings.Repeat("}", n-1)
}

func TestFallbackID(t *testing.T) {
	opt := testOptions()
	opt.FallbackID = "key-1"
	for _, tt := range []struct{ name, body, fallback, want string }{
		{"header", purchase(), "key-1", "key-1"},
		{"body before header", purchase(field{"event_id", `"e"`}), "key-1", "e"},
		{"body before a bad header", purchase(field{"event_id", `"e"`}), "not a key", "e"},
		{"null in the body", purchase(field{"event_id", `null`}), "key-1", "key-1"},
		{"neither", purchase(), "", "made"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opt.FallbackID = tt.fallback
			c, err := ParseConversion([]byte(tt.body), opt)
			if err != nil || c.Event.ID != tt.want {
				t.Fatalf("%v, %v; want %s", c, err, tt.want)
			}
		})
	}
	opt.FallbackID = "not a key"
	_, err := ParseConversion([]byte(purchase()), opt)
	fe, ok := errors.AsType[*FieldError](err)
	if !ok || fe.Reason != ReasonInvalidEventID || fe.Field != "Idempotency-Key" {
		t.Errorf("bad header: %v", err)
	}
}

func TestWarningsAreBounded(t *testing.T) {
	var fields []field
	for i := range 25 {
		fields = append(fields, field{fmt.Sprintf("x%02d%s", i, strings.Repeat("y", 100)), "1"})
	}
	fields = append(fields, field{"email", `"a@example.com"`})
	c, err := ParseConversion([]byte(purchase(fields...)), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Warnings); n != 21 {
		t.Fatalf("%d warnings, want 21", n)
	}
	if got, want := c.Warnings[20], "5 more unknown fields were ignored"; got != want {
		t.Errorf("last warning %q, want %q", got, want)
	}
	if strings.Contains(c.Warnings[0], strings.Repeat("y", 62)) || !strings.Contains(c.Warnings[0], strings.Repeat("y", 61)) {
		t.Errorf("name not cut to 64 bytes: %s", c.Warnings[0])
	}

	c, err = ParseConversion([]byte(lead(field{"a\u202eb", "1"})), testOptions())
	if err != nil || c.Warnings[0] != `unknown field "a\u202eb" was ignored` {
		t.Errorf("%v, %v: want an escaped name", c, err)
	}
}
