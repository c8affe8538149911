package events

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseConversionRefuses(t *testing.T) {
	at := func(seconds int64) string { return fmt.Sprint(testNow.Unix() + seconds) }
	for _, tt := range []struct {
		name, body string
		reason     Reason
		field      string
	}{
		{"nothing", ``, ReasonInvalidJSON, ""},
		{"no JSON", `event_name=Lead`, ReasonInvalidJSON, ""},
		{"a list", `[` + purchase() + `]`, ReasonInvalidJSON, ""},
		{"a string", `"x"`, ReasonInvalidJSON, ""},
		{"null", `null`, ReasonInvalidJSON, ""},
		{"cut off", strings.TrimSuffix(purchase(), "}"), ReasonInvalidJSON, ""},
		{"two objects", purchase() + purchase(), ReasonInvalidJSON, ""},
		{"trailing comma", `{"event_name":"Lead",}`, ReasonInvalidJSON, ""},
		{"comment", `{/**/}`, ReasonInvalidJSON, ""},
		{"byte order mark", "\ufeff" + purchase(), ReasonInvalidJSON, ""},
		{"duplicate name", `{"value":1,"value":1}`, ReasonInvalidJSON, ""},
		{"duplicate name, escaped", `{"value":1,"valu\u0065":1}`, ReasonInvalidJSON, ""},
		{"duplicate name inside", lead(field{"custom_data", `{"a":1,"a":1}`}), ReasonInvalidJSON, ""},
		{"duplicate name in an ignored field", lead(field{"x", `{"a":1,"a":1}`}), ReasonInvalidJSON, ""},
		{"invalid UTF-8", lead(field{"ctwa_clid", "\"\xff\""}), ReasonInvalidJSON, ""},
		{"lone surrogate", lead(field{"ctwa_clid", `"\ud800"`}), ReasonInvalidJSON, ""},
		{"too deep", lead(field{"custom_data", nested(17)}), ReasonInvalidJSON, ""},
		{"too deep in an ignored field", lead(field{"x", strings.Repeat("[", 17) + strings.Repeat("]", 17)}), ReasonInvalidJSON, ""},
		{"far too deep", strings.Repeat("[", 60000), ReasonInvalidJSON, ""},
		{"NaN", purchase(field{"value", `NaN`}), ReasonInvalidJSON, ""},
		{"leading zero", purchase(field{"value", `01`}), ReasonInvalidJSON, ""},
		{"too large", lead(field{"x", `"` + strings.Repeat("x", MaxBodyBytes) + `"`}), ReasonBodyTooLarge, ""},

		{"empty object", `{}`, ReasonMissingField, "event_name"},
		{"no name", purchase(field{"event_name", ""}), ReasonMissingField, "event_name"},
		{"name is null", purchase(field{"event_name", "null"}), ReasonMissingField, "event_name"},
		{"name of another case", purchase(field{"event_name", `"purchase"`}), ReasonInvalidEventName, "event_name"},
		{"unknown name", purchase(field{"event_name", `"Bought"`}), ReasonInvalidEventName, "event_name"},
		{"empty name", purchase(field{"event_name", `""`}), ReasonInvalidEventName, "event_name"},
		{"name is a number", purchase(field{"event_name", `1`}), ReasonInvalidEventName, "event_name"},
		{"unknown event_type", purchase(field{"event_name", ""}, field{"event_type", `"x"`}), ReasonInvalidEventName, "event_type"},
		{"names that differ", purchase(field{"event_type", `"lead"`}), ReasonInvalidField, "event_type"},

		{"nobody", purchase(field{"phone_number", ""}), ReasonMissingField, "phone_number"},
		{"nobody but an e-mail", purchase(field{"phone_number", ""}, field{"email", `"a@example.com"`}), ReasonMissingField, "phone_number"},
		{"bad phone", purchase(field{"phone_number", `"16505551212"`}), ReasonInvalidPhone, "phone_number"},
		{"phone is a number", purchase(field{"phone_number", `16505551212`}), ReasonInvalidPhone, "phone_number"},
		{"bad alias", purchase(field{"phone_number", ""}, field{"phone", `"x"`}), ReasonInvalidPhone, "phone"},
		{"alias is a list", purchase(field{"phone", `[]`}), ReasonInvalidPhone, "phone"},
		{"phones that differ", purchase(field{"phone", `"+16505551213"`}), ReasonInvalidField, "phone"},
		{"bad phone beside a click id", purchase(field{"phone_number", `""`}, field{"ctwa_clid", `"c"`}), ReasonInvalidPhone, "phone_number"},
		{"empty user id", purchase(field{"wa_user_id", `""`}), ReasonInvalidField, "wa_user_id"},
		{"user id is a number", purchase(field{"wa_user_id", `7`}), ReasonInvalidField, "wa_user_id"},
		{"empty click id", purchase(field{"ctwa_clid", `""`}), ReasonInvalidField, "ctwa_clid"},
		{"blank click id", purchase(field{"ctwa_clid", `"  "`}), ReasonInvalidField, "ctwa_clid"},
		{"click id with a line break", purchase(field{"ctwa_clid", `"a\nb"`}), ReasonInvalidField, "ctwa_clid"},
		{"click id too long", purchase(field{"ctwa_clid", `"` + strings.Repeat("x", 1025) + `"`}), ReasonInvalidField, "ctwa_clid"},
		{"click id is an object", purchase(field{"ctwa_clid", `{}`}), ReasonInvalidField, "ctwa_clid"},
		{"bad e-mail", purchase(field{"email", `"x"`}), ReasonInvalidEmail, "email"},
		{"e-mail is a list", purchase(field{"email", `["a@example.com"]`}), ReasonInvalidEmail, "email"},
		{"empty external id", purchase(field{"external_id", `" "`}), ReasonInvalidField, "external_id"},
		{"external id is a number", purchase(field{"external_id", `7`}), ReasonInvalidField, "external_id"},

		{"no currency", purchase(field{"currency", ""}), ReasonMissingField, "currency"},
		{"no value", purchase(field{"value", ""}), ReasonMissingField, "value"},
		{"Subscribe without value", lead(field{"event_name", `"Subscribe"`}, field{"currency", `"USD"`}), ReasonMissingField, "value"},
		{"OrderCreated without either", lead(field{"event_name", `"OrderCreated"`}), ReasonMissingField, "currency"},
		{"Lead with a value alone", lead(field{"value", `1`}), ReasonMissingField, "currency"},
		{"Lead with a currency alone", lead(field{"currency", `"USD"`}), ReasonMissingField, "value"},
		{"unknown currency", purchase(field{"currency", `"ZZZ"`}), ReasonInvalidCurrency, "currency"},
		{"no currency at all", purchase(field{"currency", `"XXX"`}), ReasonInvalidCurrency, "currency"},
		{"currency sign", purchase(field{"currency", `"R$"`}), ReasonInvalidCurrency, "currency"},
		{"currency is empty", purchase(field{"currency", `""`}), ReasonInvalidCurrency, "currency"},
		{"currency is a number", purchase(field{"currency", `986`}), ReasonInvalidCurrency, "currency"},
		{"letters that fold to ASCII", purchase(field{"currency", `"ıd"`}), ReasonInvalidCurrency, "currency"},
		{"value is a string", purchase(field{"value", `"10"`}), ReasonInvalidValue, "value"},
		{"value is true", purchase(field{"value", `true`}), ReasonInvalidValue, "value"},
		{"negative value", purchase(field{"value", `-0.01`}), ReasonInvalidValue, "value"},
		{"minus zero", purchase(field{"value", `-0`}), ReasonInvalidValue, "value"},
		{"infinite value", purchase(field{"value", `1e309`}), ReasonInvalidValue, "value"},
		{"value too long", purchase(field{"value", "0." + strings.Repeat("0", 127)}), ReasonInvalidValue, "value"},

		{"custom_data is a string", purchase(field{"custom_data", `"{}"`}), ReasonInvalidField, "custom_data"},
		{"custom_data is a list", purchase(field{"custom_data", `[]`}), ReasonInvalidField, "custom_data"},
		{"value twice", purchase(field{"custom_data", `{"value":10}`}), ReasonInvalidField, "custom_data.value"},
		{"currency twice", purchase(field{"custom_data", `{"currency":"BRL"}`}), ReasonInvalidField, "custom_data.currency"},
		{"value outside, currency inside", lead(field{"value", "1"}, field{"custom_data", `{"currency":"BRL"}`}), ReasonInvalidField, "custom_data.currency"},
		{"Purchase with both inside", purchase(field{"currency", ""}, field{"value", ""}, field{"custom_data", `{"currency":"BRL","value":1}`}), ReasonMissingField, "currency"},
		{"value alone inside", lead(field{"custom_data", `{"value":1}`}), ReasonMissingField, "custom_data.currency"},
		{"currency alone inside", lead(field{"custom_data", `{"currency":"BRL"}`}), ReasonMissingField, "custom_data.value"},
		{"bad value inside", lead(field{"custom_data", `{"currency":"BRL","value":"1"}`}), ReasonInvalidValue, "custom_data.value"},
		{"bad currency inside", lead(field{"custom_data", `{"currency":"real","value":1}`}), ReasonInvalidCurrency, "custom_data.currency"},
		{"item without id", lead(field{"custom_data", `{"contents":[{"id":"a"},{"quantity":1}]}`}), ReasonInvalidField, "custom_data.contents[1].id"},
		{"item with an empty id", lead(field{"custom_data", `{"contents":[{"id":""}]}`}), ReasonInvalidField, "custom_data.contents[0].id"},
		{"item with a null id", lead(field{"custom_data", `{"contents":[{"id":null}]}`}), ReasonInvalidField, "custom_data.contents[0].id"},

		{"empty event_id", purchase(field{"event_id", `""`}), ReasonInvalidEventID, "event_id"},
		{"event_id too long", purchase(field{"event_id", `"` + strings.Repeat("x", 129) + `"`}), ReasonInvalidEventID, "event_id"},
		{"event_id with a space", purchase(field{"event_id", `"a b"`}), ReasonInvalidEventID, "event_id"},
		{"event_id not ASCII", purchase(field{"event_id", `"é"`}), ReasonInvalidEventID, "event_id"},
		{"event_id is a number", purchase(field{"event_id", `7`}), ReasonInvalidEventID, "event_id"},

		{"event_time ahead", purchase(field{"event_time", at(61)}), ReasonInvalidEventTime, "event_time"},
		{"event_time too old", purchase(field{"event_time", at(-7*86400 - 1)}), ReasonInvalidEventTime, "event_time"},
		{"event_time in milliseconds", purchase(field{"event_time", at(0) + "000"}), ReasonInvalidEventTime, "event_time"},
		{"event_time with a fraction", purchase(field{"event_time", at(0) + ".5"}), ReasonInvalidEventTime, "event_time"},
		{"event_time with an exponent", purchase(field{"event_time", "1772366400e0"}), ReasonInvalidEventTime, "event_time"},
		{"event_time that overflows", purchase(field{"event_time", "99999999999999999999"}), ReasonInvalidEventTime, "event_time"},
		{"event_time negative", purchase(field{"event_time", "-1"}), ReasonInvalidEventTime, "event_time"},
		{"event_time as digits in a string", purchase(field{"event_time", `"` + at(0) + `"`}), ReasonInvalidEventTime, "event_time"},
		{"event_time without zone", purchase(field{"event_time", `"2026-03-01T12:00:00"`}), ReasonInvalidEventTime, "event_time"},
		{"event_time, RFC 3339, ahead", purchase(field{"event_time", `"2026-03-01T12:01:01Z"`}), ReasonInvalidEventTime, "event_time"},
		{"event_time is true", purchase(field{"event_time", `true`}), ReasonInvalidEventTime, "event_time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := ParseConversion([]byte(tt.body), testOptions())
			fe, ok := err.(*FieldError)
			if !ok || c != nil {
				t.Fatalf("ParseConversion = %v, %v; want a *FieldError", c, err)
			}
			if fe.Reason != tt.reason || fe.Field != tt.field || fe.Message == "" {
				t.Errorf("got %q on %q (%s), want %q on %q", fe.Reason, fe.Field, fe.Message, tt.reason, tt.field)
			}
		})
	}
}

