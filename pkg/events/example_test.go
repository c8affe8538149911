package events_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/homing-dev/homing/pkg/events"
)

func ExampleParseConversion() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c, err := events.ParseConversion([]byte(`{
		"event_name": "Purchase", "phone_number": "+55 31 98765-4321", "currency": "brl", "value": 249.90,
		"custom_data": {"order_id": "A-17"}, "utm_source": "flyer"
	}`), events.ParseOptions{
		Now:   now,
		NewID: func() string { return "0199b1c2" }, // a UUIDv7, usually
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Event.Name, c.Event.ID)
	fmt.Println(string(c.Event.CustomData))
	fmt.Println(len(c.Event.Phones), "hashes of the phone")
	fmt.Println(c.Warnings)
	// Output:
	// Purchase 0199b1c2
	// {"currency":"BRL","value":249.90,"order_id":"A-17"}
	// 2 hashes of the phone
	// [unknown field "utm_source" was ignored]
}

func ExampleParseConversion_refused() {
	_, err := events.ParseConversion([]byte(`{"event_name":"Lead","phone_number":"31 98765-4321"}`),
		events.ParseOptions{Now: time.Now()})
	if fault, ok := errors.AsType[*events.FieldError](err); ok {
		fmt.Println(fault.Reason)
		fmt.Println(fault.Field, fault.Message)
	}
	// Output:
	// invalid_phone_number
	// phone_number must start with + and the country code
}

func ExamplePhone() {
	phone, err := events.ParsePhone("+52 55 1234 5678")
	if err != nil {
		fmt.Println(err)
		return
	}
	// WhatsApp still writes Mexican numbers with the old 1.
	person, _ := events.WhatsAppPerson("5215512345678")
	fmt.Println(phone, person == phone.Person())
	// Output: phone(redacted) true
}

func ExampleDecodeEvent() {
	data := events.EncodeEvent(&events.Event{Tenant: "acme", Name: events.Lead, ID: "1", Time: 1772366400, Clid: "ARAk"})
	fmt.Println(string(data))

	e, err := events.DecodeEvent(data)
	fmt.Println(e.Name, e.Clid, err)

	_, err = events.DecodeEvent([]byte(`{"v":7}`))
	fmt.Println(err)
	// Output:
	// {"v":1,"tenant":"acme","name":"Lead","id":"1","time":1772366400,"clid":"ARAk"}
	// Lead ARAk <nil>
	// events: decode event: version 7 is unknown, this program reads version 1: it was written by a newer one
}

func ExampleMapping() {
	m := events.DefaultMapping(events.Lead)
	fmt.Println(m.As, m.ActionSource)
	fmt.Println(m.Check(&events.Event{Name: events.Lead}))

	m = events.DefaultMapping(events.CompleteRegistration)
	fmt.Println(m.Check(&events.Event{Name: events.CompleteRegistration, Clid: "ARAk"}))
	// Output:
	// LeadSubmitted business_messaging
	// <nil>
	// event_not_supported: event_name: CompleteRegistration needs a phone_number, email or external_id: Meta does not take it by its click alone
}
