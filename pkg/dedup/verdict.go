package dedup

import "time"

// outcome is one question to the verdict table: what a worker learned meets the
// record that stands now.
type outcome struct {
	found   *Record // State None when there is none
	garbled bool    // found is none because nobody can read it; then it is not ours
	own     *Record // the L of our claim
	next    *Record // what we would write, merged
}

// ruling is what the verdict table says.
type ruling struct {
	stands bool
	write  bool
	next   *Record // what to write, or what stands
}

// verdictRow is a row of the verdict table.
type verdictRow struct {
	row  row
	when func(*outcome) bool
	then func(*outcome) ruling
}

// verdictTable is read from the top; the first row that fits decides, and where
// none does the message is forgotten: neither acked nor naked, since the owner
// of the key decides.
func verdictTable() []verdictRow {
	return []verdictRow{
		// The answer of an earlier Settle was lost.
		{rowRepeated, (*outcome).repeated, (*outcome).stand},
		// Delivered is the truth, whatever stands there; two truths are a double,
		// and so may be what another worker did in our back.
		{rowDoubled, func(o *outcome) bool { return o.delivered() && o.foreign() }, (*outcome).writeUnsure},
		{rowDelivered, (*outcome).delivered, (*outcome).write},
		// Not taken, or unknown and to be sent again.
		{rowWaiting, func(o *outcome) bool { return o.waiting() && o.ours() }, (*outcome).write},
		{rowWaitingNone, func(o *outcome) bool { return o.waiting() && o.none() }, (*outcome).pass},
		// Dead, no_click and held; what is unsure is never declared dead.
		{rowUnsure, func(o *outcome) bool { return o.decided() && o.next.Unsure && (o.ours() || o.none()) }, (*outcome).writeHeld},
		{rowDecided, func(o *outcome) bool { return o.decided() && (o.ours() || o.none()) }, (*outcome).write},
	}
}

// decideVerdict reads the verdict table, but for the rows in off.
func decideVerdict(table []verdictRow, off rows, o *outcome) ruling {
	for i := range table {
		if !off.has(table[i].row) && table[i].when(o) {
			return table[i].then(o)
		}
	}
	return ruling{next: o.found}
}

// merged completes the record that v asks for.
func (v *Verdict) merged(now time.Time) *Record {
	r, own := &v.Next, &v.Claim.Record
	r.Accept, r.Round, r.Nonce, r.At = own.Accept, own.Round, own.Nonce, now
	r.Unsure = r.Unsure || own.Unsure || v.Message.Unsure
	r.Unknowns = max(r.Unknowns, own.Unknowns, v.Message.Unknowns)
	return r
}

// Conditions.

func (o *outcome) delivered() bool { return o.next.State == Decided && o.next.Outcome == delivered }
func (o *outcome) decided() bool   { return o.next.State == Decided && o.next.Outcome != delivered }
func (o *outcome) waiting() bool   { return o.next.State == Waiting }
func (o *outcome) none() bool {
	return (o.found.State == None || o.found.State == Queued) && !o.garbled
}

func (o *outcome) ours() bool {
	return o.found.State == Claimed && o.found.Nonce == o.own.Nonce
}

func (o *outcome) repeated() bool {
	return o.found.State == o.next.State && o.found.Nonce == o.own.Nonce
}

// foreign reports whether another worker may have sent the event meanwhile.
// Where nothing stands, Redis forgot our L, perhaps after somebody took it over;
// that is too rare to call every event in flight unsure that an incident met.
func (o *outcome) foreign() bool {
	switch o.found.State {
	case Waiting:
		return true
	case Claimed:
		return !o.ours()
	case Decided:
		return o.found.Outcome == delivered
	default:
		return o.garbled
	}
}

// Actions.

func (o *outcome) stand() ruling { return ruling{stands: true, next: o.found} }
func (o *outcome) pass() ruling  { return ruling{stands: true, next: o.next} }

func (o *outcome) write() ruling {
	o.next.Unsure = o.next.Unsure || o.found.Unsure
	o.next.Unknowns = max(o.next.Unknowns, o.found.Unknowns)
	return ruling{stands: true, write: true, next: o.next}
}

func (o *outcome) writeUnsure() ruling {
	o.next.Unsure = true
	return o.write()
}

func (o *outcome) writeHeld() ruling {
	if o.next.Outcome != held {
		o.next.Outcome, o.next.Reason = held, deliveryUnknown
	}
	return o.write()
}