// Whatever the order of a body's fields, the same fault is told.
func TestFaultsHaveAnOrder(t *testing.T) {
	one := `{"event_time":"x","value":"x","email":"x","phone_number":"x","event_name":"Lead"}`
	two := `{"event_name":"Lead","phone_number":"x","email":"x","value":"x","event_time":"x"}`
	_, err1 := ParseConversion([]byte(one), testOptions())
	_, err2 := ParseConversion([]byte(two), testOptions())
	if diff := cmp.Diff(err1, err2); diff != "" || err1.(*FieldError).Field != "phone_number" {
		t.Errorf("%v, %v", err1, err2)
	}
}

// A refusal helps the sender without telling a log what was sent.
func TestRefusalsAreHelpfulAndSilent(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":1,"secret":x}`:      "not valid JSON in UTF-8, at byte 16",
		`{"secret":1,`:            "the JSON ends too early, at byte 12",
		`{"secret":1} x`:          "not valid JSON in UTF-8, at byte 13",
		`{"secret":1} {}`:         "something follows the object, before byte 14",
		`["secret"]`:              "the body must be one JSON object",
		`{"secret":1,"secret":2}`: "the same name occurs twice in one object, at byte 12",
		purchase(field{"phone_number", `"+1secret"`}):                    "may hold only +, digits, spaces, dots, dashes and brackets",
		purchase(field{"phone_number", `"+123456789012345678901"`}):      "has too many digits",
		purchase(field{"email", `"secret"`}):                             "must be one name, one @ and one domain",
		purchase(field{"event_time", fmt.Sprint(testNow.UnixMilli())}):   "lies in the future; it looks like milliseconds, and must be seconds",
		purchase(field{"event_time", fmt.Sprint(testNow.Unix() + 3600)}): "lies more than 60 seconds in the future; check the sender's clock",
	} {
		_, err := ParseConversion([]byte(body), testOptions())
		fe, ok := err.(*FieldError)
		if !ok || fe.Message != want {
			t.Errorf("%s: got %v, want %q", body, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the value shows in %v", body, err)
		}
	}
}
