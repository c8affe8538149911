package deliver

import (
	"context"
	"time"

	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

// Metrics is told what happens; the contexts carry the span that it belongs to.
type Metrics interface {
	// Outcome counts a terminal outcome; age is the time since acceptance.
	Outcome(ctx context.Context, tenant string, o events.Outcome, r events.Reason, age time.Duration)
	// Call counts a call to Meta; class is "ok" or a graphapi.Class.
	Call(ctx context.Context, class string, events int, took time.Duration)
	// Claim counts the answer to a claim.
	Claim(r dedup.Result)
	// ClickLookup counts a click look-up: found or none.
	ClickLookup(ctx context.Context, result string)
}

type noMetrics struct{}

func (noMetrics) Outcome(context.Context, string, events.Outcome, events.Reason, time.Duration) {}
func (noMetrics) Call(context.Context, string, int, time.Duration)                              {}
func (noMetrics) Claim(dedup.Result)                                                            {}
func (noMetrics) ClickLookup(context.Context, string)                                           {}
