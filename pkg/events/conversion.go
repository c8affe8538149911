package events

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxEventIDBytes = 128

	// maxAge is how old an event may be.
	// Source: Meta's Conversions API guide, "Using the API": up to 7 days, else
	// the whole request is refused (subcode 2804003).
	maxAge = 7 * 24 * time.Hour
)

// ParseOptions is what ParseConversion is told beside the body.
type ParseOptions struct {
	// Now is the time of the request: the default of event_time, and what it is
	// judged against.
	Now time.Time
	// FallbackID is the event_id of a body without one, as the header
	// Idempotency-Key gives it; empty when there is none.
	FallbackID string
	// NewID makes the event_id when neither is given; it must not be nil.
	NewID func() string
}

// Conversion is a conversion that was posted.
type Conversion struct {
	// Event is safe to store; its Tenant is left empty.
	Event Event
	// Warnings are written for the sender: what was ignored.
	Warnings []string
}

// ParseConversion parses the body of one conversion. Its error is always a
// *FieldError.
func ParseConversion(body []byte, opt ParseOptions) (*Conversion, error) {
	d := draft{}
	warnings, err := d.read(body)
	if err != nil {
		return nil, err
	}
	c := &Conversion{Warnings: warnings}
	if err := d.event(&c.Event, opt); err != nil {
		return nil, err
	}
	return c, nil
}

// draft is a body that is known to be JSON. Its values are parts of the body,
// nil where a field is absent or null.
type draft struct {
	eventName, eventType jsontext.Value
	phoneNumber, phone   jsontext.Value
	waUserID, clid       jsontext.Value
	currency, value      jsontext.Value
	eventID, eventTime   jsontext.Value
	email, externalID    jsontext.Value
	custom               customData
}

func (d *draft) read(src []byte) (warnings []string, err error) {
	return readBody(src, func(b *body, name []byte) (bool, error) {
		if string(name) == "custom_data" {
			return true, d.custom.read(b.scanner)
		}
		if dst := d.field(name); dst != nil {
			return true, b.into(dst)
		}
		return false, nil
	})
}

// field returns where the value of a top-level field goes, nil for an unknown one.
func (d *draft) field(name []byte) *jsontext.Value {
	switch string(name) {
	case "event_name":
		return &d.eventName
	case "event_type":
		return &d.eventType
	case "phone_number":
		return &d.phoneNumber
	case "phone":
		return &d.phone
	case "wa_user_id":
		return &d.waUserID
	case "ctwa_clid":
		return &d.clid
	case "currency":
		return &d.currency
	case "value":
		return &d.value
	case "event_id":
		return &d.eventID
	case "event_time":
		return &d.eventTime
	case "email":
		return &d.email
	case "external_id":
		return &d.externalID
	default:
		return nil
	}
}

// event fills e, field by field: whatever the order in the body, the first fault
// in this order is told.
func (d *draft) event(e *Event, opt ParseOptions) (err error) {
	if e.Name, err = d.parseName(); err != nil {
		return err
	}
	if err = d.parseCustomer(e); err != nil {
		return err
	}
	if err = d.parseCustomData(e); err != nil {
		return err
	}
	if e.ID, err = d.parseID(opt); err != nil {
		return err
	}
	e.Time, err = d.parseEventTime(opt.Now)
	return err
}

func (d *draft) parseName() (Name, error) {
	fault := func(field string) error {
		return invalid(ReasonInvalidEventName, field, "must be one of "+nameList())
	}
	var name, alias Name
	if d.eventName != nil {
		s, _ := text(d.eventName)
		n, ok := ParseName(string(s))
		if !ok {
			return "", fault("event_name")
		}
		name = n
	}
	if d.eventType != nil {
		s, _ := text(d.eventType)
		n, ok := ParseNameFold(string(s))
		if !ok {
			return "", fault("event_type")
		}
		alias = n
	}
	switch {
	case name == "" && alias == "":
		return "", missing("event_name", "is required; one of "+nameList())
	case name == "":
		return alias, nil
	case alias != "" && alias.Canonical() != name.Canonical():
		return "", invalid(ReasonInvalidField, "event_type", "says something else than event_name; send one of them")
	}
	return name, nil
}

func nameList() string {
	var b strings.Builder
	for i, n := range Names() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(n))
	}
	return b.String()
}

