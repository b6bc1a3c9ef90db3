//go:build !windows

package enroll

import (
	"fmt"
	"io/fs"
	"os"
)

// checkPrivate refuses a key that anyone but its owner may read or change.
func checkPrivate(path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%w: %s has mode %04o, so others on this host can use it: run `chmod 600 %s`, and if somebody may have copied it, revoke this agent at the collector and enrol it again",
			ErrKeyExposed, path, mode, path)
	}
	return nil
}

// syncDir makes a rename in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
