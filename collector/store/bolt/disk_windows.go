package bolt

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// space measures the volume that holds path: bytes free to this process, and its size.
func space(path string) (free, size uint64, err error) {
	dir, err := windows.UTF16PtrFromString(filepath.Dir(path))
	if err != nil {
		return 0, 0, err
	}
	if err := windows.GetDiskFreeSpaceEx(dir, &free, &size, nil); err != nil {
		return 0, 0, &os.PathError{Op: "GetDiskFreeSpaceEx", Path: filepath.Dir(path), Err: err}
	}
	return free, size, nil
}

// diskFull tells whether err says that there is no room on the disk or in the quota.
func diskFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

// syncDir has nothing to do: NTFS journals its directories.
func syncDir(string) error { return nil }

// GiveToOwner does nothing here: a new file has its directory's access list.
func GiveToOwner(string) error { return nil }
