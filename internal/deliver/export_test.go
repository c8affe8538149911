package deliver

import "context"

// Refresh looks at once at what the other workers found out.
func (g *Gates) Refresh(ctx context.Context) error { return g.refresh(ctx) }

// Round looks at every lane once.
func (d *Drainer) Round(ctx context.Context) error { return d.round(ctx) }

// Tenants is how many tenants have a place, or wait for one.
func (p *Places) Tenants() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.tenants)
}
