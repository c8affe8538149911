package events

import (
	"fmt"
	"strings"
)

// Name is the name of an event as a merchant writes it.
type Name string

// The names a merchant may send.
const (
	Lead                 Name = "Lead"
	Subscribe            Name = "Subscribe"
	Purchase             Name = "Purchase"
	AddToCart            Name = "AddToCart"
	CompleteRegistration Name = "CompleteRegistration"
	InitiateCheckout     Name = "InitiateCheckout"
	ViewContent          Name = "ViewContent"
	LeadSubmitted        Name = "LeadSubmitted"
	QualifiedLead        Name = "QualifiedLead"
	OrderCreated         Name = "OrderCreated"
	OrderShipped         Name = "OrderShipped"
	OrderDelivered       Name = "OrderDelivered"
	OrderCanceled        Name = "OrderCanceled"
	OrderReturned        Name = "OrderReturned"
	CartAbandoned        Name = "CartAbandoned"
	RatingProvided       Name = "RatingProvided"
	ReviewProvided       Name = "ReviewProvided"
)

// Names returns every name a merchant may send, in a fixed order.
func Names() []Name {
	return []Name{
		Lead, Subscribe, Purchase, AddToCart, CompleteRegistration, InitiateCheckout, ViewContent,
		LeadSubmitted, QualifiedLead, OrderCreated, OrderShipped, OrderDelivered, OrderCanceled,
		OrderReturned, CartAbandoned, RatingProvided, ReviewProvided,
	}
}

// ParseName returns the name written exactly as s.
func ParseName(s string) (Name, bool) {
	for _, n := range Names() {
		if string(n) == s {
			return n, true
		}
	}
	return "", false
}

// ParseNameFold is ParseName for any case: the original API's own command line
// writes "lead" and "purchase".
func ParseNameFold(s string) (Name, bool) {
	for _, n := range Names() {
		if strings.EqualFold(string(n), s) {
			return n, true
		}
	}
	return "", false
}

// Canonical folds the names that Meta is sent as one: Lead is LeadSubmitted.
func (n Name) Canonical() Name {
	if n == Lead {
		return LeadSubmitted
	}
	return n
}

// NeedsValue reports whether Meta wants a currency and a value with n.
func (n Name) NeedsValue() bool { return n == Purchase || n == Subscribe || n == OrderCreated }

// ActionSource is Meta's action_source.
type ActionSource string

// The action sources that Homing sends.
const (
	BusinessMessaging ActionSource = "business_messaging"
	SystemGenerated   ActionSource = "system_generated"
)

// Mapping says how an event of one name is sent to Meta.
type Mapping struct {
	// Reject refuses the event at acceptance.
	Reject bool
	// As is the event_name that Meta is sent.
	As string
	// ActionSource is the action_source that Meta is sent.
	ActionSource ActionSource
}

// DefaultMapping returns how n is sent when its tenant says nothing else.
// Subscribe and CompleteRegistration are refused by Meta as messaging events
// (subcode 2804066), so they go as system_generated.
func DefaultMapping(n Name) Mapping {
	switch n {
	case Subscribe, CompleteRegistration:
		return Mapping{As: string(n), ActionSource: SystemGenerated}
	default:
		return Mapping{As: string(n.Canonical()), ActionSource: BusinessMessaging}
	}
}

// AcceptedBy reports whether Meta takes an event of the name m.As under
// m.ActionSource: the list of business_messaging is closed, system_generated
// takes every standard name.
// Source: Conversions API for Business Messaging guide, FAQ.
func (m Mapping) AcceptedBy() bool {
	n, ours := ParseName(m.As)
	switch m.ActionSource {
	case BusinessMessaging:
		return ours && n != Lead && n != Subscribe && n != CompleteRegistration
	case SystemGenerated:
		return ours || standardOnly(m.As)
	default:
		return false
	}
}

// standardOnly reports whether name is a standard event of Meta's that no
// merchant sends to us by its own name, only by a tenant's mapping.
// Source: Meta pixel reference, standard events.
func standardOnly(name string) bool {
	switch name {
	case "AddPaymentInfo", "AddToWishlist", "Contact", "CustomizeProduct", "Donate",
		"FindLocation", "Schedule", "Search", "StartTrial", "SubmitApplication":
		return true
	default:
		return false
	}
}

// Check returns a *FieldError where Meta would surely refuse e as m sends it, or
// the tenant does not want it.
func (m Mapping) Check(e *Event) error {
	switch {
	case m.Reject:
		return &FieldError{
			Reason: ReasonEventNotSupported, Field: "event_name",
			Message: "this account does not take " + string(e.Name),
		}
	case m.ActionSource == SystemGenerated && !e.Matchable():
		// Subcode 2804050: no customer information parameters.
		return &FieldError{
			Reason: ReasonEventNotSupported, Field: "event_name",
			Message: string(e.Name) + " needs a phone_number, email or external_id: Meta does not take it by its click alone",
		}
	case Name(m.As).NeedsValue() && !e.HasValue():
		return missing("value", fmt.Sprintf("is required: %s is sent as %s", e.Name, m.As))
	default:
		return nil
	}
}
