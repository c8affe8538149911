package dedup

import (
	"context"
	"time"
)

// Release implements Store. A copy of the claim's command may still be on its way,
// over a connection that was given up; so what is put back is written even where
// nothing was, in a text that no such copy compares with, and over what the claim
// would replace if it has not come yet.
func (s *Redis) Release(ctx context.Context, msgs []Message, claims []Claim) error {
	now := s.now()
	ops := make([]op, 0, len(claims))
	own := make([]*Claim, 0, len(claims))
	for i := range claims {
		c := &claims[i]
		if !c.Held() && c.Result != Unanswered || c.Record.State != Claimed {
			continue
		}
		back := c.back(now)
		own = append(own, c)
		ops = append(ops, op{
			verb: swap, key: recordPrefix + msgs[i].Key,
			old: EncodeRecord(c.Record), new: EncodeRecord(back), ttl: s.opt.TTL,
		})
	}
	for len(ops) > 0 {
		replies, err := s.send(ctx, ops)
		if err != nil {
			return err
		}
		again, left := ops[:0], own[:0]
		for i, reply := range replies {
			o, c := ops[i], own[i]
			if reply == o.old || reply == o.new || !c.mayReplace(reply) {
				continue // done, or no longer ours
			}
			o.old = reply
			again, left = append(again, o), append(left, c)
		}
		ops, own = again, left
	}
	return nil
}

// back is what a claim that is given up leaves: what it replaced, counted on; where
// that was nothing, Q. An L is another worker's, who knows it by its nonce.
func (c *Claim) back(now time.Time) Record {
	if c.Before == nil {
		r := &c.Record
		return Record{State: Queued, Accept: r.Accept, Round: r.Round, At: now, Tries: 1, Note: r.Note}
	}
	r := *c.Before
	if r.State == Claimed {
		return r
	}
	if r.State == Queued {
		r.At = now
	}
	r.Tries++
	return r
}

// mayReplace reports whether text is what the claim wrote, in the one or the other
// of two copies, or what a copy of it that comes late would replace.
func (c *Claim) mayReplace(text string) bool {
	if c.Before == nil && text == "" || c.Before != nil && text == EncodeRecord(*c.Before) {
		return true
	}
	found, _ := record(text)
	return found.State == Claimed && found.Nonce == c.Record.Nonce
}
