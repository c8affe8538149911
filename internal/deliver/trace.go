package deliver

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/internal/telemetry"
	"github.com/homing-dev/homing/pkg/events"
	"github.com/homing-dev/homing/pkg/graphapi"
)

// An event has one trace, from the request that brought it to its end, over
// retries, parking and replays. It has at most maxSpans spans: the first pass is
// drawn with all its steps, the next ones as a span each while there is room,
// and the last room is for the pass that ends the event. How many there are
// travels in the trace state, where other vendors have theirs.
const (
	maxSpans = 12
	// ofTheAPI is what the api spends: the request, the look for a click, the publish.
	ofTheAPI = 3
	// forAllSteps is what the first pass spends at most: waiting, the pass itself,
	// look-up, claim, call, settle, ack.
	forAllSteps = 7
	// spentKey is our member of the trace state.
	spentKey = "homing"
	// maxBacklinks bounds the links from a call to its events: an SDK drops what
	// is over 128.
	maxBacklinks = 64
)

// tracing is what the trace of one event needs in one pass.
type tracing struct {
	parent context.Context // carries the remote span that published the event
	span   trace.Span      // of the pass
	spent  int             // spans before this pass
	call   trace.SpanContext
	inside bool // the call is a child of span
}

// stage is a step of a batch that took time.
type stage struct {
	name     string
	from, to time.Time
}

// startTrace continues the trace of a sampled event; nil for the others, which
// cost nothing.
func (b *batch) startTrace(m *queue.Message) *tracing {
	if !sampled(m.Trace) {
		return nil
	}
	parent, sc := remote(m.Trace)
	if !sc.IsSampled() {
		return nil
	}
	t := &tracing{parent: parent, spent: ofTheAPI}
	if n, err := strconv.Atoi(sc.TraceState().Get(spentKey)); err == nil {
		t.spent = min(max(n, ofTheAPI), maxSpans)
	}
	t.span = b.startPass(parent, m, m.Received)
	return t
}

func (b *batch) startPass(parent context.Context, m *queue.Message, at time.Time, more ...attribute.KeyValue) trace.Span {
	_, span := b.Tracer.Start(parent, "process homing.ev", trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(at),
		trace.WithAttributes(append(more,
			attribute.String("messaging.system", "nats"),
			attribute.String("messaging.operation.type", "process"),
			attribute.String("messaging.operation.name", "process"),
			attribute.String("messaging.destination.name", m.Stream),
			attribute.String("homing.tenant", m.Tenant),
			attribute.String("homing.event_id", m.EventID),
			attribute.String("homing.event_name", string(m.EventName)),
			attribute.String("homing.accept", m.Accept),
			attribute.Int("homing.round", m.Round),
			attribute.Int64("homing.deliveries", int64(m.Deliveries)),
		)...))
	return span
}

// remote returns the trace context that a message carries.
func remote(t queue.Trace) (context.Context, trace.SpanContext) {
	ctx := propagation.TraceContext{}.Extract(context.Background(), &t)
	return ctx, trace.SpanContextFromContext(ctx)
}

// sampled reports whether a trace context may be a sampled one: a look at the
// flags, the last two digits of version-traceid-spanid-flags, which spares the
// others the parsing.
func sampled(t queue.Trace) bool {
	const flags = 54
	return len(t.Parent) > flags && strings.IndexByte("13579bdf", t.Parent[flags]) >= 0
}

func (t *tracing) left() int { return maxSpans - t.spent }

// detailed reports whether there is room for every step of this pass, and for
// another one.
func (t *tracing) detailed() bool { return t.left() > forAllSteps }

// shown reports whether the pass is worth its room: one that hands the event
// back changed nothing, and the last room is kept for the end.
func (it *item) shown() bool {
	switch it.fate.step {
	case ack, final, ending:
		return it.trace.left() > 0
	case retry, park:
		return it.trace.left() > 1
	default:
		return false
	}
}

