package sandbox_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/homing-dev/homing/internal/sandbox"
)

// user and custom reach into an event.
func user(e object) object   { return e["user_data"].(object) }
func custom(e object) object { return e["custom_data"].(object) }

// generated turns an event into one outside messaging.
func generated(e object) {
	e["action_source"], e["event_name"] = "system_generated", "Subscribe"
	delete(e, "messaging_channel")
}

func onMessenger(e object) {
	e["messaging_channel"] = "messenger"
	e["user_data"] = object{"page_id": "555", "page_scoped_user_id": "4242"}
}

func onInstagram(e object) {
	e["messaging_channel"] = "instagram"
	e["user_data"] = object{"ig_account_id": "888", "ig_sid": "4242"}
}

func extinfo() []string {
	return append([]string{"a2"}, strings.Split("com.example,1,1.0,14,Pixel,en_US,CET,x,1080,1920,2,8,64,32,Europe/Rome", ",")...)
}

// ruleCase spoils (or changes) a good Purchase; subcode 0 with code 100 is an
// error of a parameter's form, code 0 a success.
type ruleCase struct {
	name    string
	dataset string // a key of ruleOptions; "waba" where empty
	change  func(e object)
	code    int
	subcode int
}

func ruleOptions() sandbox.Options {
	return sandbox.Options{
		Now: testNow,
		Datasets: map[string]sandbox.Dataset{
			"1": {WABAs: []string{testWABA}},
			"2": {Pages: []string{"555", "556"}},
			"3": {InstagramAccounts: []string{"888"}},
			"4": {Website: true},
		},
		KnownClids: map[string]string{testClid: "", "ARApage555": "555"},
	}
}

func datasetID(kind string) string {
	return map[string]string{"": "1", "waba": "1", "page": "2", "instagram": "3", "website": "4"}[kind]
}

func subcodeCases() []ruleCase {
	now := testNow().Unix()
	const week = 7 * 24 * 3600
	return []ruleCase{
		{"too old", "", func(e object) { e["event_time"] = now - week - 1 }, 100, 2804003},
		{"too old for a shop", "", func(e object) {
			generated(e)
			e["action_source"] = "physical_store"
			e["event_time"] = now - 63*24*3600
		}, 100, 2804003},
		{"milliseconds", "", func(e object) { e["event_time"] = now * 1000 }, 100, 2804004},
		{"future", "", func(e object) { e["event_time"] = now + 1 }, 100, 2804004},
		{"contents without id", "", func(e object) { custom(e)["contents"] = []object{{"id": "a"}, {"quantity": 1}} }, 100, 2804008},
		{"purchase without value", "", func(e object) { delete(custom(e), "value") }, 100, 2804009},
		{"purchase without custom_data", "", func(e object) { delete(e, "custom_data") }, 100, 2804009},
		{"order without value", "", func(e object) { e["event_name"] = "OrderCreated"; delete(custom(e), "value") }, 100, 2804009},
		{"purchase without currency", "", func(e object) { delete(custom(e), "currency") }, 100, 2804011},
		{"MRU", "", func(e object) { custom(e)["currency"] = "MRU" }, 100, 2804011},
		{"no currency of this world", "", func(e object) { custom(e)["currency"] = "ABC" }, 100, 2804011},
		{"two letters", "", func(e object) { custom(e)["currency"] = "US" }, 100, 2804011},
		{"value alone", "", func(e object) { e["event_name"] = "AddToCart"; delete(custom(e), "currency") }, 100, 2804023},
		{"LDU without country", "", func(e object) { e["data_processing_options"] = []string{"LDU"} }, 100, 2804030},
		{"lead_id", "", func(e object) { user(e)["lead_id"] = "12" }, 100, 2804036},
		{"lead_id with letters", "", func(e object) { user(e)["lead_id"] = "l234567890123456" }, 100, 2804036},
		{"app event without extinfo", "", func(e object) { generated(e); e["action_source"] = "app" }, 100, 2804043},
		{"extinfo too short", "", func(e object) { generated(e); e["app_data"] = object{"extinfo": []string{"a2"}} }, 100, 2804043},
		{"extinfo of no system", "", func(e object) { x := extinfo(); x[0] = "z9"; e["app_data"] = object{"extinfo": x} }, 100, 2804043},
		{"no customer information", "", func(e object) { generated(e); delete(user(e), "ph") }, 100, 2804050},
		{"too broad", "", func(e object) { generated(e); e["user_data"] = object{"ct": hashOf("rome"), "ge": hashOf("f")} }, 100, 2804050},
		{"no channel", "", func(e object) { delete(e, "messaging_channel") }, 100, 2804063},
		{"client_ip_address", "", func(e object) { user(e)["client_ip_address"] = "203.0.113.1" }, 100, 2804064},
		{"client_user_agent", "", func(e object) { user(e)["client_user_agent"] = "x" }, 100, 2804064},
		{"fbc", "", func(e object) { user(e)["fbc"] = "fb.1.2.x" }, 100, 2804064},
		{"fbp", "", func(e object) { user(e)["fbp"] = "fb.1.2.x" }, 100, 2804064},
		{"Lead", "", func(e object) { e["event_name"] = "Lead" }, 100, 2804066},
		{"Subscribe", "", func(e object) { e["event_name"] = "Subscribe" }, 100, 2804066},
		{"lower case", "", func(e object) { e["event_name"] = "purchase" }, 100, 2804066},
		{"no click", "", func(e object) { delete(user(e), "ctwa_clid") }, 100, 2804071},
		{"no PSID", "page", func(e object) { onMessenger(e); delete(user(e), "page_scoped_user_id") }, 100, 2804071},
		{"click of another Page", "page", func(e object) {
			user(e)["ctwa_clid"] = "ARApage555"
			user(e)["page_id"] = "556"
			delete(user(e), "whatsapp_business_account_id")
		}, 100, 2804072},
		{"no ig_sid", "instagram", func(e object) { onInstagram(e); delete(user(e), "ig_sid") }, 100, 2804075},
		{"no ig_account_id", "instagram", func(e object) { onInstagram(e); delete(user(e), "ig_account_id") }, 100, 2804079},
		{"order without currency", "", func(e object) { e["event_name"] = "OrderCreated"; delete(custom(e), "currency") }, 100, 2804081},
		{"click that Meta did not make", "", func(e object) { user(e)["ctwa_clid"] = "ARAinvented" }, 100, 2804087},
		{"click with a blank", "", func(e object) { user(e)["ctwa_clid"] = testClid + " " }, 100, 2804087},
		{"hashed click", "", func(e object) { user(e)["ctwa_clid"] = hashOf(testClid) }, 100, 2804087},
		{"neither Page nor WABA", "", func(e object) { delete(user(e), "whatsapp_business_account_id") }, 100, 2804116},
		{"Page on a WABA dataset", "", func(e object) { user(e)["page_id"] = "555" }, 100, 2804131},
		{"WABA on a website pixel", "website", func(object) {}, 100, 2804132},
		{"WABA of somebody else", "", func(e object) { user(e)["whatsapp_business_account_id"] = "1" }, 100, 2804132},
		{"Instagram on a WABA dataset", "", onInstagram, 100, 2804133},
	}
}

