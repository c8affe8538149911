package main

import (
	"fmt"
	"path/filepath"
	"strings"
)

// tenantCounts are the sizes of the tenants files there are.
func tenantCounts() []int { return []int{1, 100, 10_000} }

func (l *lab) tenantsFile(n int) string {
	return filepath.Join(l.dir, fmt.Sprintf("tenants-%d.yaml", n))
}

func tenantID(i int) string { return fmt.Sprintf("t%d", i) }
func wabaOf(i int) string   { return fmt.Sprint(9_100_000 + i) }
func datasetOf(i int) string {
	return fmt.Sprint(100_000 + i)
}

// tenantsYAML is a tenants file of n merchants.
func tenantsYAML(n int) []byte {
	var b strings.Builder
	b.WriteString("tenants:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {id: %s, api_keys: [key-of-%d], dataset_id: %q, access_token: token-of-%d, waba_ids: [%q]}\n",
			tenantID(i), i, datasetOf(i), i, wabaOf(i))
	}
	return []byte(b.String())
}
