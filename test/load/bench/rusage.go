package main

import (
	"runtime"
	"syscall"
	"time"
)

// rusage is what a process used that has ended.
type rusage struct {
	cpu time.Duration
	top int64
}

func rusageOf(p *process) rusage {
	s := p.cmd.ProcessState
	u := rusage{cpu: s.UserTime() + s.SystemTime()}
	if r, ok := s.SysUsage().(*syscall.Rusage); ok {
		u.top = int64(r.Maxrss)
		if runtime.GOOS == "linux" {
			u.top <<= 10 // getrusage(2): kilobytes
		}
	}
	return u
}

func (r rusage) per(events int) cost {
	cpu := r.cpu.Seconds()
	return cost{"bare", cpu, cpu * 1e5 / float64(max(events, 1)), float64(r.top) / 1e6}
}
