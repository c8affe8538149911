package ingest

import (
	"log/slog"
	"net/http"
	"time"
)

// NewHTTPServer returns an http.Server for the public listener, with limits
// that slow or greedy clients run into. Its own complaints go to logger.
func NewHTTPServer(h http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		// Longer than a request may take: 15 s of reading, 2 of waiting for a place,
		// the look, and twice the queue's 5 for a PubAck.
		WriteTimeout:   30 * time.Second,
		IdleTimeout:    60 * time.Second,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}