// spans is how many spans this pass adds to the event's trace.
func (it *item) spans() int {
	t := it.trace
	if !it.shown() {
		return 0
	}
	n := 1
	if t.inside {
		n++
	}
	if t.detailed() {
		n += 2 // waiting, ack
		for _, s := range []string{stageLookup, stageClaim, stageSettle} {
			if it.went(s) {
				n++
			}
		}
	}
	return n
}

// travelling is the trace context for the message's next copy.
func (it *item) travelling() queue.Trace {
	if it.trace == nil {
		return it.msg.Trace
	}
	_, sc := remote(it.msg.Trace)
	state, err := sc.TraceState().Insert(spentKey, strconv.Itoa(it.trace.spent+it.spans()))
	if err != nil {
		return it.msg.Trace
	}
	return queue.Trace{Parent: it.msg.Trace.Parent, State: state.String()}
}

// The steps that are drawn.
const (
	stageLookup = "look up click"
	stageTurn   = "wait for a call" // an event of the span, which costs none
	stageClaim  = "claim"
	stageSettle = "settle"
)

// went reports whether the item took part in a step of its batch.
func (it *item) went(stage string) bool {
	switch stage {
	case stageLookup:
		return it.event != nil && !it.pinned
	case stageTurn:
		return it.event != nil
	case stageClaim:
		return it.answer() != 0
	default:
		return it.fate.step == ack || it.fate.step == final || it.claim.Held()
	}
}

// clock notes how long a step of the batch took: defer b.clock(name)().
func (b *batch) clock(name string) func() {
	if !b.traced {
		return func() {}
	}
	from := b.Now()
	return func() {
		if n := len(b.stages); n > 0 && b.stages[n-1].name == name {
			b.stages[n-1].to = b.Now()
			return
		}
		b.stages = append(b.stages, stage{name, from, b.Now()})
	}
}

// startCall starts the span of a call to Meta: a child of the first event whose
// trace has room for it, linked to and from all that are traced.
func (b *batch) startCall(items []*item) (context.Context, trace.Span) {
	ctx, links := b.ctx, []trace.Link(nil)
	var host *tracing
	for _, it := range items {
		t := it.trace
		if t == nil || len(links) == maxBacklinks {
			continue
		}
		links = append(links, trace.Link{SpanContext: t.span.SpanContext()})
		if host == nil && !t.inside && t.left() > 2 {
			host = t
			ctx = trace.ContextWithSpan(ctx, t.span)
		}
	}
	if host != nil {
		host.inside = true
	}
	return b.Tracer.Start(ctx, "POST /{version}/{dataset}/events", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithLinks(links...), trace.WithAttributes(
			attribute.String("http.request.method", "POST"),
			attribute.String("url.template", "/{version}/{dataset}/events"),
			attribute.String("homing.tenant", b.tenantID),
			attribute.Int("messaging.batch.message_count", len(items)),
		))
}

func (b *batch) endCall(span trace.Span, items []*item, result graphapi.Result, err *graphapi.Error) {
	fbtrace := result.FbtraceID
	if err != nil {
		fbtrace = err.FbtraceID
		span.SetStatus(codes.Error, err.Class.String())
		span.SetAttributes(attribute.String("error.type", err.Class.String()),
			attribute.Int("http.response.status_code", err.Status),
			attribute.Int("homing.graph.code", err.Code), attribute.Int("homing.graph.subcode", err.Subcode))
	} else {
		span.SetAttributes(attribute.Int("http.response.status_code", 200))
	}
	span.SetAttributes(attribute.String("homing.class", className(err)), attribute.String("homing.fbtrace_id", fbtrace))
	for _, it := range items {
		if it.trace != nil {
			it.trace.call = span.SpanContext()
		}
	}
	span.End()
}

