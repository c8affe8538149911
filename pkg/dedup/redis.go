package dedup

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// The store's keys. What is shown beside a record has a key of its own, so that
// the claim can be a plain SET NX.
const (
	recordPrefix = "homing:ev:"
	queuedPrefix = "homing:q:"
)

// MarkerKey is there while the server's memory is whole: that of this store, and
// of others that share the server and are rebuilt together with it.
const MarkerKey = "homing:marker"

// Options adjust a Redis. The zero value of each field takes its default.
type Options struct {
	// AckWait is JetStream's; a claim older than twice that is nobody's. 90 s.
	AckWait time.Duration
	// TTL is how long a key is remembered. 168 h.
	TTL time.Duration
	// MaxTries is how many times in a row workers may die with an event. 5.
	MaxTries int
	// Now is the clock. time.Now.
	Now func() time.Time
	// NewNonce names a call of Claim; never twice the same. Random.
	NewNonce func() string
}

func (o Options) withDefaults() Options {
	if o.AckWait <= 0 {
		o.AckWait = 90 * time.Second
	}
	if o.TTL <= 0 {
		o.TTL = 168 * time.Hour
	}
	if o.MaxTries <= 0 {
		o.MaxTries = 5
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewNonce == nil {
		// 65 bits: it is compared only among the claims of one key.
		o.NewNonce = func() string { return rand.Text()[:13] }
	}
	return o
}

// Redis is the Store. It keeps no state of its own.
type Redis struct {
	rdb      redis.UniversalClient
	opt      Options
	claims   []claimRow
	verdicts []verdictRow
	asides   []asideRow
	off      rows // tests only
}

var _ Store = (*Redis)(nil)

// New returns a store over rdb, which stays the caller's to close. Redis 7.0 or
// later (SET with NX and GET).
func New(rdb redis.UniversalClient, opt Options) *Redis {
	return &Redis{rdb: rdb, opt: opt.withDefaults(), claims: claimTable(), verdicts: verdictTable(), asides: asideTable()}
}

// now is the clock at the precision that records keep.
func (s *Redis) now() time.Time { return s.opt.Now().UTC().Truncate(time.Millisecond) }

// record is a read of a record's text, which may be garbled: some other program
// wrote it, or a newer version. Nothing is ever sent on it.
func record(text string) (r Record, garbled bool) {
	if text == "" {
		return Record{}, false
	}
	r, err := DecodeRecord(text)
	return r, err != nil
}

// Look implements Store.
func (s *Redis) Look(ctx context.Context, looks []Look) ([]Record, error) {
	now := s.now()
	ops := make([]op, 0, 2*len(looks))
	for _, l := range looks {
		queued := EncodeRecord(Record{State: Queued, Accept: l.Accept, At: now, Note: l.Note})
		ops = append(ops,
			op{verb: get, key: recordPrefix + l.Key},
			op{verb: create, key: queuedPrefix + l.Key, new: queued, ttl: s.opt.TTL})
	}
	return s.read(ctx, ops)
}

// Get implements Store.
func (s *Redis) Get(ctx context.Context, keys []string) ([]Record, error) {
	return s.read(ctx, reads(keys))
}

// reads are the pairs of ops that read each key's record and what is beside it.
func reads(keys []string) []op {
	ops := make([]op, 0, 2*len(keys))
	for _, k := range keys {
		ops = append(ops, op{verb: get, key: recordPrefix + k}, op{verb: get, key: queuedPrefix + k})
	}
	return ops
}

// read sends pairs of ops, on a key's record and on what is beside it, and returns
// what is shown of the two. A garbled one reads as none.
func (s *Redis) read(ctx context.Context, ops []op) ([]Record, error) {
	if len(ops) == 0 {
		return nil, nil
	}
	replies, err := s.send(ctx, ops)
	if err != nil {
		return nil, err
	}
	found := make([]Record, len(ops)/2)
	for i := range found {
		rec, _ := record(replies[2*i])
		beside, _ := record(replies[2*i+1])
		found[i] = shown(rec, beside)
	}
	return found, nil
}

// Forget implements Store. It is rare, so it reads first and then compares.
func (s *Redis) Forget(ctx context.Context, looks []Look) error {
	if len(looks) == 0 {
		return nil
	}
	ops := make([]op, len(looks))
	for i, l := range looks {
		ops[i] = op{verb: get, key: queuedPrefix + l.Key}
	}
	replies, err := s.send(ctx, ops)
	if err != nil {
		return err
	}
	ops = ops[:0]
	for i, l := range looks {
		if r, _ := record(replies[i]); r.State == Queued && r.Accept == l.Accept {
			ops = append(ops, op{verb: swap, key: queuedPrefix + l.Key, old: replies[i]})
		}
	}
	if len(ops) == 0 {
		return nil
	}
	_, err = s.send(ctx, ops)
	return err
}

// Marker implements Store.
func (s *Redis) Marker(ctx context.Context) (Marker, error) {
	_, m, err := s.fenced(ctx, nil)
	return m, err
}

// Mark implements Store. The marker does not expire.
func (s *Redis) Mark(ctx context.Context, m Marker) error {
	if err := s.rdb.Set(ctx, MarkerKey, encodeMarker(m), 0).Err(); err != nil {
		return fmt.Errorf("dedup: redis: %w", err)
	}
	return nil
}

// RunID returns the run id of the server, for comparison with the marker's; ""
// for a cluster and where the server hides it.
func (s *Redis) RunID(ctx context.Context) (string, error) {
	if _, cluster := s.rdb.(*redis.ClusterClient); cluster {
		return "", nil
	}
	info, err := s.rdb.Info(ctx, "server").Result()
	if err != nil {
		return "", fmt.Errorf("dedup: redis: %w", err)
	}
	for line := range strings.Lines(info) {
		if id, ok := strings.CutPrefix(line, "run_id:"); ok {
			return strings.TrimSpace(id), nil
		}
	}
	return "", nil
}

// A marker is "M1 <incident, Unix ms, 0 for never> <run id>".
func encodeMarker(m Marker) string {
	var ms int64
	if !m.IncidentAt.IsZero() {
		ms = m.IncidentAt.UnixMilli()
	}
	return string(appendEscaped(fmt.Appendf(nil, "M1 %d ", ms), m.RunID))
}

// decodeMarker returns false for what is no marker: then there is none.
func decodeMarker(text string) (m Marker, ok bool) {
	parts := strings.Split(text, " ")
	if len(parts) != 3 || parts[0] != "M1" {
		return Marker{}, false
	}
	ms, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || ms < 0 || ms > maxMoment {
		return Marker{}, false
	}
	if m.RunID, err = unescape(parts[2]); err != nil {
		return Marker{}, false
	}
	if ms != 0 {
		m.IncidentAt = time.UnixMilli(ms).UTC()
	}
	return m, true
}
