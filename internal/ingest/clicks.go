package ingest

import (
	"context"
	"log/slog"
	"net/http"

	"go.opentelemetry.io/otel/codes"

	"github.com/homing-dev/homing/pkg/events"
)

// clickResult is the body of an answer to a click.
type clickResult struct {
	Success  bool     `json:"success"`
	Status   string   `json:"status"`
	Warnings []string `json:"warnings,omitempty"`
}

// postClick takes one click from a merchant whose webhooks arrive elsewhere.
func (s *Server) postClick(c *call) answer {
	tenant, refused := s.authenticate(c)
	if refused != nil {
		return refused.answer()
	}
	if _, refused = mediaType(c.r, mediaJSON); refused != nil {
		return refused.answer()
	}
	body, refused := c.read(maxEvent)
	if refused != nil {
		return refused.answer()
	}
	if refused = s.limits.take(tenant, 1); refused != nil {
		return refused.answer()
	}
	click, warnings, err := events.ParseClick(body, s.now())
	if err != nil {
		return badRequest(err).answer()
	}
	click.Tenant = tenant.ID
	if refused = s.storeClicks(c.context(), []events.Click{*click}); refused != nil {
		return refused.answer()
	}
	return answer{status: http.StatusAccepted, body: clickResult{Success: true, Status: statusQueued, Warnings: warnings}}
}

// storeClicks makes clicks durable, then puts them where a conversion posted
// next finds them.
func (s *Server) storeClicks(ctx context.Context, found []events.Click) *refusal {
	ctx, span := s.startSend(ctx, "homing.click", len(found))
	defer span.End()
	if span.SpanContext().IsSampled() {
		for i := range found {
			found[i].Trace = traceOf(ctx).Parent
		}
	}
	durable, cancel := context.WithTimeout(ctx, publishFor)
	defer cancel()
	if err := s.queue.PublishClicks(durable, found); err != nil {
		span.SetStatus(codes.Error, "not stored")
		s.logger.LogAttrs(ctx, slog.LevelWarn, "clicks not stored",
			slog.Int("clicks", len(found)), slog.String("error", err.Error()))
		return queueRefusal(err)
	}
	atHand, cancel := context.WithTimeout(ctx, s.patience.put)
	defer cancel()
	_, err := ask(atHand, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.clicks.Put(ctx, found)
	})()
	if err != nil {
		s.logger.LogAttrs(ctx, slog.LevelWarn, "clicks are durable but not at hand yet",
			slog.Int("clicks", len(found)), slog.String("error", err.Error()))
	}
	return nil
}
