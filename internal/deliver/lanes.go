package deliver

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/homing-dev/homing/internal/queue"
)

// ErrStopped is the cause of the cancelled context of calls that outlived a
// stop.
var ErrStopped = errors.New("deliver: stopped before the call was answered")

// LanesOptions sets up Lanes.
type LanesOptions struct {
	// BatchSize is how many events one call carries at most.
	BatchSize int
	// Linger is how long a thin batch waits for more.
	Linger time.Duration
	// Concurrency is how many batches of one tenant are under way at most.
	Concurrency int
	// Calls is how many batches are under way in all.
	Calls int
	// Budget is how many messages the process holds at most; 0: nobody is ever busy.
	Budget int
	// Full tells that the process holds as much as it may by another measure than
	// their number: large messages. nil: never.
	Full func() bool
	// Behind tells whether events of others wait behind a tenant's, given how many
	// of each tenant are held here. Required with a Budget.
	Behind func(ctx context.Context, tenant string, held map[string]int) (bool, error)
	// Deliver takes a batch of one tenant all the way.
	Deliver func(ctx context.Context, tenant string, msgs []*queue.Message) []Decision
	// Parking is told what is about to be parked without having been delivered; nil
	// when nobody listens.
	Parking func(ctx context.Context, msgs []*queue.Message)
	// Settle carries verdicts out.
	Settle func(ctx context.Context, msgs []*queue.Message, verdicts []queue.Verdict)
}

// Lanes sorts messages by tenant and forms batches. Tenants that have a batch
// ready take turns, one batch each.
type Lanes struct {
	opt    LanesOptions
	ctx    context.Context // of the work; outlives the pulling of messages
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	lanes   map[string]*lane
	ready   []*lane // waiting for their turn, each once
	running int
	later   map[*time.Timer][]*queue.Message
	held    int // messages waiting or under way
	relief  bool
	stopped bool
	idle    sync.WaitGroup
}

// lane holds one tenant's messages, oldest first.
type lane struct {
	tenant  string
	waiting []*queue.Message
	running int  // batches
	held    int  // messages waiting or under way
	queued  bool // is in ready
	due     bool // its oldest message has lingered long enough
	timer   *time.Timer
}

