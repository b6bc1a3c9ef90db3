package bolt

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// isolate gives cmd a mount namespace of its own, and where the user may not have one, a user namespace around it.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
}

// onSmallDisk runs fn with a tmpfs of size bytes at dir.
func onSmallDisk(dir string, size int, fn func() error) error {
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("%w: %w", errNoMount, err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", size)); err != nil {
		return fmt.Errorf("%w: %w", errNoMount, err)
	}
	return errors.Join(fn(), syscall.Unmount(dir, 0))
}
