package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/homing-dev/homing/internal/crash"
	"github.com/homing-dev/homing/pkg/events"
)

// recordBytes is what one message of the ledger may weigh, half of what a server
// takes by default.
const recordBytes = 512 * kib

// Record writes how events of a tenant ended to the ledger, and returns once all
// of it is durable. Writing a line twice is no harm: lines are told apart by
// acceptance and round.
func (q *Queue) Record(ctx context.Context, tenant string, lines []events.Settlement) error {
	if !isToken(tenant) {
		tenant = strayTenant
	}
	var waiting []*publication
	var errs []error
	for _, data := range events.ChunkSettlements(lines, recordBytes) {
		crash.At(crash.BeforeRecord)
		p, err := q.publish(&nats.Msg{
			Subject: subjectOutcome(tenant),
			Header:  make(nats.Header, 1),
			Data:    data,
		}, StreamOutcomes, "")
		if err != nil {
			errs = append(errs, err)
			break
		}
		waiting = append(waiting, p)
	}
	for _, p := range waiting {
		if _, err := q.await(ctx, p); err != nil {
			errs = append(errs, err)
		}
		crash.At(crash.AfterRecord)
	}
	return errors.Join(errs...)
}

// ReadOutcomes calls fn with the lines of the ledger written since then, or with
// all of them when since is zero, in the order they were written, up to where the
// ledger ended when it was called. It stops at a line that it can't decode: what
// it leaves out might be sent to Meta a second time.
func (q *Queue) ReadOutcomes(ctx context.Context, since time.Time, fn func([]events.Settlement) error) error {
	var lines []events.Settlement
	flush := func() error {
		if len(lines) == 0 {
			return nil
		}
		defer func() { lines = nil }()
		return fn(lines)
	}
	err := q.read(ctx, StreamOutcomes, since, func(m jetstream.Msg, seq uint64) error {
		more, err := events.DecodeSettlements(m.Data())
		if err != nil {
			return fmt.Errorf("queue: %s, message %d: %w", StreamOutcomes, seq, err)
		}
		if lines = append(lines, more...); len(lines) < readBatch {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}
