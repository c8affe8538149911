package queue

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/homing-dev/homing/pkg/events"
)

// Whoever may publish to HOMING_DEAD writes headers as he likes.
func FuzzReadLetter(f *testing.F) {
	f.Add("homing.dead.acme", "a1", "7", "0", "dead", "rejected_by_meta", "Invalid parameter", "2026-11-22T12:00:00Z")
	f.Add("homing.dead.UNKNOWN", "", "", "", "", "", "", "")
	f.Add("homing.dead", "a.b", "-1", "99999999999", "delivered", "a\r\nHoming-Id: x", strings.Repeat("ä", 9999), "now")
	f.Add("homing.dead.acme", "a1", "18446744073709551615", "2147483647", "held", "\x00", "\x1b[31m", "9999-12-31T23:59:59Z")
	f.Fuzz(func(t *testing.T, subject, id, origin, round, outcome, reason, problem, at string) {
		h := nats.Header{}
		for name, value := range map[string]string{
			HeaderID: id, HeaderOrigin: origin, HeaderRound: round, HeaderOutcome: outcome,
			HeaderReason: reason, HeaderError: problem, HeaderDeadAt: at,
		} {
			h[name] = []string{value}
		}
		l := readLetter(&storedMsg{subject: subject, seq: 1, at: time.Unix(1, 0), header: h, data: []byte("x")})
		if strings.ContainsFunc(l.Error+string(l.Reason)+l.FbtraceID, func(r rune) bool { return r < ' ' || r == 0x7F }) {
			t.Errorf("a control character came through: %q, %q", l.Error, l.Reason)
		}
		if l.At.IsZero() || l.Message == nil {
			t.Errorf("letter: %+v", l)
		}
		if l.Message.Fault != nil {
			return
		}
		if !isToken(l.Envelope.Tenant) || l.Envelope.Tenant == strayTenant || !isToken(l.Envelope.Accept) || l.Envelope.Origin == 0 {
			t.Errorf("a letter without a fault could not be replayed: %+v", l.Envelope)
		}
		if l.Outcome != events.Dead && l.Outcome != events.Held {
			t.Errorf("outcome %q", l.Outcome)
		}
	})
}
