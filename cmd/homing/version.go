package main

import (
	"fmt"

	"github.com/homing-dev/homing/internal/app"
)

type versionCmd struct{}

// Run implements the command.
func (versionCmd) Run(s *shell) error {
	v := app.Version(version)
	if s.json {
		return s.printJSON(v)
	}
	fmt.Fprintf(s.out, "homing %s\n", v.Version)
	return nil
}
