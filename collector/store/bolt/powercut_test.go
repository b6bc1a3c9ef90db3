package bolt

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestPowerCut records with strace what a process at work writes, and when it waits for the disk to have it. Then it
// cuts the power at random moments: what was synced before is there; of every write since, all, nothing or some sectors;
// of names not synced, perhaps. The store must open and have every change that was acknowledged before the cut.
func TestPowerCut(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		peerMissing(t, "power cuts are computed from a trace of system calls: %v; install strace", err)
	}
	r := dice(t)
	var cuts, acknowledged, torn int
	for range rounds(2, 20) {
		tr := record(t, strace, 60+r.IntN(90), 1+r.IntN(6))
		for range rounds(100, 250) {
			cuts++
			at := r.IntN(tr.end + 1)
			acked := tr.acked(at)
			acknowledged += len(acked)
			path := file(t)
			pending := tr.leave(t, path, at, r)
			torn += pending
			s, err := Open(path, Options{})
			if err != nil {
				t.Fatalf("cut at line %d of %d, %d writes on their way: %v", at, tr.end, pending, err)
			}
			if err := verify(s, acked); err != nil {
				t.Fatalf("cut at line %d of %d, %d writes on their way: %v", at, tr.end, pending, err)
			}
			if err := work(s, 1_000_000); err != nil {
				t.Fatalf("working on after the cut: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(path); err != nil { // the whole lot would fill the disk
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d cuts, %d acknowledgements checked, %d writes on their way when the power went", cuts, acknowledged, torn)
	if torn == 0 || acknowledged == 0 {
		t.Error("no cut met a write on its way, or none followed an acknowledgement: this proved nothing")
	}
}

// sector is what a disk writes whole or not at all.
const sector = 512

// action is one thing a process did, from its system call's entry to its return (line numbers of the trace).
type action struct {
	call       string
	start, end int
	// kept is when a sync that began after the action ended came back: from then on it survives.
	kept int
	// path is what it was done to; data at offset was written, or size set.
	path   string
	data   []byte
	offset int64
}

// trace is everything that a process did to its store's file and its name.
type trace struct {
	path    string
	actions []action
	acks    map[int]int // change → line
	end     int
}

// record runs the work program under strace.
func record(t *testing.T, strace string, changes, goroutines int) trace {
	t.Helper()
	dir := t.TempDir()
	log, path := filepath.Join(dir, "trace"), filepath.Join(dir, "data", "watchbill.db")
	cmd := exec.Command(strace, "-f", "-qq", "-y", "-xx", "-s", "1000000", "--seccomp-bpf", "-o", log, "-e",
		"trace=pwrite64,write,fdatasync,fsync,ftruncate,link,linkat,rename,renameat,renameat2", "--",
		os.Args[0], path, "1", fmt.Sprint(changes+1), fmt.Sprint(goroutines))
	cmd.Env = append(os.Environ(), "WATCHBILL_STORE_PROGRAM=work")
	if out, err := cmd.CombinedOutput(); err != nil {
		peerMissing(t, "strace does not run here: %v: %s", err, out)
	}
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tr, err := parse(f, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if len(tr.acks) != changes {
		t.Fatalf("the trace shows %d of %d acknowledgements", len(tr.acks), changes)
	}
	return tr
}

var (
	callLine   = regexp.MustCompile(`^(\d+) +(\w+)\((.*)$`)
	resumeLine = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>`)
	quoted     = regexp.MustCompile(`"([^"]*)"`)
	onFile     = regexp.MustCompile(`^(\d+)<([^>]*)>`)
	numbers    = regexp.MustCompile(`, (\d+)(?:, (\d+))?(?:\)| <unfinished)`)
)

func parse(in io.Reader, path string) (trace, error) {
	tr := trace{path: path, acks: map[int]int{}}
	open := map[string]int{} // thread → its unfinished action
	lines := bufio.NewReaderSize(in, 1<<20)
	for n := 0; ; n++ {
		text, err := lines.ReadString('\n')
		if err == io.EOF {
			tr.end = n
			tr.settle()
			return tr, nil
		}
		if err != nil {
			return tr, err
		}
		text = strings.TrimSuffix(text, "\n")
		if m := resumeLine.FindStringSubmatch(text); m != nil {
			if i, ok := open[m[1]]; ok {
				tr.actions[i].end = n
				delete(open, m[1])
			}
			continue
		}
		m := callLine.FindStringSubmatch(text)
		if m == nil {
			continue // a signal
		}
		a, err := readAction(m[2], m[3])
		if err != nil {
			return tr, fmt.Errorf("line %d: %w", n, err)
		}
		a.start, a.end = n, n
		if a.call == "write" {
			if i, err := strconv.Atoi(strings.TrimSpace(string(a.data))); err == nil && strings.HasPrefix(m[3], "1<") {
				tr.acks[i] = n
			}
			continue
		}
		if strings.Contains(text, "<unfinished") {
			a.end = 1 << 60
			open[m[1]] = len(tr.actions)
		}
		tr.actions = append(tr.actions, a)
	}
}

func readAction(call, rest string) (action, error) {
	a := action{call: call}
	if m := onFile.FindStringSubmatch(rest); m != nil {
		a.path = string(unescape(m[2]))
	}
	strs := quoted.FindAllStringSubmatch(rest, 2)
	switch call {
	case "link", "linkat", "rename", "renameat", "renameat2":
		if len(strs) < 2 {
			return a, fmt.Errorf("%s of nothing: %.200s", call, rest)
		}
		a.call, a.path = "name", string(unescape(strs[1][1]))
	case "write", "pwrite64":
		if len(strs) < 1 {
			return a, fmt.Errorf("%s of nothing: %.200s", call, rest)
		}
		a.data = unescape(strs[0][1])
		fallthrough
	case "ftruncate":
		m := numbers.FindStringSubmatch(rest[strings.LastIndex(rest, `"`)+1:])
		if m == nil {
			return a, fmt.Errorf("%s without numbers: %.200s", call, rest)
		}
		a.offset, _ = strconv.ParseInt(m[1], 10, 64)
		if call == "pwrite64" {
			if a.offset != int64(len(a.data)) {
				return a, fmt.Errorf("pwrite64 of %d bytes shows %d", a.offset, len(a.data))
			}
			a.offset, _ = strconv.ParseInt(m[2], 10, 64)
		}
	}
	return a, nil
}

// unescape reads strace's -xx: every byte as \xNN.
func unescape(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, `\x`, ""))
	if err != nil {
		return []byte(s)
	}
	return b
}

