package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc: USER_HZ is 100 on every architecture
// that Go runs on. Source: proc(5), time(7).
const tick = 10 * time.Millisecond

// usage is what a process has used so far.
type usage struct {
	cpu      time.Duration // user and system
	rss, top int64         // resident bytes: now, and the most since resetTop
}

// readUsage asks /proc of a process.
func readUsage(pid int) (usage, error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return usage{}, err
	}
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return usage{}, err
	}
	return parseUsage(stat, status)
}

// parseUsage reads /proc/PID/stat and /proc/PID/status. Source: proc(5).
func parseUsage(stat, status []byte) (u usage, err error) {
	// The name, in brackets, may hold brackets and spaces; field 3 follows it.
	end := bytes.LastIndexByte(stat, ')')
	fields := bytes.Fields(stat[end+1:])
	if end < 0 || len(fields) < 13 {
		return u, errors.New("/proc/PID/stat is not what proc(5) says")
	}
	for _, f := range fields[11:13] { // utime and stime: fields 14 and 15
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return u, fmt.Errorf("/proc/PID/stat: %w", err)
		}
		u.cpu += time.Duration(n) * tick
	}
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		var to *int64
		switch name {
		case "VmHWM":
			to = &u.top
		case "VmRSS":
			to = &u.rss
		default:
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return u, fmt.Errorf("/proc/PID/status: %s: %w", name, err)
		}
		*to = kb << 10
	}
	if u.top == 0 {
		return u, errors.New("/proc/PID/status has no VmHWM")
	}
	return u, nil
}

// resetTop makes the present memory of a process its peak. Source: proc(5),
// /proc/PID/clear_refs: writing 5 resets VmHWM.
func resetTop(pid int) {
	// Where it is not allowed the peak is that of the process's whole life.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// cost is what a process used for a measurement.
type cost struct {
	Process   string  `json:"process"`
	CPU       float64 `json:"cpu_seconds"`
	CPUPer100 float64 `json:"cpu_seconds_per_100k"`
	PeakMB    float64 `json:"peak_mb"`
}

// meter measures processes from its making to its reading.
type meter struct {
	who    []*process
	before []usage
	self   usage
}

// newMeter starts to measure; a process that starts later is added by add.
func newMeter(who ...*process) *meter {
	m := &meter{}
	for _, p := range who {
		resetTop(p.pid())
		u, _ := readUsage(p.pid())
		m.who, m.before = append(m.who, p), append(m.before, u)
	}
	m.self, _ = readUsage(os.Getpid())
	return m
}

// add measures a process that has just started, from its beginning.
func (m *meter) add(p *process) {
	m.who, m.before = append(m.who, p), append(m.before, usage{})
}

// read returns the costs of n events so far, the load generator's last.
func (m *meter) read(n int) []cost {
	var all []cost
	add := func(name string, before, now usage) {
		cpu := (now.cpu - before.cpu).Seconds()
		all = append(all, cost{name, cpu, cpu * 1e5 / float64(max(n, 1)), float64(now.top) / 1e6})
	}
	for i, p := range m.who {
		if u, err := readUsage(p.pid()); err == nil {
			add(p.name, m.before[i], u)
		}
	}
	if u, err := readUsage(os.Getpid()); err == nil {
		add("generator", m.self, u)
	}
	return all
}

// meanCosts averages the costs of several rounds, the peak being the highest.
func meanCosts(rounds [][]cost) []cost {
	if len(rounds) == 0 {
		return nil
	}
	out := make([]cost, len(rounds[0]))
	copy(out, rounds[0])
	for _, r := range rounds[1:] {
		for i := range min(len(out), len(r)) {
			out[i].CPU += r[i].CPU
			out[i].CPUPer100 += r[i].CPUPer100
			out[i].PeakMB = max(out[i].PeakMB, r[i].PeakMB)
		}
	}
	for i := range out {
		out[i].CPU /= float64(len(rounds))
		out[i].CPUPer100 /= float64(len(rounds))
	}
	return out
}
