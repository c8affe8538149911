package deliver

import (
	"context"
	"time"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// showWithin bounds the wait for Redis to take a status: nothing depends on it.
const showWithin = 250 * time.Millisecond

// show tells the status of what is going to wait without having been claimed; the
// verdict of the others has told it.
func (b *batch) show() {
	if b.slowRedis {
		return
	}
	var waiting []dedup.Deferred
	for _, it := range b.items {
		if it.key != "" && !it.claim.Held() && (it.fate.step == retry || it.fate.step == park) {
			waiting = append(waiting, dedup.Deferred{
				Message: it.message(), Outcome: string(it.fate.outcome), Reason: string(it.fate.reason), NextAt: it.fate.at,
			})
		}
	}
	b.Deliverer.show(b.ctx, b.tenantID, waiting)
}

// ShowBusy tells the status of messages that are parked because their tenant fills
// the process. It is best effort.
func (d *Deliverer) ShowBusy(ctx context.Context, msgs []*queue.Message) {
	var waiting []dedup.Deferred
	for _, m := range msgs {
		it := newItem(m)
		if it.key != "" {
			waiting = append(waiting, dedup.Deferred{
				Message: it.message(), Outcome: string(events.Parked), Reason: string(events.ReasonBusy),
			})
		}
	}
	if len(msgs) > 0 {
		d.show(ctx, msgs[0].Tenant, waiting)
	}
}

func (d *Deliverer) show(ctx context.Context, tenant string, waiting []dedup.Deferred) {
	if len(waiting) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), showWithin)
	defer cancel()
	if err := d.Claims.Defer(ctx, waiting); err != nil {
		d.Logger.DebugContext(ctx, "deliver.show", "tenant", tenant, "events", len(waiting), "error", err)
	}
}
