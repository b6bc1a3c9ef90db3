package spool

import (
	"io"
	"os"
	"path/filepath"
)

// disk is what the spool asks of a file system, so that a test can cut its power.
type disk interface {
	// List names the files.
	List() ([]string, error)
	// Open opens a file for reading and writing; create says that it must not be there yet.
	Open(name string, create bool) (file, error)
	Remove(name string) error
	// Sync makes created and removed names durable.
	Sync() error
}

type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	// Sync makes content and size durable.
	Sync() error
}

// osDisk is a directory.
type osDisk string

func (d osDisk) List() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (d osDisk) Open(name string, create bool) (file, error) {
	flag := os.O_RDWR
	if create {
		flag |= os.O_CREATE | os.O_EXCL
	}
	f, err := os.OpenFile(filepath.Join(string(d), name), flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d osDisk) Remove(name string) error { return os.Remove(filepath.Join(string(d), name)) }

func (d osDisk) Sync() error { return syncDir(string(d)) }

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
