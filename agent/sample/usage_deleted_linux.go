package sample

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// deletedRows is how many files the bundle shows.
const deletedRows = 30

// deletedFiles shows files that were deleted and still take room, because a process has them open.
type deletedFiles struct{ host }

type deletedFile struct {
	pid         int
	path        string
	bytes       uint64
	device, ino uint64
}

// make looks at every open file; with a mount point, at those of its file system only.
func (d deletedFiles) make(ctx context.Context, now time.Time, point string) (*wire.Table, error) {
	t := &wire.Table{Kind: "deleted_files", SampledAtMs: now.UnixMilli(), Columns: []string{"size", "pid", "user", "command", "path"}}
	var only uint64
	if point != "" {
		info, err := os.Stat(d.root(point))
		if err != nil {
			t.NoneBecause = fmt.Sprintf("the file system at %s cannot be looked at: %v", point, err)
			return t, nil
		}
		only, _ = identity(info)
	}
	var found []deletedFile
	closed, err := d.eachFile(ctx, &pace{work: usageStretch}, func(pid int, fd, target string) {
		path, ok := strings.CutSuffix(target, " (deleted)")
		if !ok || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "/memfd:") {
			return
		}
		f := deletedFile{pid: pid, path: path}
		info, err := os.Stat(d.proc(fmt.Sprint(pid), "fd", fd))
		if err != nil || !info.Mode().IsRegular() {
			return
		}
		f.device, f.ino = identity(info)
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			f.bytes = uint64(max(st.Blocks, 0)) * 512
		}
		if only != 0 && f.device != only || f.bytes == 0 || known(found, f) {
			return
		}
		found = keepLargest(append(found, f))
	})
	if err != nil {
		return nil, err
	}
	users := d.users()
	for _, f := range found {
		t.Rows = append(t.Rows, row(bytesText(f.bytes), pidText(f.pid), d.owner(f.pid, users), d.command(f.pid), f.path))
	}
	switch {
	case closed > 0 && len(found) == 0:
		t.NoneBecause = fmt.Sprintf("none was found, but of %d processes the agent may not see the open files (CAP_SYS_PTRACE)", closed)
	case closed > 0:
		t.Rows = append(t.Rows, row("", "", "", "", fmt.Sprintf("of %d processes the agent may not see the open files (CAP_SYS_PTRACE)", closed)))
	case len(found) == 0:
		t.NoneBecause = "no process holds a deleted file open"
	}
	return t, nil
}

// known says whether the same file is there already: one file that many hold takes its room once.
func known(all []deletedFile, f deletedFile) bool {
	return slices.ContainsFunc(all, func(o deletedFile) bool { return o.device == f.device && o.ino == f.ino })
}

func keepLargest(all []deletedFile) []deletedFile {
	slices.SortStableFunc(all, func(a, b deletedFile) int { return cmp.Compare(b.bytes, a.bytes) })
	return all[:min(len(all), deletedRows)]
}
