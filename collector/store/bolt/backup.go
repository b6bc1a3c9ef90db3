package bolt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/watchbill/watchbill/collector/store"
)

// Backup writes a copy of the store as it is now to w while work goes on, and a trailer that tells what it is and its
// checksum; release is the writing program's version. A growing store waits for a backup under way, so w should be a
// local file; what was written is a backup only once VerifyBackup accepts it.
func (s *Store) Backup(ctx context.Context, w io.Writer, release string) (BackupInfo, error) {
	return s.engine.backup(ctx, w, release)
}

// BackupTo makes a verified backup called path. It refuses with store.ErrFull when the file system would be left with
// less than is to stay free, and to overwrite anything; when it fails nothing is left.
func (s *Store) BackupTo(ctx context.Context, path, release string) (BackupInfo, error) {
	return s.engine.backupTo(ctx, path, release)
}

// BackupOffline is BackupTo for the store at path while no collector uses it; it changes nothing there, not even the
// format. store.ErrLocked when one does.
func BackupOffline(ctx context.Context, path, backup, release string) (info BackupInfo, err error) {
	o := Options{}.withDefaults()
	if _, err := os.Stat(path); err != nil {
		return info, fmt.Errorf("back up store: %w", err)
	}
	e, err := openInspected(path, o, bbolt.Options{ReadOnly: true})
	if err != nil {
		return info, fmt.Errorf("back up store: %w", err)
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	return e.backupTo(ctx, backup, release)
}

func (e *engine) backupTo(ctx context.Context, path, release string) (BackupInfo, error) {
	st, err := os.Stat(e.path)
	if err != nil {
		return BackupInfo{}, fmt.Errorf("back up to %s: %w", path, err)
	}
	free, size, err := e.o.Space(path)
	if need := e.o.reserve(size) + uint64(st.Size()); err == nil && free < need { //nolint:gosec // a size is not negative
		return BackupInfo{}, fmt.Errorf("back up to %s: %w: %d bytes are free there and %d are needed; make room, or have "+
			"backups written elsewhere (backup.path)", path, store.ErrFull, free, need)
	}
	f, err := CreateBackup(path)
	if err != nil {
		return BackupInfo{}, err
	}
	if _, err := e.backup(ctx, f, release); err != nil {
		return BackupInfo{}, errors.Join(fmt.Errorf("back up to %s: %w", path, err), f.Discard())
	}
	return f.Keep()
}

func (e *engine) backup(ctx context.Context, w io.Writer, release string) (info BackupInfo, err error) {
	if err := ctx.Err(); err != nil {
		return info, err
	}
	defer faultsPanic()()
	tx, err := e.begin(false)
	if err != nil {
		return info, err
	}
	defer func() { _ = e.guard(tx.Rollback) }() // nothing was changed
	info = BackupInfo{TakenAt: e.now().UTC(), Release: release}
	if info.Facts, err = store.ReadFacts(&kv{engine: e, bucket: tx.Bucket(bucket)}, e.path); err != nil {
		return info, err
	}
	sum := &summed{ctx: ctx, to: w, hash: sha256.New()}
	heads := &heads{to: sum, pageSize: e.db.Info().PageSize, swap: tx.ID()%2 == 1}
	err = e.guard(func() error {
		_, err := tx.WriteTo(heads)
		return err
	})
	if sum.err != nil { // which bbolt's error only quotes
		err = sum.err
	}
	if err == nil {
		info.Size, info.SHA256 = sum.size, hex.EncodeToString(sum.hash.Sum(nil))
		var tail []byte
		if tail, err = info.trailer(); err == nil {
			_, err = w.Write(tail)
		}
	}
	if err != nil {
		return info, fmt.Errorf("back up store %s: %w", e.path, err)
	}
	return info, nil
}

func (e *engine) now() time.Time {
	if e.o.Now != nil {
		return e.o.Now()
	}
	return time.Now()
}

// summed counts and digests what goes through it, and stops when ctx ends.
type summed struct {
	ctx  context.Context
	to   io.Writer
	hash hash.Hash
	size int64
	err  error
}

func (s *summed) Write(p []byte) (n int, err error) {
	if s.err = s.ctx.Err(); s.err != nil {
		return 0, s.err
	}
	n, s.err = s.to.Write(p)
	s.hash.Write(p[:n])
	s.size += int64(n)
	return n, s.err
}

// heads puts the two meta pages of a copy in the order that bbolt keeps them in: that of transaction n is page n mod 2
// (internal/common/meta.go). Tx.WriteTo always writes the newest as page 0; then the next commit to an odd copy would
// overwrite the newest page and leave two that do not follow each other.
type heads struct {
	to       io.Writer
	pageSize int
	swap     bool
	held     []byte
}

func (h *heads) Write(p []byte) (int, error) {
	if !h.swap {
		return h.to.Write(p)
	}
	h.held = append(h.held, p...)
	if len(h.held) < 2*h.pageSize {
		return len(p), nil
	}
	for i := pageHead; i < pageHead+metaSize; i++ {
		h.held[i], h.held[i+h.pageSize] = h.held[i+h.pageSize], h.held[i]
	}
	h.swap = false
	if _, err := h.to.Write(h.held); err != nil {
		return 0, err
	}
	return len(p), nil
}

// MigrationBackup is where Open backs up the store at path before it is brought from an older format to the next.
func MigrationBackup(path string, format int) string { return fmt.Sprintf("%s.format%d", path, format) }

// backUpBeside makes a backup at path, unless an earlier attempt has left a good one.
func (e *engine) backUpBeside(path string) error {
	if _, err := VerifyBackup(path); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; move %s away, so that a good one can be made", err, path)
	}
	_, err := e.backupTo(context.Background(), path, "before migration")
	return err
}

