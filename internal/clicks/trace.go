package clicks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/redis/go-redis/v9"
)

// traceTTL is how long a click's trace is remembered: about as long as whoever
// keeps traces keeps them.
const traceTTL = 8 * 24 * time.Hour

// addTraces adds the traces of the clicks that were found and asked for with
// them. A trace that can't be had is no reason to do without the click.
func (s *Store) addTraces(ctx context.Context, queries []Query, found []Found) {
	pipe := s.rdb.Pipeline()
	wanted := map[int]*redis.StringCmd{}
	for i := range found {
		if queries[i].Trace && found[i].OK() {
			wanted[i] = pipe.Get(ctx, traceKey(queries[i].Tenant, found[i].Clid))
		}
	}
	if len(wanted) == 0 {
		return
	}
	_, _ = pipe.Exec(ctx)
	for i, cmd := range wanted {
		found[i].Trace = cmd.Val()
	}
}

// traceKey names a click's trace. Only clicks of sampled traces have one.
func traceKey(tenant, clid string) string {
	sum := sha256.Sum256([]byte(tenant + separator + clid))
	return "homing:click:trace:" + hex.EncodeToString(sum[:16])
}
