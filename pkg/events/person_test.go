package events

import (
	"strings"
	"testing"
)

func TestWhatsAppPerson(t *testing.T) {
	for _, tt := range []struct {
		name, from string
		want       string // digits that are hashed; empty: no person
	}{
		{"plain", "16505551212", "16505551212"},
		{"with a plus", "+16505551212", "16505551212"},
		{"Mexico", "525512345678", "5215512345678"},
		{"valid nowhere", "99912345", "99912345"},
		{"fictitious test number", "15550001", "15550001"},
		{"empty", "", ""},
		{"only a plus", "+", ""},
		{"two pluses", "++16505551212", ""},
		{"letters", "US.13491208655302741918", ""},
		{"spaces", "1650 5551212", ""},
		{"too long", strings.Repeat("9", 33), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := WhatsAppPerson(tt.from)
			if ok != (tt.want != "") {
				t.Fatalf("WhatsAppPerson = %q, %v", got, ok)
			}
			if ok && got != Person(hash(tt.want)) {
				t.Errorf("not the hash of %s", tt.want)
			}
		})
	}
}

func TestUserPerson(t *testing.T) {
	for _, tt := range []struct {
		name, id string
		ok       bool
	}{
		{"as Meta writes it", "US.13491208655302741918", true},
		{"parent", "US.ENT.13491208655302741918", true},
		{"longest", strings.Repeat("a", 256), true},
		{"too long", strings.Repeat("a", 257), false},
		{"empty", "", false},
		{"space", "US 1", false},
		{"control", "US.\x00", false},
		{"not ASCII", "US.é", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := UserPerson(tt.id); ok != tt.ok || ok != (len(got) == 64) {
				t.Errorf("UserPerson = %q, %v", got, ok)
			}
		})
	}
	upper, _ := UserPerson("US.Abc")
	lower, _ := UserPerson("US.abc")
	if upper == lower {
		t.Error("case must be kept")
	}
	user, _ := UserPerson("16505551212")
	phone, _ := WhatsAppPerson("16505551212")
	if user == phone {
		t.Error("a user id of digits must not find the phone with these digits")
	}
}
