package ops

import (
	"slices"

	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/events"
)

// Tenant is a merchant as it is shown: without secrets.
type Tenant struct {
	ID        string   `json:"id"`
	DatasetID string   `json:"dataset_id"`
	WABAs     []string `json:"waba_ids"`
	AppSecret bool     `json:"app_secret"` // whether there is one
	Test      bool     `json:"test"`       // every event is a test event
	RateLimit float64  `json:"rate_limit"` // 0: none
	// Hold are the names whose events are held when Meta's answer never came;
	// the others are sent again.
	Hold []string `json:"on_unknown_hold"`
	// Mapped are the names that are sent otherwise than by default.
	Mapped []Mapped `json:"events"`
}

// Mapped is how a tenant sends events of one name.
type Mapped struct {
	Name         string `json:"event_name"`
	Reject       bool   `json:"reject"`
	As           string `json:"as"`
	ActionSource string `json:"action_source"`
}

// ListTenants returns the tenants of a set, by id.
func ListTenants(set *tenants.Set) []Tenant {
	all := make([]Tenant, 0, set.Len())
	for _, t := range set.All() {
		row := Tenant{
			ID: t.ID, DatasetID: t.DatasetID, WABAs: slices.Clone(t.WABAs), AppSecret: !t.AppSecret().IsZero(),
			Test: t.TestEventCode != "", RateLimit: t.RateLimit, Hold: []string{}, Mapped: []Mapped{},
		}
		for _, n := range events.Names() {
			if t.OnUnknown(n) == tenants.Hold {
				row.Hold = append(row.Hold, string(n))
			}
			if m := t.Mapping(n); m != events.DefaultMapping(n) {
				row.Mapped = append(row.Mapped, Mapped{string(n), m.Reject, m.As, string(m.ActionSource)})
			}
		}
		all = append(all, row)
	}
	return all
}
