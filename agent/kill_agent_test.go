package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/watchbill/watchbill/agent/sample"
	"github.com/watchbill/watchbill/agent/wire"
)

// lifeEnv has a life in it when this program is to be an agent that TestKill kills.
const lifeEnv = "WATCHBILL_AGENT_LIFE"

func TestMain(m *testing.M) {
	if raw := os.Getenv(lifeEnv); raw != "" {
		if err := live(raw); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(patient{m})
}

// patient gives goroutines that are about to end the time that a busy machine takes for it.
type patient struct{ *testing.M }

// Run implements goleak.TestingM. A look that finds something takes most of a second.
func (m patient) Run() int {
	code := m.M.Run()
	for n := 0; code == 0 && n < 100 && goleak.Find() != nil; n++ {
	}
	return code
}

// life is an agent from its start to the moment it is killed.
type life struct {
	Dir string
	// First is the number of its first report: each has one of its own, over all lives of a spool, as its memory_bytes.
	First uint64
	// Wrong is this host's clock minus the collector's.
	Wrong time.Duration
	// SpoolBytes is what the spool may take; far less than an operator may say, so that it is soon full.
	SpoolBytes int64
	// Every is its interval, far below what an operator may say.
	Every time.Duration
}

// Intervals: of agents that are killed, and of those that deliver everything, who must not make reports faster than the
// line of a busy machine takes them.
const (
	hasty = 2 * time.Millisecond
	calm  = 100 * time.Millisecond
)

// program is the life as a process. Closing its standard input, which its parent's end does too, ends it in order.
func (l life) program(t *testing.T) *exec.Cmd {
	t.Helper()
	raw, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), lifeEnv+"="+string(raw))
	return cmd
}

// live is the real agent, with its identity, transport, push and spool, and says on standard output which report it is
// about to make ("made 7") and which is in its spool ("kept 7"). What it logs as an error is its end.
func live(raw string) error {
	var l life
	if err := json.Unmarshal([]byte(raw), &l); err != nil {
		return err
	}
	cfg := DefaultConfig()
	cfg.DataDir, cfg.Proxy = l.Dir, "none"
	n := l.First - 1
	say := func(word string) { fmt.Println(word, n) }
	a, err := New(cfg, Options{
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})), Version: "1.2.3",
		Now:       func() time.Time { return time.Now().Add(l.Wrong) },
		Sources:   []sample.Source{{Name: "noise", Kind: "node", Sampler: sampler(readNoise)}},
		Bundles:   []sample.Bundle{},
		Inventory: func(context.Context) (*wire.Inventory, error) { return &wire.Inventory{Hostname: "web1"}, nil },
		Memory:    func() (uint64, uint64) { n++; say("made"); return n, 1 << 50 }, // asked once a report, before anything else
		OnReport:  func() { say("kept") },
	})
	if err != nil {
		return err
	}
	a.cfg.Interval, a.cfg.Spool.MaxBytes = l.Every, Bytes(l.SpoolBytes)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until it is closed
		cancel()
	}()
	return a.Run(ctx)
}

// readNoise reads what no encoding makes small.
func readNoise(context.Context, time.Time) (sample.Reading, error) {
	var out sample.Reading
	for i := range 40 {
		out.Samples = append(out.Samples, wire.Sample{
			Name: "noise", Labels: []wire.Label{{Name: "i", Value: strconv.Itoa(i)}}, Value: rand.Float64(),
		})
	}
	return out, nil
}
