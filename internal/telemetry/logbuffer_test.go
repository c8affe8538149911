package telemetry

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := NewLogBuffer(&out)
		log := slog.New(b.Flushing(slog.LevelWarn, slog.NewTextHandler(b, nil))).With("process", "api")
		lines := func() int {
			b.mu.Lock() // a timer writes, too
			defer b.mu.Unlock()
			return strings.Count(out.String(), "\n")
		}

		log.Info("one")
		log.Info("two")
		if lines() != 0 {
			t.Errorf("written at once: %s", out.String())
		}
		time.Sleep(logDelay)
		synctest.Wait()
		if lines() != 2 {
			t.Errorf("%d lines after the delay", lines())
		}
		log.Info("three")
		if log.Warn("four"); lines() != 4 {
			t.Errorf("a warning waits: %s", out.String())
		}
		log.Info(strings.Repeat("x", logBuffer))
		if lines() != 5 {
			t.Error("more than the buffer waits")
		}
		log.Info("six")
		if err := b.Flush(); err != nil || lines() != 6 || !strings.HasSuffix(out.String(), "msg=six process=api\n") {
			t.Errorf("flushed %d lines, %v", lines(), err)
		}
		time.Sleep(logDelay)
		if lines() != 6 {
			t.Error("a line was written twice")
		}
	})
}
