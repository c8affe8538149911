package graphapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

const testSecret = "5ecre7+of/the|app"

// printed is every way in which an error reaches a person.
func printed(t *testing.T, err error) string {
	t.Helper()
	var b strings.Builder
	for e := err; e != nil; e = errors.Unwrap(e) {
		fmt.Fprintf(&b, "%v\n%+v\n%#v\n%q\n", e, e, e, e)
	}
	if err := json.NewEncoder(&b).Encode(err); err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Error("x", "err", err)
	slog.New(slog.NewJSONHandler(&b, nil)).Error("x", "err", err)
	return b.String()
}

// secretForms are the spellings of all secrets of a call.
func secretForms() []string {
	var forms []string
	for _, s := range []string{testToken, testSecret, appSecretProof(testSecret, testToken)} {
		forms = append(forms, s, url.QueryEscape(s), url.PathEscape(s), lowerEscapes(url.QueryEscape(s)))
	}
	return forms
}

func assertNoSecret(t *testing.T, text string) {
	t.Helper()
	for _, form := range secretForms() {
		if strings.Contains(text, form) {
			t.Errorf("%q shows in:\n%s", form, text)
		}
	}
	// What follows the mark of a token is nowhere either.
	if strings.Contains(text, "token0123456789") {
		t.Errorf("half a token shows in:\n%s", text)
	}
}

func TestNoSecretInAnyError(t *testing.T) {
	call := testCall()
	call.AppSecret = testSecret
	echo := strings.Join(secretForms(), " ") + " Malformed access token " + testToken[:14]
	body, err := json.Marshal(map[string]any{"error": map[string]any{
		"code": 190, "message": echo, "error_user_title": echo, "error_user_msg": strings.Repeat("é", 250) + echo, "fbtrace_id": testToken,
	}})
	if err != nil {
		t.Fatal(err)
	}
	transports := map[string]http.RoundTripper{
		"Meta echoes": answering(400, nil, string(body)),
		"transport echoes": roundTrip(func(*http.Request, []byte) (*http.Response, error) {
			return nil, &url.Error{Op: "Post", URL: echo, Err: io.EOF}
		}),
		"body echoes": roundTrip(func(*http.Request, []byte) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(io.MultiReader(strings.NewReader("{"), failing{errors.New(echo)}))}, nil
		}),
	}
	for name, tr := range transports {
		t.Run(name, func(t *testing.T) {
			_, err := newClient(t, Options{Transport: tr}).Send(t.Context(), call)
			if err == nil {
				t.Fatal("no error")
			}
			assertNoSecret(t, printed(t, err))
			if !strings.Contains(err.Error(), redacted) {
				t.Errorf("nothing was cut out: %v", err)
			}
			if name == "transport echoes" && !errors.Is(err, io.EOF) {
				t.Errorf("the cause is lost: %v", err)
			}
			var ue *url.Error
			if name == "transport echoes" && !errors.As(err, &ue) {
				t.Errorf("the cause's type is lost: %v", err)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A token with a line end is a common slip; nothing may quote it.
func TestMalformedCallTellsNoSecret(t *testing.T) {
	c := newClient(t, Options{Transport: answering(200, nil, `{"events_received":1}`)})
	call := testCall()
	call.Token += "\n"
	assertNoSecret(t, printed(t, sendError(t, c, call, Auth)))
}

func TestTextIsBounded(t *testing.T) {
	hide := newRedactor(testToken)
	for in, want := range map[string]string{
		"":                             "",
		"a\r\nb\x00c\u2028d\u0085e":    "a  b c d e",
		"bad \xff\xfe byte":            "bad \uFFFD byte",
		strings.Repeat("x", 600):       strings.Repeat("x", 512),
		strings.Repeat("é", 300) + "x": strings.Repeat("é", 256),
		"x" + strings.Repeat("€", 300): "x" + strings.Repeat("€", 170),
		"an EAA, an EAAabcdefgh here":  "an EAA, an [redacted] here",
		// Cut first, and the end of the text would be half a secret.
		strings.Repeat("x", 500) + testToken: strings.Repeat("x", 500) + redacted,
	} {
		got := hide.text(in)
		if got != want || !utf8.ValidString(got) {
			t.Errorf("text(%.40q) = %q, want %q", in, got, want)
		}
	}
}

func TestFbtraceIsAHeaderValueOrNothing(t *testing.T) {
	hide := newRedactor(testToken)
	for in, want := range map[string]string{
		"AbC-_12":                "AbC-_12",
		"AEAAbcdefghijk":         "AEAAbcdefghijk",
		"a b":                    "",
		"a\nb":                   "",
		"é":                      "",
		testToken:                "",
		strings.Repeat("x", 129): "",
	} {
		if got := hide.fbtrace(in); got != want {
			t.Errorf("fbtrace(%q) = %q, want %q", in, got, want)
		}
	}
}
