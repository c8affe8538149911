package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/homing-dev/homing/pkg/events"
)

const (
	peopleCount = 10_000
	eventPath   = "/api/v1/app/meta-ads/capi/send-event"
	batchPath   = "/api/v1/app/meta-ads/capi/send-events"
)

// person is a customer with a valid phone number and one order, which is bought
// over and over under new event ids.
type person struct {
	before, after []byte // of the event id, in the body that a merchant posts
	clid          string
	event         events.Event // without tenant, id and time
}

// country makes phone numbers: a prefix and so many digits more.
type country struct {
	prefix   string
	digits   int
	currency string
}

func countries() []country {
	return []country{
		{"+55119", 8, "BRL"},
		{"+9198", 8, "INR"},
		{"+5255", 8, "MXN"},
		{"+62812", 8, "IDR"},
		{"+1212", 7, "USD"},
		{"+447400", 6, "GBP"},
		{"+4915", 9, "EUR"},
		{"+346", 8, "EUR"},
		{"+234803", 7, "NGN"},
		{"+573", 9, "COP"},
		{"+55219", 8, "BRL"},
		{"+9170", 8, "INR"},
		{"+336", 8, "EUR"},
		{"+27", 9, "ZAR"},
		{"+601", 8, "MYR"},
		{"+6591", 6, "SGD"},
	}
}

// makePeople makes n customers, of all countries in turn.
func makePeople(n int, now time.Time) ([]person, error) {
	all := countries()
	people := make([]person, 0, n)
	for i := 0; len(people) < n; i++ {
		c := all[i%len(all)]
		// A prime spreads the numbers over the country's whole range.
		size := pow10(c.digits)
		number := fmt.Sprintf("%s%0*d", c.prefix, c.digits, (i*7_919_333+2_345_678)%size)
		p, err := newPerson(number, c.currency, len(people), now)
		if err != nil {
			if i > 100*n {
				return nil, fmt.Errorf("no valid phone numbers: %w", err)
			}
			continue // a hole in the country's plan
		}
		people = append(people, p)
	}
	return people, nil
}

func pow10(n int) int {
	p := 1
	for range n {
		p *= 10
	}
	return p
}

func newPerson(phone, currency string, n int, now time.Time) (person, error) {
	before := fmt.Sprintf(`{"event_name":"Purchase","phone_number":%q,"currency":%q,"value":%d.90,"event_id":"`, phone, currency, 10+n%990)
	after := fmt.Sprintf(`","custom_data":{"order_id":"%08d","content_type":"product","content_ids":["sku-%05d","sku-%05d"],`+
		`"contents":[{"id":"sku-%05d","quantity":1,"item_price":%d.45},{"id":"sku-%05d","quantity":1,"item_price":%d.45}],"num_items":2}}`,
		n, n, n+1, n, 5+n%495, n+1, 5+n%495)
	parsed, err := events.ParseConversion([]byte(before+"x"+after), events.ParseOptions{Now: now, NewID: func() string { return "x" }})
	if err != nil {
		return person{}, err
	}
	return person{
		before: []byte(before), after: []byte(after), event: parsed.Event,
		clid: fmt.Sprintf("ARAkLkA8rmlFeiCktEJQ-QTwRiyYHAFDLMNDBH0CD3qpjd0HR4irJ6LEkR7JwFF4XvnO2E4Nx0-eM-GABDLOPaOdRMv-%06d", n),
	}, nil
}

// appendBody appends what a merchant posts for one order of p.
func (p *person) appendBody(b []byte, id eventID) []byte {
	b = append(b, p.before...)
	b = id.append(b)
	return append(b, p.after...)
}

// eventID is an event id: a run, and a number in it.
type eventID struct{ run, n int }

// idLength is that of every event id.
const idLength = len("order-") + 4 + 1 + 9

func (id eventID) append(b []byte) []byte {
	b = append(b, "order-"...)
	b = padded(b, id.run, 4)
	b = append(b, '-')
	return padded(b, id.n, 9)
}

func (id eventID) String() string { return string(id.append(nil)) }

// parseID is the inverse of String.
func parseID(s string) (id eventID, err error) {
	if len(s) != idLength {
		return id, fmt.Errorf("%q is no event id of ours", s)
	}
	if id.run, err = strconv.Atoi(s[6:10]); err != nil {
		return id, err
	}
	id.n, err = strconv.Atoi(s[11:])
	return id, err
}

// padded appends n with zeros before it.
func padded(b []byte, n, width int) []byte {
	at := len(b)
	for range width {
		b = append(b, '0')
	}
	for i := at + width - 1; i >= at && n > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}

// metaBody is the event as Meta is sent it, for the bare programs, which map
// nothing.
func (p *person) metaBody(id string, at int64, waba string) []byte {
	b, err := json.Marshal(struct {
		Name    string          `json:"event_name"`
		Time    int64           `json:"event_time"`
		ID      string          `json:"event_id"`
		Source  string          `json:"action_source"`
		Channel string          `json:"messaging_channel"`
		User    map[string]any  `json:"user_data"`
		Custom  json.RawMessage `json:"custom_data"`
	}{
		"Purchase", at, id, "business_messaging", "whatsapp",
		map[string]any{"whatsapp_business_account_id": waba, "ctwa_clid": p.clid, "ph": p.event.Phones},
		p.event.CustomData,
	})
	if err != nil { // strings and checked JSON
		panic(err)
	}
	return b
}