func formCases() []ruleCase {
	without := func(field string) func(object) { return func(e object) { delete(e, field) } }
	with := func(field string, v any) func(object) { return func(e object) { e[field] = v } }
	return []ruleCase{
		{"no event_name", "", without("event_name"), 100, 0},
		{"no event_time", "", without("event_time"), 100, 0},
		{"no event_id", "", without("event_id"), 100, 0},
		{"empty event_id", "", with("event_id", ""), 100, 0},
		{"long event_id", "", with("event_id", strings.Repeat("x", 257)), 100, 0},
		{"no action_source", "", without("action_source"), 100, 0},
		{"unknown action_source", "", with("action_source", "telepathy"), 100, 0},
		{"no user_data", "", without("user_data"), 100, 0},
		{"unknown channel", "", with("messaging_channel", "pigeon"), 100, 0},
		{"unknown field", "", with("event_nmae", "x"), 100, 0},
		{"unknown user field", "", func(e object) { user(e)["phone"] = "x" }, 100, 0},
		{"time as text", "", with("event_time", "1790000000"), 100, 0},
		{"time with a fraction", "", with("event_time", json.Number("1790000000.5")), 100, 0},
		{"name as a number", "", with("event_name", 1), 100, 0},
		{"plain phone", "", func(e object) { user(e)["ph"] = "+16505551212" }, 100, 0},
		{"plain phone in a list", "", func(e object) { user(e)["ph"] = []string{hashOf("x"), "16505551212"} }, 100, 0},
		{"plain e-mail", "", func(e object) { user(e)["em"] = []string{"a@example.com"} }, 100, 0},
		{"upper-case hash", "", func(e object) { user(e)["external_id"] = strings.ToUpper(hashOf("x")) }, 100, 0},
		{"empty list", "", func(e object) { user(e)["ph"] = []string{} }, 100, 0},
		{"WABA as a number", "", func(e object) { user(e)["whatsapp_business_account_id"] = 5 }, 100, 0},
		{"value as text", "", func(e object) { custom(e)["value"] = "12" }, 100, 0},
		{"value below zero", "", func(e object) { custom(e)["value"] = -1 }, 100, 0},
		{"value without end", "", func(e object) { custom(e)["value"] = json.Number("1e999") }, 100, 0},
		{"channel outside messaging", "", func(e object) { generated(e); e["messaging_channel"] = "whatsapp" }, 100, 0},
		{"name too long", "", func(e object) { generated(e); e["event_name"] = strings.Repeat("x", 51) }, 100, 0},
		{"opt_out as text", "", with("opt_out", "yes"), 100, 0},
		{"contents no list", "", func(e object) { custom(e)["contents"] = object{} }, 100, 0},
		{"num_items with a fraction", "", func(e object) { custom(e)["num_items"] = 1.5 }, 100, 0},
	}
}

