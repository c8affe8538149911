package dedup

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// errContended is what a key that changes under every attempt ends in.
var errContended = errors.New("dedup: a key changed under every attempt to settle it: settle again")

// Settle implements Store: one round trip when our own L stands, more where
// something else does. A delivered verdict is compared and swapped as well, not
// written by a plain SET with GET: a worker that dies between that and the second
// write, of an unsure record, would leave a double that no record tells of.
func (s *Redis) Settle(ctx context.Context, verdicts []Verdict) ([]Settlement, error) {
	settled := make([]Settlement, len(verdicts))
	now := s.now()
	open := make([]int, 0, len(verdicts)) // indexes of verdicts still to be written
	swaps := make([]op, 0, 2*len(verdicts))
	drops := make([]string, 0, len(verdicts))
	texts := newTexts(len(verdicts))

	// write rules on verdict i, which asks for next, over what was found, and queues
	// what is to be written: where old is, or our own L.
	o := new(outcome)
	write := func(i int, how verb, old string, found, next *Record, unreadable bool) {
		v := &verdicts[i]
		*o = outcome{found: found, garbled: unreadable, own: &v.Claim.Record, next: next}
		r := decideVerdict(s.verdicts, s.off, o)
		settled[i] = Settlement{Stands: r.stands, Record: r.next}
		if r.write {
			open = append(open, i)
			swaps = append(swaps, op{
				verb: how, key: recordPrefix + v.Message.Key,
				old: old, new: texts.encode(r.next), ttl: s.opt.TTL,
			})
		}
	}

	// The first step bets that our own L stands.
	var nonce, mark string // nearly always the same for all
	for i := range verdicts {
		v := &verdicts[i]
		if !v.Claim.Held() {
			// The record is another's, or was decided before: nothing is written.
			stands := v.Claim.Result != Taken && v.Claim.Result != Unanswered
			settled[i] = Settlement{Stands: stands, Record: &v.Claim.Record}
			continue
		}
		if mark == "" || v.Claim.Record.Nonce != nonce {
			nonce = v.Claim.Record.Nonce
			mark = ownMark(nonce)
		}
		write(i, settle, mark, &v.Claim.Record, v.merged(now), false)
		if v.Next.State == Decided {
			// Q has said what it had to say, and would only take room.
			drops = append(drops, queuedPrefix+v.Message.Key)
		}
	}

	for race := 0; len(open) > 0; race++ {
		if race > maxRaces {
			return nil, errContended
		}
		indexes, sent := open, swaps
		replies, err := s.send(ctx, s.drop(sent, drops))
		if err != nil {
			return nil, err
		}
		open, swaps, drops = nil, nil, nil
		for n, i := range indexes {
			if reply := replies[n]; reply != sent[n].old && reply != sent[n].new {
				found, unreadable := record(reply)
				next := verdicts[i].Next // what one race makes unsure is not so in the next
				write(i, swap, reply, &found, &next, unreadable)
			}
		}
	}
	return settled, nil
}

// drop adds the removal of keys to ops: in one command, which costs the server and
// us a fraction of one for each, unless the keys are spread over a cluster.
func (s *Redis) drop(ops []op, keys []string) []op {
	ops = ops[:len(ops):len(ops)]
	if _, cluster := s.rdb.(*redis.ClusterClient); !cluster && len(keys) > 0 {
		return append(ops, op{verb: drop, key: keys[0], more: keys[1:]})
	}
	for _, k := range keys {
		ops = append(ops, op{verb: drop, key: k})
	}
	return ops
}
