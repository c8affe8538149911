package harness

import (
	"bytes"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a child process that can be ended, frozen and started again. Its
// output is kept over restarts, and shown when the test fails.
type Process struct {
	Name string

	t    testing.TB
	path string
	args []string

	mu     sync.Mutex
	env    []string
	output bytes.Buffer
	cmd    *exec.Cmd
	done   chan struct{} // closed when cmd has ended
	ended  bool          // with the test: nothing starts any more
}

// NewProcess describes a process that is not running yet.
func NewProcess(t testing.TB, name, path string, env []string, args ...string) *Process {
	p := &Process{Name: name, t: t, path: path, args: args, env: env}
	t.Cleanup(p.end)
	return p
}

// end kills the process for good.
func (p *Process) end() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	was := p.Fate()
	p.Kill()
	if p.t.Failed() {
		p.t.Logf("--- %s, which %s:\n%s", p.Name, was, tail(p.Output(), 60))
	}
}

// Fate says whether the process runs, and how it ended otherwise.
func (p *Process) Fate() string {
	p.mu.Lock()
	never := p.cmd == nil
	p.mu.Unlock()
	if never {
		return "was never started"
	}
	if p.Running() {
		return "runs"
	}
	s := p.state()
	if s.Signaled() {
		return "was ended by a signal: " + s.Signal().String()
	}
	return fmt.Sprintf("ended by itself with exit code %d", s.ExitStatus())
}

// tail returns the last lines of a text.
func tail(text string, lines int) string {
	at := len(text)
	for n := 0; at > 0 && n <= lines; n++ {
		at = bytes.LastIndexByte([]byte(text[:at]), '\n')
	}
	return text[max(at, 0):]
}

// Start starts the process, with additions to its environment for this run only.
func (p *Process) Start(env ...string) {
	p.t.Helper()
	if err := p.start(env); err != nil {
		p.t.Fatalf("%s: %v", p.Name, err)
	}
}

func (p *Process) start(env []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil
	}
	cmd := exec.Command(p.path, p.args...)
	cmd.Env = append(append([]string{}, p.env...), env...)
	cmd.Stdout, cmd.Stderr = (*output)(p), (*output)(p)
	cmd.SysProcAttr = ownGroup()
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go func() {
		_ = cmd.Wait() // the state tells more
		close(done)
	}()
	return nil
}

// output is where a process writes.
type output Process

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.output.Write(b)
}

// Setenv changes the environment of the runs to come.
func (p *Process) Setenv(env ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.env = append(p.env, env...) // of two, the last counts
}

// Output is all that the process wrote so far, in all its runs.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// Done is closed when the present run has ended.
func (p *Process) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done == nil {
		never := make(chan struct{})
		close(never)
		return never
	}
	return p.done
}

// Running reports whether the process runs.
func (p *Process) Running() bool {
	select {
	case <-p.Done():
		return false
	default:
		return true
	}
}

// Signal sends a signal to the process and all that it started.
func (p *Process) Signal(s syscall.Signal) {
	p.mu.Lock()
	cmd := p.cmd
	p.mu.Unlock()
	if cmd != nil && p.Running() {
		_ = syscall.Kill(-cmd.Process.Pid, s) // it may end at this moment
	}
}

// Kill ends the process as a power cut would, and waits for it.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.Done()
}

// Pause freezes the process; Resume lets it go on.
func (p *Process) Pause() { p.Signal(syscall.SIGSTOP) }

// Resume lets a frozen process go on.
func (p *Process) Resume() { p.Signal(syscall.SIGCONT) }

// Terminate asks the process to end and returns its exit code.
func (p *Process) Terminate(within time.Duration) int {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	return p.Exit(within)
}

// Exit waits for the process to end by itself and returns its exit code.
func (p *Process) Exit(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.Done():
	case <-time.After(within):
		p.t.Fatalf("%s has not ended within %s:\n%s", p.Name, within, tail(p.Output(), 40))
	}
	return p.state().ExitStatus()
}

// Killed reports whether the last run ended by SIGKILL.
func (p *Process) Killed() bool {
	s := p.state()
	return s.Signaled() && s.Signal() == syscall.SIGKILL
}

func (p *Process) state() syscall.WaitStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.cmd.ProcessState == nil {
		return 0
	}
	s, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return s
}

// Keep starts the process again, with its usual environment, whenever it was
// killed; killed is called in between. It ends with the test.
func (p *Process) Keep(killed func()) {
	stop, gone := make(chan struct{}), make(chan struct{})
	p.t.Cleanup(func() { close(stop); <-gone })
	go func() {
		defer close(gone)
		for {
			select {
			case <-stop:
				return
			case <-p.Done():
			}
			select {
			case <-stop:
				return
			default:
			}
			if !p.Killed() {
				return
			}
			killed()
			if err := p.start(nil); err != nil {
				p.t.Error(fmt.Errorf("%s: %w", p.Name, err))
				return
			}
		}
	}()
}
