// Package gather asks a store the questions of many in few round trips.
//
// A question goes at once while no round trip is under way, else along with the
// next one. The busier the process, the fuller the flights; several at a time would
// be emptier each, and cost more than the wait.
package gather

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"
)

// fullFlight is how many questions a round trip carries at most, but for those of
// one asker alone.
const fullFlight = 200

// Options sets up a Group.
type Options struct {
	// Alone is how many questions of one asker are too many to wait for others and
	// to be waited for: they go alone and at once. 0: more than 200.
	Alone int
	// Limit is how long a flight with this many questions may take; nil: no limit.
	Limit func(questions int) time.Duration
	// FailAll says that those who wait when a flight fails share its error instead
	// of trying their own luck, one flight after the other.
	FailAll bool
	// Stay says that an asker whose questions are on their way waits for the answers
	// even when its ctx has ended.
	Stay bool
}

// Group gathers questions. Its methods are safe for concurrent use.
type Group[Q, A any] struct {
	opt Options
	ask func(context.Context, []Q) ([]A, error)

	mu      sync.Mutex
	waiting []*Asked[Q, A]
	flying  bool
}

// New returns a Group whose flights call ask, which answers every question, in
// order, or none; it may do so with an error.
func New[Q, A any](ask func(context.Context, []Q) ([]A, error), opt Options) *Group[Q, A] {
	if opt.Alone == 0 {
		opt.Alone = fullFlight + 1
	}
	return &Group[Q, A]{opt: opt, ask: ask}
}

// errShort is a store that leaves questions out: whose answers are whose?
var errShort = errors.New("gather: the store did not answer every question")

// Asked is the questions of one asker.
type Asked[Q, A any] struct {
	ctx       context.Context
	stay      bool
	questions []Q
	answers   []A
	err       error
	done      chan struct{} // closed when the answers are there, or never will be
}

// Start sends the questions on their way; what it returns has their answers. Those
// of an asker whose ctx ends before they are on their way are not asked.
func (g *Group[Q, A]) Start(ctx context.Context, questions []Q) *Asked[Q, A] {
	a := &Asked[Q, A]{ctx: ctx, stay: g.opt.Stay, questions: questions, done: make(chan struct{})}
	if a.gone() {
		return a
	}
	if len(questions) >= g.opt.Alone {
		go g.carry([]*Asked[Q, A]{a})
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

// gone ends the wait of an asker whose ctx has ended, and who was not asked.
func (a *Asked[Q, A]) gone() bool {
	if a.err = a.ctx.Err(); a.err == nil {
		return false
	}
	close(a.done)
	return true
}

// Wait returns the answers, or the error of the asker's ctx when that ends before
// they come, or with Stay before they are asked for.
func (a *Asked[Q, A]) Wait() ([]A, error) {
	if a.stay {
		<-a.done
		return a.answers, a.err
	}
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

// fly asks what is waiting until nothing is. Others that are about to ask are let
// on first: on a busy machine that fills a flight, on an idle one it costs nothing.
func (g *Group[Q, A]) fly() {
	for {
		runtime.Gosched()
		aboard := g.board()
		if aboard == nil {
			return
		}
		if err := g.carry(aboard); err != nil && g.opt.FailAll {
			g.fail(err)
		}
	}
}

// board takes the askers that waited longest, as many as fill a flight.
func (g *Group[Q, A]) board() []*Asked[Q, A] {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = slices.DeleteFunc(g.waiting, (*Asked[Q, A]).gone)
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
func (g *Group[Q, A]) carry(aboard []*Asked[Q, A]) error {
	questions := aboard[0].questions
	if len(aboard) > 1 {
		n := 0
		for _, a := range aboard {
			n += len(a.questions)
		}
		questions = make([]Q, 0, n)
		for _, a := range aboard {
			questions = append(questions, a.questions...)
		}
	}
	ctx := context.Background()
	if g.opt.Limit != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, g.opt.Limit(len(questions)))
		defer cancel()
	}
	answers, err := g.ask(ctx, questions)
	if len(answers) != len(questions) {
		answers = nil
		if err == nil {
			err = errShort
		}
	}
	for _, a := range aboard {
		if n := len(a.questions); len(answers) >= n {
			a.answers, answers = answers[:n:n], answers[n:]
		}
		a.err = err
		close(a.done)
	}
	return err
}

// fail tells all who wait of an error.
func (g *Group[Q, A]) fail(err error) {
	g.mu.Lock()
	waiting := g.waiting
	g.waiting = nil
	g.mu.Unlock()
	for _, a := range waiting {
		a.err = err
		close(a.done)
	}
}