// settle finds for every action the sync that made it survive. The file has two names in its life; both are it.
func (tr *trace) settle() {
	file := func(p string) bool { return p == tr.path || isDraft(tr.path, p) }
	for i := range tr.actions {
		a := &tr.actions[i]
		a.kept = 1 << 60
		for _, s := range tr.actions {
			if s.start <= a.end || s.end >= a.kept || s.call != "fsync" && s.call != "fdatasync" {
				continue
			}
			if a.call == "name" && s.path == filepath.Dir(a.path) || a.call != "name" && file(a.path) && file(s.path) {
				a.kept = s.end
			}
		}
	}
	tr.actions = slices.DeleteFunc(tr.actions, func(a action) bool {
		return !file(a.path) || a.call == "fsync" || a.call == "fdatasync"
	})
}

func (tr *trace) acked(at int) map[int]bool {
	out := map[int]bool{}
	for i, line := range tr.acks {
		if line <= at {
			out[i] = true
		}
	}
	return out
}

// leave writes to path what is on the disk when the power went at a line of the trace, and returns how many writes were
// on their way.
func (tr *trace) leave(t *testing.T, path string, at int, r *rand.Rand) (pending int) {
	t.Helper()
	var content []byte
	named, begun := false, false
	mode := r.IntN(4) // of what is on its way: nothing, everything, some sectors, some writes
	for _, a := range tr.actions {
		if a.start > at {
			continue
		}
		kept := a.kept <= at
		if !kept {
			pending++
		}
		switch {
		case a.call == "name":
			named = kept || r.IntN(2) == 0
		case a.call == "ftruncate":
			if kept || r.IntN(2) == 0 {
				content = sized(content, a.offset)
			}
		default:
			begun = true
			whole := r.IntN(2) == 0
			for i := 0; i < len(a.data); i += sector {
				if kept || mode == 1 || mode == 2 && r.IntN(2) == 0 || mode == 3 && whole {
					end := min(i+sector, len(a.data))
					content = sized(content, max(int64(len(content)), a.offset+int64(end)))
					copy(content[a.offset+int64(i):], a.data[i:end])
				}
			}
		}
	}
	if !named {
		path += draftMark + "-cut"
	}
	if named || begun && r.IntN(2) == 0 {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return pending
}

func sized(b []byte, n int64) []byte {
	if n <= int64(len(b)) {
		return b[:n]
	}
	return append(b, bytes.Repeat([]byte{0}, int(n)-len(b))...)
}
