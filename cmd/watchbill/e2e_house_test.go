package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// These tests run the real binaries against each other: a collector, an agent and a receiver of webhooks, each its own
// process or server, on loopback ports and temporary directories of their own.

// built is the binaries, made once per test run.
var built struct {
	once            sync.Once
	collector, agen string
	err             error
}

// binaries builds both commands, or skips where there is no go tool.
func binaries(t testing.TB) (collector, agent string) {
	t.Helper()
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "watchbill-e2e-")
		if err != nil {
			built.err = err
			return
		}
		cleanups = append(cleanups, func() { os.RemoveAll(dir) })
		built.collector, built.agen = filepath.Join(dir, "watchbill"), filepath.Join(dir, "watchbill-agent")
		out, err := exec.Command("go", "build", "-o", dir, "../watchbill", "../watchbill-agent").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.collector, built.agen
}

// cleanups run when all tests of this package are done.
var cleanups []func()

func TestMain(m *testing.M) {
	if mountNamespaceChild() {
		return
	}
	leave, err := ownSurroundings()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	cleanups = append(cleanups, leave)
	code := m.Run()
	for _, f := range cleanups {
		f()
	}
	os.Exit(code)
}

// ownSurroundings gives the tests a state directory of their own, and takes the token and the proxies away: whoever runs the
// tests may run a collector, too, or stand behind a proxy.
func ownSurroundings() (leave func(), err error) {
	dir, err := os.MkdirTemp("", "watchbill-state-")
	if err != nil {
		return nil, err
	}
	err = os.Setenv("XDG_STATE_HOME", dir)
	for _, name := range []string{tokenEnv, "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
		err = errors.Join(err, os.Unsetenv(name))
	}
	return func() { os.RemoveAll(dir) }, err
}

// house is one collector with its surroundings.
type house struct {
	t           testing.TB
	dir         string
	web, agents string
	config      string
	hook        *hook
	collector   *process
}

// newHouse writes a configuration with these rules, and the shipped ones if asked, and starts nothing yet. It does not take a
// busy machine for a silent host.
func newHouse(t testing.TB, ruleFile string, packs bool) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), web: freePort(t), agents: freePort(t), hook: newHook(t)}
	h.write("rules.yml", ruleFile)
	h.write("fleet/acme.yml", `customers:
- id: acme
  name: Acme Ltd
  department: software-one
  zone: Europe/London
  sites:
  - id: london
    name: London office
    assets:
    - name: web1
      role: web server of the shop
      users: 40
`)
	h.config = h.write("watchbill.yml", fmt.Sprintf(`
storage: {path: data}
web: {listen_address: %q}
agents: {listen_address: %q}
fleet: {directory: fleet}
rules: {packs: %t, files: [rules.yml]}
evaluation: {interval: 200ms}
silence: {intervals: 3, least: 2m, after_goodbye: 30s}
receivers:
- name: desk
  webhook: {url: %q, secret: hush, timeout: 10s}
`, h.web, h.agents, packs, h.hook.server.URL))
	return h
}

// amend replaces a piece of the configuration.
func (h *house) amend(old, new string) {
	h.t.Helper()
	text, err := os.ReadFile(h.config)
	if err != nil {
		h.t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		h.t.Fatalf("the configuration does not say %q:\n%s", old, text)
	}
	h.write(filepath.Base(h.config), strings.Replace(string(text), old, new, 1))
}

