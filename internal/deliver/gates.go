package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/pkg/events"
	"github.com/homing-dev/homing/pkg/graphapi"
)

const (
	gatesKey = "homing:gates"  // a hash: tenant -> gate; an open gate has no entry
	probeKey = "homing:probe:" // + tenant: somebody is trying a half-open gate

	// gatesEvery is how old a worker's picture of the gates may be.
	gatesEvery = time.Second
	// probeSize is how many events try a half-open gate.
	probeSize = 10
	// notSentInARow closes a tenant's gate as unreachable.
	notSentInARow = 5
	// nearLimit is at how many percent of Meta's quota a gate closes early.
	nearLimit = 95.0
	// gateMin is the least time that a gate stays closed.
	gateMin = time.Second
)

// GateState is whether a tenant's events may go to Meta.
type GateState string

// The states of a gate.
const (
	GateOpen     GateState = "open"
	GateClosed   GateState = "closed"
	GateHalfOpen GateState = "half_open" // one small batch may try
)

// Gate is one tenant's gate.
type Gate struct {
	Reason events.Reason `json:"reason"` // auth, throttled or unreachable
	Until  time.Time     `json:"until"`  // closed until then, half-open after
	Closed int           `json:"closed"` // how often in a row
}

// state is what g is at a time; nil is open.
func (g *Gate) state(now time.Time) GateState {
	switch {
	case g == nil:
		return GateOpen
	case now.Before(g.Until):
		return GateClosed
	default:
		return GateHalfOpen
	}
}

// GatesOptions sets up Gates.
type GatesOptions struct {
	Redis redis.UniversalClient
	// Backoff is how long a gate stays closed the n-th time in a row, from 0.
	Backoff func(n int) time.Duration
	// Probe is how long a try of a half-open gate takes at most.
	Probe  time.Duration
	Now    func() time.Time
	Logger *slog.Logger
}

// Gates keep tenants away from Meta whose calls can't succeed. All workers share
// them through Redis; one that lost them opens all gates, and the first failure
// closes them again.
type Gates struct {
	opt GatesOptions

	mu      sync.Mutex
	closed  map[string]*Gate
	changes int            // how many this worker made
	notSent map[string]int // calls in a row, of this worker
}

// NewGates returns gates that are all open until Run has looked.
func NewGates(opt GatesOptions) *Gates {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	return &Gates{opt: opt, closed: map[string]*Gate{}, notSent: map[string]int{}}
}

