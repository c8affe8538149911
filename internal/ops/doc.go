// Package ops is what an operator does by hand: looks at dead letters, replays
// or discards them, finds an event, audits that none was lost, and looks at the
// streams. The command line is one way to it.
//
// Nothing here serves traffic or settles a message. What it reads it reads
// beside the workers, and what it publishes enters by the queue's front door, so
// all of it may be done while the system runs.
package ops

import (
	"context"
	"time"
)

// pauser waits for d, or for ctx to end.
type pauser func(ctx context.Context, d time.Duration) error

// or returns p, or a real timer where there is none.
func (p pauser) or() pauser {
	if p != nil {
		return p
	}
	return func(ctx context.Context, d time.Duration) error {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
