package deliver

import (
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/homing-dev/homing/pkg/events"
)

// window is how old an event may be for Meta to take it. One second is left for
// the request's own way.
// Source: Conversions API, "Using the API": event_time up to 7 days in the past,
// else the whole request is refused.
const window = 7*24*time.Hour - time.Second

// encode writes every event as Meta wants it. What Meta would surely refuse is
// never sent: it would sink its neighbours.
func (b *batch) encode() {
	size := 0
	for _, it := range b.items {
		if it.event != nil && it.fate.step == open {
			size += sizeOf(it.event, it.clid)
		}
	}
	// The bodies of a batch share one buffer. One that does not fit after all
	// moves to the next, and those before it stay where they are.
	buf := make([]byte, 0, size)
	for _, it := range b.items {
		if it.event == nil || it.fate.step != open {
			continue
		}
		mapping := b.tenant.Mapping(it.event.Name)
		switch {
		case b.Now().Sub(time.Unix(it.event.Time, 0)) >= window:
			it.end(events.Dead, events.ReasonExpired, "older than the 7 days that Meta accepts")
		case mapping.Check(it.event) != nil:
			// Checked at acceptance, too; the tenant's settings have changed since.
			it.end(events.Dead, events.ReasonEventNotSupported, mapping.Check(it.event).Error())
		default:
			waba := it.waba
			if waba == "" && len(b.tenant.WABAs) > 0 {
				waba = b.tenant.WABAs[0]
			}
			from := len(buf)
			buf = appendEvent(buf, it.event, mapping, it.clid, waba)
			it.body = buf[from:len(buf):len(buf)]
			it.lighten()
		}
	}
}

// lighten lets go of what is in the body now: a thousand events wait for the answer
// to their call, in each of many calls.
func (it *item) lighten() {
	*it.event = events.Event{Name: it.event.Name, Time: it.event.Time}
	it.clid, it.waba = strings.Clone(it.clid), "" // else it keeps the whole text
}

// sizeOf is about what an event takes as Meta wants it: names, times and the
// account some 350 bytes, each hash 67.
func sizeOf(e *events.Event, clid string) int {
	hashes := len(e.Phones) + len(e.Emails) + len(e.ExternalIDs)
	return 350 + len(e.ID) + len(clid) + 67*hashes + len(e.CustomData)
}

// appendEvent appends e as one element of Meta's data array.
// Source: Conversions API for Business Messaging guide; by hand, since the
// official SDKs lack whatsapp_business_account_id.
func appendEvent(b []byte, e *events.Event, m events.Mapping, clid, waba string) []byte {
	b = append(b, `{"event_name":`...)
	b = appendString(b, m.As)
	b = append(b, `,"event_time":`...)
	b = strconv.AppendInt(b, e.Time, 10)
	b = append(b, `,"event_id":`...)
	b = appendString(b, e.ID)
	b = append(b, `,"action_source":`...)
	b = appendString(b, string(m.ActionSource))
	if m.ActionSource == events.BusinessMessaging {
		b = append(b, `,"messaging_channel":"whatsapp"`...)
	}
	b = append(b, `,"user_data":{`...)
	if waba != "" {
		b = append(b, `"whatsapp_business_account_id":`...)
		b = appendString(b, waba)
		b = append(b, ',')
	}
	b = append(b, `"ctwa_clid":`...)
	b = appendString(b, clid)
	b = appendList(b, "ph", e.Phones)
	b = appendList(b, "em", e.Emails)
	b = appendList(b, "external_id", e.ExternalIDs)
	b = append(b, '}')
	if len(e.CustomData) > 0 {
		b = append(b, `,"custom_data":`...)
		b = append(b, e.CustomData...)
	}
	return append(b, '}')
}

// appendList appends a member holding hashes, which need no escaping.
func appendList(b []byte, name string, hashes []string) []byte {
	if len(hashes) == 0 {
		return b
	}
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":[`...)
	for i, h := range hashes {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, h)
	}
	return append(b, ']')
}

func appendString(b []byte, s string) []byte {
	if isPlain(s) {
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"')
	}
	// The error is for invalid UTF-8, which is replaced; ids are ASCII anyway.
	b, _ = jsontext.AppendQuote(b, s)
	return b
}

// isPlain reports whether s is what hashes and ids are: printable ASCII that
// JSON takes as it is.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