// parseCustomer fills in whatever names the customer or the click.
func (d *draft) parseCustomer(e *Event) error {
	phone, err := d.parsePhone()
	if err != nil {
		return err
	}
	if d.waUserID != nil {
		user, err := parseUserID(d.waUserID)
		if err != nil {
			return err
		}
		e.Persons = append(e.Persons, user)
	}
	if phone != (Phone{}) {
		var person Person
		e.Phones, person = phone.hashes()
		e.Persons = append(e.Persons, person)
	}
	if d.clid != nil {
		if e.Clid, err = parseClid(d.clid); err != nil {
			return err
		}
	}
	if len(e.Persons) == 0 && e.Clid == "" {
		return missing("phone_number", "is required, unless wa_user_id or ctwa_clid is given")
	}
	if d.email != nil {
		s, ok := text(d.email)
		if !ok {
			return invalid(ReasonInvalidEmail, "email", "must be a string")
		}
		h, err := hashEmail(string(s))
		if err != nil {
			return err
		}
		e.Emails = []string{h}
	}
	if d.externalID != nil {
		s, ok := text(d.externalID)
		if !ok {
			return invalid(ReasonInvalidField, "external_id", "must be a string")
		}
		h, err := hashExternalID(string(s))
		if err != nil {
			return err
		}
		e.ExternalIDs = []string{h}
	}
	return nil
}

// parsePhone returns the zero Phone where none is given.
func (d *draft) parsePhone() (phone Phone, err error) {
	if d.phoneNumber != nil {
		if phone, err = parsePhone(d.phoneNumber, "phone_number"); err != nil {
			return Phone{}, err
		}
	}
	if d.phone == nil {
		return phone, nil
	}
	alias, err := parsePhone(d.phone, "phone")
	if err != nil {
		return Phone{}, err
	}
	if d.phoneNumber != nil && alias != phone {
		return Phone{}, invalid(ReasonInvalidField, "phone", "is another number than phone_number; send one of them")
	}
	return alias, nil
}

// parseCustomData checks currency and value, wherever they stand, and puts
// custom_data together. Meta refuses a value without a currency (subcode
// 2804023), a Purchase without a value (2804009) and an OrderCreated without a
// currency (2804081).
func (d *draft) parseCustomData(e *Event) error {
	c := &d.custom
	if c.fault != nil {
		return c.fault
	}
	outside := d.currency != nil || d.value != nil
	switch {
	case outside && c.value != nil:
		return invalid(ReasonInvalidField, "custom_data.value", "must not stand beside currency and value; leave it out")
	case outside && c.currency != nil:
		return invalid(ReasonInvalidField, "custom_data.currency", "must not stand beside currency and value; leave it out")
	case e.Name.NeedsValue() && d.currency == nil:
		return missing("currency", fmt.Sprintf("is required for %s, outside custom_data", e.Name))
	case e.Name.NeedsValue() && d.value == nil:
		return missing("value", fmt.Sprintf("is required for %s, outside custom_data", e.Name))
	}
	code, value, prefix := d.currency, d.value, ""
	if !outside {
		code, value, prefix = c.currency, c.value, "custom_data."
	}
	switch {
	case code == nil && value == nil:
		e.CustomData = c.object(currencyCode{}, nil)
		return nil
	case code == nil:
		return missing(prefix+"currency", "is required beside value")
	case value == nil:
		return missing(prefix+"value", "is required beside currency")
	}
	iso, err := parseCurrency(code, prefix+"currency")
	if err != nil {
		return err
	}
	if err := checkValue(value, prefix+"value"); err != nil {
		return err
	}
	e.CustomData = c.object(iso, value)
	return nil
}

func (d *draft) parseID(opt ParseOptions) (string, error) {
	id, field := opt.FallbackID, "Idempotency-Key"
	switch {
	case d.eventID != nil:
		s, _ := text(d.eventID)
		id, field = string(s), "event_id"
	case id == "":
		return opt.NewID(), nil
	}
	if len(id) == 0 || len(id) > maxEventIDBytes || !graphic(id) {
		return "", invalid(ReasonInvalidEventID, field,
			fmt.Sprintf("must be a string of 1 to %d printable ASCII characters without spaces", maxEventIDBytes))
	}
	return id, nil
}

// parseEventTime returns a time that Meta takes: no later than now.
func (d *draft) parseEventTime(now time.Time) (int64, error) {
	if d.eventTime == nil {
		return now.Unix(), nil
	}
	at, fault := parseTime(d.eventTime, now)
	if fault == "" && at < now.Add(-maxAge).Unix() {
		fault = "is older than 7 days; Meta refuses such events"
	}
	if fault != "" {
		return 0, invalid(ReasonInvalidEventTime, "event_time", fault)
	}
	return min(at, now.Unix()), nil
}
