package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/homing-dev/homing/internal/queue"
)

// bareStream is where the bare programs publish and drain.
const bareStream = "BARE"

// makeBareStream makes it anew: as HOMING_EVENTS is, but for the name.
func (l *lab) makeBareStream(ctx context.Context) error {
	// A consumer of an earlier run would go on where that ended.
	if err := l.js.DeleteStream(ctx, bareStream); err != nil && !isNotFound(err) {
		return err
	}
	_, err := l.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: bareStream, Subjects: []string{"bare.*"}, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew,
		MaxBytes: 10 << 30, Storage: jetstream.FileStorage, AllowDirect: true,
	})
	return err
}

func isNotFound(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound)
}

// forget empties the streams and drops what Redis knows of events, so that every
// measurement begins with the same. Clicks stay in Redis alone: a worker reads
// the last minutes of their stream when it starts, which is not what is measured.
func (l *lab) forget(ctx context.Context) error {
	for _, name := range []string{queue.StreamEvents, queue.StreamRetry, queue.StreamParked, queue.StreamClicks, queue.StreamOutcomes, queue.StreamDead, bareStream} {
		s, err := l.js.Stream(ctx, name)
		if isNotFound(err) {
			continue
		}
		if err == nil {
			err = s.Purge(ctx)
		}
		if err != nil {
			return fmt.Errorf("purge %s: %w", name, err)
		}
	}
	for _, pattern := range []string{"homing:ev:*", "homing:q:*", "bare:ev:*"} {
		keys := l.rdb.Scan(ctx, 0, pattern, 5000).Iterator()
		var batch []string
		for keys.Next(ctx) {
			if batch = append(batch, keys.Val()); len(batch) == 5000 {
				if err := l.rdb.Unlink(ctx, batch...).Err(); err != nil {
					return err
				}
				batch = batch[:0]
			}
		}
		if err := keys.Err(); err != nil {
			return err
		}
		if len(batch) > 0 {
			if err := l.rdb.Unlink(ctx, batch...).Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// stored is how many messages a stream holds.
func (l *lab) stored(ctx context.Context, stream string) (int, error) {
	info, err := l.info(ctx, stream)
	if err != nil {
		return 0, err
	}
	return int(info.State.Msgs), nil
}

func (l *lab) info(ctx context.Context, stream string) (*jetstream.StreamInfo, error) {
	s, err := l.js.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", stream, err)
	}
	return s.CachedInfo(), nil // which has just been read
}
