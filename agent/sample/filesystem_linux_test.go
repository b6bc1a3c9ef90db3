package sample

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// hanging is a host on which the mounts of these paths do not answer until let go.
type hanging struct {
	mu    sync.Mutex
	asked map[string]int
	let   map[string]chan struct{}
}

func (f *hanging) statfs(path string, buf *unix.Statfs_t) error {
	f.mu.Lock()
	f.asked[path]++
	f.mu.Unlock()
	if c := f.let[path]; c != nil {
		<-c
	}
	*buf = unix.Statfs_t{Bsize: 1, Blocks: 100, Bfree: 50, Bavail: 40}
	return nil
}

const twoMounts = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / /nfs rw - nfs4 files:/x rw\n"

func TestFilesystemHungMount(t *testing.T) {
	h := host{Path{Procfs: t.TempDir(), Rootfs: "/"}}
	write(t, h.proc("1/mountinfo"), twoMounts)
	write(t, h.proc("self/mountinfo"), twoMounts)
	synctest.Test(t, func(t *testing.T) {
		s := newFilesystem(h, FilesystemConfig{MountTimeout: time.Second})
		f := &hanging{asked: map[string]int{}, let: map[string]chan struct{}{"/nfs": make(chan struct{})}}
		s.statfs = f.statfs
		const hung = `node_filesystem_device_error{device="files:/x",fstype="nfs4",mountpoint="/nfs",device_error="mountpoint timeout"} 1`
		const good = `node_filesystem_avail_bytes{device="/dev/sda1",fstype="ext4",mountpoint="/"} 40`
		for i := range 3 {
			begun := time.Now()
			got := text(readOnce(t, s).Samples)
			if !strings.Contains(got, hung) || !strings.Contains(got, good) || strings.Contains(got, `size_bytes{device="files:/x"`) {
				t.Errorf("reading %d: want the hung mount as device_error only and the good one measured, got\n%s", i, got)
			}
			if d := time.Since(begun); d != time.Second {
				t.Errorf("reading %d took %v, want the time-out of 1s", i, d)
			}
		}
		if d := cmp.Diff(map[string]int{"/": 3, "/nfs": 1}, f.asked); d != "" {
			t.Errorf("a hung mount must be asked once only (-want +got):\n%s", d)
		}

		close(f.let["/nfs"])
		synctest.Wait()
		if got := text(readOnce(t, s).Samples); strings.Contains(got, "timeout") ||
			!strings.Contains(got, `node_filesystem_avail_bytes{device="files:/x",fstype="nfs4",mountpoint="/nfs"} 40`) {
			t.Errorf("after the server came back want the mount measured, got\n%s", got)
		}
		if len(s.pending) != 0 {
			t.Errorf("%d calls still remembered, want none", len(s.pending))
		}
	})
}

func TestFilesystemReturnsWithContext(t *testing.T) {
	h := host{Path{Procfs: t.TempDir(), Rootfs: "/"}}
	write(t, h.proc("self/mountinfo"), twoMounts)
	synctest.Test(t, func(t *testing.T) {
		s := newFilesystem(h, FilesystemConfig{MountTimeout: time.Hour})
		let := make(chan struct{})
		defer close(let)
		s.statfs = (&hanging{asked: map[string]int{}, let: map[string]chan struct{}{"/": let, "/nfs": let}}).statfs
		ctx, cancel := timeoutContext(t, time.Minute)
		defer cancel()
		begun := time.Now()
		r, err := s.Read(ctx, begun)
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begun); d != time.Minute {
			t.Errorf("took %v, want the minute of the context", d)
		}
		if got := text(r.Samples); strings.Count(got, "mountpoint timeout") != 4 {
			t.Errorf("want both mounts as device_error, got\n%s", got)
		}
	})
}

func TestFilesystemForgetsUnmounted(t *testing.T) {
	h := host{Path{Procfs: t.TempDir(), Rootfs: "/"}}
	write(t, h.proc("self/mountinfo"), twoMounts)
	synctest.Test(t, func(t *testing.T) {
		s := newFilesystem(h, FilesystemConfig{MountTimeout: time.Second})
		f := &hanging{asked: map[string]int{}, let: map[string]chan struct{}{"/nfs": make(chan struct{})}}
		s.statfs = f.statfs
		readOnce(t, s)
		write(t, h.proc("self/mountinfo"), strings.SplitAfter(twoMounts, "\n")[0]) // umount -l
		if got := text(readOnce(t, s).Samples); strings.Contains(got, "/nfs") {
			t.Errorf("an unmounted file system is still reported:\n%s", got)
		}
		close(f.let["/nfs"])
		synctest.Wait()
		readOnce(t, s)
		if len(s.pending) != 0 {
			t.Errorf("%d calls still remembered, want none", len(s.pending))
		}
	})
}

