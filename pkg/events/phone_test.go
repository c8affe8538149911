package events

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParsePhone(t *testing.T) {
	for _, tt := range []struct {
		name, in            string
		canonical, whatsApp string // empty: refused
	}{
		{"plain", "+16505551212", "16505551212", "16505551212"},
		{"punctuation", " +1 (650) 555-1212", "16505551212", "16505551212"},
		{"dots and square brackets", "+1.[650].555.1212", "16505551212", "16505551212"},
		{"bracket before the plus", "(+1) 650 555 1212", "16505551212", "16505551212"},
		{"copied from a web page", "+1\u00a0650\u2011555\u20131212", "16505551212", "16505551212"},
		{"India", "+91 98765 43210", "919876543210", "919876543210"},
		{"British trunk zero in brackets", "+44 (0)20 7946 0000", "442079460000", "442079460000"},
		{"Italian zero is kept", "+39 06 1234 5678", "390612345678", "390612345678"},

		{"Brazil, area 11, nine digits", "+55 11 98765-4321", "5511987654321", "5511987654321"},
		{"Brazil, area 11, ninth digit missing", "+55 11 8765-4321", "5511987654321", "5511987654321"},
		{"Brazil, area 21", "+55 21 98765-4321", "5521987654321", "5521987654321"},
		{"Brazil, area 28, ninth digit missing", "+55 28 8765-4321", "5528987654321", "5528987654321"},
		{"Brazil, area 30 does not exist", "+55 30 98765-4321", "", ""},
		{"Brazil, area 31, nine digits", "+55 31 98765-4321", "5531987654321", "553187654321"},
		{"Brazil, area 31, ninth digit missing", "+55 31 8765-4321", "5531987654321", "553187654321"},
		{"Brazil, area 31, 7x is valid as it is", "+55 31 7765-4321", "553177654321", "553177654321"},
		{"Brazil, area 11, 7x is valid as it is", "+55 11 7765-4321", "551177654321", "5511977654321"},
		{"Brazil, landline", "+55 31 3234-5678", "553132345678", "553132345678"},
		{"Brazil, mobile that would collide with a landline", "+55 31 93234-5678", "5531932345678", "5531932345678"},

		{"Mexico", "+52 55 1234 5678", "525512345678", "5215512345678"},
		{"Mexico with the old 1", "+52 1 55 1234 5678", "525512345678", "5215512345678"},

		{"Argentina, mobile", "+54 9 11 2345-6789", "5491123456789", "5491123456789"},
		{"Argentina, without the 9", "+54 11 2345-6789", "541123456789", "5491123456789"},
		{"Argentina, 15", "+54 11 15 2345-6789", "5491123456789", "5491123456789"},
		{"Argentina, 9 and 15", "+54 9 11 15 2345-6789", "5491123456789", "5491123456789"},
		{"Argentina, trunk zero and 15", "+54 0 11 15 2345-6789", "5491123456789", "5491123456789"},
		{"Argentina, area of three digits", "+54 223 15 512-3456", "5492235123456", "5492235123456"},
		{"Argentina, area of three digits, 9 and 15", "+54 9 223 15 512-3456", "5492235123456", "5492235123456"},

		{"empty", "", "", ""},
		{"no plus", "16505551212", "", ""},
		{"plus after digits", "1+6505551212", "", ""},
		{"two pluses", "++16505551212", "", ""},
		{"only a plus", "+", "", ""},
		{"zeros for the plus", "0016505551212", "", ""},
		{"letters", "+1 650 KL5 1212", "", ""},
		{"extension", "+16505551212;ext=5", "", ""},
		{"tab", "+1650\t5551212", "", ""},
		{"slash", "+1650/5551212", "", ""},
		{"other digits", "+1650555121\u0662", "", ""},
		{"direction mark", "\u202a+16505551212", "", ""},
		{"invalid UTF-8", "+1650555\xff1212", "", ""},
		{"too short", "+5311111", "", ""},
		{"impossible in its country", "+14251234567", "", ""},
		{"no such country", "+99912345678", "", ""},
		{"too many digits", "+123456789012345678901", "", ""},
		{"too long", "+1" + strings.Repeat(" ", 60) + "6505551212", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParsePhone(tt.in)
			if tt.canonical == "" {
				fe, ok := err.(*FieldError)
				if !ok || fe.Reason != ReasonInvalidPhone || fe.Field != "phone_number" {
					t.Fatalf("ParsePhone = %+v, %v; want invalid_phone_number", got.canonical, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.canonical != tt.canonical || got.whatsApp != tt.whatsApp {
				t.Errorf("canonical %s, WhatsApp %s; want %s, %s", got.canonical, got.whatsApp, tt.canonical, tt.whatsApp)
			}
			want := []string{hash(tt.canonical)}
			if tt.whatsApp != tt.canonical {
				want = append(want, hash(tt.whatsApp))
			}
			if diff := cmp.Diff(want, got.Hashes()); diff != "" {
				t.Errorf("Hashes (-want +got):\n%s", diff)
			}
			if got.Person() != Person(hash(tt.whatsApp)) {
				t.Errorf("Person is not the hash of WhatsApp's form")
			}
		})
	}
}

// Every way to write one number, and every form in which a webhook may bring it,
// finds the same person.
func TestPersonOfEveryForm(t *testing.T) {
	for country, forms := range map[string][]string{
		"Brazil, area 31": {"5531987654321", "553187654321"},
		"Brazil, area 11": {"5511987654321", "551187654321"},
		"Brazil, 7x":      {"5531977654321", "553177654321"},
		"Brazil, 11, 7x":  {"5511977654321", "551177654321"},
		"Mexico":          {"525512345678", "5215512345678"},
		"Argentina":       {"541123456789", "5491123456789", "54111523456789", "549111523456789"},
	} {
		t.Run(country, func(t *testing.T) { samePerson(t, forms) })
	}
}

func TestPersonOfEveryFormProperty(t *testing.T) {
	digits := func(n int) *rapid.Generator[string] {
		return rapid.StringMatching(fmt.Sprintf(`[0-9]{%d}`, n))
	}
	rapid.Check(t, func(t *rapid.T) {
		var forms []string
		switch rapid.SampledFrom([]string{"BR", "MX", "AR"}).Draw(t, "country") {
		case "BR":
			area := rapid.SampledFrom([]string{"11", "21", "27", "31", "41", "51", "62", "71", "85", "98"}).Draw(t, "area")
			rest := rapid.StringMatching(`[6-9][0-9]{7}`).Draw(t, "subscriber")
			forms = []string{"55" + area + "9" + rest, "55" + area + rest}
		case "MX":
			rest := rapid.SampledFrom([]string{"55", "33", "81"}).Draw(t, "area") + "1" + digits(7).Draw(t, "subscriber")
			forms = []string{"52" + rest, "521" + rest}
		case "AR":
			area := rapid.SampledFrom([]string{"11", "223", "351", "2966"}).Draw(t, "area")
			rest := rapid.StringMatching(fmt.Sprintf(`[4-6][0-9]{%d}`, 9-len(area))).Draw(t, "subscriber")
			forms = []string{"549" + area + rest, "54" + area + rest, "54" + area + "15" + rest, "549" + area + "15" + rest}
		}
		if _, err := ParsePhone("+" + forms[0]); err != nil {
			t.Skip("no such number")
		}
		samePerson(t, forms)
	})
}

func samePerson(t interface {
	Helper()
	Errorf(string, ...any)
}, forms []string,
) {
	t.Helper()
	first, err := ParsePhone("+" + forms[0])
	if err != nil {
		t.Errorf("%s: %v", forms[0], err)
		return
	}
	for _, form := range forms {
		p, err := ParsePhone("+" + form)
		if err != nil || p.Person() != first.Person() {
			t.Errorf("ParsePhone(+%s): another person than +%s, %v", form, forms[0], err)
		}
		for _, from := range []string{form, "+" + form} {
			if w, ok := WhatsAppPerson(from); !ok || w != first.Person() {
				t.Errorf("WhatsAppPerson(%s): another person than +%s", from, forms[0])
			}
		}
		// A further turn changes nothing.
		if again, err := ParsePhone("+" + p.whatsApp); err != nil || again.Person() != first.Person() {
			t.Errorf("+%s: its WhatsApp form %s is another person, %v", form, p.whatsApp, err)
		}
	}
}

func TestPhoneIsRedacted(t *testing.T) {
	p, err := ParsePhone("+5531987654321")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
		fmt.Fprintf(&out, verb+" ", p)
		fmt.Fprintf(&out, verb+" ", &p)
		fmt.Fprintf(&out, verb+" ", []Phone{p})
	}
	b, err := json.Marshal(map[string]any{"p": p, "q": &p})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "p", p, "group", []Phone{p})
	out.WriteString(p.String())
	for _, digits := range []string{p.canonical, p.whatsApp, fmt.Sprintf("%x", p.canonical), fmt.Sprintf("%x", p.whatsApp)} {
		if strings.Contains(out.String(), digits) {
			t.Errorf("%s shows in %s", digits, out.String())
		}
	}
	if (Phone{}).Hashes() != nil || (Phone{}).Person() != "" {
		t.Error("the zero Phone must have neither hash nor person")
	}
}
