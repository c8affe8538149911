package dedup_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/homing-dev/homing/pkg/dedup"
)

// The world is everything around the store that can go wrong: a queue that
// delivers at least once, workers that die or come late at every step, a network
// that loses requests and answers, an API that accepts an event twice, an
// operator who replays, a Redis that forgets, and Meta, who counts every POST.
// It is written from the tables of the design, and uses the real store.

const (
	callTimeout   = 10 * time.Second
	batchDeadline = 60 * time.Second
	// A request starts no later than this after its message was handed out.
	startDeadline = ackWait - callTimeout - 5*time.Second
)

// message is one message of a stream.
type message struct {
	dedup.Message
	due       time.Time
	handed    bool
	handedAt  time.Time
	scheduled bool // waits in HOMING_RETRY; replaced by a later schedule of its round
	gone      bool
}

// stage is what a job does next.
type stage int

const (
	toClaim stage = iota
	toRelease
	toSend
	toSettle
	toBury
	toRecord
	toRetry
	toAck
	over
)

// job is one delivery of a message in the hands of a worker.
type job struct {
	worker    int
	msg       *message
	m         dedup.Message // as it was handed out
	handedAt  time.Time
	claimedAt time.Time
	memory    int // how often Redis had forgotten by then
	stage     stage
	busy      bool // within a call
	claim     dedup.Claim
	next      dedup.Record // the verdict
	record    dedup.Record // what stands
}

// sent is one POST that Meta may have counted.
type sent struct {
	accept   string
	operator bool // after an operator's word that Meta has not what was held
	memory   int  // how many times Redis had forgotten when it was claimed
	takeover bool // of another's claim
}

// line is one line of the ledger.
type line struct {
	accept  string
	round   int
	outcome string
	unsure  bool
}

type letter struct {
	msg      dedup.Message
	outcome  string
	replayed bool
}

// world is one run.
type world struct {
	choose func(n int) int
	hold   bool // on_unknown
	clock  *clock
	fake   *fakeRedis
	store  *dedup.Redis

	messages []*message
	jobs     []*job
	sends    []sent
	ledger   []line
	letters  map[string]*letter
	trace    []string

	accepts, crashes, replays, memory int
	snapshots                         []map[string]string
	incident                          bool
	incidentAt, recoveredAt           time.Time
	seq                               uint64
	calm                              bool // nothing goes wrong any more
	troubled                          bool // something did
	unclosable                        bool // see excused
	untold                            bool // Redis forgot a decision that the ledger never got
	letGo                             bool // an operator replayed what was held
	nested                            bool
	bug                               string
}

func (w *world) say(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%6.0fs ", w.clock.now.Sub(newClock().now).Seconds())+fmt.Sprintf(format, args...))
}

// action is something that can happen now.
type action struct {
	worker int // -1 for nobody's
	do     func()
}

// actions lists what can happen. Common things come more than once.
func (w *world) actions() []action {
	var all []action
	add := func(times, worker int, do func()) {
		for range times {
			all = append(all, action{worker, do})
		}
	}
	if w.accepts < 3 {
		add(1+2*max(0, 1-w.accepts), -1, w.accept)
	}
	for _, m := range w.messages {
		for worker := range 2 {
			if w.deliverable(m, worker) {
				add(2, worker, func() { w.hand(m, worker) })
			}
		}
	}
	for _, j := range w.jobs {
		if !j.busy {
			add(3, j.worker, func() { w.step(j) })
		}
		if w.crashes < 3 {
			add(1, j.worker, func() { w.crash(j.worker) })
		}
	}
	for _, d := range []time.Duration{2 * time.Second, 35 * time.Second, ackWait, 2 * ackWait} {
		add(1, -1, func() {
			w.clock.Advance(d)
			for _, j := range w.jobs { // a worker that stalls
				w.troubled = w.troubled || w.clock.now.Sub(j.handedAt) >= ackWait
			}
		})
	}
	for i := range w.fake.late {
		add(2, -1, func() {
			w.say("late commands land")
			w.fake.land(i)
		})
	}
	if w.memory < 1 && w.accepts > 0 {
		add(1, -1, func() { w.forget(map[string]string{}) })
		if n := len(w.snapshots); n > 1 {
			add(1, -1, func() { w.forget(w.snapshots[max(0, n-1-w.choose(8))]) })
		}
	}
	if w.incident && w.clock.now.Sub(w.incidentAt) >= batchDeadline {
		add(3, -1, w.recover)
	}
	if w.replays < 2 {
		for _, key := range sortedKeys(w.letters) {
			if l := w.letters[key]; !l.replayed {
				add(1, -1, func() { w.replay(l) })
			}
		}
	}
	return all
}

func (w *world) run(steps int) {
	for range steps {
		all := w.actions()
		w.snapshots = append(w.snapshots, w.fake.snapshot())
		all[w.choose(len(all))].do()
	}
	w.settleDown()
}

