package main

import (
	"log/slog"
	"os"

	"github.com/homing-dev/homing/internal/sandbox"
)

// options turns the flags into those of the sandbox.
func (f flags) options() sandbox.Options {
	o := sandbox.Options{Latency: f.Latency}
	if !f.Quiet {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	d := sandbox.Dataset{Token: f.Token, WABAs: f.WABA, AppSecret: f.AppSecret}
	if len(f.Dataset) == 0 {
		o.AnyDataset = d
	}
	for _, id := range f.Dataset {
		if o.Datasets == nil {
			o.Datasets = make(map[string]sandbox.Dataset)
		}
		o.Datasets[id] = d
	}
	for _, clid := range f.Clid {
		if o.KnownClids == nil {
			o.KnownClids = make(map[string]string)
		}
		o.KnownClids[clid] = ""
	}
	return o
}
