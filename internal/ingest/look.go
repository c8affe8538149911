package ingest

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/internal/crash"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
)

// patience is how long an answer waits for Redis.
type patience struct {
	// event is for an event whose click is looked for, and each is what every
	// further event of a batch adds to it.
	event, each time.Duration
	// key is for events whose click is given or not asked for: Redis then only
	// knows whether they are duplicates, which the worker finds out anyway.
	key time.Duration
	// put is for clicks; one that misses it comes there by the stream.
	put time.Duration
	// status is for who asks for nothing else.
	status time.Duration
}

func defaultPatience() patience {
	return patience{
		event: 50 * time.Millisecond, each: 150 * time.Microsecond, key: 5 * time.Millisecond,
		put: 250 * time.Millisecond, status: time.Second,
	}
}

// with returns the patience with a look for these items.
func (p patience) with(items []*item) time.Duration {
	for _, it := range items {
		if it.asksForClick() {
			return p.event + time.Duration(len(items)-1)*p.each
		}
	}
	return p.key + time.Duration(len(items)-1)*p.each
}

// clickSlack is how much later than the conversion its click may be: clocks
// differ.
const clickSlack = 60 // seconds

// Results of looks for a click, for Metrics.
const (
	clickFound       = "found"
	clickNone        = "none"
	clickUnavailable = "unavailable"
	clickSkipped     = "skipped" // the store failed a moment ago and was not asked
)

func (it *item) asksForClick() bool {
	return it.live() && !it.async && it.event.Clid == "" && len(it.event.Persons) > 0
}

// look asks Redis, both questions at once and with little patience, whether the
// items' keys were seen before and which click earned them, and pins the click.
// What isn't answered stays unknown: the worker finds out.
func (s *Server) look(ctx context.Context, items []*item) {
	limit := s.patience.with(items)
	due, cancel := s.due(len(items), limit)
	defer cancel()
	waitKeys := s.lookForKeys(ctx, due, items, limit)
	waitClicks := s.lookForClicks(ctx, due, items)
	waitKeys()
	waitClicks()
}

// due returns a context that ends when a look with so many items has to.
func (s *Server) due(items int, limit time.Duration) (context.Context, context.CancelFunc) {
	switch {
	case items > 1:
		return context.WithTimeout(context.Background(), limit)
	case limit == s.patience.key:
		return s.keyDue.within(limit), func() {}
	default:
		return s.lookDue.within(limit), func() {}
	}
}

// flight is how long a round trip with this many questions may take. The answer
// to a request waits less, but a connection cut off is a connection lost.
func (s *Server) flight(questions int) time.Duration {
	return s.patience.event + time.Duration(questions-1)*s.patience.each
}

// askKeys is the round trip of lookForKeys.
func (s *Server) askKeys(ctx context.Context, looks []dedup.Look) ([]dedup.Record, error) {
	crash.At(crash.BeforeLook)
	defer crash.At(crash.AfterLook)
	return s.memory.Look(ctx, looks)
}

// lookForKeys starts to ask for the items' keys; what it returns waits for the
// answer and notes it. To be slower than a short limit doesn't mean to be away.
func (s *Server) lookForKeys(ctx, due context.Context, items []*item, limit time.Duration) (wait func()) {
	asked := make([]*item, 0, len(items))
	looks := make([]dedup.Look, 0, len(items))
	trace := traceID(ctx)
	for _, it := range items {
		if it.live() {
			it.unanswered = true
			asked, looks = append(asked, it), append(looks, it.look(trace))
		}
	}
	if len(asked) == 0 || !s.memoryAway.try() {
		return func() {}
	}
	reply := s.keys.Start(due, looks)
	return func() {
		for _, it := range asked {
			it.looked = true
		}
		records, err := reply.Wait()
		if limit < s.patience.event && errors.Is(err, context.DeadlineExceeded) {
			return
		}
		s.memoryAway.report(err)
		if err != nil {
			s.away(ctx, "duplicates", err)
			return
		}
		for i, it := range asked {
			it.unanswered = false
			// Our own acceptance is there when the client library asked twice.
			if i < len(records) && records[i].Accept != it.accept {
				it.before = records[i]
				it.duplicate = it.before.State != dedup.None && !it.reopens()
			}
		}
	}
}

