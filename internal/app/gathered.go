package app

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/internal/deliver"
	"github.com/homing-dev/homing/internal/gather"
	"github.com/homing-dev/homing/pkg/dedup"
)

// alone is from how many events on a batch fills round trips by itself.
const alone = 64

// gathered returns the stores of a worker. On a cluster each batch asks for itself:
// a round trip of many would nearly always meet the one node that is down.
func gathered(rdb redis.UniversalClient, claims dedup.Store, store *clicks.Store) (dedup.Store, deliver.ClickStore) {
	if _, ok := rdb.(*redis.ClusterClient); ok {
		return claims, store
	}
	return gatherClaims(claims), gatherClicks(store)
}

// gatheredClaims is the claim store of a worker: what the small batches of many
// tenants ask shares round trips.
type gatheredClaims struct {
	dedup.Store
	claims   *gather.Group[dedup.Message, dedup.Claim]
	verdicts *gather.Group[dedup.Verdict, dedup.Settlement]
}

func gatherClaims(s dedup.Store) gatheredClaims {
	return gatheredClaims{
		Store:    s,
		claims:   gather.New(s.Claim, gather.Options{Alone: alone, FailAll: true, Stay: true}),
		verdicts: gather.New(s.Settle, gather.Options{Alone: alone, FailAll: true}),
	}
}

// Claim implements dedup.Store. Nobody who was asked for leaves before it is known
// which keys are theirs: they have to be released.
func (g gatheredClaims) Claim(ctx context.Context, msgs []dedup.Message) ([]dedup.Claim, error) {
	return g.claims.Start(ctx, msgs).Wait()
}

// Settle implements dedup.Store.
func (g gatheredClaims) Settle(ctx context.Context, verdicts []dedup.Verdict) ([]dedup.Settlement, error) {
	return g.verdicts.Start(ctx, verdicts).Wait()
}

// gatheredClicks is the click store of a worker, likewise.
type gatheredClicks struct {
	looks *gather.Group[clicks.Query, clicks.Found]
}

func gatherClicks(s *clicks.Store) gatheredClicks {
	return gatheredClicks{gather.New(s.Lookup, gather.Options{Alone: alone, FailAll: true})}
}

// Lookup implements deliver.ClickStore.
func (g gatheredClicks) Lookup(ctx context.Context, queries []clicks.Query) ([]clicks.Found, error) {
	return g.looks.Start(ctx, queries).Wait()
}
