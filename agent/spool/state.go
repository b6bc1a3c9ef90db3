package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// state is what the segments do not tell. It is written to two files in turn, so that a write that a crash tears leaves
// the one before; the greater Generation that is whole counts. A file is one line of format and CRC-32C, then JSON.
//
// Acknowledgements are written lazily: one that is lost costs sending a report twice, which takes effect once. Drops
// are written before they happen: a segment named in Removing is counted already and only waits to be removed.
type state struct {
	Generation uint64 `json:"generation"`
	// Dropped counts reports dropped before they were acknowledged.
	Dropped uint64 `json:"dropped"`
	// Untold are those of Dropped that nobody has been told of; a state of an earlier release does not say, and has none.
	Untold   uint64   `json:"untold,omitempty"`
	Removing []string `json:"removing,omitempty"`
	// The newest report and segment that there ever was, as far as the state was written since.
	LastEpoch    uint64 `json:"last_epoch"`
	LastSequence uint64 `json:"last_sequence"`
	LastMadeAtMs int64  `json:"last_made_at_ms"`
	LastSegment  uint64 `json:"last_segment"`
	// Acknowledged are ranges, first and last included, of the reports that the segments hold.
	Acknowledged []span `json:"acknowledged,omitempty"`
}

type span struct {
	Epoch uint64 `json:"epoch"`
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

const (
	stateHead = "watchbill spool state v1 "
	// maxStateBytes is far more than the ranges of any spool.
	maxStateBytes = 16 << 20
	// saveEvery is how many acknowledgements a crash may forget.
	saveEvery = 64
)

func stateName(generation uint64) string { return fmt.Sprintf("state-%d", generation%2) }

// loadState finds the newer of the two files that is whole.
func (s *Spool) loadState() error {
	names, err := s.disk.List()
	if err != nil {
		return err
	}
	for _, slot := range []uint64{0, 1} {
		name := stateName(slot)
		if !slices.Contains(names, name) {
			continue
		}
		b, err := s.readFile(name)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		st, err := parseState(b)
		if err != nil {
			s.note("%s: %v: the other copy is used", name, err)
			continue
		}
		if st.Generation > s.state.Generation {
			s.state = st
		}
	}
	return nil
}

func (s *Spool) readFile(name string) ([]byte, error) {
	f, err := s.disk.Open(name, false)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(size, maxStateBytes))
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

func parseState(b []byte) (state, error) {
	var st state
	head := len(stateHead) + 9
	if len(b) < head || string(b[:len(stateHead)]) != stateHead || b[head-1] != '\n' {
		return st, errors.New("not a whole spool state of this format")
	}
	got := fmt.Sprintf("%08x", crc32.Checksum(b[head:], castagnoli))
	if want := string(b[len(stateHead) : head-1]); got != want {
		return st, fmt.Errorf("checksum is %s, want %q", got, want)
	}
	if err := json.Unmarshal(b[head:], &st); err != nil {
		return state{}, err
	}
	return st, nil
}

func (st state) encode() ([]byte, error) {
	b, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	return append(fmt.Appendf(nil, "%s%08x\n", stateHead, crc32.Checksum(b, castagnoli)), b...), nil
}

// saveState makes the state durable.
func (s *Spool) saveState() error {
	next := s.state
	next.Generation++
	next.LastEpoch, next.LastSequence = s.last()
	next.Acknowledged = s.acknowledged()
	for _, g := range s.segments {
		next.LastSegment = max(next.LastSegment, g.number)
		for _, e := range g.entries {
			next.LastMadeAtMs = max(next.LastMadeAtMs, e.madeAtMs)
		}
	}
	b, err := next.encode()
	if err != nil {
		return fmt.Errorf("write spool state: %w", err)
	}
	if err := s.replaceFile(stateName(next.Generation), b); err != nil {
		return fmt.Errorf("write spool state: %w", noRoom(err))
	}
	s.state, s.unsaved = next, 0
	return nil
}

func (s *Spool) replaceFile(name string, b []byte) error {
	names, err := s.disk.List()
	if err != nil {
		return err
	}
	create := !slices.Contains(names, name)
	f, err := s.disk.Open(name, create)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Truncate(int64(len(b)))
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil && create {
		err = s.disk.Sync()
	}
	return err
}

// acknowledged gathers ranges: within one epoch, reports done that have no report between them that is not.
func (s *Spool) acknowledged() []span {
	var all []span
	joined := false
	for _, g := range s.segments {
		for _, e := range g.entries {
			switch {
			case e.lost || e.twin:
			case !e.done:
				joined = false
			case joined && all[len(all)-1].Epoch == e.epoch && all[len(all)-1].Last < e.sequence:
				all[len(all)-1].Last = e.sequence
			default:
				all = append(all, span{Epoch: e.epoch, First: e.sequence, Last: e.sequence})
				joined = true
			}
		}
	}
	return all
}

// applyState marks what the state says is acknowledged.
func (s *Spool) applyState() {
	byEpoch := map[uint64][]span{}
	for _, a := range s.state.Acknowledged {
		byEpoch[a.Epoch] = append(byEpoch[a.Epoch], a)
	}
	for _, g := range s.segments {
		for i, e := range g.entries {
			if slices.ContainsFunc(byEpoch[e.epoch], func(a span) bool {
				return a.First <= e.sequence && e.sequence <= a.Last
			}) {
				g.done(i)
			}
		}
	}
}
