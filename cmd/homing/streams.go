package main

import (
	"fmt"

	"github.com/homing-dev/homing/internal/ops"
)

type streamsCmd struct {
	Apply  streamsApply  `cmd:"" help:"Make or change the streams and consumers."`
	Status streamsStatus `cmd:"" help:"Tell what the streams hold."`
}

type streamsApply struct {
	Shards int  `help:"Add lanes to the backlog, up to so many. They can't be taken away."`
	DryRun bool `help:"Only tell what would change."`
}

// Help implements kong.HelpProvider.
func (streamsApply) Help() string {
	return `The streams become what the environment says (HOMING_QUEUE_MAX_BYTES, HOMING_REPLICAS, ...). It may run any number of times; a change that would lose data is refused. Needed where HOMING_STREAMS=external; otherwise the processes do it at start.

    homing streams apply --dry-run
    homing streams apply --shards 16`
}

// Run implements the command.
func (c *streamsApply) Run(s *shell) error {
	if c.Shards < 0 {
		return fmt.Errorf("%w: --shards must be above 0", errUsage)
	}
	conns, err := s.connect()
	if err != nil {
		return err
	}
	defer conns.Close()
	js, err := conns.JetStream()
	if err != nil {
		return err
	}
	p, err := ops.StreamsApply(s.ctx, js, conns.QueueConfig(), c.Shards, c.DryRun)
	if err != nil {
		return err
	}
	if s.json {
		return s.printJSON(p)
	}
	for _, change := range p.Changes {
		fmt.Fprintln(s.out, change)
	}
	switch {
	case len(p.Changes) == 0:
		fmt.Fprintf(s.out, "nothing to change; %d lanes\n", p.Shards)
	case c.DryRun:
		fmt.Fprintf(s.out, "%d changes to make; %d lanes afterwards\n", len(p.Changes), p.Shards)
	default:
		fmt.Fprintf(s.out, "%d changes made; %d lanes\n", len(p.Changes), p.Shards)
	}
	return nil
}

type streamsStatus struct {
	Consumers bool `help:"List every consumer, too."`
}

// Help implements kong.HelpProvider.
func (streamsStatus) Help() string {
	return `PENDING was not handed to a worker yet, IN HAND was and is not settled, AGAIN is the part of that which was handed out more than once.

    homing streams status
    homing streams status --consumers`
}

// Run implements the command.
func (c *streamsStatus) Run(s *shell) error {
	conns, err := s.connect()
	if err != nil {
		return err
	}
	defer conns.Close()
	q, err := conns.Queue(s.ctx)
	if err != nil {
		return err
	}
	streams, err := ops.StreamsStatus(s.ctx, q)
	if err != nil {
		return err
	}
	if s.json {
		return printLines(s, streams)
	}
	t := newTable(s.out, "STREAM", "MESSAGES", "BYTES", "LIMIT", "OLDEST", "PENDING", "IN HAND", "AGAIN")
	for _, st := range streams {
		limit := ""
		if st.Limit > 0 {
			limit = bytesText(uint64(st.Limit))
		}
		if err := t.row(st.Name, st.Messages, bytesText(st.Bytes), limit, st.Oldest, st.Pending, st.AckPending, st.Redelivered); err != nil {
			return err
		}
		for _, con := range st.Consumers {
			if !c.Consumers {
				break
			}
			if err := t.row("  "+con.Name, "", "", "", "", con.Pending, con.AckPending, con.Redelivered); err != nil {
				return err
			}
		}
	}
	return t.flush()
}