// BackupFile is a backup on its way: it has its name when it is complete and verified, and not before.
type BackupFile struct {
	file *os.File
	path string
}

// CreateBackup begins a backup that will be called path, readable by its owner alone. It wraps fs.ErrExist when there is
// something of that name: backups are never overwritten.
func CreateBackup(path string) (*BackupFile, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("back up to %s: %w; backups are never overwritten, give another name", path, fs.ErrExist)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".part*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("back up to %s: %w", path, err)
	}
	return &BackupFile{file: f, path: path}, nil
}

// Write adds to the backup.
func (b *BackupFile) Write(p []byte) (int, error) { return b.file.Write(p) }

// Keep makes what was written durable, verifies it by opening it, and gives it its name. When it fails nothing is left.
func (b *BackupFile) Keep() (BackupInfo, error) {
	draft := b.file.Name()
	err := errors.Join(b.file.Sync(), b.file.Close())
	var info BackupInfo
	if err == nil {
		info, err = VerifyBackup(draft)
	}
	if err == nil && !info.Sealed() {
		err = store.Damaged(draft, "it ends before its checksum")
	}
	if err == nil {
		err = place(draft, b.path)
	}
	if err != nil {
		return info, errors.Join(fmt.Errorf("back up to %s: %w", b.path, err), discard(draft))
	}
	return info, nil
}

// Discard removes what was written so far. Call it instead of Keep.
func (b *BackupFile) Discard() error { return errors.Join(b.file.Close(), discard(b.file.Name())) }

// place gives a complete file its name, which must be free, and syncs the directory.
func place(draft, path string) error {
	switch err := os.Link(draft, path); {
	case err == nil:
		if err := os.Remove(draft); err != nil {
			return err
		}
	case errors.Is(err, fs.ErrExist):
		return err
	default: // no links here: a rename has to do
		if err := os.Rename(draft, path); err != nil {
			return err
		}
	}
	return syncDir(filepath.Dir(path))
}

// VerifyBackup reads a backup as opening it would, and compares it with its trailer; it changes nothing. A store file
// that was copied while its collector stood still is as good as a backup: then the file's time is taken for TakenAt, and
// Sealed is false. It wraps store.ErrDamaged, store.ErrNewer, store.ErrLocked when it is the store of a running
// collector, fs.ErrNotExist.
func VerifyBackup(path string) (BackupInfo, error) {
	info, err := verifyBackup(path)
	if err != nil {
		return info, fmt.Errorf("verify backup %s: %w", path, err)
	}
	return info, nil
}

func verifyBackup(path string) (info BackupInfo, err error) {
	if info, err = readInfo(path); err != nil {
		return info, err
	}
	o := Options{}.withDefaults()
	e, err := openInspected(path, o, bbolt.Options{ReadOnly: true})
	if err != nil {
		return info, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	facts, err := e.facts()
	switch {
	case err != nil:
		return info, err
	case info.Sealed() && facts != info.Facts:
		return info, store.Damaged(path, fmt.Sprintf("its trailer (%+v) differs from its content (%+v)", info.Facts, facts))
	case facts.Format > store.Format:
		return info, fmt.Errorf("%w: it has format %d, this release reads up to %d; use the release that wrote it (%s)",
			store.ErrNewer, facts.Format, store.Format, info.Release)
	case facts.Format < 1:
		return info, store.Damaged(path, "no format version")
	}
	info.Facts = facts
	return info, nil
}

func (e *engine) facts() (facts store.Facts, err error) {
	err = e.View(context.Background(), func(k store.KV) (err error) {
		facts, err = store.ReadFacts(k, e.path)
		return err
	})
	return facts, err
}

// peek reads what a store says of itself without checking the rest of it, as far as that can be read at all.
func peek(path string, o Options) (store.Facts, error) {
	e := newEngine(path, o)
	if err := e.open(bbolt.Options{ReadOnly: true}); err != nil {
		return store.Facts{}, err
	}
	facts, err := e.facts()
	return facts, errors.Join(err, e.Close())
}
