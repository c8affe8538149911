// Package telemetry sets OpenTelemetry up: traces over OTLP when an endpoint is
// configured, metrics for Prometheus always. Nothing in it is global: two
// processes' worth of telemetry can live side by side.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Options sets up Telemetry.
type Options struct {
	Service string // service.name, unless OTEL_SERVICE_NAME says otherwise
	Version string
	// Getenv reads the OTEL_* variables that decide whether and how traces are
	// exported; the exporters read theirs themselves.
	Getenv func(string) string
}

// Telemetry is one process's traces and metrics.
type Telemetry struct {
	Metrics  *Metrics
	traces   *sdktrace.TracerProvider
	meters   *metric.MeterProvider
	registry *prometheus.Registry
}

// New sets traces and metrics up. Shutdown must be called.
func New(ctx context.Context, opt Options) (*Telemetry, error) {
	res, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", opt.Service), attribute.String("service.version", opt.Version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("telemetry: resource: %w", err)
	}
	traces, err := newTraces(ctx, opt.Getenv, res)
	if err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewBuildInfoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutScopeInfo(),
		otelprom.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes))
	if err != nil {
		return nil, fmt.Errorf("telemetry: prometheus exporter: %w", err)
	}
	meters := metric.NewMeterProvider(metric.WithReader(exporter), metric.WithResource(res),
		metric.WithCardinalityLimit(maxSeries))
	metrics, err := newMetrics(meters.Meter(scope))
	if err != nil {
		return nil, err
	}
	return &Telemetry{Metrics: metrics, traces: traces, meters: meters, registry: registry}, nil
}

const (
	scope = "github.com/homing-dev/homing"
	// maxSeries bounds the series of one metric: a thousand tenants with every
	// outcome and reason stay below it.
	maxSeries = 30_000
)

// newTraces exports spans only when an endpoint is set. Without one trace ids
// are still made, since answers and log lines carry them.
func newTraces(ctx context.Context, getenv func(string) string, res *resource.Resource) (*sdktrace.TracerProvider, error) {
	if getenv("OTEL_SDK_DISABLED") == "true" || getenv("OTEL_TRACES_EXPORTER") == "none" ||
		getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return sdktrace.NewTracerProvider(sdktrace.WithResource(res),
			sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample()))), nil
	}
	protocol := getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
	if protocol == "" {
		protocol = getenv("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	sampler, err := newSampler(getenv)
	if err != nil {
		return nil, err
	}
	var exporter sdktrace.SpanExporter
	switch protocol {
	case "grpc":
		exporter, err = otlptracegrpc.New(ctx)
	case "", "http/protobuf":
		exporter, err = otlptracehttp.New(ctx)
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: use grpc or http/protobuf", protocol)
	}
	if err != nil {
		return nil, fmt.Errorf("telemetry: OTLP exporter: %w", err)
	}
	keep := newKeeper(sampler)
	processor := late{sdktrace.NewBatchSpanProcessor(exporter), keep.limit}
	return sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithRawSpanLimits(limits()),
		sdktrace.WithSampler(keep), sdktrace.WithSpanProcessor(processor)), nil
}

// Tracer returns the tracer of the process.
func (t *Telemetry) Tracer() trace.Tracer { return t.traces.Tracer(scope) }

// TracerProvider returns the provider behind Tracer, for instrumentation libraries.
func (t *Telemetry) TracerProvider() trace.TracerProvider { return t.traces }

// Propagator reads and writes W3C trace context.
func (t *Telemetry) Propagator() propagation.TextMapPropagator { return propagation.TraceContext{} }

// Handler serves the metrics for Prometheus.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, Registry: t.registry})
}

// Shutdown exports what is left.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	return errors.Join(t.traces.Shutdown(ctx), t.meters.Shutdown(ctx))
}
