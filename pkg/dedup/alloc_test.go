package dedup

import (
	"strings"
	"testing"
	"time"
)

// What a batch costs in objects decides what a worker costs in CPU. These are
// bounds, not wishes: raise one only with a measurement.
func TestAllocations(t *testing.T) {
	const n = 1000
	r := Record{
		State: Claimed, Accept: "0198c1d2-7f3a-7000-8000-000000000001", At: time.Now(), Nonce: "ABCDEFGHIJKLM",
		Stream: "HOMING_EVENTS", Seq: 123456, Tries: 1,
		Note: Note{Name: "Purchase", Clid: strings.Repeat("A", 131), TraceID: strings.Repeat("0", 32), AcceptedAt: time.Now()},
	}
	buf := make([]byte, 0, recordSize)
	ops, only := make([]op, n), make([]int, n)
	for i := range ops {
		ops[i] = op{verb: swap, key: "homing:ev:k", old: "a", new: "b", ttl: time.Hour}
		only[i] = i
	}
	verdicts, o, next := verdictTable(), new(outcome), Record{}
	own := Record{State: Claimed, Nonce: r.Nonce}
	claims, q := claimTable(), &ask{nonce: r.Nonce, msg: &Message{Accept: r.Accept}}
	for name, tt := range map[string]struct {
		most float64
		f    func()
	}{
		"a record's text": {0, func() { buf = appendRecord(buf[:0], &r) }},
		"the claim table": {0, func() { decideClaim(claims, q) }},
		"the verdict table": {0, func() {
			// Of our own L: delivered, and dead of what is unsure.
			for _, word := range []string{delivered, dead} {
				next = Record{State: Decided, Outcome: word, Unsure: true}
				*o = outcome{found: &own, own: &own, next: &next}
				if r := decideVerdict(verdicts, 0, o); !r.write {
					t.Errorf("%s was not written", word)
				}
			}
		}},
		"the texts of a thousand":     {4, func() { encodeMany(n, &r) }},
		"the commands of a thousand":  {n + 8, func() { commands(t.Context(), ops, only, true) }},
		"a thousand without a script": {n + 8, func() { commands(t.Context(), ops, only, false) }},
	} {
		if got := testing.AllocsPerRun(5, tt.f); got > tt.most {
			t.Errorf("%s: %.0f allocations, at most %.0f", name, got, tt.most)
		}
	}
}

func encodeMany(n int, r *Record) {
	all := newTexts(n)
	for range n {
		all.encode(r)
	}
}
