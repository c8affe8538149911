package queue

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

// lagging is a stream whose readers lie on a server that lacks its messages.
type lagging struct{ jetstream.Stream }

func (s lagging) OrderedConsumer(ctx context.Context, cfg jetstream.OrderedConsumerConfig) (jetstream.Consumer, error) {
	cfg.FilterSubjects = []string{"homing.outcome.nobody"}
	return s.Stream.OrderedConsumer(ctx, cfg)
}

// numbered stores messages 1 to n in the ledger.
func (l *lot) numbered(t *testing.T, n int) jetstream.Stream {
	t.Helper()
	for i := range n {
		if _, err := l.js.Publish(l.ctx, subjectOutcome("acme"), fmt.Appendf(nil, "%d", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := l.js.Stream(l.ctx, StreamOutcomes)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Where a reader knows of nothing more, the stream's leader is asked: an event
// whose outcome is left out of a rebuild would be sent again.
func TestAReaderThatLagsHasNotReadAll(t *testing.T) {
	t.Parallel()
	l := newLot(t)
	s := l.numbered(t, 3)
	for name, since := range map[string]time.Time{"everything": {}, "the last hour": time.Now().Add(-time.Hour)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &reading{stream: lagging{s}, name: StreamOutcomes, since: since, last: 3, fn: func(jetstream.Msg, uint64) error {
				t.Error("a message of a server that lacks it")
				return nil
			}}
			if err := l.readOn(l.ctx, r); !errors.Is(err, errStalled) || !errors.Is(err, ErrUnavailable) {
				t.Errorf("%v", err)
			}
		})
	}
}

// What is gone is not waited for.
func TestWhatIsLeftToRead(t *testing.T) {
	t.Parallel()
	l := newLot(t)
	s := l.numbered(t, 10)
	for _, seq := range []uint64{4, 5, 10} {
		if err := s.DeleteMsg(l.ctx, seq); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Purge(l.ctx, jetstream.WithPurgeSequence(3)); err != nil { // 1 and 2 have grown old
		t.Fatal(err)
	}
	for _, tt := range []struct {
		got, last uint64
		since     time.Time
		want      bool
	}{
		{got: 0, last: 10, want: true},
		{got: 0, last: 2, want: false},
		{got: 2, last: 3, want: true},
		{got: 3, last: 5, want: false},
		{got: 3, last: 6, want: true},
		{got: 8, last: 10, want: true},
		{got: 9, last: 10, want: false},
		{got: 0, last: 9, since: time.Now(), want: true},
		{got: 0, last: 5, since: time.Now(), want: false},
	} {
		r := &reading{stream: s, name: StreamOutcomes, got: tt.got, last: tt.last, since: tt.since}
		if left, err := r.left(l.ctx); err != nil || left != tt.want {
			t.Errorf("behind %d up to %d, since %v: %v, %v", tt.got, tt.last, tt.since, left, err)
		}
	}
	var got []uint64
	err := l.read(l.ctx, StreamOutcomes, time.Time{}, func(_ jetstream.Msg, seq uint64) error { got = append(got, seq); return nil })
	if diff := cmp.Diff([]uint64{3, 6, 7, 8, 9}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