// Run follows what the other workers find out, until ctx ends.
func (g *Gates) Run(ctx context.Context) {
	ticker := time.NewTicker(gatesEvery)
	defer ticker.Stop()
	for {
		if err := g.refresh(ctx); err != nil && ctx.Err() == nil {
			g.opt.Logger.DebugContext(ctx, "gates.refresh", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (g *Gates) refresh(ctx context.Context) error {
	g.mu.Lock()
	before := g.changes
	g.mu.Unlock()
	all, err := g.opt.Redis.HGetAll(ctx, gatesKey).Result()
	if err != nil {
		return fmt.Errorf("deliver: gates: %w", err)
	}
	closed := make(map[string]*Gate, len(all))
	for tenant, text := range all {
		if gate := decodeGate(text); gate != nil {
			closed[tenant] = gate
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	// A picture from before a change of our own would undo it; the next one has it.
	if g.changes == before {
		g.closed = closed
	}
	return nil
}

// State returns the state of a tenant's gate and why it is not open.
func (g *Gates) State(tenant string) (GateState, events.Reason) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.closed[tenant]
	if gate == nil {
		return GateOpen, events.ReasonNone
	}
	return gate.state(g.opt.Now()), gate.Reason
}

// Each calls f for every gate that is not open.
func (g *Gates) Each(f func(tenant string, state GateState, reason events.Reason)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for tenant, gate := range g.closed {
		f(tenant, gate.state(g.opt.Now()), gate.Reason)
	}
}

// Pass returns how many of n events may be sent now, and why not all.
func (g *Gates) Pass(ctx context.Context, tenant string, n int) (int, events.Reason) {
	state, reason := g.State(tenant)
	if state == GateOpen {
		return n, events.ReasonNone
	}
	if state == GateClosed {
		return 0, reason
	}
	// Of all workers one tries.
	mine, err := g.opt.Redis.SetNX(ctx, probeKey+tenant, 1, g.opt.Probe).Result()
	if err != nil || !mine {
		return 0, reason
	}
	return min(n, probeSize), reason
}

// Succeeded tells that Meta took a call of the tenant's.
func (g *Gates) Succeeded(ctx context.Context, tenant string, usage graphapi.Usage) {
	if usage.Percent >= nearLimit {
		g.mu.Lock()
		delete(g.notSent, tenant)
		g.mu.Unlock()
		g.close(ctx, tenant, events.ReasonThrottled, usage.RegainIn)
		return
	}
	g.arrived(ctx, tenant)
}

// arrived tells that a call reached Meta. Only a try opens the gate: a call that
// was under way when it was closed says nothing of why it was.
func (g *Gates) arrived(ctx context.Context, tenant string) {
	g.mu.Lock()
	delete(g.notSent, tenant)
	g.mu.Unlock()
	if state, _ := g.State(tenant); state == GateHalfOpen {
		// Unless another worker was told meanwhile to keep away.
		g.change(ctx, tenant, func(old *Gate) *Gate {
			if old.state(g.opt.Now()) == GateClosed {
				return old
			}
			return nil
		})
	}
}

// Failed tells of a call that failed. It reports whether the gate is closed now.
func (g *Gates) Failed(ctx context.Context, tenant string, err *graphapi.Error) bool {
	switch err.Class {
	case graphapi.Auth:
		g.close(ctx, tenant, events.ReasonAuth, 0)
		return true
	case graphapi.Throttled:
		g.close(ctx, tenant, events.ReasonThrottled, err.RetryAfter)
		return true
	case graphapi.NotSent:
		g.mu.Lock()
		g.notSent[tenant]++
		// The failures that closed a gate may have been another worker's: a
		// failed try closes it again, whoever tries.
		many := g.notSent[tenant] >= notSentInARow || g.closed[tenant].state(g.opt.Now()) == GateHalfOpen
		g.mu.Unlock()
		if many {
			g.close(ctx, tenant, events.ReasonUnreachable, 0)
		}
		return many
	default:
		g.arrived(ctx, tenant) // whatever came of it
		return false
	}
}

// close closes a tenant's gate for at least atLeast. Whatever it is closed for, it
// does not open earlier than it would have: Meta may have asked for that.
func (g *Gates) close(ctx context.Context, tenant string, reason events.Reason, atLeast time.Duration) {
	now := g.opt.Now()
	g.change(ctx, tenant, func(old *Gate) *Gate {
		gate := &Gate{Reason: reason}
		if old != nil {
			gate.Closed = old.Closed
			if old.state(now) == GateHalfOpen {
				gate.Closed++ // the try failed
			}
		}
		gate.Until = now.Add(max(g.opt.Backoff(gate.Closed), atLeast, gateMin))
		if old != nil && old.Until.After(gate.Until) {
			gate.Until = old.Until // calls that were under way together
		}
		return gate
	})
}

// Open opens a tenant's gate at once, because its secret changed.
func (g *Gates) Open(ctx context.Context, tenant string) {
	g.change(ctx, tenant, func(*Gate) *Gate { return nil })
}

// maxGateRaces is how often a gate is changed anew that another worker changed in
// the same moment.
const maxGateRaces = 8

// change replaces a tenant's gate, nil for an open one, by what next makes of it:
// here at once, and for all workers by comparing and setting, so that none undoes
// what another has just learned.
func (g *Gates) change(ctx context.Context, tenant string, next func(old *Gate) *Gate) {
	g.mu.Lock()
	was := g.closed[tenant]
	gate := next(was)
	g.put(tenant, gate)
	g.mu.Unlock()

	text, err := g.opt.Redis.HGet(ctx, gatesKey, tenant).Result()
	for races := 0; err == nil || errors.Is(err, redis.Nil); races++ {
		gate = next(decodeGate(text))
		found := text
		if text, err = g.swap(ctx, tenant, found, gate); err != nil || text == found || races == maxGateRaces {
			break
		}
	}
	if err == nil {
		g.mu.Lock()
		g.put(tenant, gate)
		g.mu.Unlock()
		err = g.opt.Redis.Del(ctx, probeKey+tenant).Err()
	}
	if err != nil {
		g.opt.Logger.DebugContext(ctx, "gates.change", "tenant", tenant, "error", err)
	}
	switch {
	case gate == nil && was != nil:
		g.opt.Logger.InfoContext(ctx, "gate.open", "tenant", tenant)
	case gate != nil && (was == nil || was.Reason != gate.Reason || !was.Until.Equal(gate.Until)):
		g.opt.Logger.WarnContext(ctx, "gate.closed", "tenant", tenant, "reason", string(gate.Reason), "until", gate.Until)
	}
}

// put notes a gate here. Callers hold mu.
func (g *Gates) put(tenant string, gate *Gate) {
	g.changes++
	if gate == nil {
		delete(g.closed, tenant)
		delete(g.notSent, tenant)
		return
	}
	g.closed[tenant] = gate
}

// swapGate writes a field of a hash where it still is what it was, and returns
// what it was.
var swapGate = redis.NewScript(`
local found = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if found == ARGV[2] then
  if ARGV[3] == '' then
    redis.call('HDEL', KEYS[1], ARGV[1])
  else
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  end
end
return found`)

// swap writes a gate for all workers if its text is still old.
func (g *Gates) swap(ctx context.Context, tenant, old string, gate *Gate) (found string, err error) {
	text := ""
	if gate != nil {
		b, err := json.Marshal(gate)
		if err != nil {
			return "", err
		}
		text = string(b)
	}
	return swapGate.Run(ctx, g.opt.Redis, []string{gatesKey}, tenant, old, text).Text()
}

// decodeGate returns nil, an open gate, for what is none.
func decodeGate(text string) *Gate {
	gate := new(Gate)
	if text == "" || json.Unmarshal([]byte(text), gate) != nil {
		return nil
	}
	return gate
}
