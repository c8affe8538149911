//go:build faults

package faults

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/homing-dev/homing/test/harness"
)

// TestReplayKilled kills homing dlq replay in the middle, again and again, until
// one gets through. Nothing is sent twice, nothing is left behind, and an audit
// finds nothing amiss at any time.
func TestReplayKilled(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Options{})
	tapAll(s)
	var promises harness.Promises
	count := choose(60, 400)
	bury(s, &promises, count)

	stop := make(chan struct{})
	var audits sync.WaitGroup
	audits.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				mustRun(s, "audit")
			}
		}
	})
	for left, kills := count, choose(2, 5); kills > 0; kills-- {
		replay := s.Command("cmd/homing", "dlq", "replay", "--rate", fmt.Sprint(count/8))
		replay.Start()
		harness.Eventually(t, within, "some letters are replayed", func() error {
			if n := len(s.Letters()); n == left {
				return fmt.Errorf("%d of %d letters are left", n, count)
			}
			return nil
		})
		replay.Signal(syscall.SIGKILL)
		if replay.Exit(within); !replay.Killed() {
			t.Errorf("the replay was over before it could be killed")
		}
		if left = len(s.Letters()); left < count/4 {
			break // too few to be quick enough once more
		}
		t.Logf("killed with %d letters left", left)
	}
	mustRun(s, "dlq", "replay", "--rate", "0")
	f := s.Judge(&promises, within)
	if want := (harness.Findings{Delivered: count}); f != want {
		t.Errorf("%s, want %s", f, want)
	}
	close(stop)
	audits.Wait()
	mustRun(s, "audit")
}

// changes tells of every request that makes or changes a stream or a consumer.
// flush returns when what was asked for before it is in the channel.
func changes(t *testing.T, s *harness.Stack) (seen <-chan *nats.Msg, flush func()) {
	t.Helper()
	nc, err := nats.Connect("nats://" + s.NATS.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	c := make(chan *nats.Msg, 1000)
	for _, subject := range []string{"$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.UPDATE.*", "$JS.API.CONSUMER.CREATE.>"} {
		if _, err := nc.ChanSubscribe(subject, c); err != nil {
			t.Fatal(err)
		}
	}
	flush = func() {
		t.Helper()
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	flush()
	return c, flush
}

// killAt runs a command and kills it at the n-th request that changes something;
// false when it ended before.
func killAt(s *harness.Stack, seen <-chan *nats.Msg, flush func(), n int, args ...string) bool {
	s.T.Helper()
	c := s.Command("cmd/homing", args...)
	c.Start()
	for range n {
		select {
		case <-seen:
		case <-c.Done():
			if flush(); len(seen) == 0 {
				return false
			}
			<-seen
		}
	}
	c.Signal(syscall.SIGKILL)
	c.Exit(within)
	for flush(); len(seen) > 0; {
		<-seen
	}
	return true
}

// TestStreamsApplyKilled kills homing streams apply at every request that it
// makes, and runs it again: the streams come right, and what was accepted goes
// its way.
func TestStreamsApplyKilled(t *testing.T) {
	t.Parallel()
	s := start(t, harness.Options{Bare: true, Env: []string{"HOMING_STREAMS=external"}})
	js := s.JetStream()
	seen, flush := changes(t, s)
	kills := 0
	for n := 1; killAt(s, seen, flush, n, "streams", "apply"); n += choose(3, 1) {
		kills++
		mustRun(s, "streams", "apply")
		if out := mustRun(s, "streams", "apply", "--dry-run"); !strings.Contains(out, "nothing to change") {
			t.Errorf("after a kill at request %d: %s", n, out)
		}
		names := js.StreamNames(context.Background())
		for name := range names.Name() {
			if err := js.DeleteStream(context.Background(), name); err != nil {
				t.Error(err)
			}
		}
		for flush(); len(seen) > 0; {
			<-seen
		}
	}
	if kills < 3 {
		t.Errorf("killed %d times only", kills)
	}
	mustRun(s, "streams", "apply")
	s.Launch()
	l := startLoad(s, "order", 4, 20*time.Millisecond)
	l.await(t, 50)
	for flush(); len(seen) > 0; {
		<-seen
	}
	for n := 1; killAt(s, seen, flush, n, "streams", "apply", "--shards", fmt.Sprint(2+n)); n++ {
		l.await(t, 20)
	}
	l.await(t, 50)
	l.finish(s)
}
