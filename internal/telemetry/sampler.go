package telemetry

import (
	"fmt"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

const (
	// KeepKey marks a span that is kept whatever the sampler says: the end of an
	// event that people will look for.
	KeepKey = attribute.Key("homing.keep")
	// slow is from when on a call to Meta is kept.
	slow = 3 * time.Second
	// keptASecond bounds what is kept beside the sample when all goes wrong.
	keptASecond = 10
)

// newSampler reads OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG: the
// standard's names and its default, parentbased_always_on.
func newSampler(getenv func(string) string) (sdktrace.Sampler, error) {
	name, arg := getenv("OTEL_TRACES_SAMPLER"), getenv("OTEL_TRACES_SAMPLER_ARG")
	ratio := 1.0
	if arg != "" {
		var err error
		if ratio, err = strconv.ParseFloat(arg, 64); err != nil || ratio < 0 || ratio > 1 {
			return nil, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG is %q: use a ratio from 0 to 1", arg)
		}
	}
	switch name {
	case "", "parentbased_always_on":
		return sdktrace.ParentBased(sdktrace.AlwaysSample()), nil
	case "parentbased_always_off":
		return sdktrace.ParentBased(sdktrace.NeverSample()), nil
	case "parentbased_traceidratio":
		return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio)), nil
	case "always_on":
		return sdktrace.AlwaysSample(), nil
	case "always_off":
		return sdktrace.NeverSample(), nil
	case "traceidratio":
		return sdktrace.TraceIDRatioBased(ratio), nil
	default:
		return nil, fmt.Errorf("OTEL_TRACES_SAMPLER is %q: use always_on, always_off, traceidratio, or one of them with parentbased_ before it", name)
	}
}

// keeper samples as the sampler within, and beside that what is worth it: calls
// that a sampled event links to, ends that are marked, and, as far as head
// sampling allows, calls to Meta that turn out to have failed or to be slow.
// Those are recorded, being few, and it is decided when they end.
type keeper struct {
	sdktrace.Sampler
	limit *rate.Limiter
}

func newKeeper(s sdktrace.Sampler) *keeper {
	return &keeper{s, rate.NewLimiter(keptASecond, keptASecond)}
}

// ShouldSample implements sdktrace.Sampler.
func (k *keeper) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	r := k.Sampler.ShouldSample(p)
	if r.Decision != sdktrace.Drop {
		return r
	}
	for _, l := range p.Links {
		if l.SpanContext.IsSampled() {
			r.Decision = sdktrace.RecordAndSample
			return r
		}
	}
	for _, a := range p.Attributes {
		if a.Key == KeepKey && a.Value.AsBool() && k.limit.Allow() {
			r.Decision = sdktrace.RecordAndSample
			return r
		}
	}
	if p.Kind == trace.SpanKindClient {
		r.Decision = sdktrace.RecordOnly
	}
	return r
}

// late hands what was only recorded to the next processor after all, when it is
// worth it.
type late struct {
	sdktrace.SpanProcessor
	limit *rate.Limiter
}

// OnEnd implements sdktrace.SpanProcessor.
func (l late) OnEnd(s sdktrace.ReadOnlySpan) {
	if s.SpanContext().IsSampled() {
		l.SpanProcessor.OnEnd(s)
		return
	}
	failed := s.Status().Code == codes.Error || s.EndTime().Sub(s.StartTime()) >= slow
	if failed && l.limit.Allow() {
		l.SpanProcessor.OnEnd(sampled{s})
	}
}

// sampled is a span that says it is part of the sample.
type sampled struct{ sdktrace.ReadOnlySpan }

// SpanContext implements sdktrace.ReadOnlySpan.
func (s sampled) SpanContext() trace.SpanContext {
	sc := s.ReadOnlySpan.SpanContext()
	return sc.WithTraceFlags(sc.TraceFlags().WithSampled(true))
}

// limits bound what one span can weigh.
func limits() sdktrace.SpanLimits {
	l := sdktrace.NewSpanLimits()
	l.AttributeCountLimit = 32
	l.AttributeValueLengthLimit = 512
	l.EventCountLimit = 32
	l.LinkCountLimit = 128
	return l
}
