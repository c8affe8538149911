package queue

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

// PreviewShards says what ApplyShards would change, and changes nothing.
func PreviewShards(ctx context.Context, js jetstream.JetStream, cfg Config, shards int) (*Plan, error) {
	cfg.Shards = shards
	p, err := makePlan(ctx, js, cfg, true)
	if err != nil {
		return nil, err
	}
	return &p.Plan, nil
}
