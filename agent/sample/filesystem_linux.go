package sample

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/agent/wire"
)

// filesystemSampler measures mounted file systems: mountinfo for the list, statfs(2) for the figures.
//
// A mount whose server is gone (NFS, a dead disk) can hold statfs in the kernel for ever, and nothing can interrupt it.
// So each call runs in a goroutine of its own that is waited for only so long. One that does not answer is remembered:
// until it does, the mount is reported as device_error and not asked again, so at most one goroutine hangs per mount.
type filesystemSampler struct {
	host
	skipMount, skipType *choice
	timeout             time.Duration
	statfs              func(path string, buf *unix.Statfs_t) error
	// pending are the calls that have not come back, by mount.
	pending map[mount]chan usage
	// own and hosts are the mounts that this process and PID 1 see; labels are those of the mounts measured.
	own, hosts *mountTable
	labels     map[mount][]wire.Label
}

// mountTable reads the mounts a process sees. They seldom change, and to compare costs less than to take apart.
type mountTable struct {
	file    *kept
	content []byte
	mounts  []mount
}

func (t *mountTable) read() ([]mount, error) {
	content, err := t.file.read()
	if err != nil {
		return nil, err
	}
	if t.content != nil && bytes.Equal(content, t.content) {
		return t.mounts, nil
	}
	mounts, err := parseMountinfo(t.file.path, string(content))
	if err != nil {
		return nil, err
	}
	t.content, t.mounts = append(t.content[:0], content...), mounts
	return mounts, nil
}

// maxMountBytes bounds the names of the mounts measured, as maxMounts does their number: each of their seven series
// repeats them, and on some hosts any user may mount.
const maxMountBytes = 48 << 10

// usage is what statfs answered.
type usage struct {
	unix.Statfs_t
	err error
}

func newFilesystem(h host, c FilesystemConfig) *filesystemSampler {
	if c.MountTimeout == 0 {
		c.MountTimeout = DefaultConfig().Filesystem.MountTimeout
	}
	return &filesystemSampler{
		host:      h,
		skipMount: newChoice(outside(c.MountPointsExclude, c.MountPointsInclude)),
		skipType:  newChoice(outside(c.FSTypesExclude, c.FSTypesInclude)),
		timeout:   c.MountTimeout, statfs: unix.Statfs, pending: map[mount]chan usage{},
		own: &mountTable{file: keep(h.proc("self/mountinfo"))}, hosts: &mountTable{file: keep(h.proc("1/mountinfo"))},
	}
}

