package deliver

import (
	"strings"
	"testing"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/events"
)

// A batch may hold a thousand events, so what one costs in objects counts.
func TestAllocations(t *testing.T) {
	e := &events.Event{
		Tenant: "acme", Name: events.Purchase, ID: "order-1", Time: 1763838000,
		Phones: []string{strings.Repeat("a", 64)}, CustomData: []byte(`{"currency":"EUR","value":49.90}`),
	}
	m := events.Mapping{As: "Purchase", ActionSource: events.BusinessMessaging}
	clid := strings.Repeat("A", 131)
	buf := make([]byte, 0, sizeOf(e, clid))
	b := &batch{}
	plain := &queue.Message{Envelope: queue.Envelope{
		Trace: queue.Trace{Parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"},
	}}
	for name, f := range map[string]func(){
		"an event as Meta wants it":  func() { buf = appendEvent(buf[:0], e, m, clid, "9123456789") },
		"a trace that is no sample":  func() { b.startTrace(plain) },
		"a step that nobody watches": func() { b.clock(stageClaim)() },
	} {
		if got := testing.AllocsPerRun(10, f); got > 0 {
			t.Errorf("%s: %.0f allocations", name, got)
		}
	}
	if len(buf) > sizeOf(e, clid) {
		t.Errorf("%d bytes, thought to be %d", len(buf), sizeOf(e, clid))
	}
}
