package deliver

import (
	"context"
	"time"

	"github.com/homing-dev/homing/internal/queue"
)

// reliefEvery is how often a full process looks for whom it is full of.
const reliefEvery = 100 * time.Millisecond

// relieve makes room when one tenant fills the process while events of others
// wait behind its own: what it has over its share, a quarter, is parked. Alone
// it may use the whole process. Callers hold mu.
func (l *Lanes) relieve() {
	if l.opt.Budget <= 0 || l.relief || l.stopped || l.held < l.opt.Budget/4*3 && !l.opt.Full() {
		return
	}
	l.relief = true // until the next look: there may be ten thousand lanes
	again := func() {
		time.AfterFunc(reliefEvery, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.relief = false
			l.relieve()
		})
	}
	var largest *lane
	for _, ln := range l.lanes {
		if largest == nil || len(ln.waiting) > len(largest.waiting) {
			largest = ln
		}
	}
	share := max(l.held/4, l.opt.BatchSize)
	if largest == nil || len(largest.waiting) <= share {
		again()
		return
	}
	held := make(map[string]int, len(l.lanes))
	for tenant, ln := range l.lanes {
		held[tenant] = ln.held
	}
	l.idle.Add(1)
	go func() {
		defer l.idle.Done()
		l.parkOver(largest, share, held)
		again()
	}()
}

// parkOver parks what a tenant has waiting over its share, the newest, if
// somebody waits behind it.
func (l *Lanes) parkOver(ln *lane, share int, held map[string]int) {
	behind, err := l.opt.Behind(l.ctx, ln.tenant, held)
	if err != nil || !behind {
		return
	}
	l.mu.Lock()
	share = min(share, len(ln.waiting))
	over := ln.waiting[share:]
	ln.waiting = ln.waiting[:share:share]
	l.mu.Unlock()
	if len(over) == 0 {
		return
	}
	verdicts := make([]queue.Verdict, len(over))
	for i, m := range over {
		verdicts[i] = queue.Verdict{Action: queue.Park, Next: &m.Envelope}
	}
	l.opt.Parking(l.ctx, over)
	l.opt.Settle(context.WithoutCancel(l.ctx), over, verdicts)
	l.mu.Lock()
	defer l.mu.Unlock()
	ln.held -= len(over)
	l.held -= len(over)
}
