package main

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var long = flag.Bool("long", false, "run the long rounds of the crash proofs")

// shopRule fires when the watched process is gone, after a moment of pending so that a crash can come between.
const shopRule = `groups:
- name: shop
  interval: 200ms
  rules:
  - alert: ShopGone
    expr: namedprocess_namegroup_num_procs{groupname="wbshop"} == 0
    for: 600ms
    labels: {severity: critical, service: shop, system: application}
    annotations:
      summary: "The shop is down on {{ $labels.instance }}"
      first_checks: "systemctl status wbshop"
`

// victim starts a process called wbshop.
func victim(t testing.TB, dir string) *process {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip("no `sleep` to make a victim of")
	}
	bin := filepath.Join(dir, "wbshop")
	if _, err := os.Stat(bin); err != nil {
		b, err := os.ReadFile(sleep)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(bin, b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return start(t, exec.Command(bin, "600"))
}

// A real disk fills: one ticket opens with all five parts, is worked on, and is resolved when the disk is freed.
func TestFilledDiskBecomesOneCompleteTicket(t *testing.T) {
	h := newHouse(t, "groups: []\n", true)
	small := filepath.Join(h.dir, "small")
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	_, bin := binaries(t)
	h.serve()
	config := h.enrol("wbshop")
	victim(t, h.dir)
	agent := start(t, inMountNamespace(t, small, "16m", bin, "run", "--config.file", config))
	h.reporting()

	full := inside(agent, filepath.Join(small, "fill"))
	if err := os.WriteFile(full, bytes.Repeat([]byte{1}, 17<<20), 0o644); err == nil {
		t.Fatal("17 MiB fit into a tmpfs of 16 MiB: nothing was filled")
	}
	broke := time.Now()
	tk := h.openTicket(small) // another on this machine may be full too
	t.Logf("fault to visible ticket: %v", time.Since(broke).Round(time.Millisecond))
	if tk.Priority != "P1" || tk.Customer != "acme" || tk.Asset != "web1" || tk.State != "new" {
		t.Errorf("ticket %+v", tk)
	}
	h.complete(tk)
	for part, want := range map[string]string{
		"time": "first bad sample", "symptoms": small, "affected_users": "40 people depend on it",
	} {
		if !strings.Contains(fmt.Sprint(tk.Record[part]), want) {
			t.Errorf("%s does not say %q: %+v", part, want, tk.Record[part])
		}
	}
	h.cli("ticket", "ack", tk.Number)
	h.cli("ticket", "note", tk.Number, "-m", "emptying it")
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	h.state(tk.Number, "resolved")
	h.cli("ticket", "close", tk.Number)
	h.cli("ticket", "verify-chain", tk.Number)
	eventually(t, patience, "the desk heard it all", func() bool {
		return h.hook.count(tk.Number+" opened") > 0 && h.hook.count(tk.Number+" resolved") > 0 &&
			h.hook.count(tk.Number+" closed") > 0
	})
	about := 0
	for _, other := range h.tickets() {
		if strings.Contains(other.Title, small) {
			about++
		}
	}
	if about != 1 {
		t.Errorf("%d tickets about the full disk, want one: %+v", about, h.tickets())
	}
}

// complete checks that every part of the record says something or why not.
func (h *house) complete(tk ticketJSON) {
	h.t.Helper()
	for _, part := range []string{"time", "symptoms", "affected_users", "error_references", "actions_taken"} {
		p, ok := tk.Record[part]
		switch {
		case !ok:
			h.t.Errorf("the record has no part %s", part)
		case len(p.Entries) == 0 && !strings.HasPrefix(p.None, "none, because "):
			h.t.Errorf("%s is empty and does not say why: %q", part, p.None)
		}
		for _, e := range p.Entries {
			if e.Text == "" || e.Source == "" {
				h.t.Errorf("%s has an entry without text or source: %+v", part, e)
			}
		}
	}
}

// reporting waits until the asset's reports arrive.
func (h *house) reporting() {
	h.t.Helper()
	eventually(h.t, patience, "web1 reports", func() bool {
		var list struct {
			Assets []struct{ Name, State string }
		}
		h.ask(&list, "asset", "list")
		return len(list.Assets) == 1 && list.Assets[0].State == "reporting"
	})
}

func (h *house) state(number, want string) {
	h.t.Helper()
	eventually(h.t, patience, number+" is "+want, func() bool {
		var tk ticketJSON
		h.ask(&tk, "ticket", "show", number)
		return tk.State == want
	})
}

// The collector is killed between alert and ticket, between ticket and message, and at random moments: there is one
// ticket, every message arrives, the chain is whole. Ten rounds; two hundred with -long.
func TestKilledCollectorLosesNothing(t *testing.T) {
	rounds := 10
	if *long {
		rounds = 200
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	h := newHouse(t, shopRule, false)
	h.serve()
	_, bin := binaries(t)
	agent := start(t, exec.Command(bin, "run", "--config.file", h.enrol("wbshop")))
	shop := victim(t, h.dir)
	h.reporting()
	for round := range rounds {
		if end, ok := t.Deadline(); *long && ok && time.Until(end) < 3*time.Minute {
			t.Logf("%d of %d rounds: -timeout is near", round, rounds)
			rounds = round
			break
		}
		h.round(round, rnd, shop)
		shop = victim(t, h.dir)
		tk := h.newest()
		h.state(tk.Number, "resolved")
		h.cli("ticket", "close", tk.Number)
	}
	all := h.tickets()
	if len(all) != rounds {
		t.Errorf("%d tickets for %d faults: %+v", len(all), rounds, all)
	}
	for _, tk := range all {
		h.cli("ticket", "verify-chain", tk.Number)
		eventually(t, patience, "every message about "+tk.Number+" arrived", func() bool {
			return h.hook.count(tk.Number+" opened") > 0 && h.hook.count(tk.Number+" resolved") > 0 &&
				h.hook.count(tk.Number+" closed") > 0
		})
	}
	if code := agent.stop(t); code != 0 {
		t.Errorf("the agent ended with %d", code)
	}
}

// round breaks the shop, kills the collector somewhere on the way to the desk, and waits for the one ticket.
func (h *house) round(n int, rnd *rand.Rand, shop *process) {
	h.t.Helper()
	before := len(h.tickets())
	switch n % 3 {
	case 0: // between alert and ticket: the alert is pending
		shop.kill()
		eventually(h.t, patience, "the alert is pending or further", func() bool {
			return strings.Contains(h.cli("alert", "list"), "ShopGone")
		})
	case 1: // between ticket and message: the desk refuses until the collector is dead
		h.hook.misbehave(true)
		knocks := h.hook.knocks()
		shop.kill()
		eventually(h.t, patience, "the desk was called", func() bool { return h.hook.knocks() > knocks })
	case 2: // anywhere
		shop.kill()
		<-time.After(time.Duration(rnd.IntN(1500)) * time.Millisecond)
	}
	h.collector.kill()
	h.hook.misbehave(false)
	h.serve()
	eventually(h.t, patience, "the fault has its ticket", func() bool { return len(h.tickets()) > before })
	if n := len(h.tickets()); n != before+1 {
		h.t.Fatalf("%d tickets for one fault", n-before)
	}
}

func (h *house) newest() ticketJSON {
	h.t.Helper()
	all := h.tickets()
	if len(all) == 0 {
		h.t.Fatal("no ticket")
	}
	return all[0]
}

// A host goes silent without a word: its ticket says so, and it is resolved when the host is back.
func TestSilentHostBecomesATicket(t *testing.T) {
	h := newHouse(t, shopRule, false)
	h.amend("least: 2m", "least: 2s")
	h.serve()
	_, bin := binaries(t)
	config := h.enrol("wbshop")
	victim(t, h.dir)
	agent := start(t, exec.Command(bin, "run", "--config.file", config))
	h.reporting()
	agent.kill()
	tk := h.openTicket("web1 is up, but its agent is silent")
	if tk.Priority != "P1" || tk.Asset != "web1" {
		t.Errorf("%+v", tk)
	}
	h.complete(tk)
	start(t, exec.Command(bin, "run", "--config.file", config))
	h.state(tk.Number, "resolved")
}

// What an operator does wrong is told so that they can mend it, and harms nothing.
func TestErrorsSayWhatToDo(t *testing.T) {
	h := newHouse(t, shopRule, false)
	bin, _ := binaries(t)
	fails := func(name string, want string, args ...string) {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command(bin, args...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), want) {
				t.Errorf("watchbill %s: %v, want an error that says %q:\n%s", strings.Join(args, " "), err, want, out)
			}
		})
	}
	serve := func(config string) []string { return []string{"serve", "--config.file", config} }

	fails("unknown key", "line 2", serve(h.write("typo.yml", "storage: {path: data}\nwep: {}\n"))...)
	h.write("broken.yml", "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up ==\n")
	fails("broken rule", "broken.yml", serve(h.write("c2.yml", "storage: {path: data2}\nrules: {files: [broken.yml]}\n"))...)

	l, err := net.Listen("tcp", h.web)
	if err != nil {
		t.Fatal(err)
	}
	fails("port taken", "--web.listen-address", serve(h.config)...)
	l.Close()

	h.serve()
	other := h.write("other.yml", fmt.Sprintf("storage: {path: data}\nweb: {listen_address: %q}\nagents: {listen_address: %q}\n",
		freePort(t), freePort(t)))
	fails("two collectors on one store", "in use by another process", serve(other)...)

	h.collector.kill()
	spoil(t, filepath.Join(h.dir, "data", "watchbill.db"))
	fails("damaged store", "damaged", serve(h.config)...)
}

// spoil flips bits in the middle of a file, in every page but the first two.
func spoil(t testing.TB, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 2*4096 + 100; i < len(b); i += 512 {
		b[i] ^= 0x55
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
