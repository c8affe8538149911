package graphapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

const (
	// maxEvents is Meta's limit for data; more is refused whole.
	maxEvents = 1000
	// maxAnswer is how much of an answer is read; Meta's are below 2 KiB.
	maxAnswer = 1 << 20
)

var (
	versionForm = regexp.MustCompile(`^v[0-9]{1,3}\.[0-9]{1,3}$`)
	datasetForm = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)
)

// Options configure a Client. The zero value speaks to Meta.
type Options struct {
	// BaseURL is where the Graph API is; https://graph.facebook.com if empty. It
	// may be http, for a sandbox on the loopback: then the token travels in the
	// clear. User, query and fragment are refused.
	BaseURL string
	// Version of the Graph API; v25.0 if empty.
	Version string
	// Timeout bounds one call, the reading of its answer included; 10 s if 0.
	Timeout time.Duration
	// PartnerAgent goes into every body, beside data; "homing" if empty.
	PartnerAgent string
	// Transport carries the requests; NewTransport() if nil. It must not send a
	// request more than once.
	Transport http.RoundTripper
	// Now reads the clock, for a Retry-After that is a date; time.Now if nil.
	Now func() time.Time
}

// Client sends events to Meta.
type Client struct {
	base         *url.URL
	version      string
	timeout      time.Duration
	partnerAgent string
	transport    http.RoundTripper
	now          func() time.Time
}

// New checks the options and fills in their defaults. It connects to nothing.
func New(o Options) (*Client, error) {
	if o.BaseURL == "" {
		o.BaseURL = "https://graph.facebook.com"
	}
	if o.Version == "" {
		o.Version = "v25.0"
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.PartnerAgent == "" {
		o.PartnerAgent = "homing"
	}
	if o.Transport == nil {
		o.Transport = NewTransport()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	base, err := url.Parse(o.BaseURL)
	switch {
	case err != nil: // the parse error repeats the URL, which may hold a password
		return nil, errors.New("graphapi: BaseURL is not a URL; write it as https://graph.facebook.com")
	case base.Scheme != "https" && base.Scheme != "http" || base.Hostname() == "":
		return nil, errors.New("graphapi: BaseURL must be https://host (or http://host, for a sandbox)")
	case base.User != nil || base.RawQuery != "" || base.ForceQuery || base.Fragment != "":
		return nil, errors.New("graphapi: BaseURL must hold no user, query or fragment; the token comes with each Call")
	case !versionForm.MatchString(o.Version):
		return nil, fmt.Errorf("graphapi: Version %q is not of the form v25.0", o.Version)
	case o.Timeout < 0:
		return nil, fmt.Errorf("graphapi: Timeout %s is negative; 0 means 10s", o.Timeout)
	}
	if base.Path == "" {
		base.Path = "/" // or JoinPath makes a path without its slash
	}
	return &Client{
		base:         base,
		version:      o.Version,
		timeout:      o.Timeout,
		partnerAgent: o.PartnerAgent,
		transport:    o.Transport,
		now:          o.Now,
	}, nil
}

// CloseIdle closes the connections that no call uses, if the transport can.
func (c *Client) CloseIdle() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// Send posts the events once. Its error is always an *Error; nil means that Meta
// took every event. A Call that cannot be sent never reaches the network: its
// class is Auth if dataset or token are at fault, and Invalid if the events are.
func (c *Client) Send(ctx context.Context, call Call) (Result, error) {
	if err := check(call); err != nil {
		return Result{}, err
	}
	var proof string
	if call.AppSecret != "" {
		proof = appSecretProof(call.AppSecret, call.Token)
	}
	hide := newRedactor(call.Token, call.AppSecret, proof)

	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return Result{}, &Error{Class: NotSent, Err: err}
	}
	w := &wire{body: newBody(call.Events, c.partnerAgent, call.TestEventCode, proof)}
	res, err := c.transport.RoundTrip(c.request(w.watch(ctx), call, w.body))
	if err == nil && (res == nil || res.Body == nil) {
		err = errors.New("the transport returned no response and no error")
	}
	if err != nil {
		return Result{}, &Error{Class: unheard(w.notSent()), Err: hide.cause(err)}
	}
	defer func() { _ = res.Body.Close() }() // only read from

	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	cut := w.cutByAnswer()
	if err != nil {
		cut = cut && !success(res.StatusCode) // who says 200 may have seen enough
		return Result{}, &Error{Class: unheard(cut), Err: hide.cause(fmt.Errorf("the answer broke off: %w", err))}
	}
	return c.judge(res, body, len(call.Events), cut, hide)
}

// request makes the one POST of a call.
//
// net/http replays a request that met a dead keep-alive connection, a GOAWAY or
// a refused HTTP/2 stream only if its body can be had again (GetBody); what it
// tries again without one is a request of whose body it has not fetched a byte
// (see shouldRetryRequest and rewindBody in its transport.go). http.NewRequest
// sets GetBody for the readers that it knows, so the request is made by hand, and
// onceBody could not be read a second time anyway. An Idempotency-Key header
// would call the request replayable and is never set.
func (c *Client) request(ctx context.Context, call Call, body *onceBody) *http.Request {
	req := &http.Request{
		Method: http.MethodPost,
		URL:    c.base.JoinPath(c.version, call.Dataset, "events"),
		Host:   c.base.Host,
		Proto:  "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Accept":        {"application/json"},
			"Authorization": {"Bearer " + call.Token},
			"Content-Type":  {"application/json"},
			"User-Agent":    {"homing"},
		},
		Body:          body,
		ContentLength: int64(body.size),
	}
	return req.WithContext(ctx)
}

