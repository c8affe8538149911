package dedup_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/homing-dev/homing/pkg/dedup"
)

func anyRecord() *rapid.Generator[dedup.Record] {
	text := rapid.OneOf(rapid.String(), rapid.StringN(0, 20, 40), rapid.Just(""))
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "zero") {
			return time.Time{}
		}
		return time.UnixMilli(rapid.Int64Range(-1e12, 1e13).Draw(t, "ms")).UTC()
	})
	return rapid.Custom(func(t *rapid.T) dedup.Record {
		return dedup.Record{
			State:  rapid.SampledFrom([]dedup.State{dedup.Queued, dedup.Waiting, dedup.Claimed, dedup.Decided}).Draw(t, "state"),
			Accept: text.Draw(t, "accept"), Round: rapid.Int().Draw(t, "round"),
			Unsure: rapid.Bool().Draw(t, "unsure"), Unknowns: rapid.Int().Draw(t, "unknowns"),
			At: moment.Draw(t, "at"), Nonce: text.Draw(t, "nonce"),
			Stream: text.Draw(t, "stream"), Seq: rapid.Uint64().Draw(t, "seq"), Tries: rapid.Int().Draw(t, "tries"),
			Outcome: text.Draw(t, "outcome"), Reason: text.Draw(t, "reason"), NextAt: moment.Draw(t, "next"),
			Note: dedup.Note{
				Name: text.Draw(t, "name"), Attempts: rapid.Int().Draw(t, "attempts"), Clid: text.Draw(t, "clid"),
				FbtraceID: text.Draw(t, "fbtrace"), TraceID: text.Draw(t, "trace"), AcceptedAt: moment.Draw(t, "accepted"),
			},
		}
	})
}

func TestRecordComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyRecord().Draw(t, "record")
		text := dedup.EncodeRecord(want)
		got, err := dedup.DecodeRecord(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q (-want +got):\n%s", text, diff)
		}
	})
}

func TestRecordIsReadable(t *testing.T) {
	got := dedup.EncodeRecord(dedup.Record{
		State: dedup.Decided, Accept: "0198c1", Outcome: "dead", Reason: "expired", Unsure: true,
		At: time.UnixMilli(1763838000123), Nonce: "Q5ZK",
		Note: dedup.Note{Name: "Purchase", Clid: "ARAk x=%\n", Attempts: 2},
	})
	want := "D1 a=0198c1 u=1 o=dead w=expired t=1763838000123 n=Q5ZK e=Purchase m=2 c=ARAk%20x=%25%0A"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestRecordCutsNotes(t *testing.T) {
	r := dedup.Record{State: dedup.Queued, Note: dedup.Note{Clid: strings.Repeat("\x00", 5000)}}
	got, err := dedup.DecodeRecord(dedup.EncodeRecord(r))
	if err != nil || len(got.Note.Clid) != 1024 {
		t.Errorf("note of %d bytes, %v; want 1024", len(got.Note.Clid), err)
	}
}

func TestDecodeRecordRefuses(t *testing.T) {
	for _, text := range []string{
		"", "D", "D2", "X1", "1D", "D1 ", "D1a=b", "D1 a", "D1 a=", "D1 =b", "D1  a=b", "D1 a=b ",
		"D1 a=b a=c", "D1 A=b", "D1 r=x", "D1 r=1.5", "D1 u=0", "D1 q=-1", "D1 q=18446744073709551616",
		"D1 t=x", "D1 t=999999999999999", "D1 t=-999999999999999", "D1 a=%", "D1 a=%4", "D1 a=%zz",
		"D1 a=" + strings.Repeat("x", 40<<10),
	} {
		if r, err := dedup.DecodeRecord(text); err == nil {
			t.Errorf("%.40q was taken as %+v", text, r)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add("D1 a=0198c1 r=1 u=1 k=2 o=dead w=expired t=1763838000123 n=Q5ZK e=Purchase m=2 c=ARAk%20x f=A1 y=0af7 z=1")
	f.Add("L1 a=b s=HOMING_EVENTS q=18446744073709551615 n=x i=5")
	f.Add("W1 x=1763838000123")
	f.Add("Q1")
	f.Add("D1 a=%")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := dedup.DecodeRecord(text)
		if err != nil {
			return
		}
		again, err := dedup.DecodeRecord(dedup.EncodeRecord(r))
		if err != nil {
			t.Fatalf("%q does not survive: %v", text, err)
		}
		// Only a note may be cut.
		again.Note, r.Note = dedup.Note{}, dedup.Note{}
		if diff := cmp.Diff(r, again); diff != "" {
			t.Fatalf("%q (-first +second):\n%s", text, diff)
		}
	})
}

func FuzzDecodeMarker(f *testing.F) {
	f.Add("M1 0 ")
	f.Add("M1 1763838000123 run%20id")
	f.Add("M1 x y")
	f.Fuzz(func(t *testing.T, text string) {
		m, ok := dedup.DecodeMarker(text)
		if !ok {
			return
		}
		if again, ok := dedup.DecodeMarker(dedup.EncodeMarker(m)); !ok || again != m {
			t.Fatalf("%q: %+v became %+v, %t", text, m, again, ok)
		}
	})
}

// Whatever order the ledger is read in, and however often, the same is known.
func TestRestoreForgetsNoOrder(t *testing.T) {
	decision := rapid.Custom(func(t *rapid.T) dedup.Record {
		return dedup.Record{
			State: dedup.Decided, Accept: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "accept"),
			Round:   rapid.IntRange(0, 2).Draw(t, "round"),
			Outcome: rapid.SampledFrom([]string{"delivered", "dead", "no_click", "held"}).Draw(t, "outcome"),
			Unsure:  rapid.Bool().Draw(t, "unsure"),
		}
	})
	restore := func(lines []dedup.Record) (r dedup.Record) {
		for _, l := range lines {
			if merged, write := dedup.DecideRestore(r, l); write {
				r = merged
			}
		}
		return r
	}
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(decision, 1, 6).Draw(t, "lines")
		other := rapid.Permutation(append(lines, lines...)).Draw(t, "other order")
		one, two := restore(lines), restore(other)
		if (one.Outcome == "delivered") != (two.Outcome == "delivered") {
			t.Fatalf("%v gives %s, %v gives %s", lines, one.Outcome, other, two.Outcome)
		}
		for _, l := range lines {
			if l.Unsure && !one.Unsure {
				t.Fatalf("%v lost unsure", lines)
			}
			if l.Outcome == "delivered" && one.Outcome != "delivered" {
				t.Fatalf("%v lost a delivery", lines)
			}
		}
		if merged, write := dedup.DecideRestore(one, lines[0]); write && merged.Outcome != one.Outcome && one.Outcome == "delivered" {
			t.Fatalf("%v: a delivery gave way", lines)
		}
	})
}
