package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// scrapeEvery is how often a process is asked for its metrics.
const scrapeEvery = 5 * time.Second

// watch stands for what watches a production process: it takes its spans and
// drops them, and reads its metrics.
type watch struct {
	srv  *http.Server
	addr string
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	targets map[string]string // name to ops address
}

func newWatch() (*watch, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{addr: ln.Addr().String(), stop: cancel, done: make(chan struct{}), targets: map[string]string{}}
	w.srv = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	})}
	go func() { _ = w.srv.Serve(ln) }() // ends with close
	go w.scrapeAll(ctx)
	return w, nil
}

func (w *watch) sinkURL() string { return "http://" + w.addr }

// scrape begins to read the metrics of a process, or ends it.
func (w *watch) scrape(name, ops string, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.targets, name)
	if on {
		w.targets[name] = ops
	}
}

func (w *watch) scrapeAll(ctx context.Context) {
	defer close(w.done)
	ticker := time.NewTicker(scrapeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		w.mu.Lock()
		var all []string
		for _, ops := range w.targets {
			all = append(all, ops)
		}
		w.mu.Unlock()
		for _, ops := range all {
			_, _ = get(ctx, "http://"+ops+"/metrics") // it may be starting
		}
	}
}

func (w *watch) close() {
	w.stop()
	<-w.done
	_ = w.srv.Close()
}
