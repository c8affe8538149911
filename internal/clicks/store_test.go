package clicks_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/pkg/dedup/deduptest"
	"github.com/homing-dev/homing/pkg/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	now = int64(1_800_000_000)
	ttl = 90 * 24 * time.Hour

	ana   = events.Person("a0000000000000000000000000000000a0000000000000000000000000000000")
	bruno = events.Person("b0000000000000000000000000000000b0000000000000000000000000000000")
)

func open(t testing.TB) (*clicks.Store, redis.UniversalClient) {
	t.Helper()
	rdb := deduptest.Redis(t)
	return clicks.New(rdb, clicks.Options{TTL: ttl, Now: func() time.Time { return time.Unix(now, 0) }}), rdb
}

func click(clid string, at int64, persons ...events.Person) events.Click {
	return events.Click{Tenant: "acme", Persons: persons, Clid: clid, At: at, WABA: "111"}
}

func put(t testing.TB, s *clicks.Store, list ...events.Click) {
	t.Helper()
	if err := s.Put(t.Context(), list); err != nil {
		t.Fatal(err)
	}
}

func look(t testing.TB, s *clicks.Store, queries ...clicks.Query) []clicks.Found {
	t.Helper()
	found, err := s.Lookup(t.Context(), queries)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func by(before int64, persons ...events.Person) clicks.Query {
	return clicks.Query{Tenant: "acme", Persons: persons, Before: before}
}

func TestTheNewestClickWins(t *testing.T) {
	tests := []struct {
		name   string
		clicks []events.Click
		query  clicks.Query
		want   clicks.Found
	}{
		{"none", nil, by(now, ana), clicks.Found{}},
		{"one", []events.Click{click("c1", now-9, ana)}, by(now, ana), clicks.Found{Clid: "c1", WABA: "111", At: now - 9}},
		{"the later", []events.Click{click("c1", now-9, ana), click("c2", now-8, ana)}, by(now, ana), clicks.Found{Clid: "c2", WABA: "111", At: now - 8}},
		{"not one after the event", []events.Click{click("c1", now-9, ana), click("c2", now-8, ana)}, by(now-9, ana), clicks.Found{Clid: "c1", WABA: "111", At: now - 9}},
		{"none before the event", []events.Click{click("c1", now-9, ana)}, by(now-10, ana), clicks.Found{}},
		{
			"none before the event, so the newest of all",
			[]events.Click{click("c1", now-9, ana), click("c2", now-8, ana)},
			clicks.Query{Tenant: "acme", Persons: []events.Person{ana}, Before: now - 10, OrNewest: true},
			clicks.Found{Clid: "c2", WABA: "111", At: now - 8},
		},
		{
			"one before the event goes before the newest of all",
			[]events.Click{click("c1", now-9, ana), click("c2", now-8, ana)},
			clicks.Query{Tenant: "acme", Persons: []events.Person{ana}, Before: now - 9, OrNewest: true},
			clicks.Found{Clid: "c1", WABA: "111", At: now - 9},
		},
		{"of one second the bytewise greater", []events.Click{click("cB", now, ana), click("ca", now, ana), click("cA", now, ana)}, by(now, ana), clicks.Found{Clid: "ca", WABA: "111", At: now}},
		{"of one second the longer of two alike", []events.Click{click("cc", now, ana), click("c", now, ana)}, by(now, ana), clicks.Found{Clid: "cc", WABA: "111", At: now}},
		{"another person's", []events.Click{click("c1", now, bruno)}, by(now, ana), clicks.Found{}},
		{"either person's", []events.Click{click("c1", now-2, ana), click("c2", now-1, bruno)}, by(now, ana, bruno), clicks.Found{Clid: "c2", WABA: "111", At: now - 1}},
		{"one of both persons", []events.Click{click("c1", now-2, ana, bruno)}, by(now, bruno), clicks.Found{Clid: "c1", WABA: "111", At: now - 2}},
		{"another tenant's", []events.Click{click("c1", now, ana)}, clicks.Query{Tenant: "umbra", Persons: []events.Person{ana}, Before: now}, clicks.Found{}},
		{"an empty one", []events.Click{click("c1", now-1, ana), click("", now, ana)}, by(now, ana), clicks.Found{Clid: "c1", WABA: "111", At: now - 1}},
		{"one that is too old", []events.Click{click("c1", now-int64(ttl.Seconds())-1, ana)}, by(now, ana), clicks.Found{}},
		{"one that is just young enough", []events.Click{click("c1", now-int64(ttl.Seconds()), ana)}, by(now, ana), clicks.Found{Clid: "c1", WABA: "111", At: now - int64(ttl.Seconds())}},
		{"nobody", []events.Click{click("c1", now, ana)}, by(now), clicks.Found{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, order := range []string{"as listed", "backwards"} {
				s, _ := open(t)
				list := slices.Clone(tt.clicks)
				if order == "backwards" {
					slices.Reverse(list)
				}
				put(t, s, list...)
				if diff := cmp.Diff([]clicks.Found{tt.want}, look(t, s, tt.query)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", order, diff)
				}
			}
		})
	}
}

func TestAnswersAreInTheOrderOfTheQuestions(t *testing.T) {
	s, _ := open(t)
	put(t, s, click("c1", now-1, ana), click("c2", now, bruno))
	got := look(t, s, by(now, bruno), by(now), by(now, ana, bruno), by(now-1, ana), by(now-5, bruno))
	want := []string{"c2", "", "c2", "c1", ""}
	for i, f := range got {
		if f.Clid != want[i] || f.OK() != (want[i] != "") {
			t.Errorf("answer %d is %+v, want %q", i, f, want[i])
		}
	}
}

// drawn is a handful of clicks, close enough to meet each other.
func drawn(t *rapid.T) []events.Click {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) events.Click {
		c := click(rapid.SampledFrom([]string{"a", "b", "c", "ab", "B"}).Draw(t, "clid"), now-rapid.Int64Range(0, 5).Draw(t, "age"))
		c.WABA = rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "waba")
		c.Persons = rapid.SliceOfNDistinct(rapid.SampledFrom([]events.Person{ana, bruno}), 1, 2, rapid.ID).Draw(t, "persons")
		return c
	}), 0, 30).Draw(t, "clicks")
}

