package deliver

import (
	"context"
	"sync"
)

// Places bounds how many calls of one tenant are under way. A batch takes one
// before it claims its events and gives it back when Meta has answered: what is
// read before, and settled afterwards, costs the tenant no call.
type Places struct {
	most int

	mu      sync.Mutex
	tenants map[string]*places
	once    sync.Once
	closed  chan struct{}
}

// places are those of one tenant.
type places struct {
	taken chan struct{} // has room for most
	users int           // who have one, or wait for one
}

// NewPlaces returns Places for at most so many calls of each tenant.
func NewPlaces(most int) *Places {
	return &Places{most: most, tenants: map[string]*places{}, closed: make(chan struct{})}
}

// Close ends all waiting, now and later: what has no place does not begin.
func (p *Places) Close() { p.once.Do(func() { close(p.closed) }) }

// take waits for a place, those who came first first. It reports false when there
// won't be one; else give must be called.
func (p *Places) take(ctx context.Context, tenant string) (give func(), ok bool) {
	t := p.enter(tenant)
	select {
	case <-p.closed:
	case <-ctx.Done():
	case t.taken <- struct{}{}:
		return func() {
			<-t.taken
			p.leave(tenant, t)
		}, true
	}
	p.leave(tenant, t)
	return func() {}, false
}

func (p *Places) enter(tenant string) *places {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.tenants[tenant]
	if t == nil {
		t = &places{taken: make(chan struct{}, p.most)}
		p.tenants[tenant] = t
	}
	t.users++
	return t
}

func (p *Places) leave(tenant string, t *places) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(p.tenants, tenant)
	}
}

// turn waits until the tenant may have one more call under way, and returns what
// ends it. When the worker is told to stop before, the events are handed back.
func (b *batch) turn() (over func()) {
	waiting := b.with(open)
	if b.Places == nil || len(waiting) == 0 {
		return func() {}
	}
	waited := b.clock(stageTurn)
	give, ok := b.Places.take(b.ctx, b.tenantID)
	waited()
	b.started = b.Now()
	if !ok {
		for _, it := range waiting {
			it.fate = fate{step: handback}
		}
	}
	return give
}
