package ingest

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"
)

// fullFlight is how many questions a round trip carries at most. Who has more goes
// alone and at once, and holds nobody up.
const fullFlight = 200

// gather asks a store the questions of many requests in few round trips, one after
// the other: a question goes at once while none is under way, else along with the
// next one. The busier the edge, the fuller the flights; several at a time would be
// emptier each, and cost more than the wait.
type gather[Q, A any] struct {
	// ask answers every question, in order, or none.
	ask func(context.Context, []Q) ([]A, error)
	// limit is how long a flight with this many questions may take.
	limit func(questions int) time.Duration

	mu      sync.Mutex
	waiting []*asked[Q, A]
	flying  bool
}

// errShort is a store that leaves questions out: whose answers are whose?
var errShort = errors.New("ingest: the store did not answer every question")

// asked is the questions of one request; its answers are there once done is
// closed.
type asked[Q, A any] struct {
	ctx       context.Context
	questions []Q
	answers   []A
	err       error
	done      chan struct{}
}

// start sends the questions on their way; what it returns has their answers. Those
// of an asker whose ctx ends before they are on their way are not asked.
func (g *gather[Q, A]) start(ctx context.Context, questions []Q) *asked[Q, A] {
	a := &asked[Q, A]{ctx: ctx, questions: questions, done: make(chan struct{})}
	if len(questions) > fullFlight {
		go g.carry([]*asked[Q, A]{a})
		return a
	}
	g.mu.Lock()
	g.waiting = append(g.waiting, a)
	idle := !g.flying
	g.flying = true
	g.mu.Unlock()
	if idle {
		go g.fly()
	}
	return a
}

// wait returns the answers, or the error of the asker's ctx when that ends before
// they come.
func (a *asked[Q, A]) wait() ([]A, error) {
	select {
	case <-a.done:
		return a.answers, a.err
	case <-a.ctx.Done():
	}
	select { // an answer that came in time counts, however late we ask for it
	case <-a.done:
		return a.answers, a.err
	default:
		return nil, a.ctx.Err()
	}
}

// fly asks what is waiting until nothing is. Requests that are about to ask are
// let on first: on a busy machine that fills a flight, on an idle one it costs
// nothing.
func (g *gather[Q, A]) fly() {
	for {
		runtime.Gosched()
		aboard := g.board()
		if aboard == nil {
			return
		}
		g.carry(aboard)
	}
}

// board takes the askers that waited longest, as many as fill a flight.
func (g *gather[Q, A]) board() []*asked[Q, A] {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = slices.DeleteFunc(g.waiting, func(a *asked[Q, A]) bool { return a.ctx.Err() != nil })
	n, questions := 0, 0
	for n < len(g.waiting) && (n == 0 || questions+len(g.waiting[n].questions) <= fullFlight) {
		questions += len(g.waiting[n].questions)
		n++
	}
	if n == 0 {
		g.flying = false
		return nil
	}
	aboard := g.waiting[:n:n]
	if g.waiting = g.waiting[n:]; len(g.waiting) == 0 {
		g.waiting = nil
	}
	return aboard
}

// carry asks all questions at once and hands each asker its answers. The flight
// outlives the askers: a connection cut off in mid-answer is a connection lost.
func (g *gather[Q, A]) carry(aboard []*asked[Q, A]) {
	questions := aboard[0].questions
	if len(aboard) > 1 {
		questions = nil
		for _, a := range aboard {
			questions = append(questions, a.questions...)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), g.limit(len(questions)))
	defer cancel()
	answers, err := g.ask(ctx, questions)
	if err == nil && len(answers) != len(questions) {
		answers, err = nil, errShort
	}
	for _, a := range aboard {
		if n := len(a.questions); len(answers) >= n {
			a.answers, answers = answers[:n:n], answers[n:]
		}
		a.err = err
		close(a.done)
	}
}
