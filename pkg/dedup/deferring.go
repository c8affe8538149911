package dedup

import (
	"context"
	"time"
)

// aside is one question to the table of what is shown beside a record: a message
// that nobody claimed is going to wait.
type aside struct {
	found  Record // the record; State None when there is none
	beside Record // what is shown beside it: Q, W or none
	next   Record // what the message would have shown
}

// asideRow is a row of that table.
type asideRow struct {
	row   row
	when  func(*aside) bool
	write bool
}

// asideTable is read from the top; the first row that fits decides.
func asideTable() []asideRow {
	return []asideRow{
		// The end is known, and what is written now would outlive it.
		{rowAsideDecided, func(a *aside) bool { return a.found.State == Decided }, false},
		// A replay of the same acceptance is what the status is about.
		{rowAsideOvertaken, func(a *aside) bool { return a.overtakenBy(a.found) || a.overtakenBy(a.beside) }, false},
		{rowAside, func(*aside) bool { return true }, true},
	}
}

func (a *aside) overtakenBy(r Record) bool {
	return r.Accept == a.next.Accept && r.Round > a.next.Round
}

// decideAside reports whether a.next is to be written, by every row but those in
// off.
func decideAside(table []asideRow, off rows, a aside) bool {
	for i := range table {
		if !off.has(table[i].row) && table[i].when(&a) {
			return table[i].write
		}
	}
	return false
}

// record is the W that d shows.
func (d *Deferred) record(now time.Time) Record {
	m := d.Message
	return Record{
		State: Waiting, Accept: m.Accept, Round: m.Round, Unsure: m.Unsure, Unknowns: m.Unknowns, At: now,
		Outcome: d.Outcome, Reason: d.Reason, NextAt: d.NextAt, Note: m.Note,
	}
}

// Defer implements Store, in two round trips. A lost race is not run again:
// whoever won it has told something newer.
func (s *Redis) Defer(ctx context.Context, deferred []Deferred) error {
	if len(deferred) == 0 {
		return nil
	}
	keys := make([]string, len(deferred))
	for i := range deferred {
		keys[i] = deferred[i].Message.Key
	}
	replies, err := s.send(ctx, reads(keys))
	if err != nil {
		return err
	}
	now := s.now()
	ops := make([]op, 0, len(deferred))
	for i := range deferred {
		a := aside{next: deferred[i].record(now)}
		a.found, _ = record(replies[2*i])
		a.beside, _ = record(replies[2*i+1])
		if decideAside(s.asides, s.off, a) {
			ops = append(ops, op{
				verb: swap, key: queuedPrefix + keys[i], old: replies[2*i+1], new: EncodeRecord(a.next), ttl: s.opt.TTL,
			})
		}
	}
	if len(ops) == 0 {
		return nil
	}
	_, err = s.send(ctx, ops)
	return err
}

// shown is what is told of a key: its record, unless there is none, or what was
// written beside it while it waited is newer.
func shown(record, beside Record) Record {
	waiting := beside.State == Waiting
	newer := waiting && record.State == Waiting && beside.At.After(record.At) ||
		waiting && record.State == Queued && !beside.At.Before(record.At)
	if record.State == None || newer {
		return beside
	}
	return record
}
