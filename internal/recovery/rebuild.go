package recovery

import (
	"context"
	"fmt"
	"time"

	"github.com/homing-dev/homing/internal/crash"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// RebuildClicks puts the clicks of the stream into the store again and returns
// how many. It may run at any time: a click is never made older by it.
func RebuildClicks(ctx context.Context, from Streams, to Clicks, since time.Time) (int, error) {
	n := 0
	err := from.ReadClicks(ctx, since, func(clicks []events.Click) error {
		n += len(clicks)
		return to.Put(ctx, clicks)
	})
	if err != nil {
		return n, fmt.Errorf("recovery: clicks: %w", err)
	}
	return n, nil
}

// RebuildSettled puts the decisions of the ledger into the claim store again and
// returns how many.
func RebuildSettled(ctx context.Context, from Streams, to Claims, since time.Time) (int, error) {
	n := 0
	err := from.ReadOutcomes(ctx, since, func(settled []events.Settlement) error {
		decided := make([]dedup.Restored, 0, len(settled))
		for i := range settled {
			if s := &settled[i]; s.Outcome != events.Duplicate && s.ID != "" {
				decided = append(decided, restored(s))
			}
		}
		n += len(decided)
		crash.At(crash.BeforeRestore)
		defer crash.At(crash.AfterRestore)
		return to.Restore(ctx, decided)
	})
	if err != nil {
		return n, fmt.Errorf("recovery: settled events: %w", err)
	}
	return n, nil
}

// restored is the record that a line of the ledger once was.
func restored(s *events.Settlement) dedup.Restored {
	return dedup.Restored{
		Key: string(events.MakeKey(s.Tenant, s.Name, s.ID)),
		Record: dedup.Record{
			State: dedup.Decided, Accept: s.Accept, Round: s.Round, Unsure: s.Unsure,
			Outcome: string(s.Outcome), Reason: string(s.Reason), At: s.At,
			Note: dedup.Note{
				Name: string(s.Name), Attempts: s.Attempts, Clid: s.Clid,
				FbtraceID: s.FbtraceID, TraceID: s.TraceID, AcceptedAt: s.AcceptedAt,
			},
		},
	}
}
