package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// answer ends a call: by what the judge said, unless a fault has it otherwise.
func (s *Sandbox) answer(w http.ResponseWriter, r *http.Request, c *call, b *batch, ref *refusal, fault *FaultReport) {
	var a Action
	id := 0
	if fault != nil {
		a, id = fault.Action, fault.ID
	}
	counted := a.Counted && ref == nil
	if counted {
		s.ledger.receive(c, b.events)
	}
	if !s.wait(r.Context(), s.opts.Latency+a.Latency) {
		s.abort(r.Context(), c, b, id)
	}
	a.header(w.Header(), c.dataset.id)
	w.Header().Set("X-Fb-Trace-Id", c.trace)
	w.Header().Set("Facebook-Api-Version", cut(c.version, 20))

	switch {
	case a.Hang:
		s.hang(r.Context())
		s.abort(r.Context(), c, b, id)
	case a.Cut == CutBeforeAnswer:
		s.abort(r.Context(), c, b, id)
	case a.fails():
		fr := a.refusal()
		s.ledger.answered(c, b, fr, true)
		s.log(r.Context(), c, len(b.events), fr.status, fr, id)
		a.write(w, fr.status, "application/json; charset=UTF-8", fr.body(c.lang, c.trace, c.number%2 == 1))
	case ref != nil:
		s.ledger.answered(c, b, ref, a.Cut != "")
		s.log(r.Context(), c, len(b.events), ref.status, ref, id)
		if ref.code == codeToken {
			w.Header().Set("WWW-Authenticate", `OAuth "Facebook Platform" "invalid_token"`)
		}
		a.write(w, ref.status, "application/json; charset=UTF-8", ref.body(c.lang, c.trace, c.number%2 == 1))
	default:
		received := max(0, len(b.events)-a.Short)
		if !counted {
			s.ledger.receive(c, b.events[:received])
		}
		s.ledger.answered(c, b, nil, a.Short > 0 || a.Cut != "")
		s.log(r.Context(), c, len(b.events), http.StatusOK, nil, id)
		a.write(w, http.StatusOK, "application/json; charset=UTF-8", success(received, c.trace))
	}
}

// wait waits for d; false means that the caller has gone meanwhile, or that the
// sandbox is closed.
func (s *Sandbox) wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-s.closed:
	}
	return false
}

// hang waits until the caller has gone, or the sandbox is closed.
func (s *Sandbox) hang(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-s.closed:
	}
}

// abort ends the connection without an answer. It does not return: this panic
// is how net/http is told, over HTTP/1 and HTTP/2 alike.
func (s *Sandbox) abort(ctx context.Context, c *call, b *batch, fault int) {
	s.ledger.answered(c, b, nil, true)
	s.log(ctx, c, len(b.events), 0, nil, fault)
	panic(http.ErrAbortHandler)
}

// write writes the action's answer, or half of it.
func (a *Action) write(w http.ResponseWriter, status int, contentType string, body []byte) {
	switch {
	case !a.fails():
	case a.Body == BodyHTML:
		contentType = "text/html; charset=utf-8"
		body = fmt.Appendf(nil, "<!DOCTYPE html>\n<html><head><title>Error</title></head>\n<body><h1>%d %s</h1>\n<p>Sorry, something went wrong.</p></body></html>\n", status, http.StatusText(status))
	case a.Body == BodyEmpty:
		contentType, body = "", nil
	}
	if contentType != "" {
		w.Header().Set("Content-Type", contentType)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if a.Cut != CutMidAnswer {
		_, _ = w.Write(body) // a client that has gone cannot be told
		return
	}
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// header sets Retry-After and the usage headers, whose form is that of Meta's
// pages on rate limits: JSON, percents, and a regain time in minutes.
func (a *Action) header(h http.Header, dataset string) {
	if a.RetryAfter != "" {
		h.Set("Retry-After", a.RetryAfter)
	}
	if a.Usage == nil {
		return
	}
	type use struct {
		Type   string  `json:"type,omitempty"`
		Calls  float64 `json:"call_count"`
		CPU    float64 `json:"total_cputime"`
		Time   float64 `json:"total_time"`
		Regain *int    `json:"estimated_time_to_regain_access,omitempty"`
		Tier   string  `json:"ads_api_access_tier,omitempty"`
	}
	u := use{Calls: a.Usage.Percent, CPU: a.Usage.Percent / 4, Time: a.Usage.Percent / 2}
	set := func(name string, v any) {
		if out, err := json.Marshal(v); err == nil {
			h.Set(name, string(out))
		}
	}
	set("X-App-Usage", u)
	set("X-Ad-Account-Usage", map[string]any{
		"acc_id_util_pct": a.Usage.Percent, "reset_time_duration": 60 * a.Usage.RegainMinutes, "ads_api_access_tier": "standard_access",
	})
	u.Type, u.Regain, u.Tier = "ads_management", &a.Usage.RegainMinutes, "standard_access"
	set("X-Business-Use-Case-Usage", map[string][]use{dataset: {u}})
}
