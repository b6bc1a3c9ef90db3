package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// mountEnv tells this test binary, started again in a mount namespace of its own, where to mount a small tmpfs and what
// to become then.
const mountEnv = "WATCHBILL_TEST_MOUNT"

// mountNamespaceChild is the child's side: it mounts and becomes the command that follows, or tells why it cannot.
func mountNamespaceChild() bool {
	spec := os.Getenv(mountEnv)
	if spec == "" {
		return false
	}
	dir, size, _ := strings.Cut(spec, " ")
	os.Unsetenv(mountEnv)
	err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	if err == nil {
		err = syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size)
	}
	if err == nil {
		err = syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, "mount namespace:", err)
	os.Exit(99)
	return true
}

// inMountNamespace is a command that runs with a tmpfs of this size mounted on dir, seen by nobody else. It skips the
// test where that is refused.
func inMountNamespace(t testing.TB, dir, size string, name string, args ...string) *exec.Cmd {
	t.Helper()
	wrap := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(os.Args[0], append([]string{name}, args...)...)
		cmd.Env = append(os.Environ(), mountEnv+"="+dir+" "+size)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		if os.Geteuid() != 0 {
			cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
		}
		return cmd
	}
	self, err := exec.LookPath("true")
	if err != nil {
		requirePeer(t, "no `true` to try a mount with")
	}
	if out, err := wrap(self).CombinedOutput(); err != nil {
		requirePeer(t, fmt.Sprintf("a tmpfs cannot be mounted in a private namespace here: %v %s", err, out))
	}
	return wrap(name, args...)
}

// inside is a path as the process with a mount namespace of its own sees it.
func inside(p *process, path string) string {
	return filepath.Join("/proc", fmt.Sprint(p.cmd.Process.Pid), "root", path)
}
