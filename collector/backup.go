package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/store/bolt"
)

const (
	// backupSuffix ends the name of every backup; partSuffix follows it while one is written.
	backupSuffix = ".backup"
	partSuffix   = ".part"
	scheduled    = "watchbill-"
	download     = "download-"
	stampLayout  = "20060102T150405Z"
	// abandoned is the age at which an unfinished file of a process that ended is removed.
	abandoned = time.Hour
	// backupRetry is how soon a failed scheduled backup is tried again, at the latest.
	backupRetry = 10 * time.Minute
)

// BackupName is the usual name of a backup made at a time; names sort by time.
func BackupName(at time.Time) string { return scheduled + at.UTC().Format(stampLayout) + backupSuffix }

// backups makes copies of the store beside the collector's work: on its own schedule and for operators who ask.
type backups struct {
	store   *bolt.Store
	dir     string
	every   time.Duration // 0 switches the schedule off
	keep    int
	release string
	now     func() time.Time
	log     *slog.Logger
	// turn holds one token: backups are made one at a time.
	turn chan struct{}

	last, size, seconds prometheus.Gauge
	made                *prometheus.CounterVec
}

func newBackups(b backups, reg prometheus.Registerer) *backups {
	b.turn = make(chan struct{}, 1)
	b.last = prometheus.NewGauge(prometheus.GaugeOpts{Name: "watchbill_backup_last_success_timestamp_seconds",
		Help: "When the newest scheduled backup was made and verified; 0 when there is none."})
	b.size = prometheus.NewGauge(prometheus.GaugeOpts{Name: "watchbill_backup_last_size_bytes",
		Help: "Size of the newest backup made since the start."})
	b.seconds = prometheus.NewGauge(prometheus.GaugeOpts{Name: "watchbill_backup_last_duration_seconds",
		Help: "How long the newest backup took to write and verify."})
	b.made = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "watchbill_backups_total",
		Help: "Backups tried, by result: ok or failed."}, []string{"result"})
	for _, result := range []string{"ok", "failed"} {
		b.made.WithLabelValues(result)
	}
	reg.MustRegister(b.last, b.size, b.seconds, b.made)
	return &b
}

// Run makes a backup whenever the newest is older than every, until ctx ends. A failure is logged, counted and tried
// again; what is there stays.
func (b *backups) Run(ctx context.Context) error {
	wait := time.Duration(0)
	if found := b.scheduledOnes(); len(found) > 0 {
		b.last.Set(float64(found[0].at.Unix()))
		// A clock that was set back must not put the next one off for longer than usual.
		wait = min(max(b.every-b.now().Sub(found[0].at), 0), b.every)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		next := b.every
		if err := b.schedule(ctx); err != nil && ctx.Err() == nil {
			next = min(backupRetry, b.every)
			b.log.Error("the store was not backed up; the last good backup stays, and it is tried again", "in", next, "err", err)
		}
		timer.Reset(next)
	}
}

// schedule makes one backup of the schedule and removes the oldest beyond keep.
func (b *backups) schedule(ctx context.Context) error {
	at := b.now()
	path := filepath.Join(b.dir, BackupName(at))
	info, err := b.write(ctx, path)
	if err != nil {
		return err
	}
	b.last.Set(float64(at.Unix()))
	b.log.Info("store backed up", "file", path, "bytes", info.Size, "ticket_number", info.TicketNumber)
	var errs []error
	for i, old := range b.scheduledOnes() {
		if i >= b.keep {
			errs = append(errs, os.Remove(old.path))
		}
	}
	return errors.Join(append(errs, b.sweep())...)
}

// write makes a verified backup called path, when no other is under way.
func (b *backups) write(ctx context.Context, path string) (info bolt.BackupInfo, err error) {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return info, ctx.Err()
	}
	defer func(began time.Time) {
		result := "failed"
		if err == nil {
			result = "ok"
			b.seconds.Set(b.now().Sub(began).Seconds())
			b.size.Set(float64(info.Size))
		}
		b.made.WithLabelValues(result).Inc()
	}(b.now())
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return info, fmt.Errorf("make directory for backups (backup.path): %w", err)
	}
	return b.store.BackupTo(ctx, path, b.release)
}

