package harness

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/homing-dev/homing/pkg/events"
)

// Promises are what clients were told: the events that the api took.
type Promises struct {
	mu   sync.Mutex
	made map[promise]string
}

type promise struct{ tenant, name, id string }

// Add notes an event that was answered with a 2xx, under the name that Meta is
// sent; clid is the one in the answer, if there was one.
func (p *Promises) Add(t Tenant, name, id, clid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.made == nil {
		p.made = map[promise]string{}
	}
	p.made[promise{t.ID, name, id}] = clid
}

// Len is how many events were promised.
func (p *Promises) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.made)
}

// Findings is how promised events ended.
type Findings struct {
	Delivered, Held, Dead, NoClick int
	Unsure                         int // of those that Meta may have more than once, or not at all
	Doubles                        int // events that Meta has more than once
}

func (f Findings) String() string {
	return fmt.Sprintf("delivered %d, held %d, dead %d, no click %d, unsure %d, doubles %d", f.Delivered, f.Held, f.Dead, f.NoClick, f.Unsure, f.Doubles)
}

// AwaitQuiet waits until every acceptance has an end and nothing is under way.
func (s *Stack) AwaitQuiet(within time.Duration) {
	s.T.Helper()
	js := s.JetStream()
	Eventually(s.T, within, "every event has ended", func() error {
		// A message may move while we look: only if nothing came in between two
		// looks at empty streams was there none.
		first, err := emptyStreams(js)
		if err != nil {
			return err
		}
		second, err := emptyStreams(js)
		if err == nil && !slices.Equal(first, second) {
			err = errors.New("messages are on the move")
		}
		return err
	})
}

// emptyStreams returns how many messages the streams on an event's way have ever
// had, and an error if they have any now.
func emptyStreams(js jetstream.JetStream) (had []uint64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, name := range []string{streamEvents, "HOMING_RETRY", "HOMING_PARKED"} {
		st, err := js.Stream(ctx, name)
		if err != nil {
			return nil, err
		}
		state := st.CachedInfo().State
		if state.Msgs > 0 {
			return nil, fmt.Errorf("%d messages are in %s", state.Msgs, name)
		}
		had = append(had, state.LastSeq)
	}
	return had, nil
}

