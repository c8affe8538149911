package tenants

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what a Directory follows and whom it tells.
type Config struct {
	// Path is the tenants file.
	Path string
	// LookupEnv looks up the variables that the file names; nil is os.LookupEnv.
	LookupEnv func(string) (string, bool)
	// Interval is the time between two looks at the files; 0 is one second.
	Interval time.Duration
	// Logger is told of every reload; nil is silence.
	Logger *slog.Logger
	// OnReload is called after every reload, with the error of a refused one;
	// nil is nobody.
	OnReload func(error)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.LookupEnv == nil {
		c.LookupEnv = os.LookupEnv
	}
	if c.Interval <= 0 {
		c.Interval = time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.OnReload == nil {
		c.OnReload = func(error) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Directory is the Set that its file says, now.
type Directory struct {
	cfg Config
	set atomic.Pointer[Set]

	// Of Run alone.
	tried   reads // what the last load has read, good or bad
	pending reads // what the last look saw, if that was something else
	watch   watch

	mu          sync.Mutex
	subscribers map[int]func(old, new *Set)
	nextID      int
}

// Open reads the tenants file; Run follows it from there.
func Open(cfg Config) (*Directory, error) {
	cfg = cfg.withDefaults()
	set, tried, err := load(cfg.Path, cfg.LookupEnv)
	if err != nil {
		return nil, err
	}
	d := &Directory{cfg: cfg, tried: tried, watch: newWatch(cfg.Now), subscribers: make(map[int]func(old, new *Set))}
	d.set.Store(set)
	return d, nil
}

// Run follows the tenants file, and every file that it names, until ctx ends. It
// then returns nil. A set that would be refused at start-up is refused here too:
// the old one stays in force.
//
// The files are looked at and not subscribed to: that works the same for an
// editor, a copy, and the symbolic links that Kubernetes swaps. A change is
// loaded once two looks in a row have seen the same bytes, since a file may be
// in the middle of being written: the first half of a tenants file is a good
// file with fewer tenants.
func (d *Directory) Run(ctx context.Context) error {
	ticker := time.NewTicker(d.cfg.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			d.look()
		}
	}
}

func (d *Directory) look() {
	seen := d.watch.look(maps.Keys(d.tried))
	switch {
	case maps.Equal(seen, d.tried):
		d.pending = nil
	case !maps.Equal(seen, d.pending):
		d.pending = seen
	default:
		d.pending = nil
		d.reload()
	}
}

func (d *Directory) reload() {
	set, tried, err := load(d.cfg.Path, d.cfg.LookupEnv)
	d.tried = tried // also of a bad file: it is told once, not at every look
	if err != nil {
		d.cfg.Logger.Error("tenants refused, the old ones stay in force", "error", err)
		d.cfg.OnReload(err)
		return
	}
	old := d.set.Swap(set)
	d.cfg.Logger.Info("tenants reloaded", "tenants", set.Len(), "before", old.Len())
	for _, fn := range d.listeners() {
		fn(old, set)
	}
	d.cfg.OnReload(nil)
}

// Subscribe has fn called after every change of the set, in Run's goroutine, so
// fn must be quick; see [Set.SecretsChangedSince]. cancel ends it.
func (d *Directory) Subscribe(fn func(old, new *Set)) (cancel func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := d.nextID
	d.nextID++
	d.subscribers[id] = fn
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.subscribers, id)
	}
}

func (d *Directory) listeners() []func(old, new *Set) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fns := make([]func(old, new *Set), 0, len(d.subscribers))
	for id := range d.nextID {
		if fn, ok := d.subscribers[id]; ok {
			fns = append(fns, fn)
		}
	}
	return fns
}

// Format prints the set's size only, as [Set.Format] does.
func (d *Directory) Format(f fmt.State, verb rune) { d.Set().Format(f, verb) }

// Set returns the set in force. Take it once for what has to fit together.
func (d *Directory) Set() *Set { return d.set.Load() }

// Tenant is [Set.Tenant] of the set in force.
func (d *Directory) Tenant(id string) (*Tenant, bool) { return d.Set().Tenant(id) }

// ByWABA is [Set.ByWABA] of the set in force.
func (d *Directory) ByWABA(waba string) (*Tenant, bool) { return d.Set().ByWABA(waba) }

// All is [Set.All] of the set in force.
func (d *Directory) All() []*Tenant { return d.Set().All() }

// Authenticate is [Set.Authenticate] of the set in force.
func (d *Directory) Authenticate(key string) (*Tenant, bool) { return d.Set().Authenticate(key) }

// VerifyToken is [Set.VerifyToken] of the set in force.
func (d *Directory) VerifyToken(token string) bool { return d.Set().VerifyToken(token) }

// VerifySignature is [Set.VerifySignature] of the set in force.
func (d *Directory) VerifySignature(body []byte, header string) (Scope, bool) {
	return d.Set().VerifySignature(body, header)
}
