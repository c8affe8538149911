package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

const (
	// duplicateEvery makes 5 % of the stored events duplicates.
	duplicateEvery = 20
	// duplicateAfter is how far behind its first acceptance a duplicate comes at
	// least: a client asks again after seconds, not within the same few calls.
	duplicateAfter = 20_000
	storeAtOnce    = 4000
)

// plan says which events are stored, and in which order.
type plan struct {
	events, tenants int
	inRow           int  // of one tenant; 1: tenants fully interleaved
	duplicates      bool // 5 % of the events
}

// order is one stored event: whose, and which.
type order struct {
	tenant, person, n int // a duplicate has the n of an earlier one
	duplicate         bool
}

// orders lays the plan out; distinct is how many keys there are.
func (p plan) orders(seed uint64) (all []order, distinct int) {
	random := rand.New(rand.NewPCG(seed, 1))
	all = make([]order, p.events)
	bought := make([]int, p.tenants)
	perTenant := max(peopleCount/p.tenants, 1)
	for i := range all {
		if p.duplicates && i%duplicateEvery == duplicateEvery-1 {
			if behind := i - min(duplicateAfter, p.events/2); behind > 0 {
				all[i] = all[random.IntN(behind)]
				all[i].duplicate = true
				continue
			}
		}
		tenant := i / p.inRow % p.tenants
		all[i] = order{tenant: tenant, person: (tenant + p.tenants*(bought[tenant]%perTenant)) % peopleCount, n: i}
		bought[tenant]++
		distinct++
	}
	return all, distinct
}

// storeEvents puts a backlog into HOMING_EVENTS as the api does: with the look
// that leaves a Q in Redis, and with a trace context of which 1 % is sampled.
// The click is not pinned, so the worker has to look it up.
func (l *lab) storeEvents(ctx context.Context, p plan) (distinct int, err error) {
	run := l.nextRun()
	all, distinct := p.orders(uint64(run))
	now := time.Now()
	at := now.Add(-time.Minute).Unix()
	for len(all) > 0 {
		chunk := all[:min(storeAtOnce, len(all))]
		all = all[len(chunk):]
		acceptances := make([]queue.Acceptance, len(chunk))
		looks := make([]dedup.Look, 0, len(chunk))
		for i, o := range chunk {
			e := l.people[o.person].event
			e.Tenant, e.ID, e.Time = tenantID(o.tenant), eventID{run, o.n}.String(), at
			accept, err := uuid.NewV7()
			if err != nil {
				return 0, err
			}
			key := string(e.Key())
			a := queue.Acceptance{
				Envelope: queue.Envelope{
					Tenant: e.Tenant, Accept: accept.String(), EventName: e.Name, EventID: e.ID, AcceptedAt: now,
					Trace: queue.Trace{Parent: traceParent()},
				},
				MsgID: key, Data: events.EncodeEvent(&e),
			}
			if o.duplicate {
				a.MsgID += ":" + a.Accept // else JetStream would fold it
			}
			looks = append(looks, dedup.Look{Key: key, Accept: a.Accept, Note: dedup.Note{Name: string(e.Name), AcceptedAt: now}})
			acceptances[i] = a
		}
		if _, err := l.claims.Look(ctx, looks); err != nil {
			return 0, err
		}
		for _, r := range l.queue.PublishMany(ctx, acceptances) {
			if r.Err != nil {
				return 0, r.Err
			}
			if r.Duplicate {
				return 0, fmt.Errorf("%s folded an event that was to be stored", queue.StreamEvents)
			}
		}
	}
	return distinct, nil
}

// traceParent is a trace context, of which one in a hundred is sampled.
func traceParent() string {
	flags := 0
	if rand.IntN(100) == 0 {
		flags = 1
	}
	return fmt.Sprintf("00-%016x%016x-%016x-%02x", rand.Uint64(), rand.Uint64(), rand.Uint64()|1, flags)
}

// storeBare puts the same backlog into the bare stream: what is to be sent to
// Meta, ready made, with the keys to claim and to look up beside it.
func (l *lab) storeBare(ctx context.Context, p plan) (distinct int, err error) {
	if err := l.makeBareStream(ctx); err != nil {
		return 0, err
	}
	pipe := l.rdb.Pipeline()
	for i := range l.people {
		pipe.Set(ctx, bareClick(i), l.people[i].clid, 0)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, err
	}
	run := l.nextRun()
	all, distinct := p.orders(uint64(run))
	at := time.Now().Add(-time.Minute).Unix()
	futures := make([]jetstream.PubAckFuture, 0, storeAtOnce)
	for i, o := range all {
		id := eventID{run, o.n}.String()
		future, err := l.js.PublishMsgAsync(&nats.Msg{
			Subject: "bare." + bareStream, Data: l.people[o.person].metaBody(id, at, wabaOf(o.tenant)),
			Header: nats.Header{"Bare-Key": {"bare:ev:" + id}, "Bare-Person": {bareClick(o.person)}},
		})
		if err != nil {
			return 0, err
		}
		if futures = append(futures, future); len(futures) < storeAtOnce && i < len(all)-1 {
			continue
		}
		for _, f := range futures {
			select {
			case <-f.Ok():
			case err := <-f.Err():
				return 0, err
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		futures = futures[:0]
	}
	return distinct, nil
}

func bareClick(person int) string { return fmt.Sprintf("bare:click:%d", person) }