// Download makes a backup and hands it out; it is removed when it is closed. A slow reader holds up nobody: it reads a
// file, not the store.
func (b *backups) Download(ctx context.Context) (api.Download, error) {
	at := b.now()
	path := filepath.Join(b.dir, download+at.UTC().Format("20060102T150405.000000000Z")+backupSuffix+partSuffix)
	info, err := b.write(ctx, path)
	if err != nil {
		return api.Download{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return api.Download{}, errors.Join(fmt.Errorf("read the backup just made: %w", err), os.Remove(path))
	}
	st, err := f.Stat()
	if err != nil {
		return api.Download{}, errors.Join(fmt.Errorf("read the backup just made: %w", err), f.Close(), os.Remove(path))
	}
	return api.Download{Name: BackupName(info.TakenAt), Size: st.Size(), Body: &removed{f}}, nil
}

// removed is a file that goes when it is closed.
type removed struct{ *os.File }

// Close closes and removes the file.
func (r *removed) Close() error { return errors.Join(r.File.Close(), os.Remove(r.Name())) }

// sweep removes what a process that ended left unfinished.
func (b *backups) sweep() error {
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return fmt.Errorf("look for unfinished backups: %w", err)
	}
	var errs []error
	for _, e := range entries {
		ours := strings.HasPrefix(e.Name(), scheduled) || strings.HasPrefix(e.Name(), download)
		info, err := e.Info()
		if err != nil || !ours || !strings.Contains(e.Name(), backupSuffix+partSuffix) || b.now().Sub(info.ModTime()) < abandoned {
			continue
		}
		errs = append(errs, os.Remove(filepath.Join(b.dir, e.Name())))
	}
	return errors.Join(errs...)
}

// backupFile is a file that looks like a backup, by its name.
type backupFile struct {
	path string
	at   time.Time
}

// scheduledOnes are the backups of the schedule, newest first.
func (b *backups) scheduledOnes() []backupFile {
	return slices.DeleteFunc(backupsIn(b.dir), func(f backupFile) bool {
		return !strings.HasPrefix(filepath.Base(f.path), scheduled)
	})
}

// backupsIn lists what may be a backup in a directory, newest first: by the time in its name, else the file's. A
// directory that cannot be read holds none.
func backupsIn(dir string) []backupFile {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var out []backupFile
	for _, e := range entries {
		name := e.Name()
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !strings.HasSuffix(name, backupSuffix) && !isMigrationBackup(name) {
			continue
		}
		f := backupFile{path: filepath.Join(dir, name), at: info.ModTime()}
		stamp := strings.TrimSuffix(strings.TrimPrefix(name, scheduled), backupSuffix)
		if at, err := time.Parse(stampLayout, stamp); err == nil {
			f.at = at
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b backupFile) int { return cmp.Or(b.at.Compare(a.at), cmp.Compare(b.path, a.path)) })
	return out
}

func isMigrationBackup(name string) bool {
	matched, err := filepath.Match(StoreName+".format[0-9]*", name)
	return err == nil && matched
}

// NewestBackup reads the backups in some directories, newest first, until one is good. It returns fs.ErrNotExist when
// there is none, joined with what is wrong with those that are there.
func NewestBackup(dirs ...string) (path string, info bolt.BackupInfo, err error) {
	var all []backupFile
	for i, d := range dirs {
		if !slices.Contains(dirs[:i], d) {
			all = append(all, backupsIn(d)...)
		}
	}
	slices.SortStableFunc(all, func(a, b backupFile) int { return b.at.Compare(a.at) })
	errs := []error{fmt.Errorf("no good backup in %s: %w", strings.Join(dirs, ", "), fs.ErrNotExist)}
	for _, f := range all {
		info, err := bolt.VerifyBackup(f.path)
		if err == nil {
			return f.path, info, nil
		}
		errs = append(errs, err)
	}
	return "", bolt.BackupInfo{}, errors.Join(errs...)
}
