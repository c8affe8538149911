package main

import (
	"fmt"

	"github.com/homing-dev/homing/internal/ops"
	"github.com/homing-dev/homing/pkg/events"
)

type eventCmd struct {
	ID        string    `arg:"" name:"event-id" help:"The event_id."`
	Tenant    string    `help:"Only of this tenant; without it all of the tenants file are asked for."`
	EventName eventName `help:"Only the event of this name."`
	Ledger    bool      `help:"Read the ledger too; it is read anyway when Redis knows nothing."`
}

// Help implements kong.HelpProvider.
func (eventCmd) Help() string {
	return `It asks Redis for the state, looks through the dead letters and, when Redis knows nothing, reads the ledger of the last week, which may take a while. Exit code 1 when nothing is known of the event.

    homing event order-1042
    homing event order-1042 --tenant acme --event-name Purchase -o json`
}

// Run implements the command.
func (c *eventCmd) Run(s *shell) error {
	conns, err := s.connect()
	if err != nil {
		return err
	}
	defer conns.Close()
	find := ops.Finder{Now: s.now}
	if c.Tenant == "" {
		set, err := conns.TenantSet(s.lookupEnv)
		if err != nil {
			return fmt.Errorf("%w: %w; or name the tenant with --tenant", errUsage, err)
		}
		for _, t := range set.All() {
			find.Tenants = append(find.Tenants, t.ID)
		}
	}
	if find.Claims, err = conns.Claims(); err != nil {
		return err
	}
	if find.Queue, err = conns.Queue(s.ctx); err != nil {
		return err
	}
	r, err := find.Find(s.ctx, ops.EventQuery{
		ID: c.ID, Tenant: c.Tenant, Name: events.Name(c.EventName), Ledger: c.Ledger,
		Progress: func(what string) { s.progress("%s", what) },
	})
	if err != nil {
		return err
	}
	if r.StoreError != "" {
		s.progress("homing: Redis could not be asked: %s", r.StoreError)
	}
	if s.json {
		err = s.printJSON(r)
	} else {
		err = s.printEvent(r)
	}
	if err == nil && !r.Found() {
		s.progress("homing: nothing is known of this event")
		return errFound
	}
	return err
}

func (s *shell) printEvent(r *ops.EventReport) error {
	if !r.Found() {
		return nil
	}
	t := newTable(s.out, "FROM", "TENANT", "EVENT", "STATUS", "REASON", "ATTEMPTS", "ROUND", "UNSURE", "ACCEPTED", "SETTLED", "NEXT ATTEMPT", "CTWA_CLID", "FBTRACE_ID", "TRACE_ID")
	state := func(from string, e ops.EventState) error {
		return t.row(from, e.Tenant, e.EventName, e.Status, e.Reason, e.Attempts, e.Round, e.Unsure,
			e.AcceptedAt, e.SettledAt, e.NextAttemptAt, e.Clid, e.FbtraceID, e.TraceID)
	}
	for _, e := range r.States {
		if err := state("redis", e); err != nil {
			return err
		}
	}
	for _, e := range r.Ledger {
		if err := state("ledger", e); err != nil {
			return err
		}
	}
	for _, l := range r.Letters {
		err := t.row(fmt.Sprintf("letter %d", l.ID), l.Tenant, l.EventName, l.Outcome, l.Reason, l.Attempts, l.Round, l.Unsure,
			l.AcceptedAt, l.DeadAt, "", "", l.FbtraceID, l.TraceID)
		if err != nil {
			return err
		}
	}
	return t.flush()
}
