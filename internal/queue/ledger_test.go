package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/events"
)

func lines(tenant string, from, n int) []events.Settlement {
	all := make([]events.Settlement, n)
	for i := range all {
		all[i] = events.Settlement{
			Accept: fmt.Sprintf("%s-%d", tenant, from+i), Origin: uint64(from + i), Outcome: events.Delivered,
			Tenant: tenant, Name: events.Purchase, ID: fmt.Sprintf("order-%d", from+i), Attempts: 1,
			AcceptedAt: time.UnixMilli(1795000000000).UTC(), At: time.UnixMilli(1795000001000).UTC(),
		}
	}
	return all
}

func TestTheLedgerIsReadBackWholeAndInOrder(t *testing.T) {
	f := start(t, small())
	read := func(since time.Time) []events.Settlement {
		t.Helper()
		var got []events.Settlement
		if err := f.q.ReadOutcomes(f.ctx, since, func(s []events.Settlement) error { got = append(got, s...); return nil }); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := read(time.Time{}); got != nil {
		t.Errorf("an empty ledger holds %v", got)
	}
	want := append(lines("acme", 0, 8000), lines("umbrella", 8000, 100)...) // the first is more than one message takes
	if err := f.q.Record(f.ctx, "acme", want[:8000]); err != nil {
		t.Fatal(err)
	}
	if err := f.q.Record(f.ctx, "umbrella", want[8000:]); err != nil {
		t.Fatal(err)
	}
	if n := f.messages(t, queue.StreamOutcomes); n < 3 || n > 20 {
		t.Errorf("the ledger is %d messages", n)
	}
	if diff := cmp.Diff(want, read(time.Time{})); diff != "" {
		t.Errorf("ledger (-want +got):\n%.2000s", diff)
	}
	if got := read(time.Now().Add(time.Hour)); got != nil {
		t.Errorf("%d lines were written in the future", len(got))
	}
	stop := errors.New("enough")
	if err := f.q.ReadOutcomes(f.ctx, time.Time{}, func([]events.Settlement) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a reader that fails: %v", err)
	}
	// A line that can't be read stops the reader: it might be a delivery.
	if _, err := f.js.Publish(f.ctx, "homing.outcome.acme", []byte("junk")); err != nil {
		t.Fatal(err)
	}
	err := f.q.ReadOutcomes(f.ctx, time.Time{}, func([]events.Settlement) error { return nil })
	if err == nil || !strings.Contains(err.Error(), queue.StreamOutcomes) {
		t.Errorf("an unreadable line: %v", err)
	}
	if err := f.q.Record(f.ctx, "acme", nil); err != nil {
		t.Errorf("recording nothing: %v", err)
	}
	// No reader leaves a consumer behind.
	st, err := f.q.Status(f.ctx)
	if err != nil || len(st.Stream(queue.StreamOutcomes).Consumers) > 0 {
		t.Errorf("consumers left: %+v, %v", st.Stream(queue.StreamOutcomes).Consumers, err)
	}
}

func clicks(n int) []events.Click {
	all := make([]events.Click, n)
	for i := range all {
		all[i] = events.Click{
			Tenant: "acme", Persons: []events.Person{events.Person(strings.Repeat("a", 64))},
			Clid: fmt.Sprintf("ARAk%d", i), At: 1795000000, WABA: "987",
		}
	}
	return all
}

func TestClicksAreStoredOnceAndConsumed(t *testing.T) {
	f := start(t, small())
	want := clicks(1500)
	for range 2 { // a webhook that is sent again
		if err := f.q.PublishClicks(f.ctx, want); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.messages(t, queue.StreamClicks); n != 1500 {
		t.Fatalf("%d clicks stored, want 1500", n)
	}
	if ok, err := f.q.ClicksCaughtUp(f.ctx); ok || err != nil {
		t.Errorf("caught up before anything was consumed: %v, %v", ok, err)
	}
	var read []events.Click
	if err := f.q.ReadClicks(f.ctx, time.Time{}, func(c []events.Click) error { read = append(read, c...); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, read); diff != "" {
		t.Errorf("clicks (-want +got):\n%.2000s", diff)
	}
	if _, err := f.js.Publish(f.ctx, "homing.click.acme", []byte("junk")); err != nil {
		t.Fatal(err) // left out, and no obstacle
	}

	ctx, cancel := context.WithCancel(f.ctx)
	got := make(chan string, 10_000)
	ended := make(chan error)
	failed := false
	go func() {
		ended <- f.q.ConsumeClicks(ctx, func(_ context.Context, cs []events.Click) error {
			if !failed {
				failed = true
				return errors.New("redis is away")
			}
			for _, c := range cs {
				got <- c.Clid
			}
			return nil
		})
	}()
	seen := map[string]bool{}
	for len(seen) < 1500 {
		select {
		case clid := <-got:
			seen[clid] = true
		case <-time.After(8 * time.Second):
			t.Fatalf("%d of 1500 clicks came", len(seen))
		}
	}
	eventually(t, "caught up", func() bool {
		ok, err := f.q.ClicksCaughtUp(f.ctx)
		return ok && err == nil
	})
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ConsumeClicks = %v", err)
	}
	if !strings.Contains(f.log.String(), "can't be decoded") {
		t.Error("the log doesn't tell of the click that can't be decoded")
	}
	bad := clicks(2)
	bad[0].Tenant = "a.b"
	if err := f.q.PublishClicks(f.ctx, bad); err == nil {
		t.Error("a tenant that can't stand in a subject was taken")
	}
}

// A reader that gets nothing any more, since its consumer was lost with a server,
// is not waited for: another goes on behind what was read.
func TestAReaderThatIsLostIsReplaced(t *testing.T) {
	f := start(t, small())
	const messages = 6000 // more than are on their way at once
	var want []events.Settlement
	for n := range messages {
		line := lines("acme", n, 1)
		want = append(want, line...)
		if err := f.nc.Publish("homing.outcome.acme", events.EncodeSettlements(line)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the ledger is written", func() bool { return f.messages(t, queue.StreamOutcomes) == messages })
	s, err := f.js.Stream(f.ctx, queue.StreamOutcomes)
	if err != nil {
		t.Fatal(err)
	}
	for name, lose := range map[string]func(reader string) error{
		"silent": func(reader string) error {
			_, err := s.PauseConsumer(f.ctx, reader, time.Now().Add(time.Hour))
			return err
		},
		"gone": func(reader string) error { return s.DeleteConsumer(f.ctx, reader) },
	} {
		t.Run(name, func(t *testing.T) {
			var got []events.Settlement
			err := f.q.ReadOutcomes(f.ctx, time.Time{}, func(lines []events.Settlement) error {
				for info := range s.ListConsumers(f.ctx).Info() {
					if got != nil {
						break // once
					}
					if err := lose(info.Name); err != nil {
						t.Fatal(err)
					}
				}
				got = append(got, lines...)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("ledger (-want +got):\n%.2000s", diff)
			}
			if name == "silent" && !strings.Contains(f.log.String(), "another goes on") {
				t.Errorf("no reader was replaced; log: %s", f.log.String())
			}
		})
	}
}
