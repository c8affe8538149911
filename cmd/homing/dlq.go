package main

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/homing-dev/homing/internal/app"
	"github.com/homing-dev/homing/internal/ops"
	"github.com/homing-dev/homing/pkg/events"
)

type dlqCmd struct {
	List    dlqList    `cmd:"" help:"List dead letters, the newest last."`
	Show    dlqShow    `cmd:"" help:"Show all of one dead letter."`
	Replay  dlqReplay  `cmd:"" help:"Try events of dead letters once more."`
	Discard dlqDiscard `cmd:"" help:"Delete dead letters for good."`
}

// letterFilter is shared by all that take many letters.
type letterFilter struct {
	Tenant    string    `help:"Only letters of this tenant."`
	EventName eventName `help:"Only events of this name, in any case."`
	Reason    reason    `help:"Only letters of this reason."`
	Since     moment    `help:"Only letters of this time or later: RFC 3339, a day, or how long ago (2h, 3d)."`
	Until     moment    `help:"Only letters from before this time."`
	Limit     uint      `help:"At most so many, the oldest ones: Meta refuses them first."`
}

// filter is f at the time now.
func (f letterFilter) filter(ids []uint64, now time.Time) ops.Filter {
	return ops.Filter{
		IDs: ids, Tenant: f.Tenant, EventName: events.Name(f.EventName), Reason: events.Reason(f.Reason),
		Since: f.Since.time(now), Until: f.Until.time(now), Limit: int(min(f.Limit, math.MaxInt32)),
	}
}

// letters opens what all commands over dead letters need.
func (s *shell) letters() (ops.Letters, *app.Connections, error) {
	c, err := s.connect()
	if err != nil {
		return ops.Letters{}, nil, err
	}
	q, err := c.Queue(s.ctx)
	if err != nil {
		c.Close()
		return ops.Letters{}, nil, err
	}
	return ops.Letters{Queue: q, Now: s.now}, c, nil
}

type dlqList struct {
	letterFilter `embed:""`
}

// Help implements kong.HelpProvider.
func (dlqList) Help() string {
	return `LEFT is how long Meta would still take the event: it refuses what is older than 7 days.

    homing dlq list
    homing dlq list --tenant acme --reason rejected_by_meta --since 2d
    homing dlq list -o json | jq -r .event_id`
}

// Run implements the command.
func (c *dlqList) Run(s *shell) error {
	letters, conns, err := s.letters()
	if err != nil {
		return err
	}
	defer conns.Close()
	if s.json {
		return letters.List(s.ctx, c.filter(nil, s.now()), func(l *ops.Letter) error { return s.printJSON(l) })
	}
	t := newTable(s.out, "ID", "TENANT", "EVENT", "EVENT ID", "OUTCOME", "REASON", "ATTEMPTS", "UNSURE", "DEAD AT", "LEFT", "ERROR")
	err = letters.List(s.ctx, c.filter(nil, s.now()), func(l *ops.Letter) error {
		return t.row(l.ID, l.Tenant, l.EventName, l.EventID, l.Outcome, l.Reason, l.Attempts, l.Unsure, l.DeadAt, left(l, s.now()), short(l.Error))
	})
	if err != nil {
		return err
	}
	return t.flush()
}

// left shows how long Meta would still take an event; nothing when nobody knows.
func left(l *ops.Letter, now time.Time) string {
	d, ok := l.Left(now)
	if !ok {
		return ""
	}
	return span(d)
}

type dlqShow struct {
	ID uint64 `arg:"" help:"The letter's id, as in the list."`
}

// Help implements kong.HelpProvider.
func (dlqShow) Help() string {
	return `Whatever names a person is shown as the hash that Meta would be sent.

    homing dlq show 42
    homing dlq show 42 -o json | jq .event`
}

// Run implements the command.
func (c *dlqShow) Run(s *shell) error {
	letters, conns, err := s.letters()
	if err != nil {
		return err
	}
	defer conns.Close()
	l, err := letters.Show(s.ctx, c.ID)
	if err != nil {
		return err
	}
	if s.json {
		return s.printJSON(l)
	}
	err = s.facts(
		"id", l.ID, "tenant", l.Tenant, "event name", l.EventName, "event id", l.EventID,
		"outcome", l.Outcome, "reason", l.Reason, "error", l.Error, "fbtrace_id", l.FbtraceID, "trace_id", l.TraceID,
		"attempts", l.Attempts, "round", l.Round, "unsure", l.Unsure,
		"homing id", l.Accept, "acceptance", l.Number, "accepted at", l.AcceptedAt, "dead at", l.DeadAt,
		"event time", l.EventTime, "Meta takes it for", left(&l.Letter, s.now()), "can't be replayed", l.Hopeless, "fault", l.Fault, "bytes", l.Bytes,
	)
	if err != nil {
		return err
	}
	if err := s.printPart("headers", l.Headers); err != nil {
		return err
	}
	return s.printPart("event", l.Event)
}

