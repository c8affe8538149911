package sandbox

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
)

// decodeBody reads a request's body in any of the forms that Graph takes: JSON,
// a URL-encoded form, a multipart form.
func (s *Sandbox) decodeBody(w http.ResponseWriter, r *http.Request, b *batch) *refusal {
	r.Body = http.MaxBytesReader(w, r.Body, s.opts.MaxBody)
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && r.Header.Get("Content-Type") != "" {
		media = "unreadable"
	}
	switch media {
	case "application/json":
		body, err := readAll(r)
		if err != nil {
			return s.unread(err)
		}
		return b.decodeJSON(body)
	case "application/x-www-form-urlencoded", "":
		body, err := readAll(r)
		if err != nil {
			return s.unread(err)
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return refusedRequest(http.StatusBadRequest, codeParam, 0, "(#100) The request body is not a valid form; send JSON with Content-Type application/json")
		}
		return b.decodeForm(form)
	case "multipart/form-data":
		if err := r.ParseMultipartForm(s.opts.MaxBody); err != nil {
			return s.unread(err)
		}
		form := url.Values(r.MultipartForm.Value)
		return b.decodeForm(form)
	}
	return refusedRequest(http.StatusBadRequest, codeParam, 0, "(#100) Unsupported Content-Type; send application/json")
}

// decodeForm reads a form, whose parameter data holds the events in JSON.
func (b *batch) decodeForm(form url.Values) *refusal {
	for name := range form {
		if name != "data" && !b.set(name, form.Get(name)) {
			return refusedRequest(http.StatusBadRequest, codeParam, 0, "(#100) Unknown request parameter "+cut(name, 40))
		}
	}
	if !form.Has("data") {
		return nil
	}
	c := newCursor([]byte(form.Get("data")))
	if r := b.decodeData(c); r != nil {
		return r
	}
	if !c.end() {
		return notJSON()
	}
	return nil
}

// unread is the refusal of a body that could not be read.
func (s *Sandbox) unread(err error) *refusal {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return refusedRequest(http.StatusRequestEntityTooLarge, codeParam, 0, "(#100) The request body is too large; send fewer events in one call")
	}
	return refusedRequest(http.StatusBadRequest, codeParam, 0, "(#100) The request body could not be read")
}

// readAll reads the body in one piece: stored events point into it, so that it
// is neither copied nor reused.
func readAll(r *http.Request) ([]byte, error) {
	var buf bytes.Buffer
	if n := r.ContentLength; n > 0 && n <= 1<<20 {
		buf.Grow(int(n) + bytes.MinRead)
	}
	_, err := io.Copy(&buf, r.Body)
	return buf.Bytes(), err
}
