package sample

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// keepState replaces the file name in dir by v as JSON, whole: a crash leaves the old one or the new. It is not synced to
// the disk: after a power cut an older state makes something be told twice. Without a dir nothing is kept.
func keepState(dir, name string, v any) error {
	if dir == "" {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("keep state %s: %w", name, err)
	}
	f, err := os.CreateTemp(dir, name+".*")
	if err != nil {
		return fmt.Errorf("keep state %s: %w", name, err)
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		os.Remove(f.Name()) // what cannot be removed either is reported with the first error
		return fmt.Errorf("keep state %s: %w", name, err)
	}
	return nil
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
