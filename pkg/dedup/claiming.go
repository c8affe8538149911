package dedup

import (
	"context"
	"errors"
)

// maxRaces is how often a lost race is decided again. Each loss is another
// worker's step on the same key, and there are only so many copies of it.
const maxRaces = 8

// attempt is one key's way through a Claim.
type attempt struct {
	i      int    // of the message
	found  string // the text that the last decision was made on
	answer answer
	before Record // what the answer replaces
}

// Claim implements Store: one round trip when nothing is in the way, a second
// where a record has to be replaced, more only on lost races.
func (s *Redis) Claim(ctx context.Context, msgs []Message) ([]Claim, error) {
	if len(msgs) == 0 {
		return nil, nil
	}
	nonce, now := s.opt.NewNonce(), s.now()
	claims := make([]Claim, len(msgs))
	question := func(i int, found Record, m Marker) ask {
		return ask{
			found: found, msg: msgs[i], nonce: nonce, now: now,
			incident: m.IncidentAt, ackWait: s.opt.AckWait, maxTries: s.opt.MaxTries, off: s.off,
		}
	}
	settle := func(a *attempt) {
		claims[a.i] = Claim{Result: a.answer.result, Record: a.answer.next}
		if claims[a.i].Held() {
			claims[a.i].Before = a.before
		}
	}

	// The first step bets that there is no record.
	open := make([]attempt, 0, len(msgs))
	ops := make([]op, 0, len(msgs))
	inCall := make(map[string]bool, len(msgs))
	for i, m := range msgs {
		if inCall[m.Key] {
			claims[i] = Claim{Result: Taken} // row 6, by the other one in this call
			continue
		}
		inCall[m.Key] = true
		q := question(i, Record{}, Marker{})
		a := attempt{i: i, answer: answer{Fresh, q.claim()}}
		open = append(open, a)
		ops = append(ops, op{verb: create, key: recordPrefix + m.Key, new: EncodeRecord(a.answer.next), ttl: s.opt.TTL})
	}

	for race := 0; len(open) > 0; race++ {
		replies, marker, err := s.fenced(ctx, ops)
		if err != nil {
			return s.unanswered(ctx, msgs, claims, open, err)
		}
		next, nextOps := open[:0], ops[:0]
		for n, reply := range replies {
			a, sent := open[n], ops[n]
			stands := reply // the text that stands there now
			if reply == sent.old {
				stands = sent.new
			}
			if sent.verb == swap && stands == sent.new {
				settle(&a)
				continue
			}
			// What a create found or left: its own L, sent once or twice, replaced
			// nothing, and is decided on as such.
			found, unreadable := record(stands)
			if sent.verb == create && reply == "" {
				found = Record{}
			}
			a.found, a.before = stands, found
			if found.State == Claimed && found.Nonce == nonce {
				a.before = Record{}
			}
			q := question(a.i, found, marker)
			if unreadable || race == maxRaces {
				a.answer = q.taken()
			} else {
				a.answer = decideClaim(s.claims, q)
			}
			text := EncodeRecord(a.answer.next)
			if !a.answer.result.holds() || text == stands {
				settle(&a)
				continue
			}
			next = append(next, a)
			nextOps = append(nextOps, op{verb: swap, key: sent.key, old: stands, new: text, ttl: s.opt.TTL})
		}
		open, ops = next, nextOps
	}
	return claims, nil
}

// unanswered turns every claim of a failed call into what Release needs. After
// an incident it releases them at once, as far as that goes: none counted.
func (s *Redis) unanswered(ctx context.Context, msgs []Message, claims []Claim, open []attempt, err error) ([]Claim, error) {
	for i, c := range claims {
		claims[i] = Claim{}
		if c.Held() {
			claims[i].Record, claims[i].Before = c.Record, c.Before
		}
	}
	for _, a := range open {
		claims[a.i] = Claim{Record: a.answer.next, Before: a.before}
	}
	if errors.Is(err, ErrIncident) {
		_ = s.Release(ctx, msgs, claims) // the caller releases again
	}
	return claims, err
}

// Release implements Store. The L may be one of two that a claim wrote, so it is
// known by its nonce.
func (s *Redis) Release(ctx context.Context, msgs []Message, claims []Claim) error {
	ops := make([]op, 0, len(claims))
	own := make([]Claim, 0, len(claims))
	for i, c := range claims {
		if !c.Held() && c.Result != Unanswered || c.Record.State != Claimed {
			continue
		}
		own = append(own, c)
		ops = append(ops, op{verb: swap, key: recordPrefix + msgs[i].Key, old: EncodeRecord(c.Record), ttl: s.opt.TTL})
		if c.Before.State != None {
			ops[len(ops)-1].new = EncodeRecord(c.Before)
		}
	}
	for len(ops) > 0 {
		replies, err := s.send(ctx, ops)
		if err != nil {
			return err
		}
		again, left := ops[:0], own[:0]
		for i, reply := range replies {
			found, _ := record(reply)
			if reply == ops[i].old || found.State != Claimed || found.Nonce != own[i].Record.Nonce {
				continue // done, or no longer ours
			}
			o := ops[i]
			o.old = reply
			again, left = append(again, o), append(left, own[i])
		}
		ops, own = again, left
	}
	return nil
}
