package main

import (
	"fmt"
	"strings"

	"github.com/homing-dev/homing/internal/ops"
)

type tenantsCmd struct {
	List tenantsList `cmd:"" help:"List the tenants of the tenants file."`
}

type tenantsList struct{}

// Help implements kong.HelpProvider.
func (tenantsList) Help() string {
	return `Secrets are never shown. HOLD are the names whose events wait for a person when Meta's answer never came; the others are sent again.

    homing tenants list
    homing tenants list -o json | jq -r .id`
}

// Run implements the command.
func (tenantsList) Run(s *shell) error {
	conns, err := s.connect()
	if err != nil {
		return err
	}
	defer conns.Close()
	set, err := conns.TenantSet(s.lookupEnv)
	if err != nil {
		return err
	}
	all := ops.ListTenants(set)
	if s.json {
		return printLines(s, all)
	}
	t := newTable(s.out, "TENANT", "DATASET", "WABAS", "RATE LIMIT", "HOLD", "MAPPED")
	for _, row := range all {
		var mapped []string
		for _, m := range row.Mapped {
			if m.Reject {
				mapped = append(mapped, m.Name+"=reject")
			} else {
				mapped = append(mapped, m.Name+"="+m.As+"/"+m.ActionSource)
			}
		}
		rate := ""
		if row.RateLimit > 0 {
			rate = fmt.Sprintf("%g/s", row.RateLimit)
		}
		if err := t.row(row.ID, row.DatasetID, strings.Join(row.WABAs, ","), rate, strings.Join(row.Hold, ","), strings.Join(mapped, ",")); err != nil {
			return err
		}
	}
	return t.flush()
}
