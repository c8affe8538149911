package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/homing-dev/homing/internal/tenants"
)

// story tells what happens, and shows what each request was answered.
type story struct {
	ctx  context.Context
	out  io.Writer
	f    flags
	demo tenants.Demo
	run  string // makes ids of this telling its own
}

// playDemo plays a customer's way from an ad to a purchase.
func playDemo(ctx context.Context, f flags, out io.Writer) error {
	demo, err := tenants.ReadDemo(f.tenantsFile(), os.LookupEnv)
	if err != nil {
		return fmt.Errorf("%w; is it running? Start it with: make run", err)
	}
	var id [4]byte
	if _, err := rand.Read(id[:]); err != nil {
		return err
	}
	s := &story{ctx: ctx, out: out, f: f, demo: demo, run: hex.EncodeToString(id[:])}
	clid := "ARDemo" + s.run
	order := "order-" + s.run
	purchase := fmt.Sprintf(`{"event_name":"Purchase","phone_number":"+919876543210","currency":"INR","value":1499.00,"event_id":%q,"custom_data":{"order_id":%q}}`, order, order)
	customer := func(name, id string) string {
		return fmt.Sprintf(`{"event_name":%q,"phone_number":"+919876543210","event_id":%q}`, name, id+s.run)
	}
	organic := `{"event_name":"Purchase","phone_number":"+4915112345678","currency":"EUR","value":20,"event_id":"organic-` + s.run + `"}`
	bad := `{"event_name":"Purchase","phone_number":"+919876543210","currency":"INR","value":"a lot"}`
	for _, chapter := range []func() error{
		func() error {
			return s.webhook("A customer taps an ad and writes to the shop: WhatsApp calls the webhook.", "919876543210", clid)
		},
		func() error { return s.event("She asks to see the product: a Lead.", customer("Lead", "lead-")) },
		func() error { return s.event("She pays: a Purchase.", purchase) },
		func() error { return s.event("The shop's job runs twice and sends the same Purchase again.", purchase) },
		func() error { return s.event("An organic customer pays too: there is no ad to thank.", organic) },
		func() error { return s.event("A bad request: what is wrong is named.", bad) },
		func() error { return s.whatMetaGot(2) },
		func() error { return s.status("How the Purchase ended, by its event_id:", order) },
	} {
		if err := chapter(); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) webhook(title, from, clid string) error {
	body := fmt.Sprintf(`{"object":"whatsapp_business_account","entry":[{"id":%q,"changes":[{"field":"messages","value":{"messaging_product":"whatsapp","contacts":[{"wa_id":%q}],"messages":[{"from":%q,"id":"wamid.%s","timestamp":"%d","type":"text","text":{"body":"Hi"},"referral":{"source_type":"ad","source_id":"120226305854810726","ctwa_clid":%q}}]}}]}]}`,
		s.demo.WABA, from, from, s.run, time.Now().Unix(), clid)
	mac := hmac.New(sha256.New, []byte(s.demo.AppSecret.Reveal()))
	mac.Write([]byte(body))
	return s.post(title, "/webhooks/whatsapp", body, http.Header{"X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(mac.Sum(nil))}})
}

func (s *story) event(title, body string) error {
	return s.post(title, "/api/v1/app/meta-ads/capi/send-event", body, http.Header{"Authorization": {"Basic " + s.demo.APIKey.Reveal()}})
}

// post sends one request of the story and prints its answer.
func (s *story) post(title, path, body string, header http.Header) error {
	fmt.Fprintf(s.out, "\n%s\n  POST %s %s\n", title, path, shorten(body))
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, "http://"+s.f.API+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = header
	req.Header.Set("Content-Type", "application/json")
	code, answer, err := do(req)
	if err != nil {
		return fmt.Errorf("%w; is it running? Start it with: make run", err)
	}
	fmt.Fprintf(s.out, "  %d %s\n", code, bytes.TrimSpace(answer))
	return nil
}

// whatMetaGot waits for n events of this telling to arrive at the sandbox.
func (s *story) whatMetaGot(n int) error {
	fmt.Fprintf(s.out, "\nWhat Meta received:\n")
	ctx, cancel := context.WithTimeout(s.ctx, 15*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.f.Sandbox+"/_sandbox/events", nil)
		if err != nil {
			return err
		}
		_, answer, err := do(req)
		if err != nil {
			return fmt.Errorf("asking the sandbox: %w", err)
		}
		var got struct {
			Events []json.RawMessage `json:"events"`
		}
		if err := json.Unmarshal(answer, &got); err != nil {
			return fmt.Errorf("the sandbox's answer: %w", err)
		}
		var mine []string
		for _, e := range got.Events {
			if bytes.Contains(e, []byte(s.run)) {
				mine = append(mine, "  "+string(e))
			}
		}
		if len(mine) >= n {
			fmt.Fprintln(s.out, strings.Join(mine, "\n"))
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("only %d of %d events arrived: %w", len(mine), n, ctx.Err())
		case <-tick.C:
		}
	}
}

func (s *story) status(title, id string) error {
	fmt.Fprintf(s.out, "\n%s\n  GET /api/v1/app/meta-ads/capi/events/%s\n", title, id)
	req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, "http://"+s.f.API+"/api/v1/app/meta-ads/capi/events/"+id, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Basic "+s.demo.APIKey.Reveal())
	code, answer, err := do(req)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "  %d %s\n", code, bytes.TrimSpace(answer))
	return nil
}

func do(req *http.Request) (int, []byte, error) {
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	return resp.StatusCode, body, err
}

func shorten(s string) string {
	if len(s) > 160 {
		return s[:157] + "..."
	}
	return s
}
