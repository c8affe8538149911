package ingest

import (
	"crypto/subtle"
	"log/slog"
	"net/http"

	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/events"
)

// Results of webhooks, for Metrics: one for each webhook ...
const (
	webhookStored       = "stored"  // at least one click
	webhookIgnored      = "ignored" // no click in it
	webhookUnauthorized = "unauthorized"
	webhookRefused      = "refused" // too large, not JSON
	webhookUnavailable  = "unavailable"
	webhookVerified     = "verified"
	webhookForbidden    = "forbidden"
)

// ... and one for each click that is left out.
const (
	webhookUnknownWABA  = "unknown_waba"
	webhookNoPerson     = "no_person"
	webhookInvalidClick = "invalid_click"
)

// maxChallenge bounds hub.challenge; Meta's are some ten digits.
const maxChallenge = 256

// handshake answers Meta's check that the callback URL is ours.
func (s *Server) handshake(c *call) answer {
	q := c.r.URL.Query()
	challenge := q.Get("hub.challenge")
	right := s.directory.VerifyToken(q.Get("hub.verify_token"))
	asked := subtle.ConstantTimeCompare([]byte(q.Get("hub.mode")), []byte("subscribe")) == 1
	if !right || !asked || len(challenge) > maxChallenge || !printable(challenge) {
		s.metrics.Webhook(c.ctx, webhookForbidden)
		return (&refusal{
			status: http.StatusForbidden, reason: reasonForbidden,
			message: "hub.mode must be subscribe and hub.verify_token the one in the tenants file",
		}).answer()
	}
	s.metrics.Webhook(c.ctx, webhookVerified)
	return answer{status: http.StatusOK, body: document{
		contentType: "text/plain; charset=utf-8", text: []byte(challenge),
	}}
}

// webhook takes what WhatsApp tells and keeps the clicks in it.
func (s *Server) webhook(c *call) answer {
	a, result := s.takeWebhook(c)
	s.metrics.Webhook(c.ctx, result)
	return a
}

func (s *Server) takeWebhook(c *call) (a answer, result string) {
	if refused := plainEncoding(c.r); refused != nil {
		return refused.answer(), webhookRefused
	}
	body, refused := c.read(maxWebhook)
	if refused != nil {
		return refused.answer(), webhookRefused
	}
	// Over the raw bytes and before they are looked at: Meta escapes letters that
	// no JSON writer would.
	scope, ok := s.directory.VerifySignature(body, c.r.Header.Get("X-Hub-Signature-256"))
	if !ok {
		return (&refusal{
			status: http.StatusUnauthorized, reason: reasonUnauthorized,
			message: "X-Hub-Signature-256 fits none of the app secrets in the tenants file",
		}).answer(), webhookUnauthorized
	}
	taps, err := parseWebhook(body)
	if err != nil {
		// It is signed, so it came as it was sent: it would be no better next time.
		return answer{status: http.StatusOK, body: webhookResult{Success: true}}, webhookRefused
	}
	found := s.clicksOf(c, taps, scope)
	c.told.items, c.told.accepted, c.told.rejected = len(taps), len(found), len(taps)-len(found)
	if len(found) == 0 {
		return answer{status: http.StatusOK, body: webhookResult{Success: true}}, webhookIgnored
	}
	if refused := s.storeClicks(c.context(), found); refused != nil {
		return refused.answer(), webhookUnavailable
	}
	return answer{status: http.StatusOK, body: webhookResult{Success: true, Clicks: len(found)}}, webhookStored
}

// webhookResult is the body of an answer to a webhook.
type webhookResult struct {
	Success bool `json:"success"`
	Clicks  int  `json:"clicks"` // kept of this webhook
}

// clicksOf finds whose clicks the taps are. Those that belong to nobody here are
// counted and left out: Meta would send a refused webhook for seven days.
func (s *Server) clicksOf(c *call, taps []tap, scope tenants.Scope) []events.Click {
	var found []events.Click
	for _, t := range taps {
		tenant, known := s.directory.ByWABA(t.waba)
		switch {
		case !known || !scope.Allows(t.waba):
			s.leaveOut(c, webhookUnknownWABA)
		case len(t.clid) > maxClid || !printable(t.clid):
			s.leaveOut(c, webhookInvalidClick)
		default:
			persons := t.persons()
			if len(persons) == 0 {
				s.leaveOut(c, webhookNoPerson)
				continue
			}
			c.told.tenant = tenant.ID
			found = append(found, events.Click{
				Tenant: tenant.ID, Persons: persons, Clid: t.clid, At: t.at(s.now()), WABA: t.waba,
			})
		}
	}
	return found
}

func (s *Server) leaveOut(c *call, why string) {
	s.metrics.Webhook(c.ctx, why)
	s.logger.LogAttrs(c.ctx, slog.LevelDebug, "click left out",
		slog.String("request_id", c.id), slog.String("reason", why))
}
