package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/pkg/dedup"
	"github.com/homing-dev/homing/pkg/events"
)

const (
	maxChunk  = 500 // letters that are on their way at once
	minSample = 10  // outcomes it takes to judge by
)

// ReplayOptions say what is replayed, and how fast.
type ReplayOptions struct {
	Filter
	DryRun bool // only count
	// Held is the operator's word that Meta does not have the held ones.
	Held bool
	Rate float64 // letters a second; 0 is as fast as it goes
	// StopRatio ends the replay when more than this share of what was replayed
	// has ended dead or held again; 0 never does. It is judged between chunks,
	// by the ledger, once ten replays have ended.
	StopRatio float64
	// Progress is called after every chunk; nil is nobody.
	Progress func(*ReplayReport)
}

// ReplayReport is what became of a replay.
type ReplayReport struct {
	DryRun   bool    `json:"dry_run"`
	Matched  int     `json:"matched"`
	Replayed int     `json:"replayed"` // or would be, in a dry run
	Groups   []Group `json:"groups"`   // of those, by tenant, outcome and reason
	// Refused counts those that stay where they are, by why.
	Refused map[string]int `json:"refused"`
	// Delivered is how many of the replayed Meta has already, according to the
	// claim store: they end delivered or duplicate, and are not sent.
	Delivered int `json:"already_delivered"`
	Gone      int `json:"gone"` // ids that are not there, or no longer
	Failed    int `json:"failed"`
	// Error is one of the failures, and StoreError why Delivered is not known.
	Error      string `json:"error"`
	StoreError string `json:"store_error"`
	// Settled is how many ended while the replay ran, and Again how many of
	// those are dead letters again; 0 without StopRatio.
	Settled int    `json:"settled"`
	Again   int    `json:"dead_again"`
	Stopped string `json:"stopped"` // why it ended early
}

// OK reports whether everything that was asked for was done.
func (r *ReplayReport) OK() bool {
	return r.Failed == 0 && r.Stopped == "" && (r.DryRun || len(r.Refused) == 0)
}

// Group counts letters that are alike.
type Group struct {
	Tenant  string `json:"tenant"`
	Outcome string `json:"outcome"`
	Reason  string `json:"reason"`
	Letters int    `json:"letters"`
}

// groups counts letters by what they have in common.
type groups map[Group]int

func (g groups) add(l *letter) { g[Group{Tenant: l.Tenant, Outcome: l.Outcome, Reason: l.Reason}]++ }

func (g groups) list() []Group {
	all := make([]Group, 0, len(g))
	for k, n := range g {
		k.Letters = n
		all = append(all, k)
	}
	slices.SortFunc(all, func(x, y Group) int {
		return cmp.Or(cmp.Compare(x.Tenant, y.Tenant), cmp.Compare(x.Outcome, y.Outcome), cmp.Compare(x.Reason, y.Reason))
	})
	return all
}

// stopped ends the reading of letters, and says why.
type stopped string

func (s stopped) Error() string { return "ops: replay stopped: " + string(s) }

// Replay starts a new round of every letter that can have one. It may be broken
// off and started again: a letter is gone once its replay is durable, and the
// claim store sees to it that nothing is sent that was delivered.
func (o Letters) Replay(ctx context.Context, opt ReplayOptions) (*ReplayReport, error) {
	r := &replay{Letters: o, opt: opt, report: &ReplayReport{DryRun: opt.DryRun, Refused: map[string]int{}}, groups: groups{}}
	err := r.run(ctx)
	r.report.Groups = r.groups.list()
	return r.report, err
}

// replay is one run.
type replay struct {
	Letters
	opt     ReplayOptions
	report  *ReplayReport
	groups  groups
	chunk   []*letter
	sentAt  time.Time
	ledger  uint64         // where to go on in it
	flying  map[string]int // rounds of what was replayed and has not ended, by acceptance
	watched bool
}

func (r *replay) run(ctx context.Context) (err error) {
	if r.watched = r.opt.StopRatio > 0 && !r.opt.DryRun; r.watched {
		h, err := r.Queue.Horizon(ctx)
		if err != nil {
			return err
		}
		r.ledger, r.flying = h.LedgerNext, map[string]int{}
	}
	r.report.Gone, err = r.read(ctx, r.opt.Filter, func(l *letter) error {
		r.report.Matched++
		if why := r.refusal(l); why != "" {
			r.report.Refused[why]++
			return nil
		}
		if r.chunk = append(r.chunk, l); len(r.chunk) < r.chunkSize() {
			return nil
		}
		return r.send(ctx)
	})
	if err == nil {
		err = r.send(ctx)
	}
	if s, ok := errors.AsType[stopped](err); ok {
		r.report.Stopped, err = string(s), nil
	}
	return err
}

// refusal says why a letter stays where it is.
func (r *replay) refusal(l *letter) string {
	switch {
	case l.Hopeless != "":
		return l.Hopeless
	case l.Outcome == string(events.Held) && !r.opt.Held:
		return "held"
	default:
		return ""
	}
}