// What the service manager mounts over the host's tree for the agent's protection must not be taken for the host's.
func TestFilesystemSeesTheHost(t *testing.T) {
	h := copyFixture(t)
	h.path.Rootfs = "/"
	s := newFilesystem(h, DefaultConfig().Filesystem)
	s.statfs = func(path string, buf *unix.Statfs_t) error {
		if path == "/home" || path == "/tmp" {
			t.Errorf("measured %s, which is not the host's here", path)
		}
		*buf = unix.Statfs_t{Bsize: 1, Blocks: 7}
		return nil
	}
	got := text(readOnce(t, s).Samples)
	for _, want := range []string{
		`node_filesystem_readonly{device="/dev/mapper/vg-root",fstype="ext4",mountpoint="/"} 0`,
		`node_filesystem_device_error{device="/dev/sdd1",fstype="xfs",mountpoint="/home",device_error="not visible to the agent"} 1`,
		`node_filesystem_size_bytes{device="mine",fstype="tmpfs",mountpoint="/tmp/mine"} 7`,
		`node_filesystem_size_bytes{device="files:/export",fstype="nfs4",mountpoint="/srv/share one"} 7`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("want %s, got\n%s", want, got)
		}
	}
}

func TestFilesystemBoundsMounts(t *testing.T) {
	h := host{Path{Procfs: t.TempDir(), Rootfs: "/"}}
	var mounts strings.Builder
	for i := range maxMounts + 3 {
		fmt.Fprintf(&mounts, "1 0 0:%d / /m%d rw - tmpfs t rw\n", i, i)
	}
	write(t, h.proc("self/mountinfo"), mounts.String())
	s := newFilesystem(h, FilesystemConfig{})
	s.statfs = func(string, *unix.Statfs_t) error { return nil }
	got := text(readOnce(t, s).Samples)
	if n := strings.Count(got, "node_filesystem_size_bytes"); n != maxMounts || !strings.Contains(got, "watchbill_agent_left_out{source=\"filesystem\"} 3\n") {
		t.Errorf("%d mounts measured, want %d, and that 3 were left out", n, maxMounts)
	}
}

func TestParseMountinfo(t *testing.T) {
	tests := []struct {
		name, line string
		want       []mount
		bad        bool
	}{
		{"plain", "36 35 98:0 /a /mnt rw,noatime master:1 - ext3 /dev/root rw\n", []mount{{"/dev/root", "/mnt", "ext3", "98:0", false}}, false},
		{"no optional fields", "36 35 98:0 / /mnt rw - ext3 /dev/root rw", []mount{{"/dev/root", "/mnt", "ext3", "98:0", false}}, false},
		{"read-only mount", "1 0 8:1 / / ro - ext4 a rw", []mount{{"a", "/", "ext4", "8:1", true}}, false},
		{"read-only file system", "1 0 8:1 / / rw - ext4 a ro,errors=x", []mount{{"a", "/", "ext4", "8:1", true}}, false},
		{"ext4 that gave up after an error", "1 0 8:1 / / rw - ext4 a rw,errors=continue,emergency_ro", []mount{{"a", "/", "ext4", "8:1", true}}, false},
		{"errors=remount-ro is not ro", "1 0 8:1 / / rw - ext4 a rw,errors=remount-ro", []mount{{"a", "/", "ext4", "8:1", false}}, false},
		{"escapes", `1 0 8:1 / /a\040b\011c\134d\012e rw - ext4 x\043y rw`, []mount{{"x#y", "/a b\tc\\d\ne", "ext4", "8:1", false}}, false},
		{"not escapes", `1 0 8:1 / /a\99b\4 rw - ext4 x rw`, []mount{{"x", `/a\99b\4`, "ext4", "8:1", false}}, false},
		{"empty source", "1 0 8:1 / / rw - tmpfs  rw", []mount{{"", "/", "tmpfs", "8:1", false}}, false},
		{"last of two on one point", "1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / / rw - xfs b rw\n", []mount{{"b", "/", "xfs", "8:2", false}}, false},
		{"no separator", "1 0 8:1 / / rw ext4 a rw", nil, true},
		{"too short", "1 0 8:1 - ext4 a rw", nil, true},
		{"nothing after the type", "1 0 8:1 / / rw - ext4", nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseMountinfo("mountinfo", tt.line)
			if (err != nil) != tt.bad {
				t.Fatalf("error %v, want one: %t", err, tt.bad)
			}
			if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(mount{})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// Any user who may mount chooses names in it.
func FuzzParseMountinfo(f *testing.F) {
	f.Add(twoMounts)
	f.Add(`1 0 8:1 / /a\040b\777 rw - ext4 \ rw`)
	f.Fuzz(func(t *testing.T, content string) {
		mounts, err := parseMountinfo("fuzz", content)
		if err != nil {
			return
		}
		at := map[string]bool{}
		for _, m := range mounts {
			if at[m.point] {
				t.Errorf("two mounts on %q: their series would be the same", m.point)
			}
			at[m.point] = true
		}
	})
}
