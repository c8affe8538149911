package ingest

import (
	"github.com/homing-dev/homing/internal/clicks"
	"github.com/homing-dev/homing/internal/queue"
	"github.com/homing-dev/homing/internal/tenants"
	"github.com/homing-dev/homing/pkg/dedup"
)

// What a Server is given in production fits.
var (
	_ Queue     = (*queue.Queue)(nil)
	_ Memory    = dedup.Store(nil)
	_ Clicks    = (*clicks.Store)(nil)
	_ Directory = (*tenants.Directory)(nil)
)
