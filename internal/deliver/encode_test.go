package deliver_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/events"
)

// sent is the body of the only event of the only call.
func (f *fixture) sent() string {
	f.t.Helper()
	if len(f.graph.calls) != 1 || len(f.graph.calls[0].Events) != 1 {
		f.t.Fatalf("calls %+v", f.graph.calls)
	}
	return string(f.graph.calls[0].Events[0])
}

func TestEveryNameAsMetaWantsIt(t *testing.T) {
	const messaging, system = "business_messaging", "system_generated"
	want := map[events.Name]struct{ as, source string }{
		"Lead": {"LeadSubmitted", messaging}, "Purchase": {"Purchase", messaging},
		"InitiateCheckout": {"InitiateCheckout", messaging}, "LeadSubmitted": {"LeadSubmitted", messaging},
		"OrderCreated": {"OrderCreated", messaging}, "OrderShipped": {"OrderShipped", messaging},
		"OrderDelivered": {"OrderDelivered", messaging}, "OrderCanceled": {"OrderCanceled", messaging},
		"OrderReturned": {"OrderReturned", messaging}, "CartAbandoned": {"CartAbandoned", messaging},
		"RatingProvided": {"RatingProvided", messaging}, "ReviewProvided": {"ReviewProvided", messaging},
		"Subscribe": {"Subscribe", system}, "CompleteRegistration": {"CompleteRegistration", system},
		// The tenant's own.
		"AddToCart": {"InitiateCheckout", messaging}, "QualifiedLead": {"ViewContent", system}, "ViewContent": {},
	}
	for _, name := range events.Names() {
		t.Run(string(name), func(t *testing.T) {
			want, ok := want[name]
			if !ok {
				t.Fatal("a name that no table knows")
			}
			f := setup(t)
			m := f.message(f.event(name, "order-1"))
			f.deliver(m)
			if want.as == "" {
				if rec := f.record(m); rec.Outcome != "dead" || len(f.graph.calls) != 0 {
					t.Errorf("record %+v, %d calls", rec, len(f.graph.calls))
				}
				return
			}
			var got struct {
				Name    string `json:"event_name"`
				Source  string `json:"action_source"`
				Channel string `json:"messaging_channel"`
			}
			if err := json.Unmarshal([]byte(f.sent()), &got); err != nil {
				t.Fatal(err)
			}
			channel := map[string]string{messaging: "whatsapp"}[want.source]
			if got.Name != want.as || got.Source != want.source || got.Channel != channel {
				t.Errorf("%+v, want %+v by channel %q", got, want, channel)
			}
			if channel == "" && strings.Contains(f.sent(), "messaging_channel") {
				t.Errorf("an event of no channel has one: %s", f.sent())
			}
		})
	}
}

func TestBodyOfAnEvent(t *testing.T) {
	tests := []struct {
		name  string
		event events.Event
		want  string
	}{
		{
			"everything",
			events.Event{
				Name: events.Purchase, ID: `a"b\c`, Clid: "clid", WABA: "112",
				Phones: []string{hash("one"), hash("two")}, Emails: []string{hash("mail")}, ExternalIDs: []string{hash("id")},
				CustomData: json.RawMessage(`{"currency":"BRL","value":10.50,"order_id":"x"}`),
			},
			`{"event_name":"Purchase","event_time":TIME,"event_id":"a\"b\\c","action_source":"business_messaging","messaging_channel":"whatsapp",` +
				`"user_data":{"whatsapp_business_account_id":"112","ctwa_clid":"clid","ph":["` + hash("one") + `","` + hash("two") + `"],` +
				`"em":["` + hash("mail") + `"],"external_id":["` + hash("id") + `"]},` +
				`"custom_data":{"currency":"BRL","value":10.50,"order_id":"x"}}`,
		},
		{
			"a click and nothing else, by the first account",
			events.Event{Name: events.Lead, ID: "e", Clid: "clid"},
			`{"event_name":"LeadSubmitted","event_time":TIME,"event_id":"e","action_source":"business_messaging","messaging_channel":"whatsapp",` +
				`"user_data":{"whatsapp_business_account_id":"111","ctwa_clid":"clid"}}`,
		},
		{
			"no channel",
			events.Event{Name: events.CompleteRegistration, ID: "e", Clid: "clid", Phones: []string{hash("one")}},
			`{"event_name":"CompleteRegistration","event_time":TIME,"event_id":"e","action_source":"system_generated",` +
				`"user_data":{"whatsapp_business_account_id":"111","ctwa_clid":"clid","ph":["` + hash("one") + `"]}}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := setup(t)
			e := tt.event
			e.Tenant, e.Time = "acme", f.clock.now().Unix()
			f.deliver(f.message(&e))
			at, err := json.Marshal(e.Time)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Replace(tt.want, "TIME", string(at), 1), f.sent()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAccountOfTheClick(t *testing.T) {
	for waba, want := range map[string]string{"222": `_id":"222"`, "": `_id":"111"`} {
		f := setup(t)
		f.clicks.found = clicks.Found{Clid: "found", WABA: waba}
		m := f.unpinned()
		f.deliver(m)
		if !strings.Contains(f.sent(), want) || !strings.Contains(f.sent(), `"ctwa_clid":"found"`) {
			t.Errorf("a click by %q: %s", waba, f.sent())
		}
	}
}

func TestCallCarriesTheTenantsSecrets(t *testing.T) {
	f := setup(t)
	f.deliver(f.message(f.event(events.Lead, "order-1")))
	c := f.graph.calls[0]
	if c.Dataset != "1111" || c.Token != "s3cr3t-acme-token" || c.AppSecret != "s3cr3t-acme-app" || c.TestEventCode != "TEST1" {
		t.Errorf("call %+v", c)
	}
}

// The tenants file may have changed since the event was accepted.
func TestWhatMetaSurelyRefusesIsNotSent(t *testing.T) {
	f := setup(t)
	nobody := f.event(events.CompleteRegistration, "nobody") // system_generated wants a person
	nobody.Phones = nil
	noValue := f.event(events.Purchase, "no-value")
	noValue.CustomData = nil
	msgs := []*queue.Message{f.message(nobody), f.message(noValue), f.message(f.event(events.Lead, "good"))}
	for i, d := range f.deliver(msgs...) {
		if d.Action != queue.Ack {
			t.Errorf("event %d: %+v", i, d)
		}
	}
	if len(f.graph.calls) != 1 || f.graph.taken["good"] != 1 || len(f.graph.taken) != 1 {
		t.Errorf("Meta has %v after %d calls", f.graph.taken, len(f.graph.calls))
	}
	for _, m := range msgs[:2] {
		if rec := f.record(m); rec.Outcome != "dead" {
			t.Errorf("%s: %+v", m.EventID, rec)
		}
	}
}
