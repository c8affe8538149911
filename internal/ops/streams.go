package ops

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/homing-dev/homing/internal/queue"
)

// Stream is what one stream holds and how far its consumers have come.
type Stream struct {
	Name     string     `json:"stream"`
	Messages uint64     `json:"messages"`
	Bytes    uint64     `json:"bytes"`
	Limit    int64      `json:"limit_bytes"` // 0: none
	Oldest   *time.Time `json:"oldest"`
	// Pending, AckPending and Redelivered are the sums over Consumers.
	Pending     uint64     `json:"pending"`
	AckPending  int        `json:"ack_pending"`
	Redelivered int        `json:"redelivered"`
	Consumers   []Consumer `json:"consumers"`
}

// Consumer is how far one consumer has come.
type Consumer struct {
	Name        string `json:"consumer"`
	Pending     uint64 `json:"pending"`
	AckPending  int    `json:"ack_pending"`
	Redelivered int    `json:"redelivered"`
}

// StreamsStatus returns what the streams hold.
func StreamsStatus(ctx context.Context, q *queue.Queue) ([]Stream, error) {
	st, err := q.Status(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]Stream, 0, len(st.Streams))
	for _, s := range st.Streams {
		row := Stream{
			Name: s.Name, Messages: s.Messages, Bytes: s.Bytes, Limit: max(s.MaxBytes, 0),
			Oldest: instant(s.Oldest), Consumers: make([]Consumer, 0, len(s.Consumers)),
		}
		for _, c := range s.Consumers {
			row.Consumers = append(row.Consumers, Consumer(c))
			row.Pending += c.Pending
			row.AckPending += c.AckPending
			row.Redelivered += c.Redelivered
		}
		all = append(all, row)
	}
	return all, nil
}

// StreamsPlan is what is changed in the streams, or would be.
type StreamsPlan struct {
	DryRun  bool     `json:"dry_run"`
	Shards  int      `json:"shards"` // the lanes there are afterwards
	Changes []string `json:"changes"`
}

// StreamsApply makes the streams as cfg wants them, or says what that would
// change. shards adds lanes; 0 leaves their number to cfg.
func StreamsApply(ctx context.Context, js jetstream.JetStream, cfg queue.Config, shards int, dryRun bool) (*StreamsPlan, error) {
	var p *queue.Plan
	var err error
	switch {
	case dryRun && shards > 0:
		p, err = queue.PreviewShards(ctx, js, cfg, shards)
	case dryRun:
		p, err = queue.Preview(ctx, js, cfg)
	case shards > 0:
		p, err = queue.ApplyShards(ctx, js, cfg, shards)
	default:
		p, err = queue.Apply(ctx, js, cfg)
	}
	if err != nil {
		return nil, err
	}
	plan := &StreamsPlan{DryRun: dryRun, Shards: p.Shards, Changes: make([]string, 0, len(p.Changes))}
	for _, c := range p.Changes {
		plan.Changes = append(plan.Changes, c.String())
	}
	return plan, nil
}
