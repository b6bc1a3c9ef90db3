package agent

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/spool"
	"github.com/watchbill/watchbill/agent/wire"
)

// The proof runs short by default; -long runs the round that README.md records, -seed repeats one.
var (
	long = flag.Bool("long", false, "kill the agent 2,000 times")
	seed = flag.Uint64("seed", 0, "seed of TestKill; 0 takes a new one")
)

// Sizes of spools: all that these agents ever make, and so little that it is full after a few lives.
const (
	roomy   = minSpool
	cramped = 64 << 10
)

// TestKill kills agents at any moment from their start on, under a line that is cut or bad and clocks that are wrong, and
// looks at what is in the spool after each kill and at what arrived in the end. Promise 4: nothing that was in the spool
// is lost but what had to go for want of room, which is counted and told; nothing arrives under two names; no name is
// given twice.
func TestKill(t *testing.T) {
	s, kills, lives := *seed, 30, 15
	if *long {
		kills, lives = 2000, 50
	}
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed %d", s)
	r := rand.New(rand.NewPCG(s, 4))
	w := newWitness(t, rand.New(rand.NewPCG(s, 5)))
	var sum tally
	for n := 0; sum.kills < kills || !sum.whole() && sum.kills < 10*kills; n++ { // on a busy machine lives may be too short for it
		e := &era{t: t, w: w, r: r, dir: t.TempDir(), bytes: roomy, spooled: map[uint64]name{}, names: map[name]uint64{}}
		if n%2 == 1 {
			e.bytes = cramped
		}
		w.enrol(e.dir)
		e.play(lives)
		sum.add(e)
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%+v", sum)
	if !sum.whole() {
		t.Errorf("%+v: of what this is to prove, something never happened", sum)
	}
}

// tally is what happened in all eras.
type tally struct {
	kills, kept, arrived, dropped, lost int
	twice, cutOff                       int // reports delivered more than once; kills with a report made and not known to be kept
}

// whole tells whether all that is to be proved happened.
func (s *tally) whole() bool {
	return s.kept > 0 && s.arrived > 0 && s.dropped > 0 && s.cutOff > 0 && s.twice > 0
}

func (s *tally) add(e *era) {
	s.kills += e.kills
	s.kept += len(e.spooled)
	s.arrived += len(e.w.numbers)
	s.dropped += int(e.stats.Dropped)
	s.lost += e.lost
	s.twice += e.w.twice
	s.cutOff += e.cutOff
}

// era is one spool and its agents, one after the other.
type era struct {
	t     *testing.T
	w     *witness
	r     *rand.Rand
	dir   string
	bytes int64

	kills, cutOff int
	next          uint64          // number that no report had
	spooled       map[uint64]name // reports that ever were in the spool; without a name while nobody has seen it
	names         map[name]uint64 // the other way round; 0 for a goodbye
	stats         spool.Stats     // after the last life
	lost          int             // reports gone that never arrived
}

// play kills so many agents, and lets the last one deliver all there is.
func (e *era) play(lives int) {
	for e.kills < lives || e.bytes == cramped && e.stats.Dropped == 0 {
		if e.kills > 10*lives {
			e.t.Fatalf("after %d lives nothing was dropped from a spool of %d bytes", e.kills, e.bytes)
		}
		e.w.begin(e.cut(lives), true, e.r.IntN(5) == 0, nil)
		e.live(e.r.IntN(3) == 0)
		e.kills++
		e.look(filepath.Join(e.dir, "spool"), true)
		if e.t.Failed() {
			e.t.Fatalf("kill %d of this spool", e.kills)
		}
	}
	before := e.stats
	e.drain()
	e.look(filepath.Join(e.dir, "spool"), false)
	e.settle(before)
}

// cut says whether the next life of so many has no line. A spool that is to be full has none until it is, and none in the
// last third, so that the last agent has drops to tell of.
func (e *era) cut(lives int) bool {
	if e.bytes == roomy {
		return e.r.IntN(4) == 0
	}
	return e.stats.Dropped == 0 || e.kills > lives*2/3 || e.r.IntN(2) == 0
}

// live starts an agent and kills it at any moment: from the start on when early, else from its first report on, however
// busy the machine is.
func (e *era) live(early bool) {
	cmd, out, stderr := e.start(hasty)
	kill := func() { _ = cmd.Process.Kill() } // it may have ended by itself; Wait tells
	var fuse *time.Timer
	light := func() {
		if fuse == nil {
			fuse = time.AfterFunc(time.Duration(e.r.IntN(120_000))*time.Microsecond, kill)
		}
	}
	if early {
		light()
	}
	made, kept := e.listen(out, light)
	light()
	err := cmd.Wait()
	fuse.Stop()
	if stderr.Len() > 0 || cmd.ProcessState.Exited() {
		e.t.Fatalf("the agent ended by itself: %v: %s", err, stderr)
	}
	if made > kept {
		e.cutOff++
	}
}

// start starts an agent under a clock of its own.
func (e *era) start(every time.Duration) (*exec.Cmd, *bufio.Scanner, *bytes.Buffer) {
	e.t.Helper()
	wrong := time.Duration(0)
	if e.r.IntN(3) == 0 {
		wrong = time.Duration(e.r.Int64N(int64(4*time.Hour))) - 2*time.Hour
	}
	e.next = (e.next/100_000 + 1) * 100_000
	cmd, stderr := life{Dir: e.dir, First: e.next, Wrong: wrong, SpoolBytes: e.bytes, Every: every}.program(e.t), &bytes.Buffer{}
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		e.t.Fatal(err)
	}
	in, err := cmd.StdinPipe() // Wait closes it
	if err != nil {
		e.t.Fatal(err)
	}
	e.w.mu.Lock()
	e.w.first = e.next
	if e.w.caught != nil {
		e.w.caught = func() { _ = in.Close() } // the agent ends in order
	}
	e.w.mu.Unlock()
	if err := cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out), stderr
}

