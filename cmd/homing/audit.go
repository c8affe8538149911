package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/homing-dev/homing/internal/ops"
)

type auditCmd struct {
	Since    moment        `help:"Only what was accepted at this time or later: RFC 3339, a day, or how long ago (2h, 3d)."`
	Until    moment        `help:"Only what was accepted before this time."`
	Tenant   string        `help:"Show only this tenant. Whose a lost number is nobody knows, so those are shown all the same."`
	Patience time.Duration `default:"10s" help:"For how long numbers that look lost are looked at again, since events move while the audit reads. Numbers that are twice get up to twice HOMING_ACK_WAIT while workers hold events: that is how long one that died leaves its event in two places."`
}

// Help implements kong.HelpProvider.
func (auditCmd) Help() string {
	return `Every acceptance has a number. Each must be waiting, retrying, parked, or have one terminal outcome in the ledger; the audit prints the numbers that are nowhere or twice and then exits with 1. It changes nothing and may run at any time. Its memory is a byte per acceptance. What ended before the ledger begins (about 8 days) is counted as forgotten.

    homing audit
    homing audit --since 2026-11-01 --until 2026-11-02
    homing audit --tenant acme -o json | jq .total`
}

// Run implements the command.
func (c *auditCmd) Run(s *shell) error {
	opt, err := s.options()
	if err != nil {
		return err
	}
	conns, err := s.connect()
	if err != nil {
		return err
	}
	defer conns.Close()
	q, err := conns.Queue(s.ctx)
	if err != nil {
		return err
	}
	now := s.now()
	r, err := ops.Audit{Queue: q, AckWait: opt.AckWait}.Run(s.ctx, ops.AuditOptions{
		Since: c.Since.time(now), Until: c.Until.time(now), Tenant: c.Tenant, Patience: c.Patience,
		Progress: func(what string) { s.progress("%s", what) },
	})
	if err != nil {
		return err
	}
	if s.json {
		err = s.printJSON(r)
	} else {
		err = s.printAudit(r)
	}
	if err == nil && !r.OK() {
		return errFound
	}
	return err
}

func (s *shell) printAudit(r *ops.AuditReport) error {
	t := newTable(s.out, "TENANT", "ACCEPTED", "DELIVERED", "DUPLICATE", "NO_CLICK", "DEAD", "HELD", "WAITING", "RETRYING", "PARKED", "NOWHERE", "TWICE", "FORGOTTEN")
	row := func(tenant string, c ops.Counts) error {
		return t.row(tenant, c.Accepted, c.Delivered, c.Duplicate, c.NoClick, c.Dead, c.Held, c.Waiting, c.Retrying, c.Parked, c.Nowhere, c.Twice, c.Forgotten)
	}
	for _, c := range r.Tenants {
		if err := row(c.Tenant, c.Counts); err != nil {
			return err
		}
	}
	if err := row("TOTAL", r.Total); err != nil {
		return err
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, n := range r.Nowhere {
		if n.From == n.To {
			fmt.Fprintf(s.out, "nowhere: %d\n", n.From)
		} else {
			fmt.Fprintf(s.out, "nowhere: %d-%d\n", n.From, n.To)
		}
	}
	for _, d := range r.Twice {
		fmt.Fprintf(s.out, "twice: %d (%s): %s\n", d.Number, d.Tenant, strings.Join(d.Where, ", "))
	}
	if r.Unreadable > 0 {
		fmt.Fprintf(s.out, "%d messages of HOMING_OUTCOMES can't be decoded\n", r.Unreadable)
	}
	if r.Stray > 0 {
		fmt.Fprintf(s.out, "%d copies on their way don't tell their number\n", r.Stray)
	}
	if r.OK() {
		fmt.Fprintln(s.out, "every acceptance is accounted for")
	}
	return nil
}
