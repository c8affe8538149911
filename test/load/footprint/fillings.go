package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// The names of the costs, by which the model finds them.
const (
	waitingEvent  = "an event that waits"
	ledgerLine    = "a line of the ledger"
	ledgerMessage = "a message of the ledger with one line"
	storedClick   = "a click"
	settledEvent  = "a settled event"
	knownPerson   = "a person with one click"
	plainPerson   = "the same, with zset-max-listpack-value as Redis comes"
)

const (
	tenant    = "acme"
	someClid  = "ARAkLkA8rmlFeiCktEJQ-QTwRiyYHAFDLMNDBH0CD3qpjd0HR4irJ6LEkR7JwFF4XvnO2E4Nx0-eM-GABDLOPaOdRMv"
	chunk     = 200 // events put at once
	ledgerPer = 200 // lines in a message of the ledger
)

// fillings are the stores that grow with the events, and what grows in them.
func fillings() []filling {
	return []filling{
		{waitingEvent, "HOMING_EVENTS", (*world).putEvents, stored(queue.StreamEvents)},
		{ledgerLine, "HOMING_OUTCOMES", (*world).putLines, stored(queue.StreamOutcomes)},
		{ledgerMessage, "HOMING_OUTCOMES", (*world).putLoneLines, stored(queue.StreamOutcomes)},
		{storedClick, "HOMING_CLICKS", (*world).putClicks, stored(queue.StreamClicks)},
		{settledEvent, "Redis", (*world).settle, remembered},
		{knownPerson, "Redis", (*world).learn, remembered},
		{plainPerson, "Redis", (*world).learnPlainly, remembered},
	}
}

// inChunks calls f for each chunk of the n that begin at from.
func inChunks(from, n, size int, f func(from, n int) error) error {
	for end := from + n; from < end; from += size {
		if err := f(from, min(size, end-from)); err != nil {
			return err
		}
	}
	return nil
}

func acceptID(i int) string { return fmt.Sprintf("0198c1d2-7f3a-7000-8000-%012x", i) }

// event is what a shop of middling talkativeness posts.
func event(i int) (events.Event, error) {
	body := fmt.Sprintf(`{"event_name":"Purchase","phone_number":"+55119%08d","email":"buyer-%d@example.com","currency":"BRL","value":129.90,`+
		`"event_id":"order-%09d","custom_data":{"order_id":"%09d","content_type":"product","content_ids":["sku-%05d","sku-%05d"],"num_items":2}}`,
		80_000_000+i, i, i, i, i%90_000, i%80_000)
	parsed, err := events.ParseConversion([]byte(body), events.ParseOptions{Now: time.Now(), NewID: func() string { return acceptID(i) }})
	if err != nil {
		return events.Event{}, err
	}
	e := parsed.Event
	e.Tenant, e.Clid, e.WABA = tenant, fmt.Sprintf("%s%05d", someClid, i%100_000), "102290129340398"
	return e, nil
}

