package queue_test

import (
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/homing-dev/homing/internal/embedded"
	"github.com/homing-dev/homing/internal/queue"
)

// TestAStalledWorkerHandsNothingBack holds up what the server sends for longer than
// a request is waited for, as a machine does that stands still. What comes then, of
// the request given up and of the next, is handed out at its first delivery.
func TestAStalledWorkerHandsNothingBack(t *testing.T) {
	t.Parallel()
	const count = 200
	f := start(t, queue.Config{Shards: 1, MaxBytes: 64 << 20, AckWait: 30 * time.Second})
	line := &heldLine{Server: f.srv}
	nc, err := queue.Connect("", "", "", slog.New(slog.DiscardHandler), nats.InProcessServer(line))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	worker, err := queue.Open(nc, f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(worker.Close)
	out, _ := f.consume(t, worker)

	f.fill(t, 1)
	f.settle(worker, f.next(t, out), queue.Verdict{Action: queue.Ack}) // it pulls
	line.held.Lock()
	f.fill(t, count)
	<-time.After(3 * time.Second) // a request is given up after two
	line.held.Unlock()
	for range count - 1 { // the first is a copy
		m := f.next(t, out)
		if m.Deliveries != 1 {
			t.Errorf("message %d: delivery %d", m.Seq, m.Deliveries)
		}
		f.settle(worker, m, queue.Verdict{Action: queue.Ack})
	}
}

// heldLine is the way to a server, which keeps what the server sends while it is
// held.
type heldLine struct {
	*embedded.Server
	held sync.RWMutex
}

func (l *heldLine) InProcessConn() (net.Conn, error) {
	c, err := l.Server.InProcessConn()
	return heldConn{c, l}, err
}

type heldConn struct {
	net.Conn
	line *heldLine
}

func (c heldConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.line.held.RLock()
	defer c.line.held.RUnlock()
	return n, err
}
