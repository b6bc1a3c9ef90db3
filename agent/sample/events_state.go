package sample

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// keepState replaces the file name in dir by v as JSON. It is not synced to the disk, which would cost a write every few
// seconds: after a power cut there may be an older state, and something is told twice, or on some file systems an empty
// one, which is reported. Without a dir nothing is kept.
func keepState(dir, name string, v any) error {
	if dir == "" {
		return nil
	}
	b, err := json.Marshal(v)
	if err == nil {
		err = replaceFile(dir, name, append(b, '\n'), false)
	}
	if err != nil {
		return fmt.Errorf("keep state %s: %w", name, err)
	}
	return nil
}

// replaceFile replaces the file name in dir whole: a crash leaves the old one or the new. So does a power cut when it is
// synced.
func replaceFile(dir, name string, content []byte, sync bool) error {
	f, err := os.CreateTemp(dir, name+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil && sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

// lastState reads what keepState kept; false when there is none. One that cannot be read is removed, so that the next
// start does not stumble over it again, and reported.
func lastState(dir, name string, v any) (bool, error) {
	if dir == "" {
		return false, nil
	}
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		if err = json.Unmarshal(b, v); err == nil {
			return true, nil
		}
	}
	return false, errors.Join(fmt.Errorf("read state %s: %w; it begins anew", path, err), os.Remove(path))
}
