package telemetry_test

import (
	"testing"
	"time"

	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// Every event is counted several times: an object each would be a tenth of all that
// a worker makes for it.
func TestCountingAllocatesNothing(t *testing.T) {
	ctx, m := t.Context(), start(t, nil).Metrics
	got := testing.AllocsPerRun(100, func() {
		m.Claim(dedup.Fresh)
		m.ClickLookup(ctx, "found")
		m.Outcome(ctx, "acme", events.Delivered, events.ReasonNone, time.Second)
	})
	if got > 0 {
		t.Errorf("%v allocations for the counters of one event", got)
	}
}
