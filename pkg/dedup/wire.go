package dedup

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// op is one command on one key. Its reply is the text found there before it, ""
// for none.
type op struct {
	verb verb
	key  string
	old  string // swap: what must be found, "" for nothing; settle: ownMark of our claim
	new  string // create, swap and settle; "" deletes
	ttl  time.Duration
	more []string // drop only: further keys
}

type verb int

const (
	get    verb = iota // GET
	create             // SET NX GET PX: write where nothing is
	swap               // a script: write where old is
	settle             // a script: write where our own L is
	drop               // UNLINK; no reply
)

// Every transition that is not a plain create is decided in Go, and a script lands
// it only on the record it was decided on. Nil says that it did; what was found
// instead is told.

// swapSource compares the whole text.
const swapSource = `
local found = redis.call('GET', KEYS[1]) or ''
if found ~= ARGV[1] then
  return found
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return false`

// settleSource is swapSource for what nearly every event does, and cheaper for both
// sides: an L is known by its nonce, so its text need not be sent again.
const settleSource = `
local found = redis.call('GET', KEYS[1]) or ''
local _, last = string.find(found, ARGV[1], 1, true)
if string.byte(found) ~= 76 or not last or (string.byte(found, last + 1) or 32) ~= 32 then
  return found
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return false`

var swapScript, settleScript = redis.NewScript(swapSource), redis.NewScript(settleSource)

// ownMark is what, of all records, only those of that nonce hold: no value of
// another field has a space.
func ownMark(nonce string) string { return string(appendText(nil, 'n', nonce)) }

// garbled stands for a reply that is no text at all. It decodes to no record.
const garbled = "?"

// commands makes the commands of those ops that only names. Their arguments lie
// in one array and point into ops, since a pipeline of a thousand would else
// make ten thousand small objects.
func commands(ctx context.Context, ops []op, only []int, sha bool) []redis.Cmder {
	var name, swapping, settling any = "eval", swapSource, settleSource
	if sha {
		name, swapping, settling = "evalsha", swapScript.Hash(), settleScript.Hash()
	}
	var px any
	var ttl time.Duration
	cmds, args := make([]redis.Cmder, len(only)), make([]any, 0, maxArgs*len(only))
	for n, i := range only {
		o, from := &ops[i], len(args)
		if px == nil || ttl != o.ttl {
			ttl, px = o.ttl, strconv.FormatInt(max(1, o.ttl.Milliseconds()), 10)
		}
		switch o.verb {
		case create:
			args = append(args, "set", &o.key, &o.new, "px", px, "nx", "get")
		case swap:
			args = append(args, name, swapping, "1", &o.key, &o.old, &o.new, px)
		case settle:
			args = append(args, name, settling, "1", &o.key, &o.old, &o.new, px)
		case drop:
			args = append(args, "unlink", &o.key)
			for i := range o.more {
				args = append(args, &o.more[i])
			}
		default:
			args = append(args, "get", &o.key)
		}
		cmds[n] = redis.NewStringCmd(ctx, args[from:len(args):len(args)]...)
	}
	return cmds
}

// maxArgs is how many arguments a command has at most.
const maxArgs = 7

// texts encodes the records of one call into one piece of memory, which lives as
// long as one of them.
type texts struct {
	all  strings.Builder
	last []byte
}

func newTexts(n int) *texts {
	t := &texts{last: make([]byte, 0, recordSize)}
	t.all.Grow(n * recordSize)
	return t
}

func (t *texts) encode(r *Record) string {
	t.last = appendRecord(t.last[:0], r)
	from := t.all.Len()
	t.all.Write(t.last)
	return t.all.String()[from:]
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
	cmds := commands(ctx, ops, only, sha)
	_ = pipe.BatchProcess(ctx, cmds...) // queues; the errors are the commands' own
	_, execErr := pipe.Exec(ctx)
	for n, i := range only {
		switch err := cmds[n].Err(); {
		case err == nil:
			replies[i] = cmds[n].(*redis.StringCmd).Val()
		case errors.Is(err, redis.Nil):
			replies[i] = ops[i].old // swapped; nothing is what the others found
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
