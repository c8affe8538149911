package ingest

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/homing-dev/homing/pkg/events"
)

// maxClid is as long as a ctwa_clid may be, the same as in a posted event.
const maxClid = 1024

// tap is a message of a webhook that came by an ad.
type tap struct {
	waba, clid, timestamp string
	phone                 string   // WhatsApp's form of the number; may be empty
	users                 []string // business-scoped user ids
}

// payload is the part of a webhook that matters. Everything in it may be
// missing, or of another type than Meta documents.
type payload struct {
	Entry list[struct {
		ID      scalar `json:"id"`
		Changes list[struct {
			Value struct {
				Contacts list[contact] `json:"contacts"`
				Messages list[message] `json:"messages"`
			} `json:"value"`
		}] `json:"changes"`
	}] `json:"entry"`
}

// contact describes a sender. WhatsApp leaves wa_id out for people who hide
// their number behind a user name.
type contact struct {
	WaID   scalar `json:"wa_id"`
	User   scalar `json:"user_id"`
	Parent scalar `json:"parent_user_id"`
}

type message struct {
	From      scalar `json:"from"`
	User      scalar `json:"from_user_id"`
	Parent    scalar `json:"from_parent_user_id"`
	Timestamp scalar `json:"timestamp"`
	Referral  struct {
		Clid scalar `json:"ctwa_clid"`
	} `json:"referral"`
}

// list is an array whose odd items are left out, and that may itself be odd.
type list[T any] []T

func (l *list[T]) UnmarshalJSON(data []byte) error {
	var raw []json.RawMessage
	if json.Unmarshal(data, &raw) != nil {
		return nil
	}
	*l = make(list[T], 0, min(len(raw), 64))
	for _, item := range raw {
		var v T
		if err := json.Unmarshal(item, &v); fits(err) {
			*l = append(*l, v)
		}
	}
	return nil
}

// scalar is a string, or a number as it was written; anything else is empty.
type scalar string

func (s *scalar) UnmarshalJSON(data []byte) error {
	var text string
	var number json.Number
	switch {
	case json.Unmarshal(data, &text) == nil:
		*s = scalar(text)
	case json.Unmarshal(data, &number) == nil:
		*s = scalar(number)
	default:
		*s = ""
	}
	return nil
}

// fits reports whether a value could be read. One of another type than expected
// counts: encoding/json leaves that part out and goes on.
func fits(err error) bool {
	var otherType *json.UnmarshalTypeError
	return err == nil || errors.As(err, &otherType)
}

// parseWebhook returns the taps of a webhook. Only what is not JSON is an error.
func parseWebhook(body []byte) ([]tap, error) {
	var p payload
	if err := json.Unmarshal(body, &p); !fits(err) {
		return nil, err
	}
	var taps []tap
	for _, entry := range p.Entry {
		for _, change := range entry.Changes {
			for _, m := range change.Value.Messages {
				if m.Referral.Clid != "" {
					taps = append(taps, newTap(string(entry.ID), m, change.Value.Contacts))
				}
			}
		}
	}
	return taps, nil
}

// newTap gathers who sent m: what the message says, completed by its contact.
func newTap(waba string, m message, contacts []contact) tap {
	t := tap{
		waba: waba, clid: string(m.Referral.Clid), timestamp: string(m.Timestamp), phone: string(m.From),
	}
	user, parent := m.User, m.Parent
	if c, ok := m.contact(contacts); ok {
		if t.phone == "" {
			t.phone = string(c.WaID)
		}
		if user == "" {
			user = c.User
		}
		if parent == "" {
			parent = c.Parent
		}
	}
	for _, id := range []scalar{user, parent} {
		if id != "" {
			t.users = append(t.users, string(id))
		}
	}
	return t
}

// contact returns the contact that describes the sender of m: the one of the
// same user id, or of the same number, or the only one if nothing in it
// contradicts.
func (m message) contact(contacts []contact) (contact, bool) {
	for _, c := range contacts {
		if m.User != "" && c.User == m.User || m.User == "" && m.From != "" && c.WaID == m.From {
			return c, true
		}
	}
	if len(contacts) != 1 || m.User != "" && contacts[0].User != "" {
		return contact{}, false
	}
	return contacts[0], true
}

// persons returns the look-up keys of the sender.
func (t tap) persons() []events.Person {
	var persons []events.Person
	add := func(p events.Person, ok bool) {
		if ok && !slices.Contains(persons, p) {
			persons = append(persons, p)
		}
	}
	for _, id := range t.users {
		add(events.UserPerson(id))
	}
	add(events.WhatsAppPerson(t.phone))
	return persons
}

// at returns the time of the tap in Unix seconds. No timestamp, a garbled one
// or one in the future counts as now: it must not win over real ones for long.
func (t tap) at(now time.Time) int64 {
	at, err := strconv.ParseInt(t.timestamp, 10, 64)
	if err != nil || at <= 0 || at > now.Unix()+clickSlack {
		return now.Unix()
	}
	return at
}
