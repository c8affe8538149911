package telemetry

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

func TestSamplerOfTheEnvironment(t *testing.T) {
	for name, tt := range map[string]struct{ sampler, arg, want string }{
		"default":          {"", "", "ParentBased{root:AlwaysOnSampler"},
		"ratio":            {"parentbased_traceidratio", "0.01", "ParentBased{root:TraceIDRatioBased{0.01}"},
		"ratio, no parent": {"traceidratio", "0.5", "TraceIDRatioBased{0.5}"},
		"off":              {"always_off", "", "AlwaysOffSampler"},
		"on":               {"always_on", "", "AlwaysOnSampler"},
		"parent only":      {"parentbased_always_off", "", "ParentBased{root:AlwaysOffSampler"},
		"unknown":          {"sometimes", "", "error: OTEL_TRACES_SAMPLER is"},
		"bad ratio":        {"traceidratio", "2", "error: OTEL_TRACES_SAMPLER_ARG is"},
		"no ratio":         {"traceidratio", "much", "error: OTEL_TRACES_SAMPLER_ARG is"},
	} {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{"OTEL_TRACES_SAMPLER": tt.sampler, "OTEL_TRACES_SAMPLER_ARG": tt.arg}
			s, err := newSampler(func(n string) string { return env[n] })
			got := ""
			if err != nil {
				got = "error: " + err.Error()
			} else {
				got = s.Description()
			}
			if !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestWhatIsKept starts spans under a sampler that wants none.
func TestWhatIsKept(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	keep := newKeeper(sdktrace.ParentBased(sdktrace.NeverSample()))
	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(keep),
		sdktrace.WithSpanProcessor(late{sdktrace.NewSimpleSpanProcessor(exporter), keep.limit}))
	tracer, ctx := provider.Tracer("test"), context.Background()
	traced := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled})
	client := trace.WithSpanKind(trace.SpanKindClient)

	for name, end := range map[string]func() trace.Span{
		"dropped": func() trace.Span { _, s := tracer.Start(ctx, "dropped"); return s },
		"call":    func() trace.Span { _, s := tracer.Start(ctx, "call", client); return s },
		"failed, no call": func() trace.Span {
			_, s := tracer.Start(ctx, "failed, no call")
			s.SetStatus(codes.Error, "")
			return s
		},
		"KEPT failed call": func() trace.Span {
			_, s := tracer.Start(ctx, "KEPT failed call", client)
			s.SetStatus(codes.Error, "auth")
			return s
		},
		"KEPT linked": func() trace.Span {
			_, s := tracer.Start(ctx, "KEPT linked", trace.WithLinks(trace.Link{SpanContext: traced}))
			return s
		},
		"KEPT marked": func() trace.Span {
			_, s := tracer.Start(ctx, "KEPT marked", trace.WithAttributes(attribute.Bool(string(KeepKey), true)))
			return s
		},
	} {
		exporter.Reset()
		end().End()
		spans := exporter.GetSpans()
		if want := strings.HasPrefix(name, "KEPT"); (len(spans) == 1) != want {
			t.Errorf("%s: %d spans exported", name, len(spans))
		}
		for _, s := range spans {
			if !s.SpanContext.IsSampled() {
				t.Errorf("%s: exported as not sampled", name)
			}
		}
	}
	exporter.Reset()
	for range 1000 {
		_, s := tracer.Start(ctx, "call", client)
		s.SetStatus(codes.Error, "")
		s.End()
	}
	if n := len(exporter.GetSpans()); n == 0 || n > 3*keptASecond {
		t.Errorf("%d of 1000 failures were kept at once", n)
	}
}
