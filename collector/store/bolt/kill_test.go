package bolt

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/store"
)

func program(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "WATCHBILL_STORE_PROGRAM="+name)
	return cmd
}

// TestKill kills a process that works on a store, at any moment from its creation on, and opens the store again: what
// was acknowledged is there, and nothing is there by half.
func TestKill(t *testing.T) {
	r := dice(t)
	path, acked, first, total := file(t), map[int]bool{}, 1, 0
	for round := range rounds(15, 1000) {
		if round%40 == 0 { // begin anew, so that creation is killed too and the rounds stay short
			path, acked, first = filepath.Join(t.TempDir(), "watchbill.db"), map[int]bool{}, 1
		}
		cmd := program("work", path, fmt.Sprint(first), "1000000", fmt.Sprint(1+r.IntN(8)))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := func() { _ = cmd.Process.Kill() } // it may have ended by itself; Wait tells
		var stopwatch *time.Timer
		begin := func() {
			if stopwatch == nil {
				stopwatch = time.AfterFunc(time.Duration(r.IntN(250_000))*time.Microsecond, kill)
			}
		}
		if round%3 == 0 {
			begin() // while it opens, perhaps; else from its first acknowledgement on, however busy the machine is
		}
		last := first
		if err := acks(out, func(i int) { begin(); acked[i] = true; last = max(last, i); total++ }); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		begin()
		stopwatch.Stop()
		if stderr.Len() > 0 {
			t.Fatalf("round %d: %s", round, stderr.String())
		}
		// Changes beyond the last acknowledged one may be there too, one for each goroutine.
		first = last + 20
		s, err := Open(path, Options{})
		if err != nil {
			t.Fatalf("round %d, after the kill: %v", round, err)
		}
		if err := verify(s, acked); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d acknowledgements, 0 lost", rounds(15, 1000), total)
	if total == 0 {
		t.Error("nothing was ever acknowledged: this proved nothing")
	}
}

// TestTwoProcesses: while one process has the store, another is told so, and by what.
func TestTwoProcesses(t *testing.T) {
	path := file(t)
	mustOpen(t, path, Options{})
	out, err := program("work", path, "1", "2", "1").CombinedOutput()
	if err == nil || !strings.Contains(string(out), store.ErrLocked.Error()) || !strings.Contains(string(out), path) ||
		!strings.Contains(string(out), "--storage.path") {
		t.Errorf("a second process: %v, %s", err, out)
	}
}
