package events

import (
	"strings"
	"testing"
)

// The vectors that Meta's documentation and integrators print.
func TestHashVectors(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"john_smith@gmail.com", "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"},
		{"16505551212", "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"},
		{"12345678901", "254aa248acb47dd654ca3ea53f48c2c26d641d23d7e2e93a1ec56258df7674c4"},
		{"14251234567", "6f4fcb9deaeadc8f9746ae76d97ce1239e98b404efe5da3ee0b7149740f89ad6"},
		{"919876543210", "92b5072176e723878b5e06ff3ca61898e4eb74e8c46642a0f2db800b17364ab0"},
		{"m11ae", "1dc694c2070e697769fb959b50671d76cafd430d8ca191fbdd0affcaea344ac5"},
	} {
		if got := hash(tt.in); got != tt.want {
			t.Errorf("hash(%s) = %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestPhoneVectors(t *testing.T) {
	for in, want := range map[string]string{
		"+1 (650)555-1212": "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176",
		"+12345678901":     "254aa248acb47dd654ca3ea53f48c2c26d641d23d7e2e93a1ec56258df7674c4",
		"+91 98765 43210":  "92b5072176e723878b5e06ff3ca61898e4eb74e8c46642a0f2db800b17364ab0",
	} {
		p, err := ParsePhone(in)
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		if got := p.Hashes(); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v, want %s", in, got, want)
		}
	}
}

func TestHashEmail(t *testing.T) {
	const test = "973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b"
	for _, tt := range []struct{ name, in, want string }{
		{"Meta's example", "John_Smith@gmail.com", "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"},
		{"plain", "test@example.com", test},
		{"space around, upper case", " \tTEST@Example.COM\n", test},
		{"short", "joe@eg.com", "8830eedd6c6b5ea97d181563a349476ca1bb25ace1f94b5c5e48d9cad727941b"},
		{"already a hash", test, test},
		{"already a hash, upper case", strings.ToUpper(test), test},
		{"plus and dots", "a.b+c@mail.example.co.uk", hash("a.b+c@mail.example.co.uk")},
		{"international", "Jürgen@müller.example", hash("jürgen@müller.example")},
		{"empty", "", ""},
		{"no at", "example.com", ""},
		{"two ats", "a@b@example.com", ""},
		{"no name", "@example.com", ""},
		{"no domain", "a@", ""},
		{"no dot", "a@localhost", ""},
		{"dot at the end", "a@example.", ""},
		{"two dots", "a@example..com", ""},
		{"space inside", "a b@example.com", ""},
		{"control inside", "a\x00@example.com", ""},
		{"too long", strings.Repeat("a", 320) + "@example.com", ""},
		{"an MD5", strings.Repeat("a", 32), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := hashEmail(tt.in)
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Fatalf("hashEmail = %q, %v; want %q", got, err, tt.want)
			}
			if fe, ok := err.(*FieldError); err != nil && (!ok || fe.Reason != ReasonInvalidEmail || fe.Field != "email") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestHashExternalID(t *testing.T) {
	const m11ae = "1dc694c2070e697769fb959b50671d76cafd430d8ca191fbdd0affcaea344ac5"
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "m11ae", m11ae},
		{"space around, upper case", " M11AE ", m11ae},
		{"already a hash", m11ae, m11ae},
		{"longest", strings.Repeat("a", 256), hash(strings.Repeat("a", 256))},
		{"too long", strings.Repeat("a", 257), ""},
		{"empty", "", ""},
		{"blank", "  ", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := hashExternalID(tt.in); got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("hashExternalID = %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}