// Judge waits for the end of all events and compares what clients were promised,
// what the ledger and the status say, and what Meta got. An event may be unsure,
// which a held one is, only when the stack has a doubt about it: see doubts.
func (s *Stack) Judge(p *Promises, within time.Duration) Findings {
	s.T.Helper()
	s.AwaitQuiet(within)
	js := s.JetStream()
	l, err := readLedger(js)
	if err != nil {
		s.T.Fatal(err)
	}
	s.checkNumbers(js, l)
	byKey := map[promise][]events.Settlement{}
	for _, line := range l {
		k := promise{line.Tenant, string(line.Name), line.ID}
		byKey[k] = append(byKey[k], line)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var f Findings
	var wrong []string
	for k, clid := range p.made {
		if complaint := s.judgeOne(k, clid, byKey[k], &f); complaint != "" {
			wrong = append(wrong, fmt.Sprintf("%s/%s/%s: %s", k.tenant, k.name, k.id, complaint))
		}
	}
	slices.Sort(wrong)
	if len(wrong) > 0 {
		s.T.Errorf("%d of %d events went wrong:\n%s", len(wrong), len(p.made), strings.Join(wrong[:min(len(wrong), 20)], "\n"))
		s.tell(wrong[:min(len(wrong), 3)])
	}
	if s.promised == nil {
		s.promised = map[promise]string{}
	}
	maps.Copy(s.promised, p.made)
	for _, e := range s.Meta.Doubles() {
		t := s.tenantOf(e.Dataset)
		if _, ok := s.promised[promise{t.ID, e.EventName, e.EventID}]; !ok {
			s.T.Errorf("Meta has %s/%s %d times, which nobody was promised", e.EventName, e.EventID, e.Count)
		}
	}
	return f
}

// tell logs what the workers said of events whose complaints begin with their names.
func (s *Stack) tell(wrong []string) {
	s.T.Helper()
	for _, w := range wrong {
		names, _, _ := strings.Cut(w, ":")
		about := strconv.Quote(names[strings.LastIndexByte(names, '/')+1:])
		for _, p := range s.Workers {
			for line := range strings.Lines(p.Output()) {
				if strings.Contains(line, about) {
					s.T.Logf("%s of %s: %s", p.Name, names, line)
				}
			}
		}
	}
}

// checkNumbers wants an end for every acceptance number, answered or not.
func (s *Stack) checkNumbers(js jetstream.JetStream, l ledger) {
	s.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	st, err := js.Stream(ctx, streamEvents)
	if err != nil {
		s.T.Fatal(err)
	}
	last := st.CachedInfo().State.LastSeq
	for n := uint64(1); n <= last; n++ {
		if _, ok := l[n]; !ok {
			s.T.Errorf("acceptance %d of %d is nowhere in the ledger", n, last)
		}
	}
	for n := range l {
		if n < 1 || n > last {
			s.T.Errorf("the ledger tells of acceptance %d, and there are %d", n, last)
		}
	}
}

// judgeOne looks at one promised event; lines are its acceptances' ends.
func (s *Stack) judgeOne(k promise, clid string, lines []events.Settlement, f *Findings) string {
	var ends []events.Settlement
	unsure := false
	for _, line := range lines {
		unsure = unsure || line.Unsure
		if line.Outcome != events.Duplicate {
			ends = append(ends, line)
		}
	}
	if len(ends) != 1 {
		return fmt.Sprintf("%d acceptances, %d ends; want one end", len(lines), len(ends))
	}
	end := ends[0]
	if unsure {
		f.Unsure++
		if !s.doubts.has(events.MakeKey(k.tenant, events.Name(k.name), k.id)) {
			return fmt.Sprintf("ends unsure (%s), and no worker died nor was an answer lost with it", end.Outcome)
		}
	}
	t := s.tenantByID(k.tenant)
	got := s.Meta.Count(t.Dataset, k.name, k.id)
	if got > 1 {
		f.Doubles++
		if !unsure {
			return fmt.Sprintf("Meta has it %d times and the ledger is sure of it", got)
		}
		if t.OnUnknown != "" && strings.Contains(t.OnUnknown, "hold") || k.name == "Purchase" || k.name == "Subscribe" {
			return fmt.Sprintf("Meta has it %d times, and it was to be held", got)
		}
	}
	switch end.Outcome {
	case events.Delivered:
		f.Delivered++
		if got == 0 {
			return "delivered says the ledger, and Meta does not have it"
		}
		if clid != "" && end.Clid != clid {
			return fmt.Sprintf("was answered with click %s and sent with %s", clid, end.Clid)
		}
	case events.Held:
		f.Held++
		if !unsure {
			return "held, and the ledger does not call it unsure"
		}
	case events.Dead, events.NoClick:
		if end.Outcome == events.Dead {
			f.Dead++
		} else {
			f.NoClick++
		}
		if got > 0 {
			return fmt.Sprintf("%s says the ledger, and Meta has it", end.Outcome)
		}
	default: // duplicates were set aside; the rest is no end
		return fmt.Sprintf("the ledger ends it as %s", end.Outcome)
	}
	if f.total() > maxStatuses {
		return ""
	}
	return s.judgeStatus(t, k, end)
}

// maxStatuses is how many events are asked for one by one; the others are judged
// by the ledger and by what Meta has.
const maxStatuses = 5000

func (f *Findings) total() int { return f.Delivered + f.Held + f.Dead + f.NoClick }

// judgeStatus wants the same end of the status as of the ledger.
func (s *Stack) judgeStatus(t Tenant, k promise, end events.Settlement) string {
	var a Answer
	err := wait(patience, func() (err error) {
		// A process that lost its line to Redis may need a moment to see it.
		if a, err = s.Status(t, k.name, k.id); err == nil && a.Code == http.StatusServiceUnavailable {
			err = errors.New(a.Text)
		}
		return err
	})
	switch {
	case err != nil:
		return "status: " + err.Error()
	case a.Body.Status != string(end.Outcome):
		return fmt.Sprintf("%s says the ledger, the status %d %s", end.Outcome, a.Code, a.Text)
	}
	return ""
}

func (s *Stack) tenantByID(id string) Tenant {
	for _, t := range s.Tenants {
		if t.ID == id {
			return t
		}
	}
	s.T.Fatalf("there is no tenant %q", id)
	return Tenant{}
}

func (s *Stack) tenantOf(dataset string) Tenant {
	for _, t := range s.Tenants {
		if t.Dataset == dataset {
			return t
		}
	}
	return Tenant{}
}