func goodCases() []ruleCase {
	now := testNow().Unix()
	return []ruleCase{
		{"purchase", "", func(object) {}, 0, 0},
		{"seven days", "", func(e object) { e["event_time"] = now - 7*24*3600 }, 0, 0},
		{"a shop's month", "", func(e object) {
			generated(e)
			e["action_source"] = "physical_store"
			e["event_time"] = now - 30*24*3600
		}, 0, 0},
		{"lower-case currency", "", func(e object) { custom(e)["currency"] = "brl" }, 0, 0},
		{"long value", "", func(e object) { custom(e)["value"] = json.Number("1234567890123456.78") }, 0, 0},
		{"value of nothing", "", func(e object) { custom(e)["value"] = 0 }, 0, 0},
		{"no value for a cart", "", func(e object) { e["event_name"] = "AddToCart"; delete(e, "custom_data") }, 0, 0},
		{"subscribe outside messaging", "", generated, 0, 0},
		{"own property", "", func(e object) { custom(e)["lead_stage"] = "hot" }, 0, 0},
		{"contents", "", func(e object) { custom(e)["contents"] = []object{{"id": "a", "quantity": 1}} }, 0, 0},
		{"LDU", "", func(e object) {
			e["data_processing_options"], e["data_processing_options_country"], e["data_processing_options_state"] = []string{"LDU"}, 0, 0
		}, 0, 0},
		{"lead_id", "", func(e object) { user(e)["lead_id"] = json.Number("1234567890123456") }, 0, 0},
		{"app", "", func(e object) { generated(e); e["action_source"] = "app"; e["app_data"] = object{"extinfo": extinfo()} }, 0, 0},
		{"page", "page", func(e object) {
			user(e)["ctwa_clid"] = "ARApage555"
			user(e)["page_id"] = "555"
			delete(user(e), "whatsapp_business_account_id")
		}, 0, 0},
		{"messenger", "page", onMessenger, 0, 0},
		{"instagram", "instagram", onInstagram, 0, 0},
		{"escaped name", "", func(e object) { e["event_id"] = "a\"b\\c" }, 0, 0},
		{"two phones", "", func(e object) { user(e)["ph"] = []string{hashOf("a"), hashOf("b")} }, 0, 0},
	}
}

func TestRules(t *testing.T) {
	for _, tt := range slices.Concat(subcodeCases(), formCases(), goodCases()) {
		t.Run(tt.name, func(t *testing.T) {
			s := sandbox.New(ruleOptions())
			e := purchase("e1")
			tt.change(e)
			got := serve(t, s, request("POST", "/v25.0/"+datasetID(tt.dataset)+"/events", encode(t, batchOf(e))))
			if got.verdict() != [2]int{tt.code, tt.subcode} {
				t.Fatalf("got %v %+v, want %d/%d", got.verdict(), got.Error, tt.code, tt.subcode)
			}
			if (got.Error != nil && got.Error.Title != "") != (tt.subcode != 0) {
				t.Errorf("error_user_title %q", got.Error.Title)
			}
			if n := s.Stats().Events; (n == 1) != (tt.code == 0) {
				t.Errorf("%d events counted", n)
			}
		})
	}
}

// TestEverySubcodeIsProvoked holds the table above against the list of what
// Meta is known to answer about a field.
func TestEverySubcodeIsProvoked(t *testing.T) {
	var have []int
	for _, c := range subcodeCases() {
		have = append(have, c.subcode)
	}
	for _, sub := range []int{
		2804003, 2804004, 2804008, 2804009, 2804011, 2804023, 2804030, 2804036, 2804043, 2804050, 2804063, 2804064,
		2804066, 2804071, 2804072, 2804075, 2804079, 2804081, 2804087, 2804116, 2804131, 2804132, 2804133,
	} {
		if !slices.Contains(have, sub) {
			t.Errorf("no request provokes %d", sub)
		}
	}
}

