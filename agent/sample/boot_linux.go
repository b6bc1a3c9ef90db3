package sample

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// bootSampler notices that the host has booted since this agent last looked, also when the agent was not running:
// /proc/sys/kernel/random/boot_id against the id kept in dir.
//
// The new id is kept at the reading after the one that told of it: by then the agent has taken the event. So a crash
// between the two tells of the reboot twice, never not at all.
type bootSampler struct {
	host
	dir  string
	told bool
	kept bool
}

// Read fails when the boot id cannot be read or kept.
func (s *bootSampler) Read(_ context.Context, now time.Time) (Reading, error) {
	if s.kept {
		return Reading{}, nil // it cannot change while this process runs
	}
	id, err := s.bootID()
	if err != nil {
		return Reading{}, err
	}
	if s.told {
		if err := s.keep(id); err != nil {
			return Reading{}, fmt.Errorf("keep the boot id, without which a reboot may be told again: %w", err)
		}
		s.kept = true
		return Reading{}, nil
	}
	before, err := s.last()
	if err != nil {
		return Reading{}, fmt.Errorf("read the last boot id: %w; delete the file if it is damaged", err)
	}
	s.told = true
	if before == "" || before == id {
		return Reading{}, nil
	}
	e := &wire.Event{
		Kind: "host_rebooted", AtMs: now.UnixMilli(), Text: "The host was rebooted.",
		Fields: map[string]string{"boot_id": id, "boot_id_before": before},
	}
	if boot, err := s.bootTime(); err == nil {
		e.Fields["booted_at"] = boot.UTC().Format(time.RFC3339)
		e.Text = "The host was rebooted; it came up at " + boot.UTC().Format("2006-01-02 15:04:05 UTC") + " by its own clock."
	}
	return Reading{Events: []*wire.Event{e}}, nil
}

func (h host) bootID() (string, error) {
	path := h.proc("sys/kernel/random/boot_id")
	content, err := read(path)
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(content)
	if id == "" {
		return "", fmt.Errorf("%s: want a boot id, the file is empty", path)
	}
	return id, nil
}

// bootFile is where the id is kept.
const bootFile = "boot_id"

func (s *bootSampler) file() string { return filepath.Join(s.dir, bootFile) }

// last is the id seen last, empty when there is none.
func (s *bootSampler) last() (string, error) {
	if s.dir == "" {
		return "", nil
	}
	content, err := read(s.file())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(content), err
}

func (s *bootSampler) keep(id string) error {
	if s.dir == "" {
		return nil
	}
	return replaceFile(s.dir, bootFile, []byte(id+"\n"), true)
}