// judge turns a whole answer into a Result or an *Error. cut says that the
// answer came before the request had left in full.
func (c *Client) judge(res *http.Response, body []byte, sent int, cut bool, hide redactor) (Result, error) {
	usage := readUsage(res.Header)
	var a answer
	ok := false
	if len(body) <= maxAnswer {
		a, ok = decodeAnswer(body)
	}
	e := &Error{
		Status:     res.StatusCode,
		FbtraceID:  hide.fbtrace(a.fbtraceID),
		RetryAfter: max(retryAfter(res.Header, c.now()), usage.RegainIn),
		Usage:      usage,
	}
	taken := success(res.StatusCode)
	switch g := a.err; {
	case g != nil && taken && a.received > 0:
		e.Class = Unknown
		e.describe(g, hide)
		e.Err = fmt.Errorf("the answer counts %d events and holds an error", a.received)
	case g != nil:
		e.Class = classOf(res.StatusCode, g)
		e.describe(g, hide)
	case taken && ok && a.received == sent:
		return Result{Received: sent, FbtraceID: e.FbtraceID, Usage: usage}, nil
	case taken && ok && a.received >= 0:
		e.Class = Unknown
		e.Err = fmt.Errorf("%d of %d events were received", a.received, sent)
	case taken:
		e.Class = Unknown
		e.Err = errors.New("the answer holds no events_received")
	default:
		e.Class = classOf(res.StatusCode, nil)
		if e.Class == Unknown && cut {
			e.Class = NotSent
		}
		e.Err = errors.New("the answer holds no Graph error object")
	}
	return Result{}, e
}

// describe copies Meta's own words.
func (e *Error) describe(g *graphError, hide redactor) {
	e.Code, e.Subcode, e.Transient = g.code, g.subcode, g.transient
	e.Message, e.UserTitle, e.UserMsg = hide.text(g.message), hide.text(g.userTitle), hide.text(g.userMsg)
}

func success(status int) bool { return status >= 200 && status <= 299 }

// unheard is the class of a call without a whole answer.
func unheard(notSent bool) Class {
	if notSent {
		return NotSent
	}
	return Unknown
}

// check finds what would make a request that Meta cannot read. Events must be
// JSON objects; that they are well-formed is the caller's word, for a body of a
// megabyte is not parsed twice.
func check(call Call) error {
	refuse := func(c Class, format string, args ...any) error {
		return &Error{Class: c, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case !datasetForm.MatchString(call.Dataset):
		return refuse(Auth, "the dataset id is empty or malformed; set dataset_id to the digits that Meta shows")
	case call.Token == "" || strings.ContainsFunc(call.Token, func(c rune) bool { return c <= ' ' || c > '~' }):
		return refuse(Auth, "the access token is empty or holds characters that no token has; look for a line end in its file")
	case len(call.Events) == 0 || len(call.Events) > maxEvents:
		return refuse(Invalid, "%d events in one call; send 1 to %d", len(call.Events), maxEvents)
	}
	for i, e := range call.Events {
		if len(e) < 2 || e[0] != '{' || e[len(e)-1] != '}' {
			return refuse(Invalid, "event %d is not a JSON object", i)
		}
	}
	return nil
}