// wanted is the answer by the contract, from the clicks and not from the store:
// the newest by time, then clid, then account; of one clid and account the last
// time counts.
func wanted(list []events.Click, q clicks.Query) clicks.Found {
	type member struct{ clid, waba string }
	var best clicks.Found
	for _, p := range q.Persons {
		last := map[member]int64{}
		for _, c := range list {
			if slices.Contains(c.Persons, p) {
				m := member{c.Clid, c.WABA}
				last[m] = max(last[m], c.At)
			}
		}
		for m, at := range last {
			f := clicks.Found{Clid: m.clid, WABA: m.waba, At: at}
			newer := f.At > best.At || f.At == best.At && (f.Clid > best.Clid || f.Clid == best.Clid && f.WABA > best.WABA)
			if at <= q.Before && newer {
				best = f
			}
		}
	}
	return best
}

func TestAnyOrderAndAnyReplayGivesTheSame(t *testing.T) {
	s, rdb := open(t)
	rapid.Check(t, func(rt *rapid.T) {
		list := drawn(rt)
		arrivals := rapid.Permutation(list).Draw(rt, "order")
		if len(list) > 0 {
			arrivals = append(arrivals, rapid.SliceOfN(rapid.SampledFrom(list), 0, 10).Draw(rt, "replays")...)
		}
		if err := rdb.FlushDB(t.Context()).Err(); err != nil {
			rt.Fatal(err)
		}
		for len(arrivals) > 0 {
			n := rapid.IntRange(1, len(arrivals)).Draw(rt, "at once")
			if err := s.Put(t.Context(), arrivals[:n]); err != nil {
				rt.Fatal(err)
			}
			arrivals = arrivals[n:]
		}
		for _, q := range []clicks.Query{by(now, ana), by(now, bruno), by(now, ana, bruno), by(now-3, bruno, ana)} {
			found, err := s.Lookup(t.Context(), []clicks.Query{q})
			if err != nil {
				rt.Fatal(err)
			}
			if diff := cmp.Diff(wanted(list, q), found[0]); diff != "" {
				rt.Errorf("%v (-want +got):\n%s", q, diff)
			}
		}
	})
}

