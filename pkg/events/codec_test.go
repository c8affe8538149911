package events

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Generators of what the queue carries.

func genText(min, max int) *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom([]rune("aZ0 \"\\/<>&é정\u2028😀~")), min, max, -1)
}

func genHashes() *rapid.Generator[[]string] {
	return rapid.Custom(func(t *rapid.T) []string {
		var list []string
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			list = append(list, hash(rapid.String().Draw(t, "s")))
		}
		return list
	})
}

func genPersons(min int) *rapid.Generator[[]Person] {
	return rapid.Custom(func(t *rapid.T) []Person {
		var list []Person
		for range rapid.IntRange(min, 4).Draw(t, "n") {
			list = append(list, Person(hash(rapid.String().Draw(t, "s"))))
		}
		return list
	})
}

func genEvent() *rapid.Generator[*Event] {
	return rapid.Custom(func(t *rapid.T) *Event {
		e := &Event{
			Tenant:      genText(1, 64).Draw(t, "tenant"),
			Name:        rapid.SampledFrom(Names()).Draw(t, "name"),
			ID:          genText(1, 128).Draw(t, "id"),
			Time:        rapid.Int64Range(1, 1<<40).Draw(t, "time"),
			Clid:        genText(0, 300).Draw(t, "clid"),
			WABA:        genText(0, 32).Draw(t, "waba"),
			Persons:     genPersons(0).Draw(t, "persons"),
			Phones:      genHashes().Draw(t, "ph"),
			Emails:      genHashes().Draw(t, "em"),
			ExternalIDs: genHashes().Draw(t, "external_id"),
		}
		if rapid.Bool().Draw(t, "custom") {
			e.CustomData = json.RawMessage(fmt.Sprintf(`{"currency":"USD","value":%s,"a":[1.0,"\u00e9"]}`,
				rapid.StringMatching(`(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?`).Draw(t, "value")))
		}
		return e
	})
}

func genSettlement() *rapid.Generator[Settlement] {
	millis := rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMilli(rapid.Int64Range(1, 1<<42).Draw(t, "ms")).UTC()
	})
	return rapid.Custom(func(t *rapid.T) Settlement {
		return Settlement{
			Accept:     genText(1, 36).Draw(t, "accept"),
			Origin:     rapid.Uint64().Draw(t, "origin"),
			Round:      rapid.IntRange(0, 9).Draw(t, "round"),
			Outcome:    rapid.SampledFrom([]Outcome{Delivered, Duplicate, NoClick, Dead, Held}).Draw(t, "outcome"),
			Reason:     rapid.SampledFrom([]Reason{ReasonNone, ReasonExpired, ReasonDeliveryUnknown}).Draw(t, "reason"),
			Unsure:     rapid.Bool().Draw(t, "unsure"),
			Tenant:     genText(0, 64).Draw(t, "tenant"),
			Name:       rapid.SampledFrom(Names()).Draw(t, "name"),
			ID:         genText(0, 128).Draw(t, "id"),
			Attempts:   rapid.IntRange(0, 1<<31-1).Draw(t, "attempts"),
			Clid:       genText(0, 300).Draw(t, "clid"),
			FbtraceID:  genText(0, 30).Draw(t, "fbtrace"),
			TraceID:    genText(0, 32).Draw(t, "trace"),
			AcceptedAt: millis.Draw(t, "accepted_at"),
			At:         rapid.OneOf(millis, rapid.Just(time.Time{})).Draw(t, "at"),
		}
	})
}

func TestEventRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genEvent().Draw(t, "event")
		data := EncodeEvent(want)
		got, err := DecodeEvent(data)
		if err != nil {
			t.Fatalf("%v: %s", err, data)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
		clear(data) // but for the custom data, nothing must live in the message
		want.CustomData, got.CustomData = nil, nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("the event changed with its message:\n%s", diff)
		}
	})
}

func TestClickRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &Click{
			Tenant:  genText(1, 64).Draw(t, "tenant"),
			Persons: genPersons(1).Draw(t, "persons"),
			Clid:    genText(1, 300).Draw(t, "clid"),
			At:      rapid.Int64().Draw(t, "at"),
			WABA:    genText(0, 32).Draw(t, "waba"),
		}
		got, err := DecodeClick(EncodeClick(want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	})
}

func TestSettlementsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(genSettlement(), 1, 20).Draw(t, "lines")
		got, err := DecodeSettlements(EncodeSettlements(want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}

		size := rapid.IntRange(1, 4000).Draw(t, "size")
		var chunked []Settlement
		for _, m := range ChunkSettlements(want, size) {
			lines, err := DecodeSettlements(m)
			if err != nil {
				t.Fatal(err)
			}
			if len(lines) == 0 || len(m) > size && len(lines) > 1 {
				t.Fatalf("a message of %d lines and %d bytes, at most %d asked for", len(lines), len(m), size)
			}
			chunked = append(chunked, lines...)
		}
		if diff := cmp.Diff(want, chunked); diff != "" {
			t.Fatalf("chunks (-want +got):\n%s", diff)
		}
	})
	if lines, err := DecodeSettlements(EncodeSettlements(nil)); err != nil || len(lines) != 0 {
		t.Errorf("no lines: %v, %v", lines, err)
	}
}

