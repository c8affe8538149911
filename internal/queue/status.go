package queue

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Status is what the streams hold, for metrics and the CLI.
type Status struct {
	Shards  int
	Streams []StreamStatus // those that exist, in the order of Streams
}

// Stream returns the status of one stream; the zero value when it is missing.
func (s Status) Stream(name string) StreamStatus {
	for _, st := range s.Streams {
		if st.Name == name {
			return st
		}
	}
	return StreamStatus{}
}

// StreamStatus is what one stream holds.
type StreamStatus struct {
	Name      string
	Messages  uint64
	Bytes     uint64
	MaxBytes  int64 // below 0: no limit
	FirstSeq  uint64
	LastSeq   uint64
	Oldest    time.Time // of its oldest message; zero when it is empty
	Consumers []ConsumerStatus
}

// ConsumerStatus is how far one consumer has come.
type ConsumerStatus struct {
	Name        string
	Pending     uint64 // not delivered yet
	AckPending  int    // delivered and not acked
	Redelivered int    // of those, delivered more than once
}

// Status asks the server for all six streams: two requests a stream.
func (q *Queue) Status(ctx context.Context) (Status, error) {
	found, err := inspect(ctx, q.js)
	if err != nil {
		return Status{}, err
	}
	if ev := found[StreamEvents].info; ev != nil {
		if err := q.learnShards(ev); err != nil {
			return Status{}, err
		}
	}
	st := Status{Shards: q.Shards()}
	for _, cfg := range Streams(q.cfg) {
		p := found[cfg.Name]
		if p.info == nil {
			continue
		}
		s := StreamStatus{
			Name:     cfg.Name,
			Messages: p.info.State.Msgs,
			Bytes:    p.info.State.Bytes,
			MaxBytes: p.info.Config.MaxBytes,
			FirstSeq: p.info.State.FirstSeq,
			LastSeq:  p.info.State.LastSeq,
		}
		if s.Messages > 0 {
			s.Oldest = p.info.State.FirstTime
		}
		for _, c := range p.consumers {
			s.Consumers = append(s.Consumers, ConsumerStatus{c.Name, c.NumPending, c.NumAckPending, c.NumRedelivered})
		}
		slices.SortFunc(s.Consumers, func(a, b ConsumerStatus) int { return strings.Compare(a.Name, b.Name) })
		st.Streams = append(st.Streams, s)
	}
	return st, nil
}

// AckPending is how many events all workers together hold: delivered by a lane
// and not acked.
func (q *Queue) AckPending(ctx context.Context) (int, error) {
	total := 0
	for _, name := range []string{StreamEvents, StreamRetry} {
		s, err := q.js.Stream(ctx, name)
		if err != nil {
			return 0, adminError("stream "+name, err)
		}
		list := s.ListConsumers(ctx)
		for c := range list.Info() {
			total += c.NumAckPending
		}
		if err := list.Err(); err != nil {
			return 0, adminError("consumers of "+name, err)
		}
	}
	return total, nil
}