func TestSixteenAreKept(t *testing.T) {
	s, rdb := open(t)
	var list []events.Click
	for i := range int64(40) {
		list = append(list, click(fmt.Sprintf("c%02d", i), now-i, ana))
	}
	put(t, s, list...)
	keys := rdb.Keys(t.Context(), "*").Val()
	if len(keys) != 1 || rdb.ZCard(t.Context(), keys[0]).Val() != 16 {
		t.Fatalf("keys %v", keys)
	}
	for age, want := range map[int64]string{0: "c00", 15: "c15", 16: ""} {
		if got := look(t, s, by(now-age, ana))[0].Clid; got != want {
			t.Errorf("before %d s ago: %q, want %q", age, got, want)
		}
	}
}

func TestKeysExpireAndNameNobody(t *testing.T) {
	s, rdb := open(t)
	put(t, s, click("c1", now, ana))
	key := rdb.Keys(t.Context(), "*").Val()[0]
	if left := rdb.TTL(t.Context(), key).Val(); left <= ttl-time.Minute || left > ttl {
		t.Errorf("expires in %v, want %v", left, ttl)
	}
	if !strings.HasPrefix(key, "homing:click:acme:") {
		t.Errorf("key %q", key)
	}
	rdb.Expire(t.Context(), key, time.Minute)
	put(t, s, click("c2", now, ana))
	if left := rdb.TTL(t.Context(), key).Val(); left <= time.Minute {
		t.Errorf("a newer click expires in %v", left)
	}
}

// What is in a click id comes from outside.
func TestHostileClickIDs(t *testing.T) {
	for _, clid := range []string{
		"a b", "\x01", "\xff\xfe", "a\r\nFLUSHALL\r\n", "é", strings.Repeat("x", 1<<16), "homing:click:acme:*", `"`, "a\x00b", "\x00",
	} {
		s, _ := open(t)
		put(t, s, click("good", now-5, ana))
		put(t, s, click(clid, now, ana))
		got := look(t, s, by(now, ana))[0]
		// The separator can't be part of a click id; such a one is no click.
		if want := clid; strings.Contains(clid, "\x00") {
			if got.Clid != "good" {
				t.Errorf("%q: found %+v", clid, got)
			}
		} else if got.Clid != want || got.WABA != "111" {
			t.Errorf("%q: found %+v", clid, got)
		}
	}
}

func TestManyClicksAtOnce(t *testing.T) {
	s, _ := open(t)
	var list []events.Click
	var queries []clicks.Query
	for i := range 1500 {
		person := events.Person(fmt.Sprintf("%032x%032x", i, 0))
		list = append(list, click(fmt.Sprintf("c%d", i), now, person))
		queries = append(queries, by(now, person))
	}
	put(t, s, list...)
	for i, f := range look(t, s, queries...) {
		if f.Clid != fmt.Sprintf("c%d", i) {
			t.Fatalf("click %d: %+v", i, f)
		}
	}
}

func TestRedisAway(t *testing.T) {
	s, _ := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, []events.Click{click("c", now, ana)}); err == nil {
		t.Error("put says nothing")
	}
	if _, err := s.Lookup(ctx, []clicks.Query{by(now, ana)}); err == nil {
		t.Error("look-up says nothing")
	}
	if err := s.Put(ctx, nil); err != nil {
		t.Errorf("nothing to put: %v", err)
	}
	if _, err := s.Lookup(ctx, []clicks.Query{by(now)}); err != nil {
		t.Errorf("nobody to look up: %v", err)
	}
}
