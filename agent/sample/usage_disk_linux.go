package sample

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/agent/wire"
)

const (
	// usageEntries bounds the entries of a file system that are looked at, usageWaiting the directories that wait for it.
	usageEntries = 200_000
	usageWaiting = 50_000
	// usageDepth is how deep directories are told apart; what is deeper counts for the one above. usageDirs bounds them.
	usageDepth = 4
	usageDirs  = 20_000
	// usageTop is how many of the largest directories and of the largest files are shown, usageCrowded how many of the
	// directories with the most entries.
	usageTop     = 15
	usageCrowded = 5
	// usageWorth is the part of the whole, as one in so many, from which on something is worth showing.
	usageWorth = 200
	// usageStretch is how long it works before it rests as long.
	usageStretch = 20 * time.Millisecond
	// usageLinks bounds what is remembered of files with several names, which count once.
	usageLinks = 50_000
)

// diskUsage finds what fills a file system: its largest directories and files.
type diskUsage struct {
	host
	filesystems *filesystemSampler
	entries     int // usageEntries; tests lower it
}

func newDiskUsage(h host, c FilesystemConfig) *diskUsage {
	return &diskUsage{host: h, filesystems: newFilesystem(h, c), entries: usageEntries}
}

// make walks the file system at a mount point, level by level, so that a walk that is cut short has seen the whole of
// what lies on top. It never leaves the file system: other mounts below it, also of the same device, are left out, and
// links are not followed.
func (d *diskUsage) make(ctx context.Context, now time.Time, point string) (*wire.Table, error) {
	t := &wire.Table{Kind: "disk_usage", SampledAtMs: now.UnixMilli(), Columns: []string{"size", "entries", "what", "path", "changed"}}
	m, why, err := d.mountAt(point)
	if err != nil || why != "" {
		t.NoneBecause = why
		return t, err
	}
	w, err := d.begin(m)
	if errors.Is(err, os.ErrPermission) {
		t.NoneBecause = fmt.Sprintf("the agent may not look into %s: its user lacks the right to read and search it (CAP_DAC_READ_SEARCH)", m.point)
		return t, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look into %s: %w", m.point, err)
	}
	defer w.root.Close()
	w.walk(ctx)
	w.fill(t)
	return t, nil
}

// mountAt finds the mount that has been reported under a name.
func (d *diskUsage) mountAt(point string) (m mount, why string, err error) {
	mounts, err := d.filesystems.mounts()
	if err != nil {
		return mount{}, "", err
	}
	i := slices.IndexFunc(mounts, func(s seen) bool { return labelValue(s.point) == point })
	switch {
	case i < 0:
		return mount{}, "nothing is mounted there any more", nil
	case mounts[i].hidden:
		return mount{}, "the agent does not see that mount: its unit hides it or mounts something over it", nil
	}
	return mounts[i].mount, "", nil
}

// usageWalk is one walk through a file system.
type usageWalk struct {
	root  *os.Root
	point string
	dev   uint64
	// loose says that parts of this one file system have device numbers of their own (subvolumes of btrfs).
	loose bool
	// mounts are the places below point where something else is mounted, as paths below it.
	mounts map[string]bool
	// most is how many entries are looked at, left how many still may be.
	most, left int

	waiting []string
	dirs    map[string]*usageDir // "" is the root
	files   []usageFile
	links   map[uint64]bool
	// seen, closed and unseen count entries looked at, and directories that could not be or were not looked into.
	seen, closed, unseen int
	cut                  string
}

type usageDir struct {
	bytes   uint64
	entries int
	changed int64
}

type usageFile struct {
	path    string
	bytes   uint64
	changed int64
}

func (d *diskUsage) begin(m mount) (*usageWalk, error) {
	own, err := d.filesystems.own.read()
	if err != nil {
		return nil, err
	}
	w := &usageWalk{
		point: m.point, loose: m.fstype == "btrfs", mounts: map[string]bool{}, most: d.entries, left: d.entries, waiting: []string{""},
		dirs: map[string]*usageDir{"": {}}, links: map[uint64]bool{},
	}
	for _, o := range own {
		if below, ok := strings.CutPrefix(o.point, strings.TrimSuffix(m.point, "/")+"/"); ok && below != "" {
			w.mounts[below] = true
		}
	}
	if w.root, err = os.OpenRoot(d.root(m.point)); err != nil {
		return nil, err
	}
	var st unix.Stat_t
	f, err := w.root.Open(".")
	if err == nil {
		err = errors.Join(unix.Fstat(int(f.Fd()), &st), f.Close())
	}
	if err != nil {
		w.root.Close()
		return nil, err
	}
	w.dev = st.Dev
	return w, nil
}

func (w *usageWalk) walk(ctx context.Context) {
	p := pace{work: usageStretch}
	for len(w.waiting) > 0 {
		dir := w.waiting[0]
		w.waiting = w.waiting[1:]
		err := w.look(ctx, &p, dir)
		switch {
		case errors.Is(err, errUsageEnd):
			w.unseen += len(w.waiting) + 1
			return
		case err != nil && !gone(err):
			w.closed++
		}
	}
}

var errUsageEnd = errors.New("the walk ends here")

