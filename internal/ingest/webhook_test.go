package ingest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/events"
)

func sign(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// hook posts a webhook signed by the app that speaks for all.
func (h *harness) hook(body string, opts ...opt) reply {
	h.t.Helper()
	return h.post(webhookPath, body, append([]opt{without("Authorization"), header("X-Hub-Signature-256", sign(appSecret, body))}, opts...)...)
}

// webhookOf wraps messages as Meta does, with whatever else stands in value.
func webhookOf(waba, messages string, more ...string) string {
	return fmt.Sprintf(`{"object":"whatsapp_business_account","entry":[{"id":%q,"changes":[{"field":"messages","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550001","phone_number_id":"1"},%s"messages":[%s]}}]}]}`,
		waba, strings.Join(append(more, ""), ","), messages)
}

func TestHandshake(t *testing.T) {
	const right = "hub.mode=subscribe&hub.verify_token=verify-me&hub.challenge="
	for query, code := range map[string]int{
		right + "1158201444": 200,
		right + "%3Cb%3E":    200,
		right:                403,
		right + "%0a":        403,
		right + strings.Repeat("1", maxChallenge+1):                       403,
		"hub.mode=subscribe&hub.verify_token=verify-m&hub.challenge=1":    403,
		"hub.mode=subscribe&hub.challenge=1":                              403,
		"hub.mode=unsubscribe&hub.verify_token=verify-me&hub.challenge=1": 403,
		"hub.verify_token=verify-me&hub.challenge=1":                      403,
		"": 403,
	} {
		h := newHarness(t)
		got := h.get(webhookPath+"?"+query, without("Authorization")).wants(t, code, "")
		switch {
		case code == 403:
			got.wants(t, 403, reasonForbidden)
		case !strings.HasPrefix(got.header.Get("Content-Type"), "text/plain") || got.header.Get("X-Content-Type-Options") != "nosniff":
			t.Errorf("headers %v", got.header)
		case strings.HasSuffix(query, "44") && got.text != "1158201444":
			t.Errorf("challenge %q", got.text)
		}
	}
}

func TestSignature(t *testing.T) {
	body := webhookOf("5550001", `{"from":"919876543210","referral":{"ctwa_clid":"ARA1"}}`)
	for name, sent := range map[string]string{
		"none": "", "other secret": sign("x", body), "other body": sign(appSecret, body+" "),
		"not hex": "sha256=zz", "sha1": "sha1=" + strings.TrimPrefix(sign(appSecret, body), "sha256="), "cut": sign(appSecret, body)[:40],
	} {
		h := newHarness(t)
		h.hook(body, func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", sent) }).wants(t, 401, reasonUnauthorized)
		if len(h.queue.clicks) != 0 || h.metrics.of("webhook unauthorized") != 1 {
			t.Errorf("%s: %d clicks, metrics %v", name, len(h.queue.clicks), h.metrics.told)
		}
	}
	// Meta's escapes are signed as they stand.
	escaped := strings.Replace(body, "whatsapp_business_account", `\u0077hatsapp \u00e4\/`, 1)
	newHarness(t).hook(escaped).wants(t, 200, "").is(t, `{"success":true,"clicks":1}`)
}

func TestWebhookClicks(t *testing.T) {
	const now = 1795348800 // the harness's clock
	user := func(id string) events.Person {
		p, ok := events.UserPerson(id)
		if !ok {
			t.Fatal(id)
		}
		return p
	}
	var (
		phone  = person(t, "919876543210")
		bsuid  = user("US.13491208655302741918")
		parent = user("US.ENT.77")
	)
	click := func(at int64, persons ...events.Person) []events.Click {
		return []events.Click{{Tenant: "acme", Persons: persons, Clid: "ARA1", At: at, WABA: "5550001"}}
	}
	const referral = `"referral":{"source_type":"ad","ctwa_clid":"ARA1"}`
	tests := map[string]struct {
		body string
		want []events.Click
		told string // a counter that must be 1
	}{
		"text":               {webhookOf("5550001", `{"from":"919876543210","id":"wamid.1","timestamp":"1795348000","type":"text",`+referral+`}`), click(1795348000, phone), "webhook stored"},
		"any type, plus":     {webhookOf("5550001", `{"from":"+919876543210","timestamp":1795348000,"type":"request_welcome",`+referral+`}`), click(1795348000, phone), ""},
		"a minute ahead":     {webhookOf("5550001", fmt.Sprintf(`{"from":"919876543210","timestamp":"%d",%s}`, now+60, referral)), click(now+60, phone), ""},
		"ahead":              {webhookOf("5550001", fmt.Sprintf(`{"from":"919876543210","timestamp":"%d",%s}`, now+61, referral)), click(now, phone), ""},
		"no timestamp":       {webhookOf("5550001", `{"from":"919876543210",`+referral+`}`), click(now, phone), ""},
		"garbled timestamp":  {webhookOf("5550001", `{"from":"919876543210","timestamp":{"a":1},`+referral+`}`), click(now, phone), ""},
		"negative timestamp": {webhookOf("5550001", `{"from":"919876543210","timestamp":"-5",`+referral+`}`), click(now, phone), ""},
		"phone and user":     {webhookOf("5550001", `{"from":"919876543210","from_user_id":"US.13491208655302741918","from_parent_user_id":"US.ENT.77",`+referral+`}`), click(now, bsuid, parent, phone), ""},
		"user only":          {webhookOf("5550001", `{"from_user_id":"US.13491208655302741918",`+referral+`}`), click(now, bsuid), ""},
		"by the only contact": {
			webhookOf("5550001", `{`+referral+`}`, `"contacts":[{"wa_id":"919876543210","user_id":"US.13491208655302741918"}]`),
			click(now, bsuid, phone), "",
		},
		"user, and its contact's number": {
			webhookOf("5550001", `{"from_user_id":"US.13491208655302741918",`+referral+`}`,
				`"contacts":[{"wa_id":"15559999","user_id":"US.1"},{"wa_id":"919876543210","user_id":"US.13491208655302741918"}]`),
			click(now, bsuid, phone), "",
		},
		"number, and its contact's user": {
			webhookOf("5550001", `{"from":"919876543210",`+referral+`}`,
				`"contacts":[{"wa_id":"15559999","user_id":"US.1"},{"wa_id":"919876543210","user_id":"US.13491208655302741918"}]`),
			click(now, bsuid, phone), "",
		},
		"another one's contact": {webhookOf("5550001", `{"from_user_id":"US.13491208655302741918",`+referral+`}`,
			`"contacts":[{"wa_id":"15559999","user_id":"US.1"}]`), click(now, bsuid), ""},
		"two contacts":  {webhookOf("5550001", `{`+referral+`}`, `"contacts":[{"wa_id":"1"},{"wa_id":"2"}]`), nil, "webhook no_person"},
		"nobody":        {webhookOf("5550001", `{"from":"",`+referral+`}`), nil, "webhook no_person"},
		"unknown WABA":  {webhookOf("404", `{"from":"919876543210",`+referral+`}`), nil, "webhook unknown_waba"},
		"no WABA":       {`{"entry":[{"changes":[{"value":{"messages":[{"from":"919876543210",` + referral + `}]}}]}]}`, nil, "webhook unknown_waba"},
		"empty clid":    {webhookOf("5550001", `{"from":"919876543210","referral":{"ctwa_clid":""}}`), nil, "webhook ignored"},
		"no clid":       {webhookOf("5550001", `{"from":"919876543210","referral":{"source_type":"post"}}`), nil, "webhook ignored"},
		"odd clid":      {webhookOf("5550001", `{"from":"919876543210","referral":{"ctwa_clid":["ARA1"]}}`), nil, "webhook ignored"},
		"long clid":     {webhookOf("5550001", `{"from":"919876543210","referral":{"ctwa_clid":"`+strings.Repeat("a", 1025)+`"}}`), nil, "webhook invalid_click"},
		"clid with NUL": {webhookOf("5550001", `{"from":"919876543210","referral":{"ctwa_clid":"a\u0000"}}`), nil, "webhook invalid_click"},
		"statuses":      {`{"entry":[{"id":"5550001","changes":[{"value":{"statuses":[{"status":"read","recipient_id":"919876543210"}]}}]}]}`, nil, "webhook ignored"},
		"odd neighbours": {
			`{"object":1,"entry":[null,7,"x",{"id":"5550001","changes":[false,{"value":[]},{"value":{"contacts":{},"messages":["x",{"from":{},"referral":"x"},{"from":"919876543210","timestamp":[],` + referral + `}]}}]}]}`,
			click(now, phone), "webhook stored",
		},
		"an array":  {`[]`, nil, "webhook ignored"},
		"a string":  {`"x"`, nil, "webhook ignored"},
		"null":      {`null`, nil, "webhook ignored"},
		"no object": {`{"entry":{"id":1}}`, nil, "webhook ignored"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.hook(tc.body).wants(t, http.StatusOK, "").
				is(t, fmt.Sprintf(`{"success":true,"clicks":%d}`, len(tc.want)))
			if diff := cmp.Diff(tc.want, h.queue.clicks); diff != "" {
				t.Errorf("clicks (-want +got):\n%s", diff)
			}
			if tc.told != "" && h.metrics.of(tc.told) != 1 {
				t.Errorf("metrics %v", h.metrics.told)
			}
		})
	}
}

func TestWebhookIteratesEverything(t *testing.T) {
	h := newHarness(t)
	m := `{"value":{"messages":[{"from":"919876543210","referral":{"ctwa_clid":"A"}},{"from":"5511987654321","referral":{"ctwa_clid":"B"}}]}}`
	h.hook(`{"entry":[{"id":"5550001","changes":[`+m+`,`+m+`]},{"id":"5550009","changes":[`+m+`]}]}`).
		is(t, `{"success":true,"clicks":6}`)
	if got := h.queue.clicks[5]; got.Tenant != "globex" || got.WABA != "5550009" || got.Clid != "B" {
		t.Errorf("last click %+v", got)
	}
}

func TestWebhookScope(t *testing.T) {
	mine := webhookOf("5550009", `{"from":"919876543210","referral":{"ctwa_clid":"A"}}`)
	theirs := webhookOf("5550001", `{"from":"919876543210","referral":{"ctwa_clid":"A"}}`)
	for body, want := range map[string]int{mine: 1, theirs: 0} {
		h := newHarness(t)
		h.post(webhookPath, body, header("X-Hub-Signature-256", sign("globex-app-secret", body))).wants(t, 200, "")
		if len(h.queue.clicks) != want || h.metrics.of("webhook unknown_waba") != 1-want {
			t.Errorf("%d clicks, metrics %v", len(h.queue.clicks), h.metrics.told)
		}
	}
}

func TestWebhookNotJSON(t *testing.T) {
	for _, body := range []string{``, `{`, `{"entry":[}`, "\x00", `{} {}`, strings.Repeat("[", 20000)} {
		h := newHarness(t)
		h.hook(body).wants(t, 200, "")
		if len(h.queue.clicks) != 0 || h.metrics.of("webhook refused") != 1 {
			t.Errorf("%.20q: %d clicks, metrics %v", body, len(h.queue.clicks), h.metrics.told)
		}
	}
}

func TestConversionFindsTheClickOfAWebhook(t *testing.T) {
	h := newHarness(t)
	h.hook(webhookOf("5550002", `{"from":"919876543210","referral":{"ctwa_clid":"ARA1"}}`)).wants(t, 200, "")
	if got := h.post(sendEventPath, originalLead).wants(t, 200, ""); got.body["ctwa_clid"] != "ARA1" {
		t.Errorf("got %s", got.text)
	}
	if _, e := h.published(); e.WABA != "5550002" {
		t.Errorf("event %+v", e)
	}
}

func TestWebhookStores(t *testing.T) {
	body := webhookOf("5550001", `{"from":"919876543210","referral":{"ctwa_clid":"ARA1"}}`)
	h := newHarness(t)
	h.queue.err = queue.ErrUnavailable
	h.hook(body).wants(t, 503, reasonQueueUnavailable)
	if h.clicks.puts != 0 || h.metrics.of("webhook unavailable") != 1 {
		t.Errorf("%d puts, metrics %v", h.clicks.puts, h.metrics.told)
	}
	h.queue.err = nil
	h.clicks.err = errDown // durable all the same
	h.hook(body).wants(t, 200, "")
	if len(h.queue.clicks) != 1 || h.clicks.puts != 1 {
		t.Errorf("%d clicks, %d puts", len(h.queue.clicks), h.clicks.puts)
	}
}
