package harness

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Paths of the api.
const (
	PathEvent  = "/api/v1/app/meta-ads/capi/send-event"
	PathEvents = "/api/v1/app/meta-ads/capi/send-events"
	PathStatus = "/api/v1/app/meta-ads/capi/events/"
	PathClicks = "/api/v1/app/meta-ads/capi/clicks"
	PathHook   = "/webhooks/whatsapp"
)

// patience is how long a client goes on trying.
const patience = 60 * time.Second

// Answer is what the api said.
type Answer struct {
	Code   int
	Header http.Header
	Text   string
	Body   Body
}

// Body is the JSON of an answer.
type Body struct {
	Success   bool     `json:"success"`
	Status    string   `json:"status"`
	Reason    string   `json:"reason"`
	EventName string   `json:"event_name"`
	EventID   string   `json:"event_id"`
	Clid      string   `json:"ctwa_clid"`
	Duplicate bool     `json:"duplicate"`
	Attempts  int      `json:"attempts"`
	Accepted  int      `json:"accepted"`
	Rejected  int      `json:"rejected"`
	Warnings  []string `json:"warnings"`
	Results   []Body   `json:"results"`
}

// client gives up late: a frozen server is not a lost one.
func client() *http.Client { return &http.Client{Timeout: 20 * time.Second} }

// Do makes one request to the api. body is sent as it is when it is a string,
// else as JSON.
func (s *Stack) Do(method, path string, header http.Header, body any) (Answer, error) {
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		if text, err = json.Marshal(b); err != nil {
			return Answer{}, err
		}
	}
	req, err := http.NewRequest(method, s.serving()+path, bytes.NewReader(text))
	if err != nil {
		return Answer{}, err
	}
	req.Header = header.Clone()
	res, err := client().Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Code: res.StatusCode, Header: res.Header, Text: string(got)}
	_ = json.Unmarshal(got, &a.Body) // some answers are plain text
	return a, nil
}

// Auth are the headers of a tenant's requests.
func (t Tenant) Auth() http.Header {
	return http.Header{"Authorization": {"Bearer " + t.Key}, "Content-Type": {"application/json"}}
}

// Post sends JSON for a tenant, once.
func (s *Stack) Post(t Tenant, path string, body any) (Answer, error) {
	return s.Do(http.MethodPost, path, t.Auth(), body)
}

// MustPost is Post, and the test fails without an answer of this status.
func (s *Stack) MustPost(t Tenant, path string, body any, code int) Answer {
	s.T.Helper()
	a, err := s.Post(t, path, body)
	if err != nil {
		s.T.Fatal(err)
	}
	if a.Code != code {
		s.T.Fatalf("POST %s: %d %s, want %d", path, a.Code, a.Text, code)
	}
	return a
}

// MustTake is Post, and the test fails unless the api takes the event: with 200, or
// with 202 on a machine so busy that Redis did not tell the click within 50 ms.
func (s *Stack) MustTake(t Tenant, path string, body any) Answer {
	s.T.Helper()
	a, err := s.Post(t, path, body)
	if err != nil || a.Code != http.StatusOK && a.Code != http.StatusAccepted {
		s.T.Fatalf("POST %s: %d %s %v", path, a.Code, a.Text, err)
	}
	return a
}

// Insist sends JSON for a tenant until the api takes it, with the same event_id.
// It tries again as little as a client may: when the connection was refused or
// lost without an answer, and when the api asks for it.
func (s *Stack) Insist(t Tenant, path string, body any) (a Answer, err error) {
	return insist(func() (Answer, error) { return s.Post(t, path, body) })
}

func insist(try func() (Answer, error)) (a Answer, err error) {
	var refused error
	werr := wait(patience, func() error {
		a, err = try()
		switch {
		case err != nil && lost(err):
			return err
		case err == nil && a.Code == http.StatusServiceUnavailable && a.Header.Get("Retry-After") != "":
			return fmt.Errorf("%d %s", a.Code, a.Text)
		case err != nil:
			refused = err
		case a.Code >= 300:
			refused = fmt.Errorf("%d %s", a.Code, a.Text)
		}
		return nil
	})
	return a, errors.Join(werr, refused)
}

// lost reports whether a connection was refused, or ended before an answer.
func lost(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		strings.Contains(err.Error(), "server closed idle connection") // net/http does not export it
}

// Click is what a person tapped.
type Click struct {
	Phone, Clid string // the phone as WhatsApp has it, without +
	At          time.Time
}

// Webhook tells the api, as Meta would, of clicks on ads of a tenant, once.
func (s *Stack) Webhook(t Tenant, clicks ...Click) (Answer, error) {
	var messages []string
	for n, c := range clicks {
		messages = append(messages, fmt.Sprintf(
			`{"from":%q,"id":"wamid.%s.%d","timestamp":"%d","type":"text","text":{"body":"hi"},"referral":{"source_type":"ad","ctwa_clid":%q}}`,
			c.Phone, c.Clid, n, c.At.Unix(), c.Clid))
	}
	body := fmt.Sprintf(`{"object":"whatsapp_business_account","entry":[{"id":%q,"changes":[{"field":"messages","value":{"messaging_product":"whatsapp","messages":[%s]}}]}]}`,
		t.WABA, strings.Join(messages, ","))
	return s.Do(http.MethodPost, PathHook, signed(body), body)
}

// signed are the headers of a webhook.
func signed(body string) http.Header {
	mac := hmac.New(sha256.New, []byte(webhookSecret))
	mac.Write([]byte(body))
	return http.Header{
		"Content-Type": {"application/json"}, "X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(mac.Sum(nil))},
	}
}

// Tap is Webhook until it is taken.
func (s *Stack) Tap(t Tenant, clicks ...Click) {
	s.T.Helper()
	a, err := insist(func() (Answer, error) { return s.Webhook(t, clicks...) })
	if err != nil || a.Code != http.StatusOK {
		s.T.Fatalf("webhook: %d %s %v", a.Code, a.Text, err)
	}
}

// Conversion is a request body for an event of a person. Purchases have a value.
func Conversion(name, id, phone string) map[string]any {
	c := map[string]any{"event_name": name, "event_id": id, "phone_number": "+" + phone}
	if name == "Purchase" || name == "Subscribe" || name == "OrderCreated" {
		c["value"], c["currency"] = 12.5, "EUR"
	}
	return c
}

// Status asks what became of an event.
func (s *Stack) Status(t Tenant, name, id string) (Answer, error) {
	path := PathStatus + url.PathEscape(id)
	if name != "" {
		path += "?event_name=" + name
	}
	return s.Do(http.MethodGet, path, t.Auth(), nil)
}

// AwaitStatus waits until an event's status is one of these and returns it.
func (s *Stack) AwaitStatus(t Tenant, name, id string, want ...string) (a Answer) {
	s.T.Helper()
	Eventually(s.T, patience, "event "+id+" is "+strings.Join(want, " or "), func() (err error) {
		if a, err = s.Status(t, name, id); err != nil {
			return err
		}
		for _, w := range want {
			if a.Body.Status == w {
				return nil
			}
		}
		return fmt.Errorf("%d %s", a.Code, a.Text)
	})
	return a
}

func get(address string) (int, string, error) {
	res, err := (&http.Client{Timeout: 3 * time.Second}).Get(address)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}

// Phone is the n-th person's number, as WhatsApp has it.
func Phone(n int) string { return fmt.Sprintf("4915110%06d", n) }
