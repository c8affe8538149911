package deliver

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/pkg/events"
)

const (
	drainKey = "homing:drain:" // + tenant: the lease of the worker that drains its lane
	sweepKey = "homing:sweep"  // the lease of the worker that sweeps the lanes

	drainEvery = time.Second
	drainLease = 10 * time.Second
	sweepEvery = 10 * time.Minute
	// drainChunk is how many events leave a lane at once; no more are moved while
	// twice as many of the tenant's have come back and are not settled, so that
	// a long lane does not stand in front of other tenants' retries.
	drainChunk = 1000
	// drainers is how many lanes are drained at once.
	drainers = 16
)

// Lanes of parked events; *queue.Queue has them.
type parkedLanes interface {
	Parked(ctx context.Context) (map[string]uint64, error)
	Returned(ctx context.Context, tenant string) (uint64, error)
	Unpark(ctx context.Context, tenant string, n int) (int, error)
	Sweep(ctx context.Context, tenant string, pick func(data []byte) bool) (int, error)
}

// DrainOptions sets up a Drainer.
type DrainOptions struct {
	Queue  parkedLanes
	Gates  *Gates
	Redis  redis.UniversalClient // for leases; two drainers of one lane do no harm
	Now    func() time.Time      // nil: time.Now
	Logger *slog.Logger
}

// Drainer brings parked events back, oldest first, when their tenant's gate lets
// them pass.
type Drainer struct {
	opt DrainOptions

	mu     sync.Mutex
	parked map[string]uint64
}

// NewDrainer returns a Drainer.
func NewDrainer(opt DrainOptions) *Drainer {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	return &Drainer{opt: opt}
}

// Parked returns how many events are parked in all, as last seen.
func (d *Drainer) Parked() (n uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, lane := range d.parked {
		n += lane
	}
	return n
}

// Run looks after the lanes until ctx ends.
func (d *Drainer) Run(ctx context.Context) {
	ticker := time.NewTicker(drainEvery)
	defer ticker.Stop()
	for {
		if err := d.round(ctx); err != nil && ctx.Err() == nil {
			d.opt.Logger.WarnContext(ctx, "drain.failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// round looks at every lane once.
func (d *Drainer) round(ctx context.Context) error {
	parked, err := d.opt.Queue.Parked(ctx)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.parked = parked
	d.mu.Unlock()
	if len(parked) == 0 {
		return nil
	}
	d.sweep(ctx, parked)
	var wg sync.WaitGroup
	places := make(chan struct{}, drainers)
	for tenant := range parked {
		state, _ := d.opt.Gates.State(tenant)
		if state == GateClosed {
			continue
		}
		n := drainChunk
		if state == GateHalfOpen {
			n = probeSize
		}
		if !d.lease(ctx, drainKey+tenant, drainLease) {
			continue
		}
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			d.drain(ctx, tenant, n)
		})
	}
	wg.Wait()
	return nil
}

// drain empties one lane in chunks of n. Of a half-open gate's lane one chunk is
// the try; its lease stands until the gate has had time to open.
func (d *Drainer) drain(ctx context.Context, tenant string, n int) {
	for ctx.Err() == nil {
		if back, err := d.opt.Queue.Returned(ctx, tenant); err != nil || back >= 2*uint64(n) {
			break // the next round goes on
		}
		moved, err := d.opt.Queue.Unpark(ctx, tenant, n)
		if err != nil {
			d.opt.Logger.WarnContext(ctx, "drain.failed", "tenant", tenant, "moved", moved, "error", err)
			break
		}
		if moved > 0 {
			d.opt.Logger.InfoContext(ctx, "drain", "tenant", tenant, "events", moved)
		}
		if state, _ := d.opt.Gates.State(tenant); moved < n || state != GateOpen {
			if state == GateHalfOpen {
				return
			}
			break
		}
	}
	// Failing only means to wait for the lease to run out.
	_ = d.opt.Redis.Del(context.WithoutCancel(ctx), drainKey+tenant).Err()
}

// lease takes a lease unless somebody has it. Without Redis nothing is drained:
// nothing could be delivered either.
func (d *Drainer) lease(ctx context.Context, key string, ttl time.Duration) bool {
	mine, err := d.opt.Redis.SetNX(ctx, key, 1, ttl).Result()
	return err == nil && mine
}

// sweep brings back what Meta would soon refuse, so that it ends in time: gates
// do not stop an event whose end is known.
func (d *Drainer) sweep(ctx context.Context, parked map[string]uint64) {
	if !d.lease(ctx, sweepKey, sweepEvery) {
		return
	}
	oldest := d.opt.Now().Add(-lastCall)
	for tenant := range parked {
		n, err := d.opt.Queue.Sweep(ctx, tenant, func(data []byte) bool {
			e, err := events.DecodeEvent(data)
			return err != nil || time.Unix(e.Time, 0).Before(oldest)
		})
		if n > 0 || err != nil {
			d.opt.Logger.InfoContext(ctx, "sweep", "tenant", tenant, "events", n, "error", err)
		}
	}
}
