package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Fault makes the calls that it matches go wrong. Of several faults that match
// a call, the oldest one acts alone.
type Fault struct {
	Match  Match  `json:"match"`
	Times  int    `json:"times,omitempty"` // fire at most so often; 0 is for ever
	Action Action `json:"action"`
}

// Match picks calls. Every condition that is set must hold; the zero value
// matches every call to the events edge.
type Match struct {
	Dataset   string `json:"dataset,omitempty"`
	EventName string `json:"event_name,omitempty"` // together with EventID: of one and the same event
	EventID   string `json:"event_id,omitempty"`

	// Nth picks only the n-th call that meets the conditions above, from 1.
	Nth int `json:"nth,omitempty"`

	// Probability picks that share of the calls, drawn from Seed; 0 means all.
	Probability float64 `json:"probability,omitempty"`
	Seed        uint64  `json:"seed,omitempty"`
}

// Action is what a fault does. Latency and Usage alone leave the answer as it
// would have been. Nothing is counted as received unless Counted is set, or the
// events are taken in the end.
type Action struct {
	// Latency delays whatever follows; "250ms" in JSON.
	Latency time.Duration `json:"-"`

	// Counted makes the events, if they are valid, count as received before
	// anything else happens: Meta has them, though the caller is not told.
	Counted bool `json:"counted,omitempty"`

	// Status answers with that HTTP status and a body of kind Body. Code,
	// Subcode and Transient go into a Graph body; where Code is 0 one that goes
	// with the status is taken. A Code alone means status 400.
	Status    int    `json:"status,omitempty"`
	Code      int    `json:"code,omitempty"`
	Subcode   int    `json:"subcode,omitempty"`
	Transient bool   `json:"is_transient,omitempty"`
	Message   string `json:"message,omitempty"`
	Body      Body   `json:"body,omitempty"`

	// RetryAfter is the Retry-After header, as it stands.
	RetryAfter string `json:"retry_after,omitempty"`

	// Usage adds Meta's three usage headers.
	Usage *Usage `json:"usage,omitempty"`

	// Cut ends the connection without a whole answer.
	Cut Cut `json:"cut,omitempty"`

	// Short makes events_received that much too small. Only so many events are
	// counted, or all of them if Counted is set.
	Short int `json:"short,omitempty"`

	// Hang never answers: the call ends when the caller goes away.
	Hang bool `json:"hang,omitempty"`
}

// Body is the kind of body that a failing answer has.
type Body string

// The kinds of body; the zero value is BodyGraph.
const (
	BodyGraph Body = "graph"
	BodyHTML  Body = "html" // what a proxy in front of Meta says
	BodyEmpty Body = "empty"
)

// Cut says where a connection ends.
type Cut string

// The places to cut. The request has been read in both.
const (
	CutBeforeAnswer Cut = "before_answer"
	CutMidAnswer    Cut = "mid_answer"
)

// Usage is the content of the usage headers.
type Usage struct {
	Percent       float64 `json:"percent"`
	RegainMinutes int     `json:"regain_minutes,omitempty"`
}

// FaultReport is a fault and what became of it.
type FaultReport struct {
	ID    int `json:"id"`
	Seen  int `json:"seen"`  // calls that met its conditions, before nth, probability and times
	Fired int `json:"fired"` // calls that it made go wrong
	Fault
}

// validate refuses a fault that contradicts itself.
func (f *Fault) validate() error {
	a := &f.Action
	switch {
	case f.Match.Probability < 0 || f.Match.Probability > 1:
		return errors.New("match.probability must be from 0 to 1")
	case f.Match.Nth < 0 || f.Times < 0 || a.Short < 0 || a.Latency < 0:
		return errors.New("match.nth, times, action.short and action.latency must not be negative")
	case a.Status != 0 && (a.Status < 200 || a.Status > 599):
		return errors.New("action.status must be from 200 to 599")
	case a.Body != "" && a.Body != BodyGraph && a.Body != BodyHTML && a.Body != BodyEmpty:
		return fmt.Errorf("action.body %q must be graph, html or empty", a.Body)
	case a.Body != "" && a.Status == 0:
		return errors.New("action.body needs action.status")
	case a.Cut != "" && a.Cut != CutBeforeAnswer && a.Cut != CutMidAnswer:
		return fmt.Errorf("action.cut %q must be before_answer or mid_answer", a.Cut)
	case a.Hang && (a.fails() || a.Cut != "" || a.Short > 0):
		return errors.New("action.hang goes with nothing but latency and counted")
	case a.Short > 0 && a.fails():
		return errors.New("action.short needs a successful answer: leave status and code out")
	case *a == Action{}:
		return errors.New("action is empty; set latency, counted, status, usage, cut, short or hang")
	}
	return nil
}

