package dedup

import "context"

// restoreChunk bounds one pipeline of a rebuild, which may be of millions.
const restoreChunk = 1000

// Restore implements Store. Where nothing is known, which is nearly everywhere
// after a loss, it costs one command a key.
func (s *Redis) Restore(ctx context.Context, decided []Restored) error {
	for len(decided) > 0 {
		n := min(len(decided), restoreChunk)
		if err := s.restore(ctx, decided[:n]); err != nil {
			return err
		}
		decided = decided[n:]
	}
	return nil
}

func (s *Redis) restore(ctx context.Context, chunk []Restored) error {
	now := s.now()
	ops := make([]op, 0, len(chunk))
	open := make([]Record, 0, len(chunk))
	for _, d := range chunk {
		left := d.Record.At.Add(s.opt.TTL).Sub(now)
		// What is forgotten stays forgotten, and a duplicate says nothing of its key.
		if d.Record.State != Decided || d.Record.Outcome == duplicate || left <= 0 {
			continue
		}
		open = append(open, d.Record)
		ops = append(ops, op{verb: create, key: recordPrefix + d.Key, new: EncodeRecord(d.Record), ttl: min(left, s.opt.TTL)})
	}
	for race := 0; len(ops) > 0; race++ {
		if race > maxRaces {
			return errContended
		}
		replies, err := s.send(ctx, ops)
		if err != nil {
			return err
		}
		nextOps, next := ops[:0], open[:0]
		for i, reply := range replies {
			sent, r := ops[i], open[i]
			if reply == sent.old || reply == sent.new {
				continue
			}
			found, unreadable := record(reply)
			if unreadable {
				found = Record{}
			}
			merged, write := decideRestore(found, r)
			if !write {
				continue
			}
			next = append(next, r)
			nextOps = append(nextOps, op{verb: swap, key: sent.key, old: reply, new: EncodeRecord(merged), ttl: sent.ttl})
		}
		ops, open = nextOps, next
	}
	return nil
}

// decideRestore merges a decision of the ledger into what the store remembers,
// and reports whether that changes it. The order of the ledger's lines does not
// matter to it.
//
//	found                          ledger says         the key becomes
//	none                           anything            the ledger's
//	D delivered                    anything            found; unsure if two acceptances were delivered
//	anything else                  delivered           the ledger's: Meta has it
//	same accept, later round       the rest            found: a replay has overtaken it
//	same accept, W, L, older D     the rest            the ledger's: its D was lost
//	same accept, D of that round   the rest            dead, no_click before held
//	another's W, L                 held                the ledger's: no claim follows a held one, so they came first
//	another's W, L                 dead, no_click      found: it may have followed, and Meta has neither
//	another's D                    the rest            held before dead, no_click; of equals the newer
//
// Unsure and Unknowns are never less than either's.
func decideRestore(found, ledger Record) (merged Record, write bool) {
	same := found.Accept == ledger.Accept
	if ledgerWins(found, ledger, same) {
		merged = ledger
	} else {
		merged = found
	}
	merged.Unsure = merged.Unsure || ledger.Unsure || found.Unsure
	merged.Unknowns = max(found.Unknowns, ledger.Unknowns)
	if !same && ledger.Outcome == delivered {
		switch {
		case found.State == Claimed, found.State == Waiting, found.Outcome == delivered:
			merged.Unsure = true // as when a verdict replaces them
		}
	}
	return merged, EncodeRecord(merged) != EncodeRecord(found)
}

func ledgerWins(found, ledger Record, same bool) bool {
	decided := found.State == Decided
	switch {
	case found.State == None || found.State == Queued:
		return true
	case decided && found.Outcome == delivered:
		return false
	case ledger.Outcome == delivered:
		return true
	case same && found.Round != ledger.Round:
		return ledger.Round > found.Round
	case same && !decided:
		return true
	case same:
		return found.Outcome == held && ledger.Outcome != held
	case !decided:
		return ledger.Outcome == held
	case (found.Outcome == held) != (ledger.Outcome == held):
		return ledger.Outcome == held
	default:
		return ledger.At.After(found.At)
	}
}
