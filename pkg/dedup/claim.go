package dedup

import "time"

// Outcomes that the tables tell apart; the words are those of the ledger.
const (
	delivered = "delivered"
	duplicate = "duplicate"
	dead      = "dead"
	noClick   = "no_click"
	held      = "held"

	deliveryUnknown = "delivery_unknown" // the reason of what Meta may have
)

// ask is one question to the claim table: a message meets a record.
type ask struct {
	found    Record // State None when there is none
	msg      *Message
	nonce    string // of this call
	now      time.Time
	incident time.Time // when Redis last lost its memory; zero for never
	ackWait  time.Duration
	maxTries int
	off      rows // tests only
}

// answer is what the claim table says. Only a held result writes next.
type answer struct {
	result Result
	next   Record
}

// claimRow is a row of the claim table.
type claimRow struct {
	row  row
	when func(*ask) bool
	then func(*ask) answer
}

// claimTable is read from the top; the first row that fits decides.
func claimTable() []claimRow {
	return []claimRow{
		// A replay has overtaken this message.
		{row1, func(a *ask) bool { return a.same() && a.found.Round > a.msg.Round }, (*ask).leftover},
		{row2, (*ask).free, (*ask).fresh},
		{row3, func(a *ask) bool { return a.found.State == Waiting }, (*ask).fresh},
		// The client library sent the command twice: answer as to the first, which
		// only writes where nothing was.
		{row4, func(a *ask) bool { return a.claimed() && a.found.Nonce == a.nonce }, (*ask).again},
		// JetStream handed the message out again, so its worker is gone or late.
		{row5, func(a *ask) bool { return a.claimed() && a.sameMessage() }, (*ask).interrupted},
		{row6, func(a *ask) bool { return a.claimed() && a.age() < 2*a.ackWait }, (*ask).taken},
		// No live worker can hold it any more.
		{row7, (*ask).claimed, (*ask).interrupted},
		{row8, func(a *ask) bool { return a.same() && a.msg.Round > a.found.Round && a.replayable() }, (*ask).fresh},
		{row9, (*ask).same, (*ask).settled},
		// Nothing reached Meta under this key: a new acceptance may try.
		{row10, func(a *ask) bool { return a.found.Outcome == dead || a.found.Outcome == noClick }, (*ask).fresh},
		{row11, func(a *ask) bool { return a.found.State == Decided }, (*ask).duplicate},
	}
}

// decideClaim reads the claim table.
func decideClaim(table []claimRow, a *ask) answer {
	for i := range table {
		if !a.off.has(table[i].row) && table[i].when(a) {
			return table[i].then(a)
		}
	}
	return a.taken() // safe for whatever no row knows
}

// Conditions.

func (a *ask) free() bool    { return a.found.State == None || a.found.State == Queued }
func (a *ask) claimed() bool { return a.found.State == Claimed }

// same reports whether message and record are of one acceptance. A message
// without an acceptance is nobody's.
func (a *ask) same() bool {
	return !a.free() && a.msg.Accept != "" && a.found.Accept == a.msg.Accept
}

func (a *ask) sameMessage() bool {
	return a.same() && a.found.Stream == a.msg.Stream && a.found.Seq == a.msg.Seq
}

func (a *ask) age() time.Duration { return a.now.Sub(a.found.At) }

// suspect reports whether Redis may have forgotten that this very message was
// claimed and sent.
func (a *ask) suspect() bool {
	return a.msg.Deliveries > 1 && !a.incident.IsZero() && a.now.Sub(a.incident) < 2*a.ackWait &&
		!a.off.has(row2b)
}

// replayable reports whether a later round of the same acceptance may be sent:
// what Meta has not, or what a person says that Meta has not.
func (a *ask) replayable() bool {
	switch a.found.Outcome {
	case dead, noClick:
		return true
	case held:
		return a.msg.Replay == ReplayHeld
	default:
		return false
	}
}

// Actions.

// fresh is of rows 2, 3, 8 and 10, and has row 2's exception for all of them: a
// failover may bring back what stood before the claim as well as nothing.
func (a *ask) fresh() answer {
	if a.suspect() {
		return a.interrupted()
	}
	return answer{Fresh, a.claim()}
}

// again answers a repeated command as its first copy was: there was no record.
func (a *ask) again() answer {
	a.found = Record{}
	return a.fresh()
}

func (a *ask) interrupted() answer {
	next := a.claim()
	next.Unsure = true
	if a.claimed() {
		next.Tries = a.found.Tries + 1
	}
	if next.Tries > a.maxTries {
		return answer{Exhausted, next}
	}
	return answer{Interrupted, next}
}

// claim is the L that this message writes.
func (a *ask) claim() Record {
	seen := a.seen()
	return Record{
		State: Claimed, Accept: a.msg.Accept, Round: a.msg.Round,
		// Held is unsure whatever its record says: that is why it was held.
		Unsure:   seen.Unsure || a.found.Outcome == held,
		Unknowns: seen.Unknowns,
		At:       a.now, Stream: a.msg.Stream, Seq: a.msg.Seq, Nonce: a.nonce, Tries: 1,
		Note: a.msg.Note,
	}
}

// seen is the found record with what the message knows of the same key.
func (a *ask) seen() Record {
	r := a.found
	r.Unsure = r.Unsure || a.msg.Unsure
	r.Unknowns = max(r.Unknowns, a.msg.Unknowns)
	return r
}

func (a *ask) leftover() answer  { return answer{Leftover, a.seen()} }
func (a *ask) taken() answer     { return answer{Taken, a.seen()} }
func (a *ask) settled() answer   { return answer{Settled, a.seen()} }
func (a *ask) duplicate() answer { return answer{Duplicate, a.seen()} }

// holds reports whether r holds the key.
func (r Result) holds() bool { return r == Fresh || r == Interrupted || r == Exhausted }