// finish ends the spans of the batch's events, and tells of each who wants to
// read as much.
func (b *batch) finish() {
	wordy := b.Logger.Enabled(b.ctx, slog.LevelDebug)
	for _, it := range b.items {
		if wordy {
			b.logPass(it)
		}
		switch {
		case it.trace != nil && it.shown():
			b.draw(it)
		case it.trace == nil && (it.fate.outcome == events.Dead || it.fate.outcome == events.Held) && it.fate.step == ack:
			// Nobody drew a lot for it, but it is one that people look for.
			if parent, sc := remote(it.msg.Trace); sc.IsValid() {
				span := b.startPass(parent, it.msg, it.msg.Received, telemetry.KeepKey.Bool(true))
				it.tell(span)
				span.End()
			}
		}
	}
}

// logPass writes the line of one event.
func (b *batch) logPass(it *item) {
	b.Logger.LogAttrs(b.ctx, slog.LevelDebug, "event",
		slog.String("tenant", it.msg.Tenant), slog.String("event_id", it.msg.EventID),
		slog.String("event_name", string(it.msg.EventName)), slog.String("accept", it.msg.Accept),
		slog.String("trace_id", traceID(it.msg.Trace)), slog.String("stream", it.msg.Stream), slog.Uint64("seq", it.msg.Seq), slog.Uint64("deliveries", it.msg.Deliveries),
		slog.String("claim", it.answer().String()), slog.String("outcome", string(it.fate.outcome)),
		slog.String("reason", string(it.fate.reason)), slog.Int("attempts", it.attempts), slog.Time("next_at", it.fate.at))
}

// draw ends an event's span of this pass, and draws its steps.
func (b *batch) draw(it *item) {
	t := it.trace
	if t.call.IsValid() {
		t.span.AddLink(trace.Link{SpanContext: t.call})
	}
	if it.click.IsValid() {
		t.span.AddLink(trace.Link{SpanContext: it.click, Attributes: []attribute.KeyValue{attribute.String("homing.link", "click")}})
	}
	ctx := trace.ContextWithSpan(t.parent, t.span)
	if t.detailed() {
		from := it.msg.AcceptedAt
		if from.After(it.msg.Received) {
			from = it.msg.Received
		}
		b.drawStage(t.parent, stage{"wait homing.ev", from, it.msg.Received})
	}
	for _, s := range b.stages {
		switch {
		case !it.went(s.name):
		case t.detailed() && s.name != stageTurn:
			b.drawStage(ctx, s)
		default:
			t.span.AddEvent(s.name, trace.WithTimestamp(s.from))
		}
	}
	it.tell(t.span)
	t.span.End(trace.WithTimestamp(b.Now()))
}

func (b *batch) drawStage(ctx context.Context, s stage) {
	_, span := b.Tracer.Start(ctx, s.name, trace.WithTimestamp(s.from))
	span.End(trace.WithTimestamp(s.to))
}

// tell writes what became of the event into its span.
func (it *item) tell(span trace.Span) {
	span.SetAttributes(
		attribute.String("homing.outcome", string(it.fate.outcome)),
		attribute.String("homing.reason", string(it.fate.reason)),
		attribute.Int("homing.attempt", it.attempts),
		attribute.Bool("homing.unsure", it.unsure),
		attribute.String("homing.fbtrace_id", it.fate.fbtrace),
	)
	if it.fate.outcome == events.Dead || it.fate.outcome == events.Held {
		span.SetStatus(codes.Error, string(it.fate.reason))
	}
}

// settled returns what draws the settling of an event's message; nil when
// nobody wants to see it.
func (b *batch) settled(it *item) func(verb string, from, to time.Time) {
	if it.trace == nil || !it.trace.detailed() || !it.shown() {
		return nil
	}
	ctx := trace.ContextWithSpan(it.trace.parent, it.trace.span)
	return func(verb string, from, to time.Time) {
		_, span := b.Tracer.Start(ctx, verb+" homing.ev", trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(from),
			trace.WithAttributes(attribute.String("messaging.system", "nats"),
				attribute.String("messaging.operation.type", "settle"), attribute.String("messaging.operation.name", verb)))
		span.End(trace.WithTimestamp(to))
	}
}

// context carries the item's span, if it has one.
func (it *item) context(ctx context.Context) context.Context {
	if it.trace == nil {
		return ctx
	}
	return trace.ContextWithSpan(ctx, it.trace.span)
}
