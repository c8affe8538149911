package harness

import "syscall"

// ownGroup puts a child into a group of its own, so that all it starts can be
// ended with it; and it ends when we do, however that happens.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
