package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// profile fetches the profiles of a process of ours while it is under load, and the
// CPU's of nats-server, and returns what waits for them. Without -profile it does
// nothing. With it the rates are a little lower: the process samples what blocks it
// as long as it is asked.
func (l *lab) profile(ctx context.Context, m *measurement, p *process, length time.Duration) (wait func()) {
	ops := map[string]string{"api": l.apiOps, "worker": l.workerOps}[p.name]
	if l.set.profile == "" || ops == "" {
		return func() {}
	}
	var wg sync.WaitGroup
	seconds := max(1, int(length.Seconds())-1)
	fetch := func(process, addr, kind string) {
		wg.Go(func() {
			url := fmt.Sprintf("http://%s/debug/pprof/%s?seconds=%d", addr, kind, seconds)
			body, err := get(ctx, url)
			if err == nil {
				name := strings.NewReplacer(" ", "-", ",", "", "/", "-", ":", "").Replace(m.Part + "-" + m.Name)
				err = os.WriteFile(filepath.Join(l.set.profile, fmt.Sprintf("%s-%s-%s.pprof", name, process, kind)), body, 0o600)
			}
			if err != nil {
				l.sayf("profile: %v", err)
			}
		})
	}
	for _, kind := range []string{"profile", "allocs", "block", "mutex"} {
		fetch(p.name, ops, kind)
	}
	fetch(l.nats.name, l.natsProf, "profile")
	return wg.Wait
}
