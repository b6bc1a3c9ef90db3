package sample

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// sandboxed is set in the process that sees everything read-only.
const sandboxed = "WATCHBILL_TEST_SANDBOXED"

// A hardened unit (ProtectSystem=strict) gives the agent a tree of its own in which everything is read-only. It must tell
// what holds for the host. Run with a mount name space of its own, which needs root.
func TestFilesystemInASandbox(t *testing.T) {
	if os.Getenv(sandboxed) != "" {
		lookFromSandbox(t)
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestFilesystemInASandbox$", "-test.v")
	cmd.Env = append(os.Environ(), sandboxed+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, os.ErrPermission) || strings.Contains(string(out), "mounting is refused") {
		if os.Getenv("WATCHBILL_REQUIRE_PEERS") == "1" {
			t.Fatalf("this test needs to mount: %v\n%s", err, out)
		}
		t.Skip("mounting is refused")
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func lookFromSandbox(t *testing.T) {
	for _, flags := range []uintptr{unix.MS_REC | unix.MS_PRIVATE, unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY} {
		if err := unix.Mount("", "/", "", flags, ""); err != nil {
			t.Fatalf("mounting is refused: %v", err)
		}
	}
	h := host{DefaultConfig().Path}
	readOnly := func(pid string) (ro, ok bool) {
		mounts, err := (&mountTable{file: keep(h.proc(pid, "mountinfo"))}).read()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mounts {
			if m.point == "/" {
				return m.readOnly, true
			}
		}
		return false, false
	}
	if own, _ := readOnly("self"); !own {
		t.Fatal("the root is not read-only here, so nothing is shown")
	}
	hosts, ok := readOnly("1")
	if !ok {
		t.Fatal("PID 1 has no root")
	}
	c := DefaultConfig().Filesystem
	c.FSTypesExclude = "" // the root of a container is an overlay
	got := text(readOnce(t, newFilesystem(h, c)).Samples)
	want := map[bool]string{true: `mountpoint="/"} 1`, false: `mountpoint="/"} 0`}[hosts]
	for l := range strings.Lines(got) {
		if strings.HasPrefix(l, "node_filesystem_readonly") && strings.Contains(l, `mountpoint="/"`) && !strings.Contains(l, want) {
			t.Errorf("the host's root is read-only: %t; told: %s", hosts, l)
		}
	}
	if !strings.Contains(got, "node_filesystem_size_bytes{") {
		t.Errorf("nothing is measured:\n%s", got)
	}
}