// listen hears an agent out: the last report it made and the last it knows to be in its spool.
func (e *era) listen(out *bufio.Scanner, first func()) (made, kept uint64) {
	e.t.Helper()
	for out.Scan() {
		first()
		var word string
		var n uint64
		if _, err := fmt.Sscan(out.Text(), &word, &n); err != nil || n < e.next {
			e.t.Fatalf("the agent says %q: %v", out.Text(), err)
		}
		made = n
		if word == "kept" {
			kept = n
			if _, ok := e.spooled[n]; !ok {
				e.spooled[n] = name{}
			}
		}
	}
	if err := out.Err(); err != nil && !errors.Is(err, os.ErrClosed) {
		e.t.Fatal(err)
	}
	return made, kept
}

// drain lets an agent deliver everything over a good line, and stops it in order.
func (e *era) drain() {
	e.w.begin(false, false, false, func() {})
	cmd, out, stderr := e.start(calm)
	hangs := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	e.listen(out, func() {})
	err := cmd.Wait()
	if !hangs.Stop() || err != nil || stderr.Len() > 0 {
		e.t.Fatalf("an agent that had all the time there is did not deliver what there was: %v: %s", err, stderr)
	}
}

// look reads a spool, or a copy of it so that the next agent finds it as it was left, and holds it against what is known.
func (e *era) look(dir string, copied bool) {
	e.t.Helper()
	if copied {
		to := filepath.Join(e.dir, "copy")
		if err := os.RemoveAll(to); err != nil {
			e.t.Fatal(err)
		}
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			return // it was killed before it had one
		}
		if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
			e.t.Fatal(err)
		}
		dir = to
	}
	s, err := spool.Open(dir, spool.Options{MaxBytes: e.bytes, Reserve: -1})
	if err != nil {
		e.t.Fatalf("after the kill: %v", err)
	}
	defer s.Close()
	held := map[name]bool{}
	for item, err := range s.Waiting() {
		if n := e.hold(s, item, err, held); !copied && n < e.next && n != 0 {
			e.t.Errorf("report %d is of an earlier life and still waits", n)
		}
	}
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	for item, err := range s.Since(time.UnixMilli(0)) {
		e.hold(s, item, err, held)
		if is := (name{item.Epoch, item.Sequence}); e.w.names[is] == "" {
			e.t.Errorf("%v counts as acknowledged and never arrived", is)
		}
	}
	e.count(s.Stats(), held)
}