// chunkSize is about what goes in a second.
func (r *replay) chunkSize() int {
	if r.opt.Rate <= 0 {
		return maxChunk
	}
	return int(min(max(r.opt.Rate, 1), maxChunk))
}

// send replays the chunk, no sooner than the rate allows.
func (r *replay) send(ctx context.Context) error {
	chunk := r.chunk
	r.chunk = nil
	if len(chunk) == 0 {
		return nil
	}
	r.lookUp(ctx, chunk)
	if r.opt.DryRun {
		for _, l := range chunk {
			r.count(l)
		}
		return nil
	}
	if err := r.pace(ctx, len(chunk)); err != nil {
		return err
	}
	if err := r.judge(ctx); err != nil {
		return err
	}
	letters := make([]*queue.StoredLetter, len(chunk))
	for i, l := range chunk {
		letters[i] = l.stored
	}
	for i, err := range r.Queue.Replay(ctx, letters) {
		if err != nil {
			r.report.Failed++
			r.report.Error = err.Error()
			continue
		}
		r.count(chunk[i])
		if r.watched {
			r.flying[chunk[i].Accept] = chunk[i].Round + 1
		}
	}
	if r.opt.Progress != nil {
		r.opt.Progress(r.report)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.report.Failed > 0 {
		return stopped("a letter could not be replayed: " + r.report.Error)
	}
	return nil
}

func (r *replay) count(l *letter) {
	r.report.Replayed++
	r.groups.add(l)
}

// lookUp counts what Meta has already. That it can't is no reason to stop: the
// workers look as well, and before they send.
func (r *replay) lookUp(ctx context.Context, chunk []*letter) {
	if r.Claims == nil || r.report.StoreError != "" {
		return
	}
	keys := make([]string, len(chunk))
	for i, l := range chunk {
		keys[i] = l.key()
	}
	records, err := r.Claims.Get(ctx, keys)
	if err != nil {
		r.report.StoreError = err.Error()
		return
	}
	for _, rec := range records {
		if rec.State == dedup.Decided && rec.Outcome == string(events.Delivered) {
			r.report.Delivered++
		}
	}
}

// pace waits until a chunk of n may follow the last one.
func (r *replay) pace(ctx context.Context, n int) error {
	if r.opt.Rate <= 0 {
		return nil
	}
	// Before the first chunk sentAt is zero, and the time long past.
	due := r.sentAt.Add(time.Duration(float64(n) / r.opt.Rate * float64(time.Second)))
	if wait := due.Sub(r.now()); wait > 0 {
		if err := pauser(r.Pause).or()(ctx, wait); err != nil {
			return err
		}
	}
	r.sentAt = r.now()
	return nil
}

// judge reads how replays have ended since the last look, and stops the run when
// too many ended where they came from.
func (r *replay) judge(ctx context.Context) (err error) {
	if !r.watched {
		return nil
	}
	r.ledger, err = r.Queue.ReadLedger(ctx, r.opt.Tenant, r.ledger, func(m queue.LedgerMessage) error {
		for i := range m.Lines {
			r.settled(&m.Lines[i])
		}
		return nil
	})
	if err != nil {
		return err
	}
	if n := r.report.Settled; n >= minSample && float64(r.report.Again) > r.opt.StopRatio*float64(n) {
		return stopped(fmt.Sprintf("%d of %d replays that ended are dead letters again", r.report.Again, n))
	}
	return nil
}

func (r *replay) settled(s *events.Settlement) {
	round, ours := r.flying[s.Accept]
	if !ours || s.Round < round {
		return
	}
	delete(r.flying, s.Accept)
	r.report.Settled++
	if s.Outcome == events.Dead || s.Outcome == events.Held {
		r.report.Again++
	}
}

// DiscardReport is what became of a discard.
type DiscardReport struct {
	DryRun    bool    `json:"dry_run"`
	Matched   int     `json:"matched"`
	Discarded int     `json:"discarded"` // or would be, in a dry run
	Groups    []Group `json:"groups"`    // of those, by tenant, outcome and reason
	Gone      int     `json:"gone"`      // ids that are not there, or no longer
}

// Discard deletes the letters that f means, for good.
func (o Letters) Discard(ctx context.Context, f Filter, dryRun bool, progress func(*DiscardReport)) (*DiscardReport, error) {
	r := &DiscardReport{DryRun: dryRun}
	g := groups{}
	gone, err := o.read(ctx, f, func(l *letter) error {
		r.Matched++
		if !dryRun {
			if err := o.Queue.DiscardLetter(ctx, l.ID); err != nil {
				return err
			}
		}
		r.Discarded++
		g.add(l)
		if progress != nil && r.Discarded%maxChunk == 0 {
			progress(r)
		}
		return nil
	})
	r.Gone, r.Groups = gone, g.list()
	return r, err
}

// RefusedWhy lists the refusals of a report, the reasons in order.
func (r *ReplayReport) RefusedWhy() []string { return slices.Sorted(maps.Keys(r.Refused)) }
