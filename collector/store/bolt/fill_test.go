package bolt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/store"
)

// fill is one round on a small file system at dir: work until there is no room, see that the refusal is one, that what
// is there can be read, that work goes on by itself when there is room again, and that all is there after opening again.
func fill(dir string, r *rand.Rand) error {
	path, ballast := filepath.Join(dir, "watchbill.db"), filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 256<<10+r.IntN(1<<20)), 0o600); err != nil {
		return err
	}
	o := Options{Reserve: -1} // bbolt itself runs into the end of the disk
	if r.IntN(3) == 0 {
		o = Options{}
	}
	s, err := Open(path, o)
	if err != nil {
		return err
	}
	acked := map[int]bool{}
	next, err := untilFull(s, 1, acked)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	before := len(acked)
	for range 3 { // again and again: a refusal changes nothing
		if next, err = untilFull(s, next, acked); err != nil {
			return errors.Join(err, s.Close())
		}
		if err := readable(s, acked); err != nil {
			return errors.Join(fmt.Errorf("reading while full: %w", err), s.Close())
		}
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	if err := work(s, next); err != nil {
		return errors.Join(fmt.Errorf("with room again: %w", err), s.Close())
	}
	acked[next] = true
	if _, err = untilFull(s, next+1, acked); err != nil || len(acked) <= before {
		return errors.Join(fmt.Errorf("full again after %d and %d changes: %w", before, len(acked), err), s.Close())
	}
	if err := s.Close(); err != nil {
		return err
	}
	// A store can be opened and read on a full disk.
	if s, err = Open(path, o); err != nil {
		return fmt.Errorf("opening while full: %w", err)
	}
	if err := readable(s, acked); err != nil {
		return errors.Join(err, s.Close())
	}
	return s.Close()
}

// untilFull works until there is no room; what is refused must be refused with store.ErrFull. It returns the number of
// the first change that was not made.
func untilFull(s *Store, from int, acked map[int]bool) (next int, err error) {
	for i := from; i < from+10_000; i++ {
		err := work(s, i)
		switch {
		case err == nil:
			acked[i] = true
		case !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "Make room"):
			return i, fmt.Errorf("refused with another error: %w", err)
		default:
			return i, nil
		}
	}
	return 0, errors.New("the disk was never full")
}

// readable is the part of verify that only reads.
func readable(s *Store, acked map[int]bool) error {
	err := verify(s, acked)
	if errors.Is(err, store.ErrFull) {
		return nil // verify asks for decisions, which is an update, after everything was read
	}
	return err
}

// fillProgram runs rounds of fill, each on a fresh small tmpfs at dir; it wants a mount namespace of its own.
func fillProgram(dir, rounds, seed string) error {
	n, err := strconv.Atoi(rounds)
	number, err2 := strconv.ParseUint(seed, 10, 64)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(number, 2))
	for i := range n {
		size := 2<<20 + r.IntN(6<<20)
		if err := onSmallDisk(dir, size, func() error { return fill(dir, r) }); err != nil {
			return fmt.Errorf("round %d, %d bytes: %w", i, size, err)
		}
	}
	return nil
}

// TestFullDisk needs the right to mount in a namespace of its own.
func TestFullDisk(t *testing.T) {
	n := rounds(6, 500)
	cmd := program("fill", t.TempDir(), strconv.Itoa(n), strconv.FormatUint(dice(t).Uint64(), 10))
	isolate(cmd)
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), errNoMount.Error()) || err != nil && cmd.ProcessState == nil {
		peerMissing(t, "a small file system cannot be mounted here: %v %s", err, out)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%d small disks were filled twice each", n)
}

var errNoMount = errors.New("mounting is refused")

// TestReserve: an update that finds too little room is refused before it runs, and the message has the figures.
func TestReserve(t *testing.T) {
	free := uint64(100 << 20)
	s := mustOpen(t, file(t), Options{Space: func(string) (uint64, uint64, error) { return free, 4 << 30, nil }})
	for name, c := range map[string]struct {
		free uint64
		full bool
	}{"enough": {64 << 20, false}, "too little": {64<<20 - 1, true}, "nothing": {0, true}, "enough again": {1 << 30, false}} {
		free = c.free
		before, err := dump(s)
		if err != nil {
			t.Fatal(err)
		}
		err = work(s, int(c.free%1000)+1)
		if errors.Is(err, store.ErrFull) != c.full {
			t.Errorf("%s: %v", name, err)
		}
		if c.full {
			for _, want := range []string{s.engine.path, fmt.Sprint(c.free), fmt.Sprint(64 << 20), "Make room"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %q does not say %q", name, err, want)
				}
			}
		}
		if after, err := dump(s); err != nil || (after == before) != c.full {
			t.Errorf("%s: changed %v, %v", name, after != before, err)
		}
	}
	for size, want := range map[uint64]uint64{4 << 30: 64 << 20, 100 << 20: 5 << 20, 0: 0} {
		if got := (Options{}).reserve(size); got != want {
			t.Errorf("of %d bytes %d stay free, want %d", size, got, want)
		}
	}
}
