package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Event is an event that was received.
type Event struct {
	Seq              uint64          `json:"seq"`  // counts received events, from 1
	Call             uint64          `json:"call"` // counts calls, from 1
	ReceivedAt       time.Time       `json:"received_at"`
	Dataset          string          `json:"dataset"`
	Name             string          `json:"event_name"`
	ID               string          `json:"event_id"`
	Time             int64           `json:"event_time"`
	ActionSource     string          `json:"action_source"`
	MessagingChannel string          `json:"messaging_channel,omitempty"`
	WABA             string          `json:"whatsapp_business_account_id,omitempty"`
	Clid             string          `json:"ctwa_clid,omitempty"`
	Value            json.Number     `json:"value,omitempty"` // digit for digit
	Currency         string          `json:"currency,omitempty"`
	TestEventCode    string          `json:"test_event_code,omitempty"`
	PartnerAgent     string          `json:"partner_agent,omitempty"`
	TokenInURL       bool            `json:"token_in_url,omitempty"` // the token was where logs can see it
	Body             json.RawMessage `json:"body"`                   // the event as it came
}

// Double is an event that was received more than once.
type Double struct {
	Dataset   string `json:"dataset"`
	EventName string `json:"event_name"`
	EventID   string `json:"event_id"`
	Count     int    `json:"count"`
}

// RefusedCount says how often one reason of refusal was given.
type RefusedCount struct {
	Code    int    `json:"code"`
	Subcode int    `json:"subcode,omitempty"`
	Reason  string `json:"reason"`
	Calls   uint64 `json:"calls"`
	Events  uint64 `json:"events"` // in those calls: a batch falls as a whole
}

// Refusal is one call that was refused. Unlike the answer, it tells which event
// of the batch was to blame.
type Refusal struct {
	At        time.Time `json:"at"`
	Call      uint64    `json:"call"`
	Dataset   string    `json:"dataset"`
	Code      int       `json:"code"`
	Subcode   int       `json:"subcode,omitempty"`
	Events    int       `json:"events"`
	Index     int       `json:"index"` // -1 where it is the request as a whole
	Field     string    `json:"field,omitempty"`
	EventName string    `json:"event_name,omitempty"`
	EventID   string    `json:"event_id,omitempty"`
	Reason    string    `json:"reason"`
}

// Stats are the totals since the start or the last Reset.
type Stats struct {
	Calls       uint64         `json:"calls"`
	Succeeded   uint64         `json:"succeeded_calls"`
	Refused     uint64         `json:"refused_calls"` // by the rules
	Faulted     uint64         `json:"faulted_calls"` // gone wrong by a fault, or left by the caller
	Events      uint64         `json:"events"`        // received, doubles included
	Distinct    int            `json:"distinct"`
	Doubled     int            `json:"doubled"` // distinct events received more than once
	TokensInURL uint64         `json:"tokens_in_url"`
	Stored      int            `json:"stored"`
	FirstAt     time.Time      `json:"first_at,omitzero"` // when the first of the events came
	LastAt      time.Time      `json:"last_at,omitzero"`  // and the last
	RefusedBy   []RefusedCount `json:"refused_by"`
	Refusals    []Refusal      `json:"refusals"` // the last 200, newest first
	Doubles     []Double       `json:"doubles"`
}

// Filter picks stored events; what is zero does not count.
type Filter struct {
	EventID, EventName, Dataset string
	Since                       time.Time // received at or after
	Limit                       int       // the newest so many
}

