package deliver

import (
	"context"
	"sync"
	"time"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/events"
)

// clockSkew is how far a click may lie after the event it earned: the clocks of
// shop and phone differ.
const clockSkew = 60 // seconds

// resolve finds the click of every event whose click was not pinned at
// acceptance. That none is known is believed only once every click accepted
// before the event has reached the store.
func (b *batch) resolve() {
	unpinned := make([]*item, 0, len(b.items))
	queries := make([]clicks.Query, 0, len(b.items))
	var newest time.Time
	for _, it := range b.items {
		if it.event == nil || it.fate.step != open {
			continue
		}
		if it.pinned {
			it.clid, it.waba = it.event.Clid, it.event.WABA
			continue
		}
		unpinned = append(unpinned, it)
		queries = append(queries, clicks.Query{
			Tenant: it.event.Tenant, Persons: it.event.Persons, Before: it.event.Time + clockSkew,
			Trace: it.trace != nil,
		})
		if it.msg.Received.After(newest) {
			newest = it.msg.Received
		}
	}
	if len(unpinned) == 0 {
		return
	}
	defer b.clock(stageLookup)()
	// The question comes before the look: what the store holds afterwards is
	// then all that was accepted before the answer.
	caughtUp, next := b.tail.caughtUp(b.ctx, newest)
	asked := b.Now()
	found, err := b.Clicks.Lookup(b.ctx, queries)
	b.askedRedis(asked)
	if err != nil {
		b.Alarm(err)
	}
	for i, it := range unpinned {
		switch {
		case err != nil:
			b.comeBack(it)
		case found[i].OK():
			it.clid, it.waba = found[i].Clid, found[i].WABA
			if found[i].Trace != "" {
				_, it.click = remote(queue.Trace{Parent: found[i].Trace})
			}
			b.Metrics.ClickLookup(b.ctx, "found")
		case !it.msg.Received.Before(caughtUp):
			it.fate = fate{step: again, at: next}
		default:
			b.Metrics.ClickLookup(b.ctx, "none")
			b.withoutClick(it)
		}
	}
}

// withoutClick ends an event that no click earned, after its time of grace.
func (b *batch) withoutClick(it *item) {
	if over := it.msg.AcceptedAt.Add(b.ClickGrace); b.Now().Before(over) {
		at := b.Now().Add(b.patience(it))
		if at.After(over) {
			at = over
		}
		it.retryAt(events.ReasonNoClick, at)
		return
	}
	it.end(events.NoClick, events.ReasonNoClick, "")
}

// redisPause is how long a message rests that was handed back because Redis did
// not answer; by then the worker has stopped pulling.
const redisPause = 2 * time.Second

// maxRedisPause is how long it rests at most.
const maxRedisPause = 2 * time.Minute

// tail remembers when the stream of clicks was last seen empty.
type tail struct {
	clicks ClickTail
	now    func() time.Time

	mu     sync.Mutex
	asked  time.Time
	caught time.Time // at this moment every accepted click was in the store
}

// tailEvery is how often JetStream is asked at most.
const tailEvery = time.Second

// caughtUp returns the latest moment at which no click was pending, asking
// again if that is not after since; next is when asking again is worthwhile.
func (t *tail) caughtUp(ctx context.Context, since time.Time) (caught, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if t.caught.After(since) {
		return t.caught, now
	}
	if wait := t.asked.Add(tailEvery); now.Before(wait) {
		return t.caught, wait
	}
	t.asked = now
	if empty, err := t.clicks.ClicksCaughtUp(ctx); err == nil && empty {
		t.caught = now
	}
	return t.caught, now.Add(tailEvery)
}
