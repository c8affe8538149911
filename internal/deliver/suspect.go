package deliver

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/events"
)

const (
	readingKey = "homing:reading:" // + stream:seq: readings in a row that did not end
	readingTTL = 24 * time.Hour

	// suspectAfter is after how many deliveries a message is read alone first.
	// A worker that dies takes all it holds along, so being handed out often says
	// that some message kills workers, and not which.
	suspectAfter = 10
	// maxReadings is how many such readings may have ended in a death.
	maxReadings = 10
)

// Suspects finds the message that kills whoever reads it, among those that were
// handed out too often: one at a time is read on trial, and a mark in Redis stands
// meanwhile. Twenty deliveries without a claim are needed to end an event by it.
type Suspects struct {
	rdb redis.UniversalClient
	mu  sync.Mutex // so that at a death one mark stands
}

// NewSuspects returns Suspects whose marks are in rdb.
func NewSuspects(rdb redis.UniversalClient) *Suspects { return &Suspects{rdb: rdb} }

// begin sets the mark, and returns how many readings in a row have begun since one
// ended, this one included. Of one delivery it may be asked twice: the client
// library repeats what had no answer.
func (s *Suspects) begin(ctx context.Context, key string, delivery uint64) (int64, error) {
	pipe := s.rdb.Pipeline()
	pipe.SAdd(ctx, key, delivery)
	n := pipe.SCard(ctx, key)
	pipe.Expire(ctx, key, readingTTL)
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, fmt.Errorf("deliver: suspects: %w", err)
	}
	return n.Val(), nil
}

// suspect ends what has killed too many workers, without reading it.
func (b *batch) suspect() {
	if b.Suspects == nil {
		return
	}
	marks := true
	for _, it := range b.items {
		switch {
		case it.msg.Deliveries <= suspectAfter || it.msg.Fault != nil:
		case marks:
			marks = b.try(it)
		default:
			b.comeBack(it)
		}
	}
}

// try reads one item on trial. When this process survives that, the mark goes. It
// reports whether marks can be left.
func (b *batch) try(it *item) bool {
	s, key := b.Suspects, fmt.Sprintf("%s%s:%d", readingKey, it.msg.Stream, it.msg.Seq)
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := b.Now()
	n, err := s.begin(b.ctx, key, it.msg.Deliveries)
	b.askedRedis(asked)
	switch {
	case err != nil:
		// Who can't leave a mark does not read.
		b.Alarm(err)
		b.comeBack(it)
		return false
	case n > maxReadings && it.msg.Deliveries > maxDeliveries:
		it.end(events.Dead, events.ReasonAttemptsExhausted,
			"handed out 20 times without being claimed; the worker died each time it read this event")
		return true
	}
	b.read(it.msg)
	if err := s.rdb.Del(context.WithoutCancel(b.ctx), key).Err(); err != nil {
		b.Alarm(err)
	}
	return true
}

// read does with a message all that is done before it is claimed, and forgets it.
func (b *batch) read(m *queue.Message) {
	quiet := *b.Deliverer
	quiet.Metrics = noMetrics{}
	trial := &batch{Deliverer: &quiet, ctx: b.ctx, tenantID: b.tenantID, started: b.started, items: []*item{newItem(m)}}
	trial.decode()
	trial.resolve()
	trial.encode()
}
