package integration

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/homing-dev/homing/internal/sandbox"
	"github.com/homing-dev/homing/test/harness"
)

// TestOriginalCommands sends what the documentation of the replaced API shows.
func TestOriginalCommands(t *testing.T) {
	t.Parallel()
	s := start(t)
	acme := s.Tenants[0]
	phone := harness.Phone(1)
	s.Tap(acme, harness.Click{Phone: phone, Clid: "ARAkLkA8rmlFei", At: time.Now()})
	basic := http.Header{"Authorization": {"Basic " + acme.Key}, "Content-Type": {"application/json"}}
	taken := map[string]int{} // by what becomes of them
	for _, tt := range []struct{ name, body, clid, reason string }{
		{"lead", `{ "event_name": "Lead", "phone_number": "+` + phone + `" }`, "ARAkLkA8rmlFei", ""},
		{"purchase", `{ "event_name": "Purchase", "phone_number": "+` + phone + `", "currency": "INR", "value": 1499.00 }`, "ARAkLkA8rmlFei", ""},
		{"no click", `{ "event_name": "Lead", "phone_number": "+` + harness.Phone(2) + `" }`, "", "no_ctwa_click_id_for_phone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status := "no_click"
			if tt.clid != "" {
				status = "delivered"
			}
			// On a slow machine the click may be looked for later: then it is a 202,
			// and another event is tried.
			harness.Eventually(t, within, "an answer that knows the click", func() error {
				a, err := s.Do(http.MethodPost, harness.PathEvent, basic, tt.body)
				if err != nil || a.Code/100 != 2 {
					t.Fatalf("%d %s %v", a.Code, a.Text, err)
				}
				taken[status]++
				s.AwaitStatus(acme, "", a.Body.EventID, status)
				if a.Code == http.StatusAccepted {
					return errors.New(a.Text)
				}
				if a.Code != http.StatusOK || a.Body.Clid != tt.clid || a.Body.Reason != tt.reason || a.Body.Success != (tt.clid != "") {
					t.Fatalf("%d %s", a.Code, a.Text)
				}
				return nil
			})
		})
	}
	got := s.Meta.Events(sandbox.Filter{EventName: "Purchase"})
	if len(got) == 0 || got[0].Value != "1499.00" || got[0].Currency != "INR" || got[0].Clid != "ARAkLkA8rmlFei" {
		t.Errorf("Meta got %+v", got)
	}
	if n := len(s.Meta.Events(sandbox.Filter{})); n != taken["delivered"] {
		t.Errorf("Meta got %d events, want %d", n, taken["delivered"])
	}
}

func TestHundredConversions(t *testing.T) {
	t.Parallel()
	s := start(t)
	acme := s.Tenants[0]
	var promises harness.Promises
	for n := range 100 {
		clid := clidOf(n)
		s.Tap(acme, harness.Click{Phone: harness.Phone(n), Clid: clid, At: time.Now()})
		id := fmt.Sprintf("order-%d", n)
		body := harness.Conversion("Purchase", id, harness.Phone(n))
		body["email"] = fmt.Sprintf("person%d@%s", n, harness.EmailDomain)
		// On a slow machine the click may be looked for later: then it is a 202.
		a, err := s.Insist(acme, harness.PathEvent, body)
		if err != nil || a.Code == http.StatusOK && a.Body.Clid != clid {
			t.Fatalf("%d %s %v, want click %s", a.Code, a.Text, err, clid)
		}
		promises.Add(acme, "Purchase", id, clid)
	}
	f := s.Judge(&promises, 20*time.Second)
	if want := (harness.Findings{Delivered: 100}); f != want {
		t.Errorf("%s, want %s", f, want)
	}
	for _, e := range s.Meta.Events(sandbox.Filter{}) {
		var n int
		if _, err := fmt.Sscanf(e.ID, "order-%d", &n); err != nil || e.Clid != clidOf(n) {
			t.Errorf("%s came with %s", e.ID, e.Clid)
		}
	}
}

// TestNewestClickWins is about people who tapped an ad before and convert at
// once after the next tap, while workers come and go.
func TestNewestClickWins(t *testing.T) {
	t.Parallel()
	const people, atOnce = 1000, 16
	s := harness.Start(t, harness.Options{Binaries: binaries, Workers: 2})
	acme := s.Tenants[0]
	now := time.Now()
	var older []harness.Click
	for n := range people {
		older = append(older, harness.Click{Phone: harness.Phone(n), Clid: fmt.Sprintf("old-%d", n), At: now.Add(-time.Hour)})
	}
	for len(older) > 0 {
		n := min(100, len(older))
		s.Tap(acme, older[:n]...)
		older = older[n:]
	}

	stop := make(chan struct{})
	var rolling sync.WaitGroup
	rolling.Go(func() {
		for n := 0; ; n++ {
			w := s.Workers[n%len(s.Workers)]
			if code := w.Terminate(30 * time.Second); code != 0 {
				t.Errorf("%s ended with %d", w.Name, code)
			}
			w.Start()
			s.AwaitReady(w)
			select {
			case <-stop:
				return
			default:
			}
		}
	})

	var promises harness.Promises
	next := make(chan int)
	var clients sync.WaitGroup
	for range atOnce {
		clients.Go(func() {
			for n := range next {
				clid := fmt.Sprintf("new-%d", n)
				if a, err := s.Webhook(acme, harness.Click{Phone: harness.Phone(n), Clid: clid, At: time.Now()}); err != nil || a.Code != http.StatusOK {
					t.Errorf("webhook %d: %d %s %v", n, a.Code, a.Text, err)
					continue
				}
				id := fmt.Sprintf("order-%d", n)
				a, err := s.Post(acme, harness.PathEvent, harness.Conversion("Purchase", id, harness.Phone(n)))
				if err != nil || a.Code/100 != 2 || a.Body.Clid != "" && a.Body.Clid != clid {
					t.Errorf("conversion %d: %d %s %v", n, a.Code, a.Text, err)
				}
				promises.Add(acme, "Purchase", id, clid)
			}
		})
	}
	for n := range people {
		next <- n
	}
	close(next)
	clients.Wait()
	close(stop)
	rolling.Wait()

	f := s.Judge(&promises, 30*time.Second)
	if want := (harness.Findings{Delivered: people}); f != want {
		t.Errorf("%s, want %s", f, want)
	}
	if n := len(s.Workers[0].Output()); n == 0 {
		t.Error("the worker logged nothing")
	}
}
