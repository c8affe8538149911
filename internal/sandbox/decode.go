package sandbox

import (
	"fmt"
	"net/http"
	"strconv"
)

// maxEvents is the most that Meta takes in one call.
const maxEvents = 1000

// batch is one request body, decoded.
type batch struct {
	events        []event
	hasData       bool
	accessToken   string
	proof         string
	testEventCode string
	partnerAgent  string
}

// event is what the rules need to know of one event. The slices point into the
// request's body.
type event struct {
	raw                       []byte
	name, id, source, channel []byte
	time                      int64
	hasTime, hasUser          bool

	user                   userField // the members of user_data that are there
	clid, waba, page, psid []byte
	igAccount, igSID, lead []byte
	currency               []byte
	hasCurrency, hasValue  bool
	contentsBare           bool // an item of contents has no id
	dpo, dpoCountry        bool
	dpoState               bool
	extinfo, extinfoBad    bool
	bad                    *refusal // the first thing wrong with its shape
}

// reset empties the batch for another call, and lets go of this one's body.
func (b *batch) reset() {
	clear(b.events)
	*b = batch{events: b.events[:0]}
}

// fail notes the first thing that is wrong with the event's shape.
func (e *event) fail(field, what string) {
	if e.bad == nil {
		e.bad = malformed(field, what)
	}
}

// notJSON is the refusal of a text that cannot be read.
func notJSON() *refusal {
	return refusedRequest(http.StatusBadRequest, codeParam, 0, "(#100) The request body is not one valid JSON object; check its syntax, its UTF-8 and its doubled names")
}

// decodeJSON reads a request of Content-Type application/json into b. What was
// read before a mistake stays in b.
func (b *batch) decodeJSON(body []byte) *refusal {
	c := newCursor(body)
	if c.kind() != '{' || c.enter() != nil {
		return notJSON()
	}
	for {
		more, err := c.more()
		if err != nil {
			return notJSON()
		}
		if !more {
			break
		}
		name, err := c.name()
		if err != nil {
			return notJSON()
		}
		if string(name) == "data" {
			if r := b.decodeData(c); r != nil {
				return r
			}
			continue
		}
		s, ok, err := c.str()
		switch {
		case err != nil:
			return notJSON()
		case !b.set(string(name), string(s)):
			return refusedRequest(http.StatusBadRequest, codeParam, 0, fmt.Sprintf("(#100) Unknown request parameter %q; the sandbox is stricter than Meta here", cut(string(name), 40)))
		case !ok:
			return malformed(string(name), "must be a string")
		}
	}
	if !c.end() {
		return notJSON()
	}
	return nil
}

// set takes one parameter of the request that is not data.
func (b *batch) set(name, value string) bool {
	switch name {
	case "access_token":
		b.accessToken = value
	case "appsecret_proof":
		b.proof = value
	case "test_event_code":
		b.testEventCode = value
	case "partner_agent":
		b.partnerAgent = value
	case "namespace_id", "upload_id", "upload_tag", "upload_source":
	default:
		return false
	}
	return true
}

// decodeData reads the array of events.
func (b *batch) decodeData(c *cursor) *refusal {
	b.hasData = true
	if c.kind() != '[' {
		if c.skip() != nil {
			return notJSON()
		}
		return malformed("data", "must be an array")
	}
	if c.enter() != nil {
		return notJSON()
	}
	for {
		more, err := c.more()
		if err != nil {
			return notJSON()
		}
		if !more {
			return nil
		}
		if len(b.events) == maxEvents {
			return malformed("data", "has more than 1000 events; send them in several calls")
		}
		b.events = append(b.events, event{})
		if err := b.events[len(b.events)-1].decode(c); err != nil {
			return notJSON()
		}
	}
}

// decode reads one event. An error means that the text is not JSON; all else
// that is wrong goes to e.bad, so that the rest of the batch can still be read.
func (e *event) decode(c *cursor) error {
	if c.kind() != '{' {
		e.fail("", "must be an object")
		return c.skip()
	}
	if err := c.enter(); err != nil {
		return err
	}
	start := c.dec.InputOffset() - 1
	for {
		more, err := c.more()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		name, err := c.name()
		if err != nil {
			return err
		}
		if err := e.member(c, name); err != nil {
			return err
		}
	}
	e.raw = c.text[start:c.dec.InputOffset()]
	return nil
}

// member reads one member of an event.
func (e *event) member(c *cursor, name []byte) (err error) {
	switch string(name) {
	case "event_name":
		e.name, err = e.str(c, "event_name")
	case "event_id":
		e.id, err = e.str(c, "event_id")
	case "action_source":
		e.source, err = e.str(c, "action_source")
	case "messaging_channel":
		e.channel, err = e.str(c, "messaging_channel")
	case "event_time":
		return e.decodeTime(c)
	case "user_data":
		e.hasUser = true
		return e.decodeUser(c)
	case "custom_data":
		return e.decodeCustom(c)
	case "app_data":
		return e.decodeApp(c)
	case "data_processing_options":
		return e.decodeOptions(c)
	case "data_processing_options_country":
		e.dpoCountry = true
		return e.integer(c, "data_processing_options_country")
	case "data_processing_options_state":
		e.dpoState = true
		return e.integer(c, "data_processing_options_state")
	case "opt_out":
		if k := c.kind(); k != 't' && k != 'f' {
			e.fail("opt_out", "must be true or false")
		}
		return c.skip()
	case "event_source_url", "referrer_url":
		_, err = e.str(c, string(name))
	case "original_event_data", "attribution_data":
		if c.kind() != '{' {
			e.fail(string(name), "must be an object")
		}
		return c.skip()
	default:
		e.fail(cut(string(name), 40), "is not a parameter of an event; the sandbox is stricter than Meta here")
		return c.skip()
	}
	return err
}

// str reads a member that must be a string that is not empty.
func (e *event) str(c *cursor, field string) ([]byte, error) {
	s, ok, err := c.str()
	if err == nil && (!ok || len(s) == 0) {
		e.fail(field, "must be a string that is not empty")
	}
	return s, err
}

// integer reads a member that must be a whole number.
func (e *event) integer(c *cursor, field string) error {
	v, err := c.value()
	if err != nil {
		return err
	}
	if _, perr := strconv.ParseInt(string(v), 10, 64); perr != nil {
		e.fail(field, "must be an integer")
	}
	return nil
}

func (e *event) decodeTime(c *cursor) error {
	v, err := c.value()
	if err != nil {
		return err
	}
	sec, perr := strconv.ParseInt(string(v), 10, 64)
	if perr != nil {
		e.fail("event_time", "must be an integer of Unix seconds")
		return nil
	}
	e.time, e.hasTime = sec, true
	return nil
}

// cut shortens what a stranger wrote before it is shown.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
