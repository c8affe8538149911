package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// metaStats is what the sandbox has counted; see its read-back.
type metaStats struct {
	Calls    int       `json:"calls"`
	Refused  int       `json:"refused_calls"`
	Faulted  int       `json:"faulted_calls"`
	Events   int       `json:"events"`
	Distinct int       `json:"distinct"`
	Doubled  int       `json:"doubled"`
	FirstAt  time.Time `json:"first_at"`
	LastAt   time.Time `json:"last_at"`
}

func (l *lab) metaStats(ctx context.Context) (s metaStats, err error) {
	body, err := get(ctx, "http://"+l.metaAddr+"/_sandbox/stats?doubles=0")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(body, &s)
}

// resetMeta makes the sandbox forget what it got.
func (l *lab) resetMeta(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, "http://"+l.metaAddr+"/_sandbox/events", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// edge is the URL of a tenant's dataset.
func (l *lab) edge(tenant int) string {
	return fmt.Sprintf("http://%s/v25.0/%s/events", l.metaAddr, datasetOf(tenant))
}

// judge notes what Meta got wrong: each key once and no other is right.
func (b *book) judge(m *measurement, s metaStats, distinct int) {
	if s.Distinct != distinct || s.Events != distinct || s.Doubled != 0 {
		b.fault("%s: Meta got %d events of %d keys, %d of them more than once; want %d once each",
			m.Name, s.Events, s.Distinct, s.Doubled, distinct)
	}
	if s.Refused > 0 || s.Faulted > 0 {
		b.fault("%s: %d calls were refused and %d cut off", m.Name, s.Refused, s.Faulted)
	}
}

// outcomes counts terminal outcomes in a page of metrics, by outcome.
func outcomes(page []byte) map[string]int {
	out := map[string]int{}
	for line := range bytes.Lines(page) {
		if !bytes.HasPrefix(line, []byte("homing_outcomes_total{")) {
			continue
		}
		_, rest, _ := bytes.Cut(line, []byte(`outcome="`))
		name, rest, _ := bytes.Cut(rest, []byte(`"`))
		_, value, ok := bytes.Cut(rest, []byte("} "))
		if !ok {
			continue
		}
		value, _, _ = bytes.Cut(bytes.TrimSpace(value), []byte(" ")) // an exemplar follows
		if n, err := strconv.ParseFloat(string(value), 64); err == nil {
			out[string(name)] += int(n)
		}
	}
	return out
}
