package telemetry

import "sync"

const (
	// maxTenants is how many tenants have series of their own; the rest share one.
	maxTenants = 1000
	// otherTenant is the label of the rest.
	otherTenant = "other"
)

// tenantLabels hands out tenant labels, first come first served: a series once
// begun goes on under its name.
type tenantLabels struct {
	most int

	mu    sync.RWMutex
	known map[string]bool
}

func newTenantLabels(most int) *tenantLabels {
	return &tenantLabels{most: most, known: make(map[string]bool)}
}

// of returns the label for a tenant: its id, or other.
func (l *tenantLabels) of(tenant string) string {
	l.mu.RLock()
	known, full := l.known[tenant], len(l.known) >= l.most
	l.mu.RUnlock()
	switch {
	case known:
		return tenant
	case full:
		return otherTenant
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.known[tenant] && len(l.known) >= l.most {
		return otherTenant
	}
	l.known[tenant] = true
	return tenant
}
