package main

import (
	"fmt"
	"strings"

	"github.com/homing-dev/homing/internal/app"
)

type configCmd struct {
	Check configCheck `cmd:"" help:"Tell what is wrong with the environment and the tenants file."`
}

type configCheck struct{}

// Help implements kong.HelpProvider.
func (configCheck) Help() string {
	return `It runs the code that the processes run at start, and opens no connection. Exit code 1 when something is wrong.

    homing config check
    HOMING_TENANTS=new.yaml homing config check`
}

// Run implements the command.
func (configCheck) Run(s *shell) error {
	opt, err := app.FromEnviron(s.environ)
	if err == nil {
		err = opt.Check(s.lookupEnv)
	}
	problems := []string{}
	if err != nil {
		problems = strings.Split(err.Error(), "\n")
	}
	if s.json {
		if err := s.printJSON(map[string]any{"ok": len(problems) == 0, "problems": problems}); err != nil {
			return err
		}
	} else {
		for _, p := range problems {
			fmt.Fprintln(s.out, p)
		}
		if len(problems) == 0 {
			fmt.Fprintln(s.out, "the configuration is good")
		}
	}
	if len(problems) > 0 {
		return errFound
	}
	return nil
}