// look looks at the entries of one directory.
func (w *usageWalk) look(ctx context.Context, p *pace, dir string) error {
	f, err := w.root.OpenFile(path.Join(".", dir), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	fd := int(f.Fd())
	for {
		names, err := f.Readdirnames(256)
		for _, n := range names {
			if !p.step(ctx) {
				w.cut = "the time for it was up"
				return errUsageEnd
			}
			if w.left--; w.left < 0 {
				w.cut = fmt.Sprintf("it has more than the %d entries that are looked at", w.most)
				return errUsageEnd
			}
			w.entry(fd, dir, n)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// entry takes in one entry of a directory.
func (w *usageWalk) entry(fd int, dir, name string) {
	below := path.Join(dir, name)
	var st unix.Stat_t
	if w.mounts[below] || unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Dev != w.dev && !w.loose {
		return // another file system, or gone
	}
	w.seen++
	bytes := uint64(max(st.Blocks, 0)) * 512
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		w.add(below, bytes, st.Mtim.Sec)
		if len(w.waiting) >= usageWaiting {
			w.unseen++
			return
		}
		w.waiting = append(w.waiting, below)
		return
	}
	if st.Nlink > 1 {
		if w.links[st.Ino] {
			bytes = 0
		} else if len(w.links) < usageLinks {
			w.links[st.Ino] = true
		}
	}
	w.count(dir, bytes)
	if st.Mode&unix.S_IFMT == unix.S_IFREG && bytes > 0 {
		w.file(usageFile{below, bytes, st.Mtim.Sec})
	}
}

// add takes in a directory.
func (w *usageWalk) add(dir string, bytes uint64, changed int64) {
	if strings.Count(dir, "/") < usageDepth && len(w.dirs) < usageDirs {
		w.dirs[dir] = &usageDir{changed: changed}
	}
	w.count(dir, bytes)
}

// count adds an entry to the directory it is in and to all above.
func (w *usageWalk) count(dir string, bytes uint64) {
	for {
		if d := w.dirs[dir]; d != nil {
			d.bytes += bytes
			d.entries++
		}
		if dir == "" {
			return
		}
		dir = strings.TrimSuffix(path.Dir(dir), ".")
	}
}

// file keeps the largest files.
func (w *usageWalk) file(f usageFile) {
	if len(w.files) == usageTop && f.bytes <= w.files[usageTop-1].bytes {
		return
	}
	i, _ := slices.BinarySearchFunc(w.files, f, func(a, b usageFile) int { return cmp.Or(cmp.Compare(b.bytes, a.bytes), -1) })
	w.files = slices.Insert(w.files, i, f)
	w.files = w.files[:min(len(w.files), usageTop)]
}

// fill writes down what was found, the largest first.
func (w *usageWalk) fill(t *wire.Table) {
	all := w.dirs[""]
	t.Rows = append(t.Rows, row(bytesText(all.bytes), strconv.Itoa(all.entries), "all that was seen", w.point, ""))
	if w.cut != "" || w.unseen > 0 {
		t.Rows = append(t.Rows, row("", "", fmt.Sprintf("not all of it: %s; %d directories were not looked into, so sizes are at least these",
			cmp.Or(w.cut, "too many directories at once"), w.unseen), w.point, ""))
	}
	if w.closed > 0 {
		t.Rows = append(t.Rows, row("", "", fmt.Sprintf("%d directories are closed to the agent (CAP_DAC_READ_SEARCH opens them)", w.closed), w.point, ""))
	}
	for _, name := range w.largest(func(d *usageDir) uint64 { return d.bytes }, usageTop) {
		t.Rows = append(t.Rows, w.dirRow("directory", name))
	}
	for _, f := range w.files {
		if f.bytes < all.bytes/usageWorth {
			break
		}
		t.Rows = append(t.Rows, row(bytesText(f.bytes), "", "file", path.Join(w.point, f.path), changedText(f.changed)))
	}
	for _, name := range w.largest(func(d *usageDir) uint64 { return uint64(d.entries) }, usageCrowded) {
		if w.dirs[name].entries >= 1000 {
			t.Rows = append(t.Rows, w.dirRow("directory with many entries", name))
		}
	}
}

func (w *usageWalk) dirRow(what, name string) *wire.Row {
	d := w.dirs[name]
	return row(bytesText(d.bytes), strconv.Itoa(d.entries), what, path.Join(w.point, name)+"/", changedText(d.changed))
}

func changedText(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

// largest are the names of the directories with the most of something. One of which a directory within holds nearly all
// is left out: it would say the same again.
func (w *usageWalk) largest(of func(*usageDir) uint64, n int) []string {
	inner := map[string]uint64{}
	for name, d := range w.dirs {
		above := strings.TrimSuffix(path.Dir(name), ".")
		inner[above] = max(inner[above], of(d))
	}
	var out []string
	for name, d := range w.dirs {
		if name != "" && of(d) > of(w.dirs[""])/usageWorth && 10*inner[name] < 9*of(d) {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(of(w.dirs[b]), of(w.dirs[a])), cmp.Compare(a, b)) })
	return out[:min(len(out), n)]
}