func (w *world) putEvents(ctx context.Context, from, n int) error {
	return inChunks(from, n, chunk, func(from, n int) error {
		batch := make([]queue.Acceptance, n)
		for i := range batch {
			e, err := event(from + i)
			if err != nil {
				return err
			}
			batch[i] = queue.Acceptance{
				Envelope: queue.Envelope{
					Tenant: tenant, Accept: acceptID(from + i), EventName: e.Name, EventID: e.ID, AcceptedAt: time.Now(),
					Trace: queue.Trace{Parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"},
				},
				MsgID: string(e.Key()), Data: events.EncodeEvent(&e),
			}
		}
		for _, r := range w.queue.PublishMany(ctx, batch) {
			if r.Err != nil {
				return r.Err
			}
		}
		return nil
	})
}

func line(i int) events.Settlement {
	return events.Settlement{
		Accept: acceptID(i), Origin: uint64(i), Outcome: events.Delivered, Tenant: tenant, Name: "Purchase",
		ID: fmt.Sprintf("order-%09d", i), Attempts: 1, Clid: fmt.Sprintf("%s%05d", someClid, i%100_000),
		FbtraceID: "AXk2jWgCpPzLd8yTQnBvR4e", TraceID: "0af7651916cd43dd8448eb211c80319c",
		AcceptedAt: time.Now().Add(-time.Second), At: time.Now(),
	}
}

func (w *world) putLines(ctx context.Context, from, n int) error {
	return w.record(ctx, from, n, ledgerPer)
}

func (w *world) putLoneLines(ctx context.Context, from, n int) error {
	return w.record(ctx, from, n, 1)
}

func (w *world) record(ctx context.Context, from, n, per int) error {
	return inChunks(from, n, per, func(from, n int) error {
		lines := make([]events.Settlement, n)
		for i := range lines {
			lines[i] = line(from + i)
		}
		return w.queue.Record(ctx, tenant, lines)
	})
}

func click(i int) (events.Click, error) {
	body := fmt.Sprintf(`{"phone_number":"+55119%08d","ctwa_clid":"%s%05d","clicked_at":%d,"waba_id":"102290129340398"}`,
		80_000_000+i, someClid, i%100_000, time.Now().Unix())
	c, _, err := events.ParseClick([]byte(body), time.Now())
	if err != nil {
		return events.Click{}, err
	}
	c.Tenant = tenant
	return *c, nil
}

func someClicks(from, n int) ([]events.Click, error) {
	found := make([]events.Click, n)
	for i := range found {
		var err error
		if found[i], err = click(from + i); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (w *world) putClicks(ctx context.Context, from, n int) error {
	return inChunks(from, n, chunk, func(from, n int) error {
		found, err := someClicks(from, n)
		if err != nil {
			return err
		}
		return w.queue.PublishClicks(ctx, found)
	})
}

// learn has Redis keep a person's clicks in one piece, as docs/valkey.md asks.
func (w *world) learn(ctx context.Context, from, n int) error {
	return w.know(ctx, tenant, "512", from, n)
}

func (w *world) learnPlainly(ctx context.Context, from, n int) error {
	return w.know(ctx, "globex", "64", from, n)
}

func (w *world) know(ctx context.Context, tenant, listpack string, from, n int) error {
	if err := w.rdb.ConfigSet(ctx, "zset-max-listpack-value", listpack).Err(); err != nil {
		return err
	}
	return inChunks(from, n, chunk, func(from, n int) error {
		found, err := someClicks(from, n)
		if err != nil {
			return err
		}
		for i := range found {
			found[i].Tenant = tenant
		}
		return w.clicks.Put(ctx, found)
	})
}

// settle does to Redis what an event does on its way: the api's look, the
// worker's claim and its verdict.
func (w *world) settle(ctx context.Context, from, n int) error {
	return inChunks(from, n, chunk, func(from, n int) error {
		looks, msgs, verdicts := make([]dedup.Look, n), make([]dedup.Message, n), make([]dedup.Verdict, n)
		for i := range msgs {
			l := line(from + i)
			key := string(events.MakeKey(tenant, l.Name, l.ID))
			note := dedup.Note{Name: string(l.Name), Clid: l.Clid, TraceID: l.TraceID, AcceptedAt: l.AcceptedAt}
			looks[i] = dedup.Look{Key: key, Accept: l.Accept, Note: note}
			msgs[i] = dedup.Message{Key: key, Accept: l.Accept, Stream: queue.StreamEvents, Seq: l.Origin, Deliveries: 1, Note: note}
		}
		if _, err := w.claims.Look(ctx, looks); err != nil {
			return err
		}
		claims, err := w.claims.Claim(ctx, msgs)
		if err != nil {
			return err
		}
		for i := range verdicts {
			note := msgs[i].Note
			note.Attempts, note.FbtraceID = 1, line(from+i).FbtraceID
			verdicts[i] = dedup.Verdict{Message: &msgs[i], Claim: &claims[i], Next: dedup.Record{
				State: dedup.Decided, Outcome: string(events.Delivered), Note: note,
			}}
		}
		settled, err := w.claims.Settle(ctx, verdicts)
		if err != nil {
			return err
		}
		for _, s := range settled {
			if !s.Stands {
				return errors.New("a verdict does not stand")
			}
		}
		return nil
	})
}
