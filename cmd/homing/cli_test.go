package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

func TestHelpOfEveryCommand(t *testing.T) {
	tm := files(t, tenantsFile)
	tm.wants(0, []string{"dlq replay", "audit", "Exit codes"}, "--help")
	parser, err := kong.New(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	leaves := parser.Model.Leaves(true)
	if len(leaves) != 12 {
		t.Errorf("%d commands, want 12", len(leaves))
	}
	for _, leaf := range leaves {
		path := strings.Fields(leaf.Path())
		var args []string
		for _, word := range path {
			if word != parser.Model.Name && !strings.HasPrefix(word, "<") && !strings.HasPrefix(word, "[") {
				args = append(args, word)
			}
		}
		example := "homing " + strings.Join(args, " ")
		r := tm.wants(0, []string{leaf.Help}, append(args, "--help")...)
		if args[0] != "version" && strings.Count(r.out, example) < 2 {
			t.Errorf("%s --help has no example:\n%s", example, r.out)
		}
	}
}

func TestWrongUse(t *testing.T) {
	tm := files(t, tenantsFile)
	for _, line := range []string{
		"", "dlq", "nonsense", "dlq list --nonsense", "dlq list --since yesterday", "dlq list --since -2h", "dlq list --event-name Buy",
		"dlq list --reason auth", "dlq show", "dlq show x", "dlq replay --rate -1", "dlq replay --rate NaN", "dlq list --limit -1", "dlq replay --stop-on-error-ratio 2",
		"dlq replay one", "dlq discard", "dlq discard 1", "event", "audit --patience soon", "streams apply --shards -1",
		"version -o xml",
	} {
		if r := tm.wants(2, nil, strings.Fields(line)...); r.out != "" || !strings.HasPrefix(r.err, "homing: ") {
			t.Errorf("homing %s: out %q, err %q", line, r.out, r.err)
		}
	}
	tm.environ = append(tm.environ, "HOMING_SHARD=4")
	for _, line := range []string{"dlq list", "audit", "event x", "tenants list", "streams status", "streams apply", "clicks rebuild"} {
		if r := tm.wants(2, nil, strings.Fields(line)...); !strings.Contains(r.err, "HOMING_SHARDS") {
			t.Errorf("homing %s: %s", line, r.err)
		}
	}
}

func TestServersAway(t *testing.T) {
	tm := files(t, tenantsFile)
	for _, line := range []string{"dlq list", "dlq show 1", "audit", "event x", "streams status", "streams apply", "clicks rebuild"} {
		if r := tm.wants(1, nil, strings.Fields(line)...); !strings.Contains(r.err, "HOMING_NATS_URL") {
			t.Errorf("homing %s: %s", line, r.err)
		}
	}
}

func TestMoments(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-11-22T10:00:00Z":      now.Add(-2 * time.Hour),
		"2026-11-22T11:00:00+01:00": now.Add(-2 * time.Hour),
		"2026-11-22":                now.Add(-12 * time.Hour),
		"90m":                       now.Add(-90 * time.Minute),
		"2d":                        now.Add(-48 * time.Hour),
		"1.5d":                      now.Add(-36 * time.Hour),
	} {
		var m moment
		if err := m.UnmarshalText([]byte(text)); err != nil || !m.time(now).Equal(want) {
			t.Errorf("%s: %v, %v", text, m.time(now), err)
		}
	}
	if !(moment{}).time(now).IsZero() {
		t.Error("no moment is a time")
	}
	for _, text := range []string{"", "d", "-2h", "0s", "tomorrow", "2026-13-01"} {
		if err := new(moment).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestCells(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 5e8, time.UTC)
	for want, c := range map[string]any{
		"-": "", "a b": "a\tb", "2026-11-22T12:00:00Z": &at, "yes": true, "42": 42,
		"6d23h": 7*24*time.Hour - time.Minute, "2h5m": 125 * time.Minute, "1m1s": 61 * time.Second, "40s": 40 * time.Second, "0s": -time.Second,
	} {
		if got := cell(c); got != want {
			t.Errorf("cell(%v) = %q, want %q", c, got, want)
		}
	}
	for want, n := range map[string]uint64{"0 B": 0, "1023 B": 1023, "64.0 MiB": 64 << 20, "10.0 GiB": 10 << 30} {
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%d) = %q, want %q", n, got, want)
		}
	}
	if got := short(strings.Repeat("ä", 100)); len([]rune(got)) != 80 || !strings.HasSuffix(got, "…") {
		t.Errorf("short: %q", got)
	}
}

func TestConfigCheck(t *testing.T) {
	good := files(t, tenantsFile)
	good.wants(0, []string{"the configuration is good"}, "config", "check")
	good.wants(0, []string{`{"ok":true,"problems":[]}`}, "config", "check", "-o", "json")

	bad := files(t, strings.Replace(tenantsFile, "dataset_id: \"2222\"", "dataset_id: \"1111\"", 1))
	bad.wants(1, []string{"HOMING_TENANTS: ", "dataset_id"}, "config", "check")
	r := bad.wants(1, []string{`"ok":false`}, "-o", "json", "config", "check")
	var got struct{ Problems []string }
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || len(got.Problems) == 0 {
		t.Errorf("%v, %v", got, err)
	}
	env := files(t, tenantsFile)
	env.environ = append(env.environ, "HOMING_RETRY_FOR=200h", "HOMING_NATS_URL=file:/nowhere")
	env.wants(1, []string{"HOMING_RETRY_FOR: "}, "config", "check")
	env.environ = append(env.environ, "HOMING_RETRY_FOR=")
	env.wants(1, []string{"HOMING_NATS_URL: "}, "config", "check")
}

func TestTenantsList(t *testing.T) {
	tm := files(t, tenantsFile)
	tm.wants(0, []string{
		"TENANT DATASET WABAS RATE LIMIT HOLD MAPPED\n",
		"acme 1111 111,112 - Subscribe,Purchase Subscribe=reject\n",
		"umbra 2222 222 2.5/s Subscribe,Purchase -\n",
	}, "tenants", "list")
	r := tm.wants(0, nil, "tenants", "list", "-o", "json")
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], `{"id":"acme","dataset_id":"1111","waba_ids":["111","112"],`) {
		t.Errorf("json:\n%s", r.out)
	}
	if r := files(t, "tenants: 1").wants(1, nil, "tenants", "list"); !strings.Contains(r.err, "HOMING_TENANTS") {
		t.Errorf("a bad file: %s", r.err)
	}
}

func TestVersion(t *testing.T) {
	tm := &terminal{t: t}
	tm.wants(0, []string{"homing "}, "version")
	tm.wants(0, []string{`{"version":`}, "version", "-o", "json")
}
