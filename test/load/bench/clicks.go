package main

import (
	"context"
	"fmt"
	"time"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/events"
)

// tenantOf says whose customer a person is, of so many tenants.
func tenantOf(person, tenants int) int { return person % tenants }

// storeClicks stores a click of every person with their tenant, as a webhook
// does: in the stream, and in Redis at once.
func (l *lab) storeClicks(ctx context.Context, tenants int) error {
	all := make([]events.Click, 0, len(l.people))
	at := time.Now().Add(-time.Hour).Unix()
	for i := range l.people {
		t := tenantOf(i, tenants)
		all = append(all, events.Click{
			Tenant: tenantID(t), Persons: l.people[i].event.Persons, Clid: l.people[i].clid, At: at, WABA: wabaOf(t),
		})
	}
	if err := l.queue.PublishClicks(ctx, all); err != nil {
		return err
	}
	if err := l.clicks.Put(ctx, all); err != nil {
		return err
	}
	s, err := l.js.Stream(ctx, queue.StreamClicks)
	if err != nil {
		return fmt.Errorf("stream %s: %w", queue.StreamClicks, err)
	}
	return s.Purge(ctx) // see forget
}