// Read fails when the mounts cannot be listed. It returns after the time-out for one mount at the latest, however many hang.
func (s *filesystemSampler) Read(ctx context.Context, _ time.Time) (Reading, error) {
	mounts, err := s.mounts()
	if err != nil {
		return Reading{}, err
	}
	fit := fitting(mounts)
	left := len(mounts) - fit
	mounts = mounts[:fit]
	for _, m := range mounts {
		if m.hidden || s.pending[m.mount] != nil {
			continue
		}
		s.pending[m.mount] = s.ask(s.root(m.point))
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	out := make([]wire.Sample, 0, 7*len(mounts)+1)
	out = append(out, leftOut("filesystem", left))
	labels := make(map[mount][]wire.Label, len(mounts))
	for _, m := range mounts {
		if m.hidden {
			out = append(out, deviceError(m.mount, "not visible to the agent")...)
			continue
		}
		u, ok := s.wait(ctx, s.pending[m.mount])
		switch {
		case !ok:
			out = append(out, deviceError(m.mount, "mountpoint timeout")...)
			continue
		case u.err != nil:
			out = append(out, deviceError(m.mount, u.err.Error())...)
		default:
			l := s.labels[m.mount]
			if l == nil {
				l = mountLabels(m.mount)
			}
			labels[m.mount] = l
			out = filesystemSamples(out, m.mount, l, u)
		}
		delete(s.pending, m.mount)
	}
	s.labels = labels
	s.forget()
	return Reading{Samples: out}, nil
}

func (s *filesystemSampler) ask(path string) chan usage {
	answer := make(chan usage, 1) // the answer finds room also when nobody waits for it any more
	go func() {
		var u usage
		for {
			if u.err = s.statfs(path, &u.Statfs_t); u.err != unix.EINTR {
				break
			}
		}
		answer <- u
	}()
	return answer
}

// wait prefers an answer that is there to a time that is up.
func (s *filesystemSampler) wait(ctx context.Context, answer chan usage) (usage, bool) {
	select {
	case u := <-answer:
		return u, true
	default:
	}
	select {
	case u := <-answer:
		return u, true
	case <-ctx.Done():
		return usage{}, false
	}
}

// forget lets go of mounts that were unmounted and whose call has come back since.
func (s *filesystemSampler) forget() {
	for m, answer := range s.pending {
		if len(answer) > 0 {
			delete(s.pending, m)
		}
	}
}

// fitting is how many of the mounts are measured. The oldest come first.
func fitting(mounts []seen) int {
	size := 0
	for i, m := range mounts {
		size += len(labelValue(m.device)) + len(labelValue(m.point)) + len(labelValue(m.fstype))
		if i == maxMounts || size > maxMountBytes {
			return i
		}
	}
	return len(mounts)
}

// seen is a mount and whether it is hidden from this process.
type seen struct {
	mount
	hidden bool
}

// mounts lists what to measure: the mounts of PID 1, which are the host's, free of what the service manager mounts
// over them for the agent's own protection (and of its read-only flags), and then what only this process sees.
// A mount of the host that this process sees something else in place of is hidden: to measure it would be to measure
// the wrong file system.
func (s *filesystemSampler) mounts() ([]seen, error) {
	own, ownErr := s.own.read()
	hosts, err := s.hosts.read()
	if err != nil {
		if ownErr != nil {
			return nil, fmt.Errorf("list mounts: %w", ownErr)
		}
		hosts = own
	}
	visible, known, taken := map[string]string{}, map[string]bool{}, map[string]bool{}
	for _, m := range own {
		visible[m.point] = m.dev
	}
	var out []seen
	add := func(m mount, hidden bool) {
		if !s.skipMount.has(m.point) && !s.skipType.has(m.fstype) {
			out = append(out, seen{m, hidden})
		}
	}
	// With another root the agent's own mount points are other paths; then there is nothing to compare.
	foreign := s.path.Rootfs != "/" || ownErr != nil
	for _, m := range hosts {
		known[m.dev], taken[m.point] = true, true
		add(m, !foreign && visible[m.point] != m.dev)
	}
	if !foreign {
		for _, m := range own {
			if !known[m.dev] && !taken[m.point] {
				add(m, false)
			}
		}
	}
	return out, nil
}

// deviceError has the label that node_exporter gives it from 1.8 on: why.
func deviceError(m mount, why string) []wire.Sample {
	l := append(mountLabels(m), wire.Label{Name: "device_error", Value: labelValue(why)})
	return []wire.Sample{
		{Name: "node_filesystem_device_error", Labels: l, Value: 1},
		{Name: "node_filesystem_readonly", Labels: l, Value: b2f(m.readOnly)},
	}
}

func mountLabels(m mount) []wire.Label {
	return []wire.Label{
		{Name: "device", Value: labelValue(m.device)}, {Name: "fstype", Value: labelValue(m.fstype)},
		{Name: "mountpoint", Value: labelValue(m.point)},
	}
}

func filesystemSamples(out []wire.Sample, m mount, l []wire.Label, u usage) []wire.Sample {
	block := float64(u.Bsize)
	return append(out,
		wire.Sample{Name: "node_filesystem_device_error", Labels: l},
		wire.Sample{Name: "node_filesystem_readonly", Labels: l, Value: b2f(m.readOnly)},
		wire.Sample{Name: "node_filesystem_size_bytes", Labels: l, Value: float64(u.Blocks) * block},
		wire.Sample{Name: "node_filesystem_free_bytes", Labels: l, Value: float64(u.Bfree) * block},
		wire.Sample{Name: "node_filesystem_avail_bytes", Labels: l, Value: float64(u.Bavail) * block},
		wire.Sample{Name: "node_filesystem_files", Labels: l, Value: float64(u.Files)},
		wire.Sample{Name: "node_filesystem_files_free", Labels: l, Value: float64(u.Ffree)},
	)
}
