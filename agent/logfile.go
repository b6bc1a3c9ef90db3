package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"gopkg.in/natefinch/lumberjack.v2"
)

// minLogSize is the unit in which log files are measured.
const minLogSize = 1 << 20

// LogFile is a log on disk that is put aside when it is full. It is safe for use by several goroutines. The rotation
// has a goroutine of its own for the rest of the process, so open one per process.
type LogFile struct {
	file *lumberjack.Logger
	// fallback takes what the file does not.
	fallback io.Writer
}

// OpenLogFile opens or makes the file at path, readable by its owner alone, in a directory that is there. When it
// reaches maxSize bytes (whole MiB, at least one) it is put aside under a name with the time, and all but keep of those
// are removed. What cannot be written, as on a full disk, goes to fallback.
func OpenLogFile(path string, maxSize int64, keep int, fallback io.Writer) (*LogFile, error) {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("open log file: %w; make its directory, for the user who runs this", err)
	}
	// The rotation opens the file with the first line; who starts this wants to know now.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log file: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open log file: %w", err)
	}
	return &LogFile{fallback: fallback, file: &lumberjack.Logger{
		Filename: path, MaxSize: int(max(maxSize, minLogSize) / minLogSize), MaxBackups: max(keep, 1),
	}}, nil
}

// Write writes one entry; it fails only when neither file nor fallback takes it.
func (l *LogFile) Write(p []byte) (int, error) {
	n, err := l.file.Write(p)
	if err == nil {
		return n, nil
	}
	if _, err2 := l.fallback.Write(p); err2 != nil {
		return 0, errors.Join(err, err2)
	}
	return len(p), nil
}

// Close closes the file; a later Write opens it again.
func (l *LogFile) Close() error { return l.file.Close() }
