//go:build !linux

package bolt

import "os/exec"

func isolate(*exec.Cmd) {}

func onSmallDisk(string, int, func() error) error { return errNoMount }
