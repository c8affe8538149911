package dedup

import (
	"context"
	"errors"
)

// maxRaces is how often a lost race is decided again. Each loss is another
// worker's step on the same key, and there are only so many copies of it.
const maxRaces = 8

// Claim implements Store: one round trip when nothing is in the way, a second
// where a record has to be replaced, more only on lost races.
func (s *Redis) Claim(ctx context.Context, msgs []Message) ([]Claim, error) {
	if len(msgs) == 0 {
		return nil, nil
	}
	q := &ask{nonce: s.opt.NewNonce(), now: s.now(), ackWait: s.opt.AckWait, maxTries: s.opt.MaxTries, off: s.off}
	claims := make([]Claim, len(msgs))
	open := make([]int, 0, len(msgs)) // indexes of claims that are still asked for
	ops := make([]op, 0, len(msgs))
	texts := newTexts(len(msgs))

	// The first step bets that there is no record.
	inCall := make(map[string]struct{}, len(msgs))
	var copies map[string][]int // indexes of those whose key another one asks for
	for i := range msgs {
		m := &msgs[i]
		if _, twice := inCall[m.Key]; twice {
			claims[i] = Claim{Result: Taken} // row 6, by the other one in this call
			if copies == nil {
				copies = make(map[string][]int)
			}
			copies[m.Key] = append(copies[m.Key], i)
			continue
		}
		inCall[m.Key] = struct{}{}
		q.found, q.msg = Record{}, m
		claims[i] = Claim{Result: Fresh, Record: q.claim()}
		open = append(open, i)
		ops = append(ops, op{verb: create, key: recordPrefix + m.Key, new: texts.encode(&claims[i].Record), ttl: s.opt.TTL})
	}

	for race := 0; len(open) > 0; race++ {
		replies, marker, err := s.fenced(ctx, ops)
		if err != nil {
			return s.unanswered(ctx, msgs, claims, err)
		}
		q.incident = marker.IncidentAt
		asked, sent := open, ops
		open, ops = open[:0], ops[:0]
		for n, i := range asked {
			c, o, stands := &claims[i], sent[n], replies[n]
			if stands == o.old {
				stands = o.new // the text that stands there now
			}
			if o.verb == swap && stands == o.new {
				continue
			}
			// What a create found or left: its own L, sent once or twice, replaced
			// nothing, and is decided on as such.
			var found Record
			unreadable := false
			if replies[n] != "" || o.verb == swap {
				found, unreadable = record(stands)
			}
			q.found, q.msg = found, &msgs[i]
			var a answer
			if unreadable || race == maxRaces {
				a = q.taken()
			} else {
				a = decideClaim(s.claims, q)
			}
			written := stands == o.new && a.next == c.Record // as nearly always
			c.Result, c.Before = a.result, nil
			if !written {
				c.Record = a.next
			}
			if !c.Held() {
				// Nobody in this call holds the key, so its copies meet the same record.
				for _, other := range copies[msgs[i].Key] {
					q.msg = &msgs[other]
					if a := decideClaim(s.claims, q); !a.result.holds() && c.Result != Taken {
						claims[other] = Claim{Result: a.result, Record: a.next}
					}
				}
				continue
			}
			if found.State != None && (found.State != Claimed || found.Nonce != q.nonce) {
				before := found
				c.Before = &before
			}
			if written {
				continue
			}
			if text := texts.encode(&c.Record); text != stands {
				open = append(open, i)
				ops = append(ops, op{verb: swap, key: o.key, old: stands, new: text, ttl: s.opt.TTL})
			}
		}
	}
	return claims, nil
}

// unanswered turns every claim of a failed call into what Release needs. After
// an incident it releases them at once, as far as that goes: none counted.
func (s *Redis) unanswered(ctx context.Context, msgs []Message, claims []Claim, err error) ([]Claim, error) {
	for i, c := range claims {
		claims[i] = Claim{}
		if c.Held() {
			claims[i].Record, claims[i].Before = c.Record, c.Before
		}
	}
	if errors.Is(err, ErrIncident) {
		_ = s.Release(ctx, msgs, claims) // the caller releases again
	}
	return claims, err
}