func (h *house) write(name, content string) string {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// serve starts the collector and waits until it is ready.
func (h *house) serve() {
	h.t.Helper()
	bin, _ := binaries(h.t)
	h.collector = start(h.t, exec.Command(bin, "serve", "--config.file", h.config))
	eventually(h.t, patience, "the collector is ready", func() bool {
		if code, done := h.collector.ended(); done {
			h.t.Fatalf("the collector ended with %d:\n%s", code, h.collector.output())
		}
		resp, err := http.Get("http://" + h.web + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// cli runs one command of the operator's and returns what it printed.
func (h *house) cli(args ...string) string {
	h.t.Helper()
	out, err := h.tryCLI(args...)
	if err != nil {
		h.t.Fatalf("watchbill %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (h *house) tryCLI(args ...string) (string, error) {
	bin, _ := binaries(h.t)
	args = append(args, "--url", "http://"+h.web, "--storage.path", filepath.Join(h.dir, "data"))
	out, err := exec.Command(bin, args...).CombinedOutput()
	return string(out), err
}

// ask decodes what a command prints with --output json.
func (h *house) ask(v any, args ...string) {
	h.t.Helper()
	out := h.cli(append(args, "--output", "json")...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		h.t.Fatalf("watchbill %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// enrol makes a token and turns it into an agent's identity; it returns the agent's configuration file. The agent watches
// this house's own process: those of other tests on the same machine are called the same.
func (h *house) enrol(watched string) string {
	h.t.Helper()
	var made struct {
		Text string `json:"text"`
	}
	h.ask(&made, "token", "create", "--customer", "acme", "--site", "london", "--asset", "web1")
	config := h.write("agent.yml", fmt.Sprintf(`
data_dir: %s
interval: 200ms
samplers:
  watch: [{name: %s, cmdline: '^%s 600$'}]
`, filepath.Join(h.dir, "agent"), watched, regexp.QuoteMeta(filepath.Join(h.dir, watched))))
	_, bin := binaries(h.t)
	out, err := exec.Command(bin, "enroll", "--config.file", config, "--token", made.Text).CombinedOutput()
	if err != nil {
		h.t.Fatalf("watchbill-agent enroll: %v\n%s", err, out)
	}
	out, err = exec.Command(bin, "enroll", "--storage.path", filepath.Join(h.dir, "thief"), "--token", made.Text).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "already used") {
		h.t.Fatalf("a replayed token: %v, want it refused as already used:\n%s", err, out)
	}
	return config
}

// ticketJSON is as much of the API's object as these tests look at.
type ticketJSON struct {
	ID, Number, State, Severity, Priority, Customer, Site, Asset, Title string
	Record                                                              map[string]struct {
		Entries []struct{ Text, Source string }
		None    string
	}
	Alerts   []struct{ Name string }
	Timeline []struct{ Kind, Text string }
}

// tickets lists them all, newest first.
func (h *house) tickets() []ticketJSON {
	h.t.Helper()
	var list struct{ Tickets []ticketJSON }
	h.ask(&list, "ticket", "list", "--all", "--limit", "1000")
	return list.Tickets
}

// openTicket waits for one open ticket of a service of web1 and returns it whole.
func (h *house) openTicket(title string) ticketJSON {
	h.t.Helper()
	var found ticketJSON
	eventually(h.t, patience, "a ticket says "+title, func() bool {
		out, err := h.tryCLI("ticket", "list", "--output", "json")
		if err != nil {
			return false // the collector may be starting
		}
		var list struct{ Tickets []ticketJSON }
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			h.t.Fatalf("%v in %s", err, out)
		}
		for _, tk := range list.Tickets {
			if strings.Contains(tk.Title, title) {
				found = tk
				return true
			}
		}
		return false
	})
	h.ask(&found, "ticket", "show", found.Number)
	return found
}

// hook receives webhooks and misbehaves when told to.
type hook struct {
	server *httptest.Server
	mu     sync.Mutex
	// refuse answers 500; got counts deliveries that were answered well, by what happened to which ticket.
	refuse bool
	got    map[string]int
	log    []delivery
	seen   int
}

type delivery struct {
	number, what string
	at           time.Time
}

func newHook(t testing.TB) *hook {
	h := &hook{got: map[string]int{}}
	h.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Version string
			Ticket  struct{ Number string }
			Notice  struct{ What string }
		}
		raw, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.seen++
		if err := json.Unmarshal(raw, &body); err != nil || body.Version != "4" || r.Header.Get("X-Watchbill-Signature") == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if h.refuse {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		h.got[body.Ticket.Number+" "+body.Notice.What]++
		h.log = append(h.log, delivery{body.Ticket.Number, body.Notice.What, time.Now()})
	}))
	t.Cleanup(h.server.Close)
	return h
}

func (h *hook) misbehave(yes bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refuse = yes
}

func (h *hook) count(key string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.got[key]
}

func (h *hook) knocks() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen
}

// process is a child of this test; it is killed when the test ends.
type process struct {
	cmd  *exec.Cmd
	out  *buffer
	done chan struct{}
}

func start(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, out: &buffer{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s\n%s", strings.Join(cmd.Args, " "), p.output())
		}
	})
	return p
}

// kill is kill -9; it returns when the process is gone.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// stop is SIGTERM; it returns the exit code.
func (p *process) stop(t testing.TB) int {
	t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatalf("%s does not stop:\n%s", p.cmd.Args[0], p.output())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) ended() (int, bool) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), true
	default:
		return 0, false
	}
}

func (p *process) output() string { return p.out.String() }

// buffer is a bytes.Buffer for two goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// patience is how long is waited for what comes at once when the machine is not busy; after a kill, agents and outbox may
// come back half a minute later.
const patience = 2 * time.Minute

// eventually polls until ok, or fails after a generous time: these machines are busy.
func eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok() {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited %v in vain until %s", within, what)
		case <-tick.C:
		}
	}
}

// freePort is an address that nobody listens on, and that stays so while the collector on it is away: ports from 32768
// on are given to outgoing connections of any process.
func freePort(t testing.TB) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port between 20000 and 32000")
	return ""
}

// requirePeer skips a test, or fails it where peers are required.
func requirePeer(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("WATCHBILL_REQUIRE_PEERS") == "1" && runtime.GOOS == "linux" {
		t.Fatalf("required here: %s", why)
	}
	t.Skip(why)
}
