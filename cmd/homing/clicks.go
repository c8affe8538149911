package main

import (
	"fmt"

	"github.com/homing-dev/homing/internal/ops"
)

type clicksCmd struct {
	Rebuild clicksRebuild `cmd:"" help:"Put every click of HOMING_CLICKS into Redis again."`
}

type clicksRebuild struct{}

// Help implements kong.HelpProvider.
func (clicksRebuild) Help() string {
	return `It may run at any time: a click is never made older by it. Workers do the same by themselves when they find that Redis has lost its memory.

    homing clicks rebuild`
}

// Run implements the command.
func (clicksRebuild) Run(s *shell) error {
	conns, err := s.connect()
	if err != nil {
		return err
	}
	defer conns.Close()
	q, err := conns.Queue(s.ctx)
	if err != nil {
		return err
	}
	store, err := conns.Clicks()
	if err != nil {
		return err
	}
	n, err := ops.RebuildClicks(s.ctx, q, store, func(n int) { s.progress("stored %d clicks", n) })
	if err != nil {
		return err
	}
	if s.json {
		return s.printJSON(map[string]int{"clicks": n})
	}
	fmt.Fprintf(s.out, "stored %d clicks\n", n)
	return nil
}