// The wire form is kept: messages written by an older program stay readable.
func TestWireForm(t *testing.T) {
	at := time.UnixMilli(1772366400123).UTC()
	for _, tt := range []struct {
		name, got, want string
	}{
		{"event", string(EncodeEvent(&Event{
			Tenant: "acme", Name: Purchase, ID: "1", Time: 2, Clid: "c", WABA: "3", Persons: []Person{"p", "q"},
			Phones: []string{"a"}, Emails: []string{"b"}, ExternalIDs: []string{"d"}, CustomData: []byte(`{"value":1.00}`),
		})), `{"v":1,"tenant":"acme","name":"Purchase","id":"1","time":2,"clid":"c","waba":"3","persons":["p","q"],` +
			`"ph":["a"],"em":["b"],"external_id":["d"],"custom_data":{"value":1.00}}`},
		{
			"click", string(EncodeClick(&Click{Tenant: "acme", Persons: []Person{"p"}, Clid: "c", At: 4, WABA: "3"})),
			`{"v":1,"tenant":"acme","persons":["p"],"clid":"c","at":4,"waba":"3"}`,
		},
		{"settlements", string(EncodeSettlements([]Settlement{
			{
				Accept: "a", Origin: 1, Round: 2, Outcome: Held, Reason: ReasonDeliveryUnknown, Unsure: true, Tenant: "acme", Name: Lead,
				ID: "e", Attempts: 3, Clid: "c", FbtraceID: "f", TraceID: "t", AcceptedAt: at, At: at,
			},
			{Accept: "b", Outcome: Delivered},
		})), `{"v":2,"all":{"outcome":"delivered"},"lines":[{"accept":"a","origin":1,"round":2,"unsure":true,"id":"e","clid":"c",` +
			`"trace_id":"t","accepted_at":1772366400123,"outcome":"held","reason":"delivery_unknown","tenant":"acme","name":"Lead",` +
			`"attempts":3,"fbtrace_id":"f","at":1772366400123},{"accept":"b"}]}`},
		{"settlements of a call", string(EncodeSettlements([]Settlement{
			{Accept: "a", Outcome: Duplicate, Tenant: "acme", Name: Lead, ID: "e", At: at},
			{Accept: "b", Outcome: Delivered, Tenant: "acme", Name: Lead, ID: "e", Attempts: 1, FbtraceID: "f", At: at},
			{Accept: "c", Outcome: Delivered, Tenant: "acme", Name: Lead, ID: "g", Attempts: 1, FbtraceID: "f"},
		})), `{"v":2,"all":{"outcome":"delivered","tenant":"acme","name":"Lead","attempts":1,"fbtrace_id":"f","at":1772366400123},` +
			`"lines":[{"accept":"a","id":"e","outcome":"duplicate","attempts":0,"fbtrace_id":""},{"accept":"b","id":"e"},` +
			`{"accept":"c","id":"g","at":-62135596800000}]}`},
	} {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// The ledger holds lines of version 1 for as long as it keeps any.
func TestSettlementsOfVersion1(t *testing.T) {
	at := time.UnixMilli(1772366400123).UTC()
	got, err := DecodeSettlements([]byte(`{"v":1,"lines":[{"accept":"a","origin":1,"round":2,"outcome":"held","reason":"delivery_unknown","unsure":true,` +
		`"tenant":"acme","name":"Lead","id":"e","attempts":3,"clid":"c","fbtrace_id":"f","trace_id":"t",` +
		`"accepted_at":1772366400123,"at":1772366400123},{"accept":"b","outcome":"delivered"}]}`))
	want := []Settlement{
		{
			Accept: "a", Origin: 1, Round: 2, Outcome: Held, Reason: ReasonDeliveryUnknown, Unsure: true, Tenant: "acme", Name: Lead,
			ID: "e", Attempts: 3, Clid: "c", FbtraceID: "f", TraceID: "t", AcceptedAt: at, At: at,
		},
		{Accept: "b", Outcome: Delivered},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// Newer code may add fields; older code must go on reading.
func TestUnknownFieldsAreIgnored(t *testing.T) {
	e, err := DecodeEvent([]byte(`{"v":1,"new":{"a":[1]},"tenant":"acme","name":"Brand New","id":"1","time":2,"newer":null}`))
	if err != nil || e.ID != "1" || e.Name != "Brand New" {
		t.Errorf("event: %v, %v", e, err)
	}
	c, err := DecodeClick([]byte(`{"v":1,"tenant":"acme","persons":["p"],"clid":"c","new":1}`))
	if err != nil || c.Clid != "c" {
		t.Errorf("click: %v, %v", c, err)
	}
	s, err := DecodeSettlements([]byte(`{"v":1,"new":1,"lines":[{"new":[],"accept":"a","outcome":"dead"}]}`))
	if err != nil || len(s) != 1 {
		t.Errorf("settlements: %v, %v", s, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	event := func(data string) error { _, err := DecodeEvent([]byte(data)); return err }
	click := func(data string) error { _, err := DecodeClick([]byte(data)); return err }
	lines := func(data string) error { _, err := DecodeSettlements([]byte(data)); return err }
	good := `{"v":1,"tenant":"acme","name":"Lead","id":"1","time":2`
	if err := event(good + "}"); err != nil {
		t.Fatal(err)
	}
	many := `["p"` + strings.Repeat(`,"p"`, maxListItems) + `]`
	for _, tt := range []struct {
		name   string
		decode func(string) error
		data   string
		want   string // part of the message
	}{
		{"nothing", event, ``, "first member must be the version"},
		{"a list", event, `[]`, "first member must be the version"},
		{"no members", event, `{}`, "first member must be the version"},
		{"no version", event, `{"tenant":"acme","v":1}`, "first member must be the version"},
		{"version is a string", event, `{"v":"1"}`, "first member must be the version"},
		{"newer version", event, `{"v":2,"secret":{}}`, "version 2 is unknown, this program reads version 1"},
		{"newer version, click", click, `{"v":2}`, "version 2 is unknown"},
		{"newer version, settlements", lines, `{"v":3}`, "version 3 is unknown, this program reads version 2"},
		{"version 0", lines, `{"v":0,"lines":[]}`, "version 0 is unknown"},
		{"cut off", event, good, "ends too early"},
		{"more behind", event, good + "}}", "not valid JSON"},
		{"two events", event, good + "}" + good + "}", "something follows"},
		{"a member twice", event, good + `,"time":3}`, "occurs twice"},
		{"too large", event, good + strings.Repeat(" ", maxEventBytes) + "}", "more than the"},
		{"number for a string", event, good + `,"clid":1}`, "clid must be a string"},
		{"string too long", event, good + `,"clid":"` + strings.Repeat("x", maxWireStringBytes+1) + `"}`, "clid must be a string of at most"},
		{"string for a list", event, good + `,"ph":"x"}`, "ph must be a list"},
		{"list of numbers", event, good + `,"ph":[1]}`, "ph must be a string"},
		{"list too long", event, good + `,"persons":` + many + `}`, "persons must be a list of at most"},
		{"custom_data is a list", event, good + `,"custom_data":[]}`, "custom_data must be an object"},
		{"time is a fraction", event, `{"v":1,"tenant":"acme","name":"Lead","id":"1","time":2.5}`, "time must be a whole number"},
		{"no tenant", event, `{"v":1,"name":"Lead","id":"1","time":2}`, "is missing"},
		{"no name", event, `{"v":1,"tenant":"acme","id":"1","time":2}`, "is missing"},
		{"no id", event, `{"v":1,"tenant":"acme","name":"Lead","time":2}`, "is missing"},
		{"no time", event, `{"v":1,"tenant":"acme","name":"Lead","id":"1"}`, "is missing"},
		{"click without tenant", click, `{"v":1,"persons":["p"],"clid":"c"}`, "is missing"},
		{"click of nobody", click, `{"v":1,"tenant":"acme","persons":[],"clid":"c"}`, "is missing"},
		{"click without id", click, `{"v":1,"tenant":"acme","persons":["p"],"clid":""}`, "is missing"},
		{"no lines", lines, `{"v":1}`, "lines is missing"},
		{"lines is an object", lines, `{"v":1,"lines":{}}`, "lines must be a list"},
		{"line is a number", lines, `{"v":1,"lines":[1]}`, "line 0: must be an object"},
		{"line without acceptance", lines, `{"v":1,"lines":[{"outcome":"dead"}]}`, "line 0: accept"},
		{"line that is not the end", lines, `{"v":1,"lines":[{"accept":"a","outcome":"parked"}]}`, "terminal outcome is missing"},
		{"an acceptance for all", lines, `{"v":2,"all":{"accept":"a","outcome":"dead"},"lines":[{}]}`, "line 0: accept"},
		{"all behind lines", lines, `{"v":2,"lines":[],"all":{}}`, "all must come before lines"},
		{"all is a list", lines, `{"v":2,"all":[],"lines":[]}`, "all must be an object"},
		{"negative count", lines, `{"v":1,"lines":[{"round":-1}]}`, "round is out of range"},
		{"negative origin", lines, `{"v":1,"lines":[{"origin":-1}]}`, "origin must be a whole number"},
		{"unsure is a number", lines, `{"v":1,"lines":[{"unsure":1}]}`, "unsure must be true or false"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.decode(tt.data)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the message shows in %v", err)
			}
		})
	}
}
