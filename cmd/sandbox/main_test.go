package main

import (
	"context"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/homing-dev/homing/internal/sandbox"
)

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want sandbox.Options
	}{
		{"none", nil, sandbox.Options{}},
		{"token alone", []string{"--token", "T"}, sandbox.Options{AnyDataset: sandbox.Dataset{Token: "T"}}},
		{"dataset", []string{"--dataset", "1,2", "--waba", "5", "--app-secret", "S"}, sandbox.Options{Datasets: map[string]sandbox.Dataset{
			"1": {WABAs: []string{"5"}, AppSecret: "S"}, "2": {WABAs: []string{"5"}, AppSecret: "S"},
		}}},
		{"clid", []string{"--clid", "ARA"}, sandbox.Options{KnownClids: map[string]string{"ARA": ""}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f flags
			p, err := kong.New(&f)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Parse(append(tt.args, "--quiet")); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, f.options()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRunStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, flags{Addr: "127.0.0.1:0", Quiet: true}); err != nil {
		t.Error(err)
	}
	if err := run(t.Context(), flags{Addr: "nowhere:-1", Quiet: true}); err == nil {
		t.Error("listened on a bad address")
	}
}