// TestOrderOfChecks: with everything wrong, the name comes before the click.
func TestOrderOfChecks(t *testing.T) {
	s := sandbox.New(ruleOptions())
	e := purchase("e1")
	e["event_name"] = "Lead"
	user(e)["ctwa_clid"] = "ARAinvented"
	user(e)["whatsapp_business_account_id"] = "1"
	steps := []struct {
		fix  func()
		want int
	}{
		{func() {}, 2804066},
		{func() { e["event_name"] = "LeadSubmitted" }, 2804132},
		{func() { user(e)["whatsapp_business_account_id"] = testWABA }, 2804087},
		{func() { user(e)["ctwa_clid"] = testClid }, 0},
	}
	for _, step := range steps {
		step.fix()
		got := serve(t, s, request("POST", "/v25.0/1/events", encode(t, batchOf(e))))
		if got.verdict()[1] != step.want {
			t.Errorf("got %v, want subcode %d", got.verdict(), step.want)
		}
	}
}

// TestPlainTextIsNotEchoed: what should have been a hash may be a phone number.
func TestPlainTextIsNotEchoed(t *testing.T) {
	s := newSandbox(sandbox.Options{})
	e := purchase("e1")
	user(e)["ph"] = "+16505551212"
	user(e)["em"] = "mary@example.com"
	got := send(t, s, batchOf(e))
	for _, text := range []string{encode(t, got.Error), encode(t, s.Stats())} {
		if strings.Contains(text, "5551212") || strings.Contains(text, "mary") || strings.Contains(text, testToken) {
			t.Errorf("plain text in %s", text)
		}
	}
}

func TestClockSkew(t *testing.T) {
	s := newSandbox(sandbox.Options{ClockSkew: time.Minute})
	e := purchase("e1")
	for ahead, want := range map[int64]int{60: 0, 61: 2804004} {
		e["event_time"] = testNow().Unix() + ahead
		if got := send(t, s, batchOf(e)); got.verdict()[1] != want {
			t.Errorf("%d s ahead: %v, want subcode %d", ahead, got.verdict(), want)
		}
	}
}

func TestUserTextIsLocalised(t *testing.T) {
	e := purchase("e1")
	e["event_name"] = "Lead"
	rare := purchase("e2")
	delete(user(rare), "ctwa_clid")
	for _, tt := range []struct {
		header, option string
		event          object
		want           string
	}{
		{"", "", e, "Messaging Event Invalid Event Type"},
		{"ja, fr;q=0.5", "", e, "Messaging Event Invalid Event Type"},
		{"pt-BR,en;q=0.5", "", e, "Tipo de evento inválido para mensagens"},
		{"fr, es", "", e, "Tipo de evento de mensajes no válido"},
		{"da", "", e, "Ugyldig hændelsestype for beskeder"},
		{"", "it_IT", e, "Tipo di evento non valido per i messaggi"},
		{"pt-BR", "da_DK", e, "Ugyldig hændelsestype for beskeder"},
		{"pt", "", rare, "Parâmetro inválido"},
		{"es", "", rare, "Parámetro no válido"},
		{"da", "", rare, "Ugyldig parameter"},
		{"it", "", rare, "Parametro non valido"},
	} {
		s := newSandbox(sandbox.Options{Locale: tt.option})
		r := request("POST", path, encode(t, batchOf(tt.event)))
		r.Header.Set("Accept-Language", tt.header)
		got := serve(t, s, r)
		if got.Error.Title != tt.want || got.Error.Msg == "" {
			t.Errorf("%q/%q: %q, want %q", tt.header, tt.option, got.Error.Title, tt.want)
		}
	}
}

// TestImplausibleClick: what was tampered with is refused though no click is known.
func TestImplausibleClick(t *testing.T) {
	s := newSandbox(sandbox.Options{})
	for clid, want := range map[string]int{testClid: 0, testClid + " ": 2804087, hashOf(testClid): 2804087, strings.Repeat("A", 1025): 2804087} {
		e := purchase("e1")
		user(e)["ctwa_clid"] = clid
		if got := send(t, s, batchOf(e)); got.verdict()[1] != want {
			t.Errorf("%.20q: %v, want subcode %d", clid, got.verdict(), want)
		}
	}
}
