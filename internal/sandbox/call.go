package sandbox

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// call is one POST to the events edge.
type call struct {
	number       uint64
	at           time.Time
	trace        string // fbtrace_id
	lang         string
	version      string
	dataset      dataset
	token        string
	tokenInURL   bool
	proof        string
	testCode     string
	partnerAgent string
}

func (s *Sandbox) newCall(r *http.Request) *call {
	n := s.calls.Add(1)
	locale := s.opts.Locale
	if locale == "" {
		locale = r.Header.Get("Accept-Language")
	}
	return &call{number: n, at: s.opts.Now(), trace: traceID(s.opts.Seed, n), lang: languageOf(locale), version: r.PathValue("version")}
}

// postEvents is the whole way of a call: read, judge, look for a fault, answer.
func (s *Sandbox) postEvents(w http.ResponseWriter, r *http.Request) {
	c := s.newCall(r)
	b := s.batches.Get().(*batch)
	ref := s.decodeBody(w, r, b)
	known := s.identify(c, r, b)
	if early := s.admit(c, known); early != nil {
		ref = early
	}
	c.token, c.proof = "", "" // a call is kept with its events, what it authenticated with is not
	if ref == nil {
		ref = s.judgeBatch(c, b)
	}
	fault := s.faults.pick(c.dataset.id, b.events)
	s.answer(w, r, c, b, ref, fault)
	b.reset() // only after a whole answer: a cut call leaves its batch to the collector
	s.batches.Put(b)
}

// identify fills in who is calling, and for which dataset.
func (s *Sandbox) identify(c *call, r *http.Request, b *batch) (known bool) {
	id := r.PathValue("dataset")
	c.dataset, known = s.dataset(id)
	c.dataset.id = id

	query := r.URL.Query()
	c.tokenInURL = query.Has("access_token")
	scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case strings.EqualFold(scheme, "Bearer") && bearer != "":
		c.token = strings.TrimSpace(bearer)
	case c.tokenInURL:
		c.token = query.Get("access_token")
	default:
		c.token = b.accessToken
	}
	c.proof = b.proof
	if c.proof == "" {
		c.proof = query.Get("appsecret_proof")
	}
	c.testCode, c.partnerAgent = b.testEventCode, b.partnerAgent
	return known
}

// admit checks version, token and dataset, which come before any event.
func (s *Sandbox) admit(c *call, known bool) *refusal {
	switch {
	case !s.knownVersion(c.version):
		return refusedRequest(http.StatusBadRequest, codePath, 0, "Unknown path components: /"+cut(c.version, 20)+"/"+cut(c.dataset.id, 40)+"/events")
	case c.token == "":
		return refusedRequest(http.StatusBadRequest, codeToken, 0, "An access token is required to request this resource.")
	case !known:
		r := refusedRequest(http.StatusBadRequest, codeParam, subObject, "Unsupported post request. Object with ID '"+cut(c.dataset.id, 40)+
			"' does not exist, cannot be loaded due to missing permissions, or does not support this operation. Please read the Graph API documentation at https://developers.facebook.com/docs/graph-api")
		r.kind = "GraphMethodException"
		return r
	case c.dataset.Token != "" && !hmac.Equal([]byte(c.token), []byte(c.dataset.Token)):
		return refusedRequest(http.StatusBadRequest, codeToken, 0, "Invalid OAuth access token - Cannot parse access token")
	}
	return c.checkProof()
}

// checkProof checks appsecret_proof where the dataset's app demands it.
func (c *call) checkProof() *refusal {
	if c.dataset.AppSecret == "" {
		return nil
	}
	mac := hmac.New(sha256.New, []byte(c.dataset.AppSecret))
	mac.Write([]byte(c.token))
	want := hex.EncodeToString(mac.Sum(nil))
	switch {
	case c.proof == "":
		r := refusedRequest(http.StatusBadRequest, codeParam, 0, "API calls from the server require an appsecret_proof argument")
		r.kind = "GraphMethodException"
		return r
	case !hmac.Equal([]byte(c.proof), []byte(want)):
		r := refusedRequest(http.StatusBadRequest, codeParam, 0, "Invalid appsecret_proof provided in the API argument")
		r.kind = "GraphMethodException"
		return r
	}
	return nil
}

// judgeBatch refuses the whole batch for its first bad event, as Meta does.
func (s *Sandbox) judgeBatch(c *call, b *batch) *refusal {
	switch {
	case !b.hasData:
		return malformed("data", "is required")
	case len(b.events) == 0:
		return malformed("data", "must hold at least one event")
	}
	for i := range b.events {
		if r := s.judge(&c.dataset, &b.events[i], c.at); r != nil {
			r.index = i
			return r
		}
	}
	return nil
}

// success is the body of an answer that took the events.
func success(received int, trace string) []byte {
	out, err := json.Marshal(struct {
		Received int      `json:"events_received"`
		Messages []string `json:"messages"`
		TraceID  string   `json:"fbtrace_id"`
	}{received, []string{}, trace})
	if err != nil { // an int and a string: cannot happen
		return []byte(`{}`)
	}
	return out
}

// writeJSON writes an answer in one piece.
func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone cannot be told
}

// log writes the call's one line.
func (s *Sandbox) log(ctx context.Context, c *call, events, status int, ref *refusal, fault int) {
	if !s.opts.Logger.Enabled(ctx, slog.LevelInfo) {
		return
	}
	attrs := []slog.Attr{
		slog.Uint64("call", c.number), slog.String("dataset", cut(c.dataset.id, 40)), slog.Int("events", events),
		slog.Int("status", status), slog.String("fbtrace_id", c.trace),
	}
	if ref != nil {
		attrs = append(attrs, slog.Int("code", ref.code), slog.Int("subcode", ref.subcode), slog.Int("index", ref.index), slog.String("reason", ref.reason()))
	}
	if fault != 0 {
		attrs = append(attrs, slog.Int("fault", fault))
	}
	s.opts.Logger.LogAttrs(ctx, slog.LevelInfo, "call", attrs...)
}

// traceID makes an fbtrace_id that looks like Meta's: A and 22 more characters.
func traceID(seed, n uint64) string {
	var b [24]byte
	binary.BigEndian.PutUint64(b[:8], seed)
	binary.BigEndian.PutUint64(b[8:16], n)
	sum := sha256.Sum256(b[:16])
	return "A" + base64.RawURLEncoding.EncodeToString(sum[:])[:22]
}
