package events

import "testing"

func TestParseName(t *testing.T) {
	for _, n := range Names() {
		if got, ok := ParseName(string(n)); !ok || got != n {
			t.Errorf("ParseName(%s) = %s, %v", n, got, ok)
		}
	}
	if len(Names()) != 17 {
		t.Errorf("%d names, want 17", len(Names()))
	}
	for _, s := range []string{"", "lead", "Lead ", "Contact"} {
		if n, ok := ParseName(s); ok {
			t.Errorf("ParseName(%q) = %s", s, n)
		}
	}
	if n, ok := ParseNameFold("pUrchase"); !ok || n != Purchase {
		t.Errorf("ParseNameFold = %s, %v", n, ok)
	}
}

func TestMakeKey(t *testing.T) {
	base := MakeKey("acme", Purchase, "1")
	if len(base) != 32 {
		t.Errorf("key %q, want 32 hex digits", base)
	}
	for _, other := range []Key{
		MakeKey("acme2", Purchase, "1"), MakeKey("acme", Subscribe, "1"), MakeKey("acme", Purchase, "2"),
		MakeKey("acmePurchase", "", "1"),
	} {
		if other == base {
			t.Error("different events share a key")
		}
	}
	if MakeKey("acme", Lead, "1") != MakeKey("acme", LeadSubmitted, "1") {
		t.Error("Lead and LeadSubmitted are one event to Meta and must share a key")
	}
	e := &Event{Tenant: "acme", Name: Purchase, ID: "1"}
	if e.Key() != base {
		t.Error("Event.Key is another key")
	}
}

// Meta takes every default mapping.
func TestDefaultMapping(t *testing.T) {
	for _, n := range Names() {
		if m := DefaultMapping(n); m.Reject || !m.AcceptedBy() {
			t.Errorf("%s: Meta refuses %+v", n, m)
		}
	}
	if m := DefaultMapping(Lead); m != (Mapping{As: "LeadSubmitted", ActionSource: BusinessMessaging}) {
		t.Errorf("Lead: %+v", m)
	}
	if m := DefaultMapping(Subscribe); m != (Mapping{As: "Subscribe", ActionSource: SystemGenerated}) {
		t.Errorf("Subscribe: %+v", m)
	}
}

func TestAcceptedBy(t *testing.T) {
	for _, tt := range []struct {
		as                string
		messaging, system bool
	}{
		{"Purchase", true, true},
		{"LeadSubmitted", true, true},
		{"ReviewProvided", true, true},
		{"Lead", false, true},
		{"Subscribe", false, true},
		{"CompleteRegistration", false, true},
		{"AddPaymentInfo", false, true},
		{"AddToWishlist", false, true},
		{"Contact", false, true},
		{"CustomizeProduct", false, true},
		{"Donate", false, true},
		{"FindLocation", false, true},
		{"Schedule", false, true},
		{"Search", false, true},
		{"StartTrial", false, true},
		{"SubmitApplication", false, true},
		{"purchase", false, false},
		{"Bought", false, false},
		{"", false, false},
	} {
		if got := (Mapping{As: tt.as, ActionSource: BusinessMessaging}).AcceptedBy(); got != tt.messaging {
			t.Errorf("%s as a messaging event: %v", tt.as, got)
		}
		if got := (Mapping{As: tt.as, ActionSource: SystemGenerated}).AcceptedBy(); got != tt.system {
			t.Errorf("%s as a system event: %v", tt.as, got)
		}
		if (Mapping{As: tt.as, ActionSource: "website"}).AcceptedBy() {
			t.Errorf("%s as a website event is none of ours", tt.as)
		}
	}
	messaging := 0
	for _, n := range Names() {
		if (Mapping{As: string(n), ActionSource: BusinessMessaging}).AcceptedBy() {
			messaging++
		}
	}
	if messaging != 14 {
		t.Errorf("%d names as messaging events, Meta lists 14", messaging)
	}
}

func TestMappingCheck(t *testing.T) {
	paid := []byte(`{"currency":"USD","value":1}`)
	for _, tt := range []struct {
		name   string
		m      Mapping
		e      Event
		reason Reason
	}{
		{"plain", DefaultMapping(Lead), Event{Name: Lead}, ReasonNone},
		{"rejected", Mapping{Reject: true}, Event{Name: Lead}, ReasonEventNotSupported},
		{"system without a match", DefaultMapping(Subscribe), Event{Name: Subscribe, CustomData: paid}, ReasonEventNotSupported},
		{"system with a phone", DefaultMapping(Subscribe), Event{Name: Subscribe, CustomData: paid, Phones: []string{"x"}}, ReasonNone},
		{"system with an e-mail", DefaultMapping(CompleteRegistration), Event{Name: CompleteRegistration, Emails: []string{"x"}}, ReasonNone},
		{"system with an external id", DefaultMapping(CompleteRegistration), Event{Name: CompleteRegistration, ExternalIDs: []string{"x"}}, ReasonNone},
		{"sent as a Purchase", Mapping{As: "Purchase", ActionSource: BusinessMessaging}, Event{Name: CompleteRegistration, CustomData: paid}, ReasonNone},
		{"sent as a Purchase, no value", Mapping{As: "Purchase", ActionSource: BusinessMessaging}, Event{Name: CompleteRegistration, CustomData: []byte(`{"a":1}`)}, ReasonMissingField},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.m.Check(&tt.e)
			if fe, ok := err.(*FieldError); ok != (tt.reason != "") || ok && fe.Reason != tt.reason {
				t.Errorf("Check = %v, want %q", err, tt.reason)
			}
		})
	}
}

func TestTerminal(t *testing.T) {
	for o, want := range map[Outcome]bool{
		Delivered: true, Duplicate: true, NoClick: true, Dead: true, Held: true, Retrying: false, Parked: false, "": false,
	} {
		if o.Terminal() != want {
			t.Errorf("%q.Terminal() = %v", o, !want)
		}
	}
}
