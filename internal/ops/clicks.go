package ops

import (
	"context"
	"time"

	"github.com/homing-dev/homing/internal/recovery"
	"github.com/homing-dev/homing/pkg/events"
)

// RebuildClicks puts every click of the stream into the click store again, and
// returns how many. It may run at any time and any number of times: a click is
// never made older by it. progress is told how many were stored so far; nil is
// nobody.
func RebuildClicks(ctx context.Context, from recovery.Streams, to recovery.Clicks, progress func(n int)) (int, error) {
	return recovery.RebuildClicks(ctx, from, &countingClicks{Clicks: to, progress: progress}, time.Time{})
}

// countingClicks tells how far a rebuild has come.
type countingClicks struct {
	recovery.Clicks
	n        int
	progress func(n int)
}

func (c *countingClicks) Put(ctx context.Context, clicks []events.Click) error {
	if err := c.Clicks.Put(ctx, clicks); err != nil {
		return err
	}
	c.n += len(clicks)
	if c.progress != nil {
		c.progress(c.n)
	}
	return nil
}
