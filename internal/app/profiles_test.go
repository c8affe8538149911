package app

import (
	"net/http/httptest"
	"runtime"
	"testing"
)

// TestProfilesSampleOnDemand asks for profiles while something waits all the time.
func TestProfilesSampleOnDemand(t *testing.T) {
	ball, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for range ball {
			runtime.Gosched()
		}
	}()
	stop := make(chan struct{})
	go func() {
		defer close(ball)
		for {
			select {
			case <-stop:
				return
			case ball <- struct{}{}:
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })

	ask := func(query string) {
		t.Helper()
		w := httptest.NewRecorder()
		blockProfile(w, httptest.NewRequestWithContext(t.Context(), "GET", "/debug/pprof/block"+query, nil))
		if w.Code != 200 {
			t.Errorf("block%s: %d %s", query, w.Code, w.Body)
		}
		w = httptest.NewRecorder()
		mutexProfile(w, httptest.NewRequestWithContext(t.Context(), "GET", "/debug/pprof/mutex"+query, nil))
		if w.Code != 200 {
			t.Errorf("mutex%s: %d %s", query, w.Code, w.Body)
		}
	}
	fraction := runtime.SetMutexProfileFraction(-1)
	before, _ := runtime.BlockProfile(nil)
	ask("")
	if n, _ := runtime.BlockProfile(nil); n != before {
		t.Errorf("%d places to wait at were sampled unasked", n-before)
	}
	ask("?seconds=1")
	if n, _ := runtime.BlockProfile(nil); n <= before {
		t.Error("nothing was sampled while it was asked for")
	}
	if now := runtime.SetMutexProfileFraction(-1); now != fraction {
		t.Errorf("mutexes go on being sampled: 1 in %d, before 1 in %d", now, fraction)
	}
}
