package deliver

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/homing-dev/homing/internal/queue"
)

// TestTheLineOfACall: it names enough to find it by, however many events there are.
func TestTheLineOfACall(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	line := func(n int) string {
		var items []*item
		for i := range n {
			m := &queue.Message{}
			m.EventID, m.Accept = fmt.Sprint("order-", i), fmt.Sprint("accept-", i)
			m.AcceptedAt = now.Add(time.Duration(i-n) * time.Second)
			m.Trace.Parent = fmt.Sprintf("00-%032x-00000000000000aa-01", 1+i/2) // two share one
			items = append(items, &item{msg: m, trace: &tracing{}})
		}
		var out bytes.Buffer
		slog.New(slog.NewJSONHandler(&out, nil)).LogAttrs(t.Context(), slog.LevelInfo, "graph.call", carried(items, now)...)
		_, text, _ := strings.Cut(out.String(), `"graph.call",`)
		return strings.TrimSpace(text)
	}
	if got, want := line(1), `"event_id":"order-0","accept":"accept-0","trace_id":"00000000000000000000000000000001"}`; got != want {
		t.Errorf("one event: %s", got)
	}
	got := line(1000)
	for _, want := range []string{
		`"event_id":"order-0"`, `"last_event_id":"order-999"`, `"last_accept":"accept-999"`, `"oldest":1000000000000`,
		fmt.Sprintf(`"trace_ids":["%032x","%032x","%032x","%032x"]`, 1, 2, 3, 4),
	} {
		if !strings.Contains(got, want) {
			t.Errorf("without %s: %s", want, got)
		}
	}
	if len(got) > 1000 {
		t.Errorf("%d bytes", len(got))
	}
}