// settleDown ends all trouble and runs until nothing is left to do.
func (w *world) settleDown() {
	w.calm = true
	w.say("--- calm")
	for len(w.fake.late) > 0 {
		w.fake.land(0)
	}
	for range 400 {
		if w.incident {
			w.clock.Advance(batchDeadline)
			w.recover()
		}
		for len(w.jobs) > 0 {
			w.step(w.jobs[0])
		}
		left := false
		for _, m := range w.messages {
			left = left || !m.gone
			if w.deliverable(m, 0) {
				w.hand(m, 0)
			}
		}
		if !left {
			return
		}
		if len(w.jobs) == 0 {
			w.clock.Advance(20 * time.Second)
		}
	}
	w.bug = "stuck: messages are left that nothing settles"
}

// network draws what happens to a pipeline.
func (w *world) network() fault {
	if w.calm || w.nested {
		return healthy
	}
	f := fault(w.choose(30))
	if f > interleaved {
		return healthy
	}
	if f != healthy {
		w.say("  network: %d", f)
	}
	return f
}

// others lets another worker act between two pipelines of one call.
func (w *world) others() {
	w.nested = true
	defer func() { w.nested = false }()
	var all []action
	for _, a := range w.actions() {
		if a.worker == 1 {
			all = append(all, a)
		}
	}
	if len(all) > 0 {
		all[w.choose(len(all))].do()
	}
}

func (w *world) accept() {
	w.accepts++
	w.seq++
	a := string(rune('a' + w.accepts - 1))
	w.say("accept %s as %d", a, w.seq)
	w.messages = append(w.messages, &message{Message: dedup.Message{Key: "k", Accept: a, Stream: "EVENTS", Seq: w.seq}, due: w.clock.now})
}

func (w *world) deliverable(m *message, worker int) bool {
	now := w.clock.now
	if m.gone || now.Before(m.due) || (m.handed && now.Sub(m.handedAt) < ackWait) {
		return false
	}
	for _, j := range w.jobs {
		if j.worker == worker && j.msg == m {
			return false // not handed to a process that has it
		}
	}
	return true
}

func (w *world) hand(m *message, worker int) {
	if m.handed {
		w.troubled = true
	}
	m.scheduled = false
	m.handed, m.handedAt = true, w.clock.now
	m.Deliveries++
	w.say("hand %s/%d (%s %d, delivery %d) to w%d", m.Accept, m.Round, m.Stream, m.Seq, m.Deliveries, worker)
	w.jobs = append(w.jobs, &job{worker: worker, msg: m, m: m.Message, handedAt: m.handedAt})
}

func (w *world) crash(worker int) {
	w.crashes++
	w.troubled = true
	w.say("w%d dies", worker)
	w.endJobs(func(j *job) bool { return j.worker == worker })
}

func (w *world) endJobs(which func(*job) bool) {
	left := w.jobs[:0:0]
	for _, j := range w.jobs {
		if which(j) {
			j.stage = over
		} else {
			left = append(left, j)
		}
	}
	w.jobs = left
}

// forget is an incident: Redis loses everything, or falls back to an older
// state. Whoever sees the connection break takes the marker away.
func (w *world) forget(to map[string]string) {
	w.say("redis forgets: %v", to)
	w.memory++
	w.troubled = true
	if r, err := dedup.DecodeRecord(w.fake.data["homing:ev:k"]); err == nil && r.State == dedup.Decided && (r.Outcome == "delivered" || r.Outcome == "held") {
		w.untold = !slices.ContainsFunc(w.ledger, func(l line) bool { return l.accept == r.Accept && l.round == r.Round })
	}
	clear(w.fake.data)
	for k, v := range to {
		w.fake.data[k] = v
	}
	delete(w.fake.data, "homing:marker")
	w.incident, w.incidentAt = true, w.clock.now
}

// recover rebuilds Redis from the ledger.
func (w *world) recover() {
	w.say("recover")
	ctx := context.Background()
	fault := w.fake.fault
	w.fake.fault = nil
	defer func() { w.fake.fault = fault }()
	var lines []dedup.Restored
	for _, l := range w.ledger {
		lines = append(lines, dedup.Restored{Key: "k", Record: dedup.Record{
			State: dedup.Decided, Accept: l.accept, Round: l.round, Outcome: l.outcome, Unsure: l.unsure, At: w.clock.now,
		}})
	}
	if err := w.store.Restore(ctx, lines); err != nil {
		w.bug = err.Error()
	}
	if err := w.store.Mark(ctx, dedup.Marker{IncidentAt: w.clock.now}); err != nil {
		w.bug = err.Error()
	}
	w.incident, w.recoveredAt = false, w.clock.now
}

// replay is the operator's.
func (w *world) replay(l *letter) {
	w.replays++
	l.replayed = true
	w.letGo = w.letGo || l.outcome == "held"
	w.seq++
	m := l.msg
	m.Round++
	m.Stream, m.Seq, m.Deliveries, m.Replay = "RETRY", w.seq, 0, dedup.Replay(l.outcome)
	w.say("operator replays %s as %s/%d", l.outcome, m.Accept, m.Round)
	w.messages = append(w.messages, &message{Message: m, due: w.clock.now})
}
