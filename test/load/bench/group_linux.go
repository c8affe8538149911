package main

import "syscall"

// ownGroup keeps a terminal's Ctrl-C from a child, and lets it end when we do,
// however that happens.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
