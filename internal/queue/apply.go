package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

const defaultShards = 8

// Apply makes the streams and consumers be as cfg wants them, and says what it
// changed. It may be called by many processes at once and any number of times.
// A change that would lose data is refused before anything is changed.
func Apply(ctx context.Context, js jetstream.JetStream, cfg Config) (*Plan, error) {
	return apply(ctx, js, cfg, false)
}

// ApplyShards is Apply with another number of lanes than there are; it only
// raises it.
func ApplyShards(ctx context.Context, js jetstream.JetStream, cfg Config, shards int) (*Plan, error) {
	cfg.Shards = shards
	return apply(ctx, js, cfg, true)
}

// Preview says what Apply would change, and changes nothing.
func Preview(ctx context.Context, js jetstream.JetStream, cfg Config) (*Plan, error) {
	p, err := makePlan(ctx, js, cfg, false)
	if err != nil {
		return nil, err
	}
	return &p.Plan, nil
}

func apply(ctx context.Context, js jetstream.JetStream, cfg Config, raise bool) (*Plan, error) {
	p, err := makePlan(ctx, js, cfg, raise)
	if err != nil {
		return nil, err
	}
	for _, s := range p.streams {
		// Create-or-update, since another process may be at it too.
		if _, err := js.CreateOrUpdateStream(ctx, s); err != nil {
			return nil, streamError(s, err)
		}
	}
	for _, c := range p.consumers {
		if _, err := js.CreateOrUpdateConsumer(ctx, c.Stream, c.Config); err != nil {
			return nil, adminError("consumer "+c.Config.Durable+" of "+c.Stream, err)
		}
	}
	return &p.Plan, nil
}

// fullPlan is a Plan with what it takes to carry it out.
type fullPlan struct {
	Plan
	streams   []jetstream.StreamConfig
	consumers []durable
}

func makePlan(ctx context.Context, js jetstream.JetStream, cfg Config, raise bool) (*fullPlan, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	found, err := inspect(ctx, js)
	if err != nil {
		return nil, err
	}
	if cfg.Shards, err = settleShards(found[StreamEvents].shards(), cfg.Shards, raise); err != nil {
		return nil, err
	}

	p := &fullPlan{Plan: Plan{Shards: cfg.Shards}}
	var refused []error
	for _, want := range Streams(cfg) {
		have := found[want.Name].info
		if have == nil {
			p.Changes = append(p.Changes, Change{Stream: want.Name, Create: true})
			p.streams = append(p.streams, want)
			continue
		}
		fields, err := compareStream(have, want)
		if err != nil {
			refused = append(refused, err)
			continue
		}
		if len(fields) > 0 {
			p.Changes = append(p.Changes, Change{Stream: want.Name, Fields: fields})
			p.streams = append(p.streams, mergeStream(have.Config, want))
		}
	}
	for _, want := range consumers(cfg, cfg.Shards) {
		have := found[want.Stream].consumers[want.Config.Durable]
		change := Change{Stream: want.Stream, Consumer: want.Config.Durable, Create: have == nil}
		merged := want.Config
		if have != nil {
			if change.Fields = compareConsumer(have.Config, want.Config); len(change.Fields) == 0 {
				continue
			}
			merged = mergeConsumer(have.Config, want.Config)
		}
		p.Changes = append(p.Changes, change)
		p.consumers = append(p.consumers, durable{want.Stream, merged})
	}
	if len(refused) > 0 {
		return nil, errors.Join(refused...)
	}
	return p, nil
}

// settleShards returns the number of lanes: the one that is there, once there is
// one.
func settleShards(there, want int, raise bool) (int, error) {
	switch {
	case there == 0 && want == 0:
		return defaultShards, nil
	case there == 0:
		return want, nil
	case want == 0 || want == there:
		return there, nil
	case want < there:
		return 0, fmt.Errorf("queue: HOMING_SHARDS is %d, but %s has %d lanes and what waits in them would be stranded: set HOMING_SHARDS=%d; lanes can only be added",
			want, StreamEvents, there, there)
	case raise:
		return want, nil
	default:
		return 0, fmt.Errorf("queue: HOMING_SHARDS is %d, but %s has %d lanes: set HOMING_SHARDS=%d, or add lanes with: homing streams apply --shards %d",
			want, StreamEvents, there, there, want)
	}
}

// present is what the server has of one stream.
type present struct {
	info      *jetstream.StreamInfo // nil when there is none
	consumers map[string]*jetstream.ConsumerInfo
}

// shards is the number of lanes that the stream says there are; 0 when it says
// nothing.
func (p present) shards() int {
	if p.info == nil {
		return 0
	}
	n, _ := shardsIn(p.info.Config.Metadata)
	return n
}

// inspect reads our six streams and their consumers.
func inspect(ctx context.Context, js jetstream.JetStream) (map[string]present, error) {
	all := make(map[string]present)
	for _, cfg := range Streams(Config{}.WithDefaults()) {
		s, err := js.Stream(ctx, cfg.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, adminError("stream "+cfg.Name, err)
		}
		p := present{info: s.CachedInfo(), consumers: make(map[string]*jetstream.ConsumerInfo)}
		list := s.ListConsumers(ctx)
		for c := range list.Info() {
			p.consumers[c.Name] = c
		}
		if err := list.Err(); err != nil {
			return nil, adminError("consumers of "+cfg.Name, err)
		}
		all[cfg.Name] = p
	}
	return all, nil
}

// streamError explains why a stream could not be made.
func streamError(s jetstream.StreamConfig, err error) error {
	switch errorCode(err) {
	case codeStorageExceeded, codeInsufficientResources:
		return fmt.Errorf("queue: stream %s: JetStream can't reserve %s for it: lower HOMING_QUEUE_MAX_BYTES (the backlog and the parked events take that much each, the dead letters %s), or give JetStream more disk: %w",
			s.Name, bytesString(s.MaxBytes), bytesString(deadBytes), err)
	default:
		return adminError("stream "+s.Name, err)
	}
}

// adminError is the error of a request about what. Where the server said nothing
// the queue is unavailable, and asking again may help.
func adminError(what string, err error) error {
	if code := errorCode(err); code == 0 || code == codeNotAvailable {
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, what, err)
	}
	return fmt.Errorf("queue: %s: %w", what, err)
}
