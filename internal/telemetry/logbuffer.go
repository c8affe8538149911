package telemetry

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	// logDelay is how long a line may wait for others; who kills the process
	// takes that much of the log with it.
	logDelay = 100 * time.Millisecond
	// logBuffer is how much waits at most.
	logBuffer = 32 << 10
)

// LogBuffer writes many log lines at once: a busy api has one for each request,
// and a system call for each would cost more than making it. What matters goes
// out at once, with all before it.
type LogBuffer struct {
	mu    sync.Mutex
	w     io.Writer
	lines []byte
	timer *time.Timer // nil while nothing waits
}

// NewLogBuffer returns a buffer before w. Flush it in the end.
func NewLogBuffer(w io.Writer) *LogBuffer { return &LogBuffer{w: w} }

// Write takes whole lines. It fails when those before could not be written.
func (b *LogBuffer) Write(lines []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lines = append(b.lines, lines...); len(b.lines) >= logBuffer {
		return len(lines), b.flush()
	}
	if b.timer == nil {
		b.timer = time.AfterFunc(logDelay, func() { _ = b.Flush() }) // nobody is left to tell
	}
	return len(lines), nil
}

// Flush writes what waits.
func (b *LogBuffer) Flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.flush()
}

func (b *LogBuffer) flush() error {
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	if len(b.lines) == 0 {
		return nil
	}
	_, err := b.w.Write(b.lines)
	b.lines = b.lines[:0]
	return err
}

// Flushing flushes b after each line that next wrote into it at least at level.
func (b *LogBuffer) Flushing(level slog.Level, next slog.Handler) slog.Handler {
	return flushing{next, b, level}
}

type flushing struct {
	slog.Handler
	buffer *LogBuffer
	level  slog.Level
}

func (h flushing) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Level >= h.level {
		_ = h.buffer.Flush()
	}
	return err
}

func (h flushing) WithAttrs(attrs []slog.Attr) slog.Handler {
	return flushing{h.Handler.WithAttrs(attrs), h.buffer, h.level}
}

func (h flushing) WithGroup(name string) slog.Handler {
	return flushing{h.Handler.WithGroup(name), h.buffer, h.level}
}