// Events returns the stored events that the filter picks, oldest first.
func (s *Sandbox) Events(f Filter) []Event {
	idHash := s.ledger.idHash([]byte(f.EventID))
	var out []Event
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	s.ledger.newest(func(en *entry) bool {
		if f.EventID != "" && en.idHash != idHash || f.Dataset != "" && en.dataset.id != f.Dataset || en.at.Before(f.Since) {
			return true
		}
		ev := en.decode()
		if f.EventID != "" && ev.ID != f.EventID || f.EventName != "" && ev.Name != f.EventName {
			return true
		}
		out = append(out, ev)
		return f.Limit == 0 || len(out) < f.Limit
	})
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// decode makes the event of an entry, whose text is known to be good.
func (en *entry) decode() Event {
	var in struct {
		Name    string `json:"event_name"`
		ID      string `json:"event_id"`
		Time    int64  `json:"event_time"`
		Source  string `json:"action_source"`
		Channel string `json:"messaging_channel"`
		User    struct {
			WABA string `json:"whatsapp_business_account_id"`
			Clid string `json:"ctwa_clid"`
		} `json:"user_data"`
		Custom struct {
			Value    json.Number `json:"value"`
			Currency string      `json:"currency"`
		} `json:"custom_data"`
	}
	_ = json.Unmarshal(en.raw, &in) // it was read once, by a stricter reader
	return Event{
		Seq: en.seq, Call: en.number, ReceivedAt: en.at, Dataset: en.dataset.id,
		Name: in.Name, ID: in.ID, Time: in.Time, ActionSource: in.Source, MessagingChannel: in.Channel,
		WABA: in.User.WABA, Clid: in.User.Clid, Value: in.Custom.Value, Currency: in.Custom.Currency,
		TestEventCode: en.testCode, PartnerAgent: en.partnerAgent, TokenInURL: en.tokenInURL,
		Body: bytes.Clone(en.raw),
	}
}

// Count says how often an event was received. Unlike Events it never forgets.
func (s *Sandbox) Count(dataset, eventName, eventID string) int {
	k := s.ledger.key(dataset, []byte(eventName), []byte(eventID))
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return int(s.ledger.counts[k])
}

// Doubles lists the events that were received more than once.
func (s *Sandbox) Doubles() []Double {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return s.ledger.doubled()
}

// Stats returns the totals.
func (s *Sandbox) Stats() Stats {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return s.ledger.stats()
}

// Reset forgets what was received and refused. Faults stay; call numbers go on.
func (s *Sandbox) Reset() {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	s.ledger.clear()
}

func (s *Sandbox) getEvents(w http.ResponseWriter, r *http.Request) {
	f, err := parseFilter(r.URL.Query())
	if err != nil {
		complain(w, err)
		return
	}
	events := s.Events(f)
	if events == nil {
		events = []Event{}
	}
	reply(w, http.StatusOK, map[string]any{"events": events})
}

// parseFilter reads ?event_id=&event_name=&dataset=&since=&limit=.
func parseFilter(q url.Values) (Filter, error) {
	f := Filter{EventID: q.Get("event_id"), EventName: q.Get("event_name"), Dataset: q.Get("dataset"), Limit: 1000}
	if v := q.Get("since"); v != "" {
		if sec, err := strconv.ParseInt(v, 10, 64); err == nil {
			f.Since = time.Unix(sec, 0)
		} else if f.Since, err = time.Parse(time.RFC3339, v); err != nil {
			return f, errors.New("since must be Unix seconds or RFC 3339")
		}
	}
	if v := q.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return f, errors.New("limit must be a number of at least 1")
		}
		f.Limit = n
	}
	return f, nil
}

func (s *Sandbox) deleteEvents(w http.ResponseWriter, _ *http.Request) {
	s.Reset()
	w.WriteHeader(http.StatusNoContent)
}

// getStats answers the totals; ?doubles=N shortens the list of doubles.
func (s *Sandbox) getStats(w http.ResponseWriter, r *http.Request) {
	st := s.Stats()
	if v := r.URL.Query().Get("doubles"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			complain(w, errors.New("doubles must be a number of at least 0"))
			return
		}
		st.Doubles = st.Doubles[:min(n, len(st.Doubles))]
	}
	reply(w, http.StatusOK, st)
}

func (s *Sandbox) getFaults(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]any{"faults": s.Faults()})
}

func (s *Sandbox) postFault(w http.ResponseWriter, r *http.Request) {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	dec.DisallowUnknownFields()
	var f Fault
	if err := dec.Decode(&f); err != nil {
		complain(w, err)
		return
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		complain(w, errors.New("send one fault at a time"))
		return
	}
	id, err := s.AddFault(f)
	if err != nil {
		complain(w, err)
		return
	}
	reply(w, http.StatusCreated, FaultReport{ID: id, Fault: f})
}

func (s *Sandbox) deleteFaults(w http.ResponseWriter, _ *http.Request) {
	s.ClearFaults()
	w.WriteHeader(http.StatusNoContent)
}

// complain answers a wrong use of the sandbox's own API.
func complain(w http.ResponseWriter, err error) {
	reply(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
}

func reply(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"the sandbox could not write its answer"}`)
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, status, body)
}
