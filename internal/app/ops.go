package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/pprof"
	"runtime/debug"
	"sync"
	"time"
)

var (
	errStarting = errors.New("starting")
	errStopping = errors.New("stopping")
)

// readiness is why a process is not ready, if it is not.
type readiness struct {
	mu    sync.Mutex
	known bool
	err   error
}

func (r *readiness) set(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known, r.err = true, err
}

func (r *readiness) get() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.known {
		return errStarting
	}
	return r.err
}

// serveOps serves health, metrics and profiles; it outlives everything else.
func (a *App) serveOps() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeStatus(w, nil)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		writeStatus(w, a.whyNotReady(ctx))
	})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, Version(a.env.Version))
	})
	mux.Handle("GET /metrics", a.telemetry.Handler())
	mux.HandleFunc("GET /loglevel", a.getLogLevel)
	mux.HandleFunc("PUT /loglevel", a.putLogLevel)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/block", blockProfile)
	mux.HandleFunc("GET /debug/pprof/mutex", mutexProfile)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)

	// No write timeout: a profile takes as long as it is asked to.
	a.opsSrv = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
	a.serve("ops", a.opsSrv, a.ops)
	a.atStop("ops", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := a.opsSrv.Shutdown(ctx); err != nil {
			return a.opsSrv.Close() // a profile or a scrape would not end
		}
		return nil
	})
}

// whyNotReady asks what the role can't work without.
func (a *App) whyNotReady(ctx context.Context) error {
	if err := a.ready.get(); err != nil {
		return err
	}
	if err := a.queue.Ready(ctx); err != nil {
		return err
	}
	if a.role.has(Worker) {
		if err := a.redis.Ping(ctx).Err(); err != nil {
			return errors.New("redis does not answer")
		}
	}
	return nil
}

func writeStatus(w http.ResponseWriter, err error) {
	if err != nil {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "unavailable", "error": err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// The client has gone if this fails.
	_ = json.NewEncoder(w).Encode(v)
}

// VersionInfo says what is running.
type VersionInfo struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Revision string `json:"revision,omitempty"`
}

// Version describes this binary; version is what it was stamped with.
func Version(version string) VersionInfo {
	v := VersionInfo{Version: version}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Go = info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Revision = s.Value
			}
		}
		if v.Version == "" {
			v.Version = info.Main.Version
		}
	}
	return v
}
