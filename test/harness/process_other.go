//go:build unix && !linux

package harness

import "syscall"

// ownGroup puts a child into a group of its own, so that all it starts can be
// ended with it.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
