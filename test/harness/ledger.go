package harness

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/homing-dev/homing/pkg/events"
)

// The streams, as the contract names them.
const (
	streamEvents   = "HOMING_EVENTS"
	streamOutcomes = "HOMING_OUTCOMES"
)

func streams() []string {
	return []string{streamEvents, "HOMING_RETRY", "HOMING_PARKED", "HOMING_CLICKS", streamOutcomes, "HOMING_DEAD"}
}

// jetStream connects past every proxy. The connection ends with t.
func jetStream(t testing.TB, addr string) (jetstream.JetStream, error) {
	nc, err := nats.Connect("nats://"+addr, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	t.Cleanup(nc.Close)
	return jetstream.New(nc)
}

// JetStream is a connection to the stack's streams.
func (s *Stack) JetStream() jetstream.JetStream {
	s.T.Helper()
	js, err := jetStream(s.T, s.NATS.Addr)
	if err != nil {
		s.T.Fatal(err)
	}
	return js
}

// Letters returns what lies in the dead letters, oldest first.
func (s *Stack) Letters() (letters []*jetstream.RawStreamMsg) {
	s.T.Helper()
	err := eachMessage(s.JetStream(), "HOMING_DEAD", func(m *jetstream.RawStreamMsg) error {
		letters = append(letters, m)
		return nil
	})
	if err != nil {
		s.T.Fatal(err)
	}
	return letters
}

// eachMessage reads a stream raw, whoever else consumes it.
func eachMessage(js jetstream.JetStream, stream string, f func(*jetstream.RawStreamMsg) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	st, err := js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	state := st.CachedInfo().State
	if state.Msgs == 0 {
		return nil
	}
	for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
		m, err := st.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err == nil {
			err = f(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ledger is how acceptances ended, by their numbers.
type ledger map[uint64]events.Settlement

// readLedger resolves the lines of the ledger as its rules say: of an acceptance
// the highest round counts, and in it the strongest outcome.
func readLedger(js jetstream.JetStream) (ledger, error) {
	l := ledger{}
	err := eachMessage(js, streamOutcomes, func(m *jetstream.RawStreamMsg) error {
		lines, err := events.DecodeSettlements(m.Data)
		for _, line := range lines {
			old, ok := l[line.Origin]
			if !ok || line.Round > old.Round || line.Round == old.Round && strength(line.Outcome) > strength(old.Outcome) {
				line.Unsure = line.Unsure || old.Unsure
				l[line.Origin] = line
			} else if line.Unsure {
				old.Unsure = true
				l[line.Origin] = old
			}
		}
		return err
	})
	return l, err
}

func strength(o events.Outcome) int {
	switch o {
	case events.Delivered:
		return 4
	case events.Dead, events.NoClick:
		return 3
	case events.Held:
		return 2
	default:
		return 1
	}
}
