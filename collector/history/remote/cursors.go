package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
)

// cursors is where targets are, by name, as it is kept on disk. It belongs to the goroutine that writes.
type cursors struct {
	dir  string
	kept map[string]position
	// damaged is true when there was a file that could not be read.
	damaged bool
}

func (c *cursors) path() string { return filepath.Join(c.dir, "cursors.json") }

// read reads what was kept. When that cannot be read nothing is known, and the error says so.
func (c *cursors) read() error {
	c.kept, c.damaged = map[string]position{}, false
	b, err := os.ReadFile(c.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		c.kept, err = parseCursors(b)
	}
	if err != nil {
		c.kept, c.damaged = map[string]position{}, true
		return fmt.Errorf("read remote write's cursors %s: %w", c.path(), err)
	}
	return nil
}

func parseCursors(b []byte) (map[string]position, error) {
	var kept map[string]position
	if err := json.Unmarshal(b, &kept); err != nil {
		return nil, err
	}
	for name, p := range kept {
		// A number beyond what a spool ever reaches would make the next segment's number overflow.
		if p.Segment < 0 || p.Segment > 1<<40 || p.Offset < 0 {
			return nil, fmt.Errorf("target %q is at %d bytes of segment %d", name, p.Offset, p.Segment)
		}
	}
	if kept == nil {
		kept = map[string]position{}
	}
	return kept, nil
}

// of is where a target is.
func (c *cursors) of(name string) (position, bool) {
	p, ok := c.kept[name]
	return p, ok
}

func (c *cursors) set(name string, p position) { c.kept[name] = p }
func (c *cursors) drop(name string)            { delete(c.kept, name) }

// highest is the last segment that a cursor points to.
func (c *cursors) highest() int {
	n := 0
	for _, p := range c.kept {
		n = max(n, p.Segment)
	}
	return n
}

// keep makes positions durable when they differ from what is.
func (c *cursors) keep(at map[string]position) error {
	if len(at) == 0 {
		c.kept = map[string]position{}
		if err := os.Remove(c.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if maps.Equal(c.kept, at) {
		return nil
	}
	b, err := json.Marshal(at)
	if err != nil {
		return err
	}
	draft := c.path() + ".new"
	f, err := os.OpenFile(draft, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(draft, c.path()); err != nil {
		return err
	}
	c.kept = maps.Clone(at)
	return nil
}