// printPart prints what has parts of its own.
func (s *shell) printPart(name string, part any) error {
	text, err := json.MarshalIndent(part, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s: %s\n", name, text)
	return err
}

type dlqReplay struct {
	letterFilter `embed:""`

	IDs       []uint64 `arg:"" optional:"" name:"id" help:"Letters, by their ids; without any, all that the filters leave."`
	DryRun    bool     `help:"Only count what would be replayed."`
	Rate      float64  `default:"100" help:"Letters a second; 0 is as fast as it goes."`
	Held      bool     `name:"yes-meta-does-not-have-it" help:"Replay held events too. It is your word that Meta does not have them: look at Meta's Events Manager first. Their outcome stays flagged unsure."`
	StopRatio float64  `name:"stop-on-error-ratio" placeholder:"RATIO" help:"Stop when more than this share of the replays that ended during the run (ten at least) are dead letters again, such as 0.2."`
}

// Help implements kong.HelpProvider.
func (dlqReplay) Help() string {
	return `A replay is a new round of the same event. The letter is deleted once its replay is durable, so a run that was broken off goes on with the next one. What Meta got by any acceptance of the same event is not sent again. Events that Meta would refuse for their age, and letters that can't be decoded, stay where they are.

The error ratio is read from the ledger after each second's letters, so it needs running workers.

    homing dlq replay --tenant acme --reason rejected_by_meta --dry-run
    homing dlq replay --tenant acme --rate 20 --stop-on-error-ratio 0.2
    homing dlq replay 42 43
    homing dlq replay 44 --yes-meta-does-not-have-it`
}

// Run implements the command.
func (c *dlqReplay) Run(s *shell) error {
	if !(c.Rate >= 0) || !(c.StopRatio >= 0 && c.StopRatio <= 1) { // NaN is neither
		return fmt.Errorf("%w: --rate must be 0 or more, --stop-on-error-ratio from 0 to 1", errUsage)
	}
	letters, conns, err := s.letters()
	if err != nil {
		return err
	}
	defer conns.Close()
	if letters.Claims, err = conns.Claims(); err != nil {
		return err
	}
	r, err := letters.Replay(s.ctx, ops.ReplayOptions{
		Filter: c.filter(c.IDs, s.now()), DryRun: c.DryRun, Held: c.Held, Rate: c.Rate, StopRatio: c.StopRatio,
		Progress: func(r *ops.ReplayReport) { s.progress("replayed %d, %d failed", r.Replayed, r.Failed) },
	})
	if printErr := s.printReplay(r); err == nil {
		err = printErr
	}
	switch {
	case err != nil:
		return err
	case !r.OK():
		return errFound
	default:
		return nil
	}
}

func (s *shell) printReplay(r *ops.ReplayReport) error {
	if s.json {
		return s.printJSON(r)
	}
	verb := "replayed"
	if r.DryRun {
		verb = "would replay"
	}
	if err := s.printGroups(r.Groups); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s %d of %d letters\n", verb, r.Replayed, r.Matched)
	for _, why := range r.RefusedWhy() {
		fmt.Fprintf(s.out, "left %d where they are: %s\n", r.Refused[why], explain(why))
	}
	switch {
	case r.StoreError != "":
		fmt.Fprintf(s.out, "how many of them Meta has already is not known (the workers look before they send): %s\n", r.StoreError)
	case r.Delivered > 0:
		fmt.Fprintf(s.out, "%d of them were delivered already and are not sent again\n", r.Delivered)
	}
	if r.Gone > 0 {
		fmt.Fprintf(s.out, "%d ids are not there, or no longer\n", r.Gone)
	}
	if r.Settled > 0 {
		fmt.Fprintf(s.out, "%d ended during the run, %d of them are dead letters again\n", r.Settled, r.Again)
	}
	if r.Failed > 0 {
		fmt.Fprintf(s.out, "%d failed and are still there: %s\n", r.Failed, r.Error)
	}
	if r.Stopped != "" {
		fmt.Fprintf(s.out, "stopped early: %s\n", r.Stopped)
	}
	return nil
}

// explain says what to do about letters that can't be replayed.
func explain(why string) string {
	switch why {
	case "held":
		return "held: Meta may have them; look there, then add --yes-meta-does-not-have-it"
	case "expired":
		return "expired: Meta refuses events older than 7 days"
	case "undecodable":
		return "undecodable: there is nothing that could be sent"
	default:
		return why + ": see homing dlq show"
	}
}

func (s *shell) printGroups(groups []ops.Group) error {
	if len(groups) == 0 {
		return nil
	}
	t := newTable(s.out, "TENANT", "OUTCOME", "REASON", "LETTERS")
	for _, g := range groups {
		if err := t.row(g.Tenant, g.Outcome, g.Reason, g.Letters); err != nil {
			return err
		}
	}
	return t.flush()
}

type dlqDiscard struct {
	letterFilter `embed:""`

	IDs    []uint64 `arg:"" optional:"" name:"id" help:"Letters, by their ids; without any, all that the filters leave."`
	DryRun bool     `help:"Only count what would be deleted."`
	Yes    bool     `help:"Really delete them: they can't be brought back."`
}

// Help implements kong.HelpProvider.
func (dlqDiscard) Help() string {
	return `The events stay in the ledger as dead or held; only the letters go.

    homing dlq discard --tenant acme --reason undecodable --dry-run
    homing dlq discard 42 --yes`
}

// Run implements the command.
func (c *dlqDiscard) Run(s *shell) error {
	if !c.Yes && !c.DryRun {
		return fmt.Errorf("%w: discarded letters can't be brought back: say --yes, or look first with --dry-run", errUsage)
	}
	letters, conns, err := s.letters()
	if err != nil {
		return err
	}
	defer conns.Close()
	r, err := letters.Discard(s.ctx, c.filter(c.IDs, s.now()), c.DryRun,
		func(r *ops.DiscardReport) { s.progress("discarded %d", r.Discarded) })
	if s.json {
		if printErr := s.printJSON(r); err == nil {
			err = printErr
		}
		return err
	}
	verb := "discarded"
	if c.DryRun {
		verb = "would discard"
	}
	if printErr := s.printGroups(r.Groups); err == nil {
		err = printErr
	}
	fmt.Fprintf(s.out, "%s %d letters\n", verb, r.Discarded)
	if r.Gone > 0 {
		fmt.Fprintf(s.out, "%d ids are not there, or no longer\n", r.Gone)
	}
	return err
}
