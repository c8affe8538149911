package dedup

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// op is one command on one key. Its reply is the text found there before it, ""
// for none.
type op struct {
	verb verb
	key  string
	old  string // swap only: what must be found; "" for nothing
	new  string // create and swap; "" deletes
	ttl  time.Duration
}

type verb int

const (
	get    verb = iota // GET
	create             // SET NX GET PX: write where nothing is
	swap               // the script: write where old is
	drop               // UNLINK; no reply
)

// swapSource is the only script: every transition that is not a plain create is
// decided in Go and lands only on the record it was decided on.
const swapSource = `
local found = redis.call('GET', KEYS[1]) or ''
if found == ARGV[1] then
  if ARGV[2] == '' then
    redis.call('DEL', KEYS[1])
  else
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  end
end
return found`

var swapScript = redis.NewScript(swapSource)

// garbled stands for a reply that is no text at all. It decodes to no record.
const garbled = "?"

func (o op) command(ctx context.Context, sha bool) *redis.Cmd {
	px := strconv.FormatInt(max(1, o.ttl.Milliseconds()), 10)
	switch o.verb {
	case create:
		return redis.NewCmd(ctx, "set", o.key, o.new, "px", px, "nx", "get")
	case swap:
		if sha {
			return redis.NewCmd(ctx, "evalsha", swapScript.Hash(), 1, o.key, o.old, o.new, px)
		}
		return redis.NewCmd(ctx, "eval", swapSource, 1, o.key, o.old, o.new, px)
	case drop:
		return redis.NewCmd(ctx, "unlink", o.key)
	default:
		return redis.NewCmd(ctx, "get", o.key)
	}
}

// send sends ops in one pipeline, a second one for scripts that the server did
// not know, and returns their replies. With an error none of them counts.
func (s *Redis) send(ctx context.Context, ops []op) ([]string, error) {
	replies := make([]string, len(ops))
	unknown, err := s.exchange(ctx, ops, nil, true, replies)
	if err == nil && len(unknown) > 0 {
		_, err = s.exchange(ctx, ops, unknown, false, replies)
	}
	return replies, err
}

// fenced is send between two reads of the marker. It returns ErrIncident, and
// the replies nevertheless, when the memory was not whole and the same throughout.
func (s *Redis) fenced(ctx context.Context, ops []op) ([]string, Marker, error) {
	fence := op{verb: get, key: MarkerKey}
	all := make([]op, 0, len(ops)+2)
	all = append(append(append(all, fence), ops...), fence)
	replies := make([]string, len(all))
	unknown, err := s.exchange(ctx, all, nil, true, replies)
	first, last := replies[0], replies[len(all)-1]
	if err == nil && len(unknown) > 0 {
		unknown = append(append([]int{0}, unknown...), len(all)-1)
		_, err = s.exchange(ctx, all, unknown, false, replies)
		if first != replies[0] {
			last = ""
		} else {
			last = replies[len(all)-1]
		}
	}
	if err != nil {
		return nil, Marker{}, err
	}
	marker, ok := decodeMarker(first)
	if !ok || first != last {
		return nil, Marker{}, ErrIncident
	}
	return replies[1 : len(all)-1], marker, nil
}

// exchange sends those ops that only names, all of them when it is nil, and
// returns the indexes of the scripts that the server does not know.
func (s *Redis) exchange(ctx context.Context, ops []op, only []int, sha bool, replies []string) (unknown []int, err error) {
	if only == nil {
		only = make([]int, len(ops))
		for i := range ops {
			only[i] = i
		}
	}
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.Cmd, len(only))
	for n, i := range only {
		cmds[n] = ops[i].command(ctx, sha)
		_ = pipe.Process(ctx, cmds[n]) // queues; the errors are the commands' own
	}
	_, execErr := pipe.Exec(ctx)
	for n, i := range only {
		switch err := cmds[n].Err(); {
		case err == nil:
			replies[i], _ = cmds[n].Val().(string)
		case errors.Is(err, redis.Nil):
			replies[i] = ""
		case redis.HasErrorPrefix(err, "NOSCRIPT"):
			unknown = append(unknown, i)
		case redis.HasErrorPrefix(err, "WRONGTYPE"):
			replies[i] = garbled
		default:
			return nil, fmt.Errorf("dedup: redis: %w", err)
		}
	}
	var reply redis.Error // an answer to one command, handled above
	if execErr != nil && !errors.As(execErr, &reply) {
		return nil, fmt.Errorf("dedup: redis: %w", execErr)
	}
	return unknown, nil
}
