package graphapi

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	redacted   = "[redacted]"
	maxText    = 512
	maxFbtrace = 128
)

// metaToken matches what looks like an access token of Meta's, ours or not: they
// start with EAA. A message may repeat only a part of ours.
var metaToken = regexp.MustCompile(`EAA[0-9A-Za-z_-]{8,}`)

// redactor takes the secrets of one call out of a text.
type redactor struct{ secrets []string }

func newRedactor(secrets ...string) redactor {
	return redactor{slices.DeleteFunc(secrets, func(s string) bool { return s == "" })}
}

// clean is built anew for each text: only failures need it.
func (r redactor) clean(s string) string {
	var pairs []string
	for _, secret := range r.secrets {
		// An app token holds a '|', so it also comes percent-encoded.
		query, path := url.QueryEscape(secret), url.PathEscape(secret)
		for _, form := range []string{secret, query, path, lowerEscapes(query), lowerEscapes(path)} {
			pairs = append(pairs, form, redacted)
		}
	}
	return metaToken.ReplaceAllString(strings.NewReplacer(pairs...).Replace(s), redacted)
}

// text makes a foreign text fit for logs and headers: valid UTF-8 on one line,
// no secret, at most 512 bytes. Secrets go first, so that the cut cannot leave
// half of one.
func (r redactor) text(s string) string {
	s = r.clean(strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == '\u2028' || c == '\u2029' {
			return ' '
		}
		return c
	}, s)
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// fbtrace lets through what can be an fbtrace_id; it becomes a message header.
// An id is random letters, so EAA in one is no sign of a token, and it has no '%',
// so a secret cannot hide in it percent-encoded.
func (r redactor) fbtrace(id string) string {
	odd := func(c rune) bool { return c <= ' ' || c > '~' || c == '%' }
	if len(id) > maxFbtrace || strings.ContainsFunc(id, odd) {
		return ""
	}
	for _, secret := range r.secrets {
		if strings.Contains(id, secret) {
			return ""
		}
	}
	return id
}

// cause returns err as it is, or, where its text tells a secret, a stand-in
// that errors.Is and errors.As still see through but that nothing can print.
func (r redactor) cause(err error) error {
	if err == nil {
		return nil
	}
	was := err.Error()
	if r.clean(was) == was {
		return err
	}
	return &hidden{text: r.text(was), err: err}
}

// hidden has no Unwrap on purpose: walking the chain would print the secret.
type hidden struct {
	text string
	err  error
}

func (h *hidden) Error() string        { return h.text }
func (h *hidden) Is(target error) bool { return errors.Is(h.err, target) }
func (h *hidden) As(target any) bool   { return errors.As(h.err, target) }

// lowerEscapes writes %7C as %7c, the other way to spell it.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			b[i+1], b[i+2] = lower(b[i+1]), lower(b[i+2])
		}
	}
	return string(b)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'F' {
		return c + 'a' - 'A'
	}
	return c
}
