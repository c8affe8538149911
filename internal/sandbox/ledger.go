package sandbox

import (
	"cmp"
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

// ledger counts what was received, and keeps the newest events.
type ledger struct {
	seeds  [3]maphash.Seed
	stored int // the most events kept

	mu       sync.Mutex
	totals   totals
	counts   map[key]uint32
	doubles  map[doubleKey]int
	refused  map[refusedKey]*RefusedCount
	refusals []Refusal // newest last, at most maxRefusals
	ring     []entry
	next     int // where the ring is written next, once it is full
}

// maxRefusals is how many refusals are kept for reading back.
const maxRefusals = 200

// key is a hash of (dataset, event name, event id): 128 bits, so that millions
// of events cost little memory and two of them never meet.
type key [2]uint64

type doubleKey struct{ dataset, name, id string }

type refusedKey struct {
	code, subcode int
	reason        string
}

type totals struct {
	calls, succeeded, refused, faulted, events, tokensInURL uint64

	first, last time.Time // when the events came
}

// entry is one stored event; raw points into the body of its request.
type entry struct {
	*call
	seq    uint64
	idHash uint64
	raw    []byte
}

func newLedger(stored int) *ledger {
	l := &ledger{stored: max(stored, 0)}
	for i := range l.seeds {
		l.seeds[i] = maphash.MakeSeed()
	}
	l.clear()
	return l
}

// clear forgets everything; the caller holds the lock, or is alone.
func (l *ledger) clear() {
	l.totals = totals{}
	l.counts = make(map[key]uint32)
	l.doubles = make(map[doubleKey]int)
	l.refused = make(map[refusedKey]*RefusedCount)
	l.refusals, l.ring, l.next = nil, nil, 0
}

// key hashes the three words that make an event one and the same. Neither a
// dataset nor an event name can hold a NUL byte, so the words cannot run together.
func (l *ledger) key(dataset string, name, id []byte) (k key) {
	var h maphash.Hash
	for i := range k {
		h.SetSeed(l.seeds[i])
		_, _ = h.WriteString(dataset)
		_ = h.WriteByte(0)
		_, _ = h.Write(name)
		_ = h.WriteByte(0)
		_, _ = h.Write(id)
		k[i] = h.Sum64()
	}
	return k
}

func (l *ledger) idHash(id []byte) uint64 { return maphash.Bytes(l.seeds[2], id) }

// receive counts and stores events that were taken.
func (l *ledger) receive(c *call, events []event) {
	keys := make([]key, len(events))
	for i := range events {
		keys[i] = l.key(c.dataset.id, events[i].name, events[i].id)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(events) > 0 {
		l.totals.saw(c.at)
	}
	for i := range events {
		e := &events[i]
		l.totals.events++
		l.counts[keys[i]]++
		if n := l.counts[keys[i]]; n > 1 {
			l.doubles[doubleKey{c.dataset.id, string(e.name), string(e.id)}] = int(n)
		}
		l.store(entry{call: c, seq: l.totals.events, idHash: l.idHash(e.id), raw: e.raw})
	}
}

// saw notes when a call came; calls that wait are received out of order.
func (t *totals) saw(at time.Time) {
	if t.first.IsZero() || at.Before(t.first) {
		t.first = at
	}
	if at.After(t.last) {
		t.last = at
	}
}

func (l *ledger) store(e entry) {
	switch {
	case l.stored == 0:
	case len(l.ring) < l.stored:
		l.ring = append(l.ring, e)
	default:
		l.ring[l.next] = e
		l.next = (l.next + 1) % l.stored
	}
}

// answered counts a call by how it ended; ref is the refusal that was given.
func (l *ledger) answered(c *call, b *batch, ref *refusal, faulted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals.calls++
	if c.tokenInURL {
		l.totals.tokensInURL++
	}
	switch {
	case faulted:
		l.totals.faulted++
	case ref == nil:
		l.totals.succeeded++
	default:
		l.totals.refused++
		l.refuse(c, b, ref)
	}
}

func (l *ledger) refuse(c *call, b *batch, ref *refusal) {
	k := refusedKey{code: ref.code, subcode: ref.subcode}
	if ref.subcode == 0 {
		k.reason = ref.field // one line per parameter, not one per index
	}
	n := l.refused[k]
	if n == nil {
		n = &RefusedCount{Code: ref.code, Subcode: ref.subcode, Reason: ref.reason()}
		if len(l.refused) < maxRefusals { // fields are a stranger's words: bounded
			l.refused[k] = n
		}
	}
	n.Calls++
	n.Events += uint64(len(b.events))

	r := Refusal{
		At: c.at, Call: c.number, Dataset: cut(c.dataset.id, 40), Code: ref.code, Subcode: ref.subcode,
		Events: len(b.events), Index: ref.index, Field: ref.field, Reason: ref.reason(),
	}
	if ref.index >= 0 {
		r.EventName = cut(string(b.events[ref.index].name), 64)
		r.EventID = cut(string(b.events[ref.index].id), 64)
	}
	if len(l.refusals) == maxRefusals {
		l.refusals = slices.Delete(l.refusals, 0, 1)
	}
	l.refusals = append(l.refusals, r)
}

// newest walks over the stored events, the newest first, until yield says no.
func (l *ledger) newest(yield func(*entry) bool) {
	for i := range l.ring {
		at := (l.next - 1 - i + 2*len(l.ring)) % len(l.ring)
		if !yield(&l.ring[at]) {
			return
		}
	}
}

// doubled lists what came more than once, in a fixed order.
func (l *ledger) doubled() []Double {
	out := make([]Double, 0, len(l.doubles))
	for k, n := range l.doubles {
		out = append(out, Double{Dataset: k.dataset, EventName: k.name, EventID: k.id, Count: n})
	}
	slices.SortFunc(out, func(a, b Double) int {
		return cmp.Or(cmp.Compare(a.Dataset, b.Dataset), cmp.Compare(a.EventName, b.EventName), cmp.Compare(a.EventID, b.EventID))
	})
	return out
}

// stats makes the totals; the caller holds the lock.
func (l *ledger) stats() Stats {
	st := Stats{
		Calls: l.totals.calls, Succeeded: l.totals.succeeded, Refused: l.totals.refused, Faulted: l.totals.faulted,
		Events: l.totals.events, Distinct: len(l.counts), Doubled: len(l.doubles), TokensInURL: l.totals.tokensInURL,
		Stored: len(l.ring), RefusedBy: make([]RefusedCount, 0, len(l.refused)), Doubles: l.doubled(),
		Refusals: slices.Clone(l.refusals), FirstAt: l.totals.first, LastAt: l.totals.last,
	}
	for _, n := range l.refused {
		st.RefusedBy = append(st.RefusedBy, *n)
	}
	slices.SortFunc(st.RefusedBy, func(a, b RefusedCount) int {
		return cmp.Or(-cmp.Compare(a.Calls, b.Calls), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Subcode, b.Subcode), cmp.Compare(a.Reason, b.Reason))
	})
	slices.Reverse(st.Refusals)
	if st.Refusals == nil {
		st.Refusals = []Refusal{}
	}
	return st
}