// NewLanes returns empty lanes. Stop must be called.
func NewLanes(opt LanesOptions) *Lanes {
	if opt.Full == nil {
		opt.Full = func() bool { return false }
	}
	if opt.Parking == nil {
		opt.Parking = func(context.Context, []*queue.Message) {}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	return &Lanes{
		opt: opt, ctx: ctx, cancel: cancel,
		lanes: map[string]*lane{}, later: map[*time.Timer][]*queue.Message{},
	}
}

// Take queues messages. It never blocks: whoever pulls them bounds their number.
func (l *Lanes) Take(msgs []*queue.Message) {
	l.mu.Lock()
	if l.stopped {
		l.mu.Unlock()
		l.handBack(msgs)
		return
	}
	defer l.mu.Unlock()
	for _, m := range msgs {
		ln := l.lanes[m.Tenant]
		if ln == nil {
			ln = &lane{tenant: m.Tenant}
			l.lanes[m.Tenant] = ln
		}
		ln.waiting = append(ln.waiting, m)
		ln.held++
		l.held++
		l.enqueue(ln)
	}
	l.dispatch()
	l.relieve()
}

// enqueue gives a lane its turn if it has a batch to send, or time to wait for
// one. Callers hold mu.
func (l *Lanes) enqueue(ln *lane) {
	if len(ln.waiting) == 0 || ln.queued || ln.running >= l.opt.Concurrency {
		return
	}
	if len(ln.waiting) >= l.opt.BatchSize || ln.due || l.opt.Linger <= 0 {
		ln.queued = true
		l.ready = append(l.ready, ln)
		return
	}
	if ln.timer == nil {
		ln.timer = time.AfterFunc(l.opt.Linger, func() { l.lingered(ln) })
	}
}

// lingered marks a thin batch as ready.
func (l *Lanes) lingered(ln *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln.timer = nil
	if len(ln.waiting) == 0 || l.stopped {
		l.prune(ln)
		return
	}
	ln.due = true
	l.enqueue(ln)
	l.dispatch()
}

// prune forgets a lane that nothing holds. Callers hold mu.
func (l *Lanes) prune(ln *lane) {
	if ln.running == 0 && len(ln.waiting) == 0 && ln.timer == nil {
		delete(l.lanes, ln.tenant)
	}
}

// dispatch starts batches while there are free calls. Callers hold mu.
func (l *Lanes) dispatch() {
	for l.running < l.opt.Calls && len(l.ready) > 0 {
		ln := l.ready[0]
		l.ready = l.ready[1:]
		ln.queued = false

		n := min(len(ln.waiting), l.opt.BatchSize)
		msgs := ln.waiting[:n:n]
		ln.waiting = ln.waiting[n:]
		if len(ln.waiting) == 0 {
			ln.waiting = nil // lets go of the array
		}
		ln.due = false
		ln.running++
		l.running++
		l.idle.Add(1)
		go l.run(ln, msgs)
		l.enqueue(ln) // behind all that were waiting
	}
}

// run delivers one batch.
func (l *Lanes) run(ln *lane, msgs []*queue.Message) {
	defer l.idle.Done()
	decisions := l.opt.Deliver(l.ctx, ln.tenant, msgs)

	settled := make([]*queue.Message, 0, len(msgs))
	verdicts := make([]queue.Verdict, 0, len(msgs))
	from := time.Now()
	for i, d := range decisions {
		if d.Again && l.again(msgs[i], d.At) {
			continue
		}
		settled = append(settled, msgs[i])
		verdicts = append(verdicts, d.Verdict)
	}
	if len(settled) > 0 {
		// Not the work context: what was decided is settled, stopped or not.
		l.opt.Settle(context.WithoutCancel(l.ctx), settled, verdicts)
	}
	for _, d := range decisions {
		if d.settled != nil {
			d.settled(d.Action.String(), from, time.Now())
		}
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	ln.running--
	l.running--
	ln.held -= len(msgs)
	l.held -= len(msgs)
	l.enqueue(ln)
	l.prune(ln)
	l.dispatch()
}

// again queues a message once more at the given time. It reports false when
// there won't be such a time.
func (l *Lanes) again(m *queue.Message, at time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return false
	}
	var timer *time.Timer
	timer = time.AfterFunc(time.Until(at), func() {
		l.mu.Lock()
		msgs, mine := l.later[timer]
		delete(l.later, timer)
		l.mu.Unlock()
		if mine {
			l.Take(msgs)
		}
	})
	l.later[timer] = []*queue.Message{m}
	return true
}

// Stop hands back what has not begun and waits for what has. When ctx ends
// first, the calls still under way are cut short.
func (l *Lanes) Stop(ctx context.Context) {
	l.mu.Lock()
	l.stopped = true
	var back []*queue.Message
	for _, ln := range l.lanes {
		back = append(back, ln.waiting...)
		ln.waiting = nil
		if ln.timer != nil {
			ln.timer.Stop()
		}
	}
	for timer, msgs := range l.later {
		timer.Stop()
		back = append(back, msgs...)
	}
	clear(l.later)
	l.ready = nil
	l.mu.Unlock()

	l.handBack(back)
	unhook := context.AfterFunc(ctx, func() { l.cancel(ErrStopped) })
	l.idle.Wait()
	unhook()
	l.cancel(ErrStopped)
}

// handBack gives messages back to the queue, untouched.
func (l *Lanes) handBack(msgs []*queue.Message) {
	if len(msgs) == 0 {
		return
	}
	verdicts := make([]queue.Verdict, len(msgs))
	for i := range verdicts {
		verdicts[i].Action = queue.Nak
	}
	l.opt.Settle(context.WithoutCancel(l.ctx), msgs, verdicts)
}
