// Package clicks remembers which ads a person tapped.
//
// A person's clicks are a sorted set in Redis, scored by the time of the
// WhatsApp message. Adding to it is commutative and idempotent, so that clicks
// may arrive in any order and any number of times: the answer is always the
// same. The set is a projection of the stream of clicks and can be rebuilt from
// it at any time.
package clicks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/homing-dev/homing/internal/crash"
	"github.com/homing-dev/homing/pkg/events"
)

const (
	// perPerson is how many of a person's newest clicks are kept. An event is at
	// most a week old, so only clicks of that week are ever passed over.
	perPerson = 16
	// maxPipeline bounds the commands of one round trip.
	maxPipeline = 1000
	// separator stands between clid and WABA in a member. It sorts before every
	// byte of a clid, so that members of one second sort as their clids do.
	separator = "\x00"
)

// Options sets up a Store.
type Options struct {
	// TTL is how long a click is kept (HOMING_CLICK_TTL).
	TTL time.Duration
	// Marker is the key whose absence says that Redis has forgotten clicks that
	// are being brought back; empty: nobody asks.
	Marker string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// ErrIncomplete is returned by Lookup while clicks that were once stored may be
// missing: any answer might be older than the right one.
var ErrIncomplete = errors.New("clicks: redis lost its memory; it is being rebuilt")

// Store is the click store. It is safe for concurrent use.
type Store struct {
	rdb    redis.UniversalClient
	ttl    time.Duration
	marker string
	now    func() time.Time
}

// New returns a store in rdb.
func New(rdb redis.UniversalClient, opt Options) *Store {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	return &Store{rdb: rdb, ttl: opt.TTL, marker: opt.Marker, now: opt.Now}
}

// Query asks for the click that earned one event.
type Query struct {
	Tenant  string
	Persons []events.Person
	// Before is the latest time a click may have, in Unix seconds.
	Before int64
	// OrNewest takes the newest click of all when none is old enough.
	OrNewest bool
	// Trace asks for the click's trace too, which costs another round trip: for
	// events whose own trace is sampled.
	Trace bool
}

// Found is the answer to a Query; the zero value means that no click is known.
type Found struct {
	Clid string
	WABA string // the WhatsApp business account it came by; may be empty
	At   int64  // Unix seconds
	// Trace is the traceparent of what brought the click, where it was asked for,
	// sampled and is remembered still.
	Trace string
}

// OK reports whether a click was found.
func (f Found) OK() bool { return f.Clid != "" }

// newer reports whether f wins over g: the later click, of two in one second
// the one with the bytewise greater clid.
func (f Found) newer(g Found) bool {
	if f.At != g.At {
		return f.At > g.At
	}
	return f.Clid+separator+f.WABA > g.Clid+separator+g.WABA
}

// Put adds clicks. After an error some of them may be stored; putting them
// again does no harm.
func (s *Store) Put(ctx context.Context, clicks []events.Click) error {
	oldest := s.now().Add(-s.ttl).Unix()
	pipe := s.rdb.Pipeline()
	for i := range clicks {
		c := &clicks[i]
		if c.Clid == "" || c.At < oldest || strings.Contains(c.Clid, separator) {
			continue // never a click of Meta's; what is posted is checked before
		}
		for _, person := range c.Persons {
			key := keyOf(c.Tenant, person)
			// GT: of one clid told with two timestamps the later one counts,
			// whichever came first.
			pipe.ZAddGT(ctx, key, redis.Z{Score: float64(c.At), Member: c.Clid + separator + c.WABA})
			pipe.ZRemRangeByRank(ctx, key, 0, -perPerson-1)
			pipe.Expire(ctx, key, s.ttl)
		}
		if c.Trace != "" {
			pipe.Set(ctx, traceKey(c.Tenant, c.Clid), c.Trace, min(s.ttl, traceTTL))
		}
		if pipe.Len() >= maxPipeline {
			if err := flush(ctx, pipe); err != nil {
				return err
			}
		}
	}
	return flush(ctx, pipe)
}

func flush(ctx context.Context, pipe redis.Pipeliner) error {
	if pipe.Len() == 0 {
		return nil
	}
	crash.At(crash.BeforePutClick)
	_, err := pipe.Exec(ctx)
	crash.At(crash.AfterPutClick)
	if err != nil {
		return fmt.Errorf("clicks: put: %w", err)
	}
	return nil
}

// Lookup answers each query with the newest click of its persons, in one round
// trip.
func (s *Store) Lookup(ctx context.Context, queries []Query) ([]Found, error) {
	found := make([]Found, len(queries))
	pipe := s.rdb.Pipeline()
	var whole *redis.IntCmd
	if s.marker != "" {
		// First in the pipeline: what was whole before the look was whole for it.
		whole = pipe.Exists(ctx, s.marker)
	}
	var cmds []*redis.ZSliceCmd
	for i := range queries {
		for _, person := range queries[i].Persons {
			cmds = append(cmds, pipe.ZRevRangeWithScores(ctx, keyOf(queries[i].Tenant, person), 0, perPerson-1))
		}
	}
	if len(cmds) == 0 {
		return found, nil
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("clicks: look-up: %w", err)
	}
	if whole != nil && whole.Val() == 0 {
		return nil, ErrIncomplete
	}
	oldest := s.now().Add(-s.ttl).Unix()
	for i := range queries {
		q := &queries[i]
		var best, newest Found
		for range q.Persons {
			for _, z := range cmds[0].Val() {
				click, ok := decode(z)
				if !ok || click.At < oldest {
					continue
				}
				if click.newer(newest) {
					newest = click
				}
				if click.At <= q.Before && click.newer(best) {
					best = click
				}
			}
			cmds = cmds[1:]
		}
		if !best.OK() && q.OrNewest {
			best = newest
		}
		found[i] = best
	}
	s.addTraces(ctx, queries, found)
	return found, nil
}

func decode(z redis.Z) (Found, bool) {
	member, ok := z.Member.(string)
	if !ok {
		return Found{}, false
	}
	clid, waba, ok := strings.Cut(member, separator)
	return Found{Clid: clid, WABA: waba, At: int64(z.Score)}, ok
}

// keyOf names a person's clicks; half of the hash is plenty and saves memory.
func keyOf(tenant string, person events.Person) string {
	p := string(person)
	if len(p) > 32 {
		p = p[:32]
	}
	return "homing:click:" + tenant + ":" + p
}