// hold takes down a report that the spool holds.
func (e *era) hold(s *spool.Spool, item spool.Item, err error, held map[name]bool) (number uint64) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
	is := name{item.Epoch, item.Sequence}
	if held[is] {
		e.t.Errorf("%v is there twice", is)
	}
	held[is] = true
	own := ownMetrics(item.Report, func(id []byte) (wire.Layout, bool) {
		shape, ok := s.Shape(id)
		if !ok {
			return wire.Layout{}, false
		}
		l, err := wire.ReadShape(shape, wire.DefaultLimits())
		return l, err == nil
	})
	number = uint64(own["watchbill_agent_memory_bytes"]) // 0 for a goodbye
	e.know(is, number)
	return number
}

// know takes down that a report has a name.
func (e *era) know(is name, number uint64) {
	if before, ok := e.names[is]; ok && before != number {
		e.t.Errorf("%v is report %d, and was report %d", is, number, before)
	}
	e.names[is] = number
	if number == 0 {
		return
	}
	if before := e.spooled[number]; before != is && before != (name{}) {
		e.t.Errorf("report %d is %v, and was %v", number, is, before)
	}
	e.spooled[number] = is
}

// count holds what is gone from the spool against what it says of drops; the witness is locked.
func (e *era) count(st spool.Stats, held map[name]bool) {
	e.t.Helper()
	gone, lost := 0, 0
	for number, is := range e.spooled {
		if is == (name{}) {
			if at, ok := e.w.numbers[number]; ok {
				e.know(at, number)
				is = at
			}
		}
		if held[is] {
			continue
		}
		gone++
		if _, ok := e.w.numbers[number]; !ok {
			lost++
		}
	}
	for number, is := range e.w.numbers {
		if e.spooled[number] != is {
			e.t.Errorf("report %d arrived as %v; in the spool it was %v", number, is, e.spooled[number])
		}
	}
	if int(st.Dropped) < lost || int(st.Dropped) > gone || st.Dropped < e.stats.Dropped || st.Untold > st.Dropped {
		e.t.Errorf("%d reports are gone, %d of them never arrived; the spool says that it dropped %d (%d before), %d untold", gone, lost,
			st.Dropped, e.stats.Dropped, st.Untold)
	}
	if told := st.Dropped - st.Untold; float64(told) > e.w.dropped {
		e.t.Errorf("the spool takes %d drops for told; no report that arrived told of more than %v", told, e.w.dropped)
	}
	if e.bytes == roomy && gone > 0 || st.Bytes > e.bytes || st.Damaged > 0 {
		e.t.Errorf("%d reports are gone from a spool of %d bytes: %+v", gone, e.bytes, st)
	}
	e.stats, e.lost = st, lost
}

// settle checks, after all was delivered, what the collector has; before is how the spool was before.
func (e *era) settle(before spool.Stats) {
	e.t.Helper()
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	// What had to go after the last report was made is for the next agent to tell.
	if told := e.stats.Dropped - e.stats.Untold; float64(told) < e.w.dropped {
		e.t.Errorf("all was delivered, a report told of %v drops, and yet %d of %d are untold", e.w.dropped, e.stats.Untold, e.stats.Dropped)
	}
	if uint64(e.w.untold) < before.Untold || e.w.told < before.Untold {
		e.t.Errorf("%d drops were untold; reports told of %v, events of %d", before.Untold, e.w.untold, e.w.told)
	}
	all := slices.SortedFunc(maps.Keys(e.names), func(a, b name) int {
		return cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.sequence, b.sequence))
	})
	newest := uint64(0)
	for _, is := range all {
		n := e.names[is]
		if n != 0 && n < newest {
			e.t.Errorf("%v is report %d, and one before it report %d: its name is of an earlier life", is, n, newest)
		}
		newest = max(newest, n)
	}
}
