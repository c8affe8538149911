package events

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseClick(t *testing.T) {
	phone, _ := ParsePhone("+5531987654321")
	user, _ := UserPerson("US.1349")
	now := testNow.Unix()
	for _, tt := range []struct {
		name, body string
		want       Click
		warnings   []string
	}{
		{
			"by phone", `{"phone_number":"+55 31 98765-4321","ctwa_clid":"ARAk"}`,
			Click{Persons: []Person{phone.Person()}, Clid: "ARAk", At: now},
			nil,
		},
		{
			"by user", `{"wa_user_id":"US.1349","ctwa_clid":"ARAk","waba_id":"123","clicked_at":"2026-03-01T11:59:55Z"}`,
			Click{Persons: []Person{user}, Clid: "ARAk", At: now - 5, WABA: "123"},
			nil,
		},
		{
			"by both", `{"phone_number":"+5531987654321","wa_user_id":"US.1349","ctwa_clid":" a","clicked_at":null,"waba_id":null}`,
			Click{Persons: []Person{user, phone.Person()}, Clid: " a", At: now},
			nil,
		},
		{
			"long ago", `{"wa_user_id":"US.1349","ctwa_clid":"a","clicked_at":1}`,
			Click{Persons: []Person{user}, Clid: "a", At: 1},
			nil,
		},
		{
			"a little ahead", fmt.Sprintf(`{"wa_user_id":"US.1349","ctwa_clid":"a","clicked_at":%d}`, now+60),
			Click{Persons: []Person{user}, Clid: "a", At: now + 60},
			nil,
		},
		{
			"unknown field", `{"wa_user_id":"US.1349","ctwa_clid":"a","ad":1}`,
			Click{Persons: []Person{user}, Clid: "a", At: now},
			[]string{`unknown field "ad" was ignored`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, warnings, err := ParseClick([]byte(tt.body), testNow)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("click (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.warnings, warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseClickRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		reason     Reason
		field      string
	}{
		{"no JSON", `x`, ReasonInvalidJSON, ""},
		{"duplicate name", `{"waba_id":"1","waba_id":"1"}`, ReasonInvalidJSON, ""},
		{"too deep", `{"x":` + nested(17) + `}`, ReasonInvalidJSON, ""},
		{"nobody", `{"ctwa_clid":"a"}`, ReasonMissingField, "phone_number"},
		{"bad phone", `{"phone_number":"x","ctwa_clid":"a"}`, ReasonInvalidPhone, "phone_number"},
		{"bad user", `{"wa_user_id":" ","ctwa_clid":"a"}`, ReasonInvalidField, "wa_user_id"},
		{"no click id", `{"wa_user_id":"u"}`, ReasonMissingField, "ctwa_clid"},
		{"click id is null", `{"wa_user_id":"u","ctwa_clid":null}`, ReasonMissingField, "ctwa_clid"},
		{"blank click id", `{"wa_user_id":"u","ctwa_clid":" "}`, ReasonInvalidField, "ctwa_clid"},
		{"empty click id", `{"wa_user_id":"u","ctwa_clid":""}`, ReasonInvalidField, "ctwa_clid"},
		{"ahead", fmt.Sprintf(`{"wa_user_id":"u","ctwa_clid":"a","clicked_at":%d}`, testNow.Unix()+61), ReasonInvalidField, "clicked_at"},
		{"no time", `{"wa_user_id":"u","ctwa_clid":"a","clicked_at":"now"}`, ReasonInvalidField, "clicked_at"},
		{"before 1970", `{"wa_user_id":"u","ctwa_clid":"a","clicked_at":-1}`, ReasonInvalidField, "clicked_at"},
		{"WABA is a number", `{"wa_user_id":"u","ctwa_clid":"a","waba_id":1}`, ReasonInvalidField, "waba_id"},
		{"WABA is a name", `{"wa_user_id":"u","ctwa_clid":"a","waba_id":"acme"}`, ReasonInvalidField, "waba_id"},
		{"WABA is empty", `{"wa_user_id":"u","ctwa_clid":"a","waba_id":""}`, ReasonInvalidField, "waba_id"},
		{"WABA is too long", `{"wa_user_id":"u","ctwa_clid":"a","waba_id":"` + strings.Repeat("1", 33) + `"}`, ReasonInvalidField, "waba_id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _, err := ParseClick([]byte(tt.body), testNow)
			fe, ok := err.(*FieldError)
			if !ok || c != nil || fe.Reason != tt.reason || fe.Field != tt.field {
				t.Errorf("got %v, %v; want %q on %q", c, err, tt.reason, tt.field)
			}
		})
	}
}