// look is the question whether the item's key was seen before. Asking it leaves
// the item's note where the status can find it.
func (it *item) look(traceID string) dedup.Look {
	return dedup.Look{Key: string(it.key), Accept: it.accept, Note: dedup.Note{
		Name: string(it.event.Name), Clid: it.event.Clid, TraceID: traceID, AcceptedAt: it.at,
	}}
}

// lookForClicks starts to ask for the items' clicks; what it returns waits for
// the answer and pins it.
func (s *Server) lookForClicks(ctx, due context.Context, items []*item) (wait func()) {
	asked := make([]*item, 0, len(items))
	queries := make([]clicks.Query, 0, len(items))
	for _, it := range items {
		if it.asksForClick() {
			asked = append(asked, it)
			queries = append(queries, clicks.Query{
				Tenant: it.tenant.ID, Persons: it.event.Persons,
				// A conversion told late still gets the click that is known now.
				Before: it.event.Time + clickSlack, OrNewest: true,
			})
		}
	}
	if len(asked) == 0 {
		return func() {}
	}
	if !s.clicksAway.try() {
		for _, it := range asked {
			it.clickAway = true
			s.metrics.ClickLookup(ctx, clickSkipped)
		}
		return func() {}
	}
	ctx, span := s.startChild(ctx, "look up click")
	if span.SpanContext().IsSampled() {
		for i := range queries {
			queries[i].Trace = true
		}
	}
	reply := s.clids.Start(due, queries)
	return func() {
		found, err := reply.Wait()
		defer span.End()
		linkClicks(span, found)
		if !errors.Is(err, clicks.ErrIncomplete) {
			s.clicksAway.report(err)
		}
		if err != nil {
			s.away(ctx, "clicks", err)
		}
		for i, it := range asked {
			switch {
			case i < len(found) && found[i].OK():
				it.event.Clid, it.event.WABA = found[i].Clid, found[i].WABA
				s.metrics.ClickLookup(ctx, clickFound)
			case err != nil:
				it.clickAway = true
				s.metrics.ClickLookup(ctx, clickUnavailable)
			default:
				s.metrics.ClickLookup(ctx, clickNone)
			}
		}
	}
}

// linkClicks links an event's trace to the traces that brought its click.
func linkClicks(span trace.Span, found []clicks.Found) {
	for _, f := range found {
		if f.Trace == "" {
			continue
		}
		carrier := &queue.Trace{Parent: f.Trace}
		click := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
		if click.IsValid() {
			span.AddLink(trace.Link{SpanContext: click, Attributes: []attribute.KeyValue{attribute.String("homing.link", "click")}})
		}
	}
}

// away logs that Redis did not answer. The breakers keep this rare.
func (s *Server) away(ctx context.Context, what string, err error) {
	s.logger.LogAttrs(ctx, slog.LevelWarn, "redis did not answer; events are taken without it",
		slog.String("asked_for", what), slog.String("error", err.Error()))
}

// ask runs f and returns a function that waits for its answer, no longer than
// ctx lasts even when f is deaf to it.
func ask[T any](ctx context.Context, f func(context.Context) (T, error)) func() (T, error) {
	type reply struct {
		value T
		err   error
	}
	done := make(chan reply, 1)
	go func() {
		value, err := f(ctx)
		done <- reply{value, err}
	}()
	return func() (T, error) {
		select {
		case r := <-done:
			return r.value, r.err
		case <-ctx.Done():
		}
		select { // an answer that came in time counts, however late we ask for it
		case r := <-done:
			return r.value, r.err
		default:
			var none T
			return none, ctx.Err()
		}
	}
}

// forget takes back the notes of events that the queue refused: best effort, a
// note alone proves nothing.
func (s *Server) forget(ctx context.Context, refused []*item) {
	var looks []dedup.Look
	for _, it := range refused {
		if it.looked && it.before.State == dedup.None {
			looks = append(looks, it.look(traceID(ctx)))
		}
	}
	if len(looks) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.patience.event)
	defer cancel()
	_, err := ask(ctx, func(ctx context.Context) (struct{}, error) {
		crash.At(crash.BeforeForget)
		defer crash.At(crash.AfterForget)
		return struct{}{}, s.memory.Forget(ctx, looks)
	})()
	if err != nil {
		s.away(ctx, "forgetting", err)
	}
}
