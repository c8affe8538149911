package app

import (
	"net/http"
	"net/http/pprof"
	"runtime"
)

const (
	// blockedFor samples one event per 10 µs of waiting, and contention is one
	// in ten: enough to see where a process waits, at a cost that is hard to see.
	blockedFor = 10_000
	contention = 10
)

// blockProfile and mutexProfile sample only while a profile over some time is
// being taken (?seconds=10), since sampling costs. Without it they are empty.
func blockProfile(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("seconds") {
		runtime.SetBlockProfileRate(blockedFor)
		defer runtime.SetBlockProfileRate(0)
	}
	pprof.Handler("block").ServeHTTP(w, r)
}

func mutexProfile(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("seconds") {
		defer runtime.SetMutexProfileFraction(runtime.SetMutexProfileFraction(contention))
	}
	pprof.Handler("mutex").ServeHTTP(w, r)
}