// fails reports whether the action gives an answer of its own.
func (a *Action) fails() bool { return a.Status != 0 || a.Code != 0 }

// refusal is the Graph error that the action answers with.
func (a *Action) refusal() *refusal {
	r := &refusal{status: a.Status, code: a.Code, subcode: a.Subcode, transient: a.Transient, message: a.Message, index: -1}
	if r.status == 0 {
		r.status = http.StatusBadRequest
	}
	if r.code == 0 {
		switch {
		case r.status == http.StatusTooManyRequests:
			r.code = codeThrottle
		case r.status >= 500:
			r.code, r.transient = codeService, true
		case r.status == http.StatusUnauthorized:
			r.code = codeToken
		default:
			r.code = codeParam
		}
	}
	if r.message == "" {
		switch r.code {
		case codeService:
			r.message = "Service temporarily unavailable"
		case codeThrottle, 4, 17, 32, 613:
			r.message = "There have been too many calls to this ad-account. Wait a bit and try again."
		case codeToken:
			r.message = "Error validating access token: Session has expired"
		}
	}
	return r
}

// MarshalJSON writes the latency as a word.
func (a Action) MarshalJSON() ([]byte, error) {
	type plain Action
	out := struct {
		plain
		Latency string `json:"latency,omitempty"`
	}{plain: plain(a)}
	if a.Latency != 0 {
		out.Latency = a.Latency.String()
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads an action; it refuses members that it does not know.
func (a *Action) UnmarshalJSON(data []byte) error {
	type plain Action
	var in struct {
		plain
		Latency string `json:"latency"`
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return fmt.Errorf("action: %w", err)
	}
	*a = Action(in.plain)
	if in.Latency == "" {
		return nil
	}
	d, err := time.ParseDuration(in.Latency)
	if err != nil {
		return fmt.Errorf("action.latency %q is not a duration such as 250ms", in.Latency)
	}
	a.Latency = d
	return nil
}

// faults are the faults in force.
type faults struct {
	mu   sync.Mutex
	last int
	list []*armed
}

// armed is a fault with its state.
type armed struct {
	FaultReport
	rand *rand.Rand
}

// AddFault puts a fault in force and returns its id.
func (s *Sandbox) AddFault(f Fault) (id int, err error) {
	if err := f.validate(); err != nil {
		return 0, fmt.Errorf("sandbox: fault: %w", err)
	}
	if f.Action.Usage != nil {
		u := *f.Action.Usage // the caller may change his
		f.Action.Usage = &u
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.last++
	id = s.faults.last
	s.faults.list = append(s.faults.list, &armed{
		FaultReport: FaultReport{ID: id, Fault: f},
		rand:        rand.New(rand.NewPCG(f.Match.Seed, uint64(id))),
	})
	return id, nil
}

// Faults reports the faults in force and how often each has fired.
func (s *Sandbox) Faults() []FaultReport {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	out := make([]FaultReport, 0, len(s.faults.list))
	for _, f := range s.faults.list {
		out = append(out, f.FaultReport)
	}
	return out
}

// ClearFaults ends all faults. Calls that already hang go on hanging.
func (s *Sandbox) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = nil
}

// pick returns the fault for a call, or nil. The report is a copy.
func (fs *faults) pick(dataset string, events []event) *FaultReport {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, f := range fs.list {
		if f.fires(dataset, events) {
			f.Fired++
			report := f.FaultReport
			return &report
		}
	}
	return nil
}

func (f *armed) fires(dataset string, events []event) bool {
	m := &f.Match
	if m.Dataset != "" && m.Dataset != dataset || !m.any(events) {
		return false
	}
	f.Seen++
	switch {
	case f.Times > 0 && f.Fired >= f.Times, m.Nth > 0 && f.Seen != m.Nth:
		return false
	}
	return m.Probability == 0 || f.rand.Float64() < m.Probability
}

// any reports whether one of the events is meant.
func (m *Match) any(events []event) bool {
	if m.EventName == "" && m.EventID == "" {
		return true
	}
	for i := range events {
		if (m.EventName == "" || string(events[i].name) == m.EventName) && (m.EventID == "" || string(events[i].id) == m.EventID) {
			return true
		}
	}
	return false
}
