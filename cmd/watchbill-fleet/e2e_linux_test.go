package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// These tests run a fleet against the real collector's binary, on loopback ports and in temporary directories of their
// own.

// built is the collector, made once.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

func collectorBinary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "watchbill-fleet-"); built.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", built.dir, "../watchbill").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "watchbill")
}

// site is one collector with a fleet.
type site struct {
	t           testing.TB
	dir         string
	web, agents string
	storage     string // where the collector leaves an administrator's token
	process     *exec.Cmd
	log         *safeBuffer
	ended       chan struct{}
}

// patient is the configuration of a collector that does not take a busy machine for silent hosts.
const patient = "silence: {least: 2m}"

// newSite starts a collector; door and more are what is special about its configuration.
func newSite(t testing.TB, door, more string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), web: freePort(t), agents: freePort(t), log: &safeBuffer{}}
	s.storage = filepath.Join(s.dir, "data")
	var directory bytes.Buffer
	if err := writeDirectory(&directory, places(2, 2)); err != nil {
		t.Fatal(err)
	}
	s.write("fleet/simulated.yml", directory.String())
	s.write("watchbill.yml", fmt.Sprintf(`
storage: {path: data}
web: {listen_address: %q}
agents: {listen_address: %q, door: {%s}}
fleet: {directory: fleet}
evaluation: {interval: 500ms}
history: {retention: 0s}
%s
`, s.web, s.agents, door, more))
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("the collector's log ends\n%s", tail(s.log.String(), 4000))
		}
	})
	s.serve()
	return s
}

func (s *site) write(name, content string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// serve starts the collector and waits until it is ready.
func (s *site) serve() {
	s.t.Helper()
	s.process = exec.Command(collectorBinary(s.t), "serve", "--config.file", filepath.Join(s.dir, "watchbill.yml"))
	s.process.Stdout, s.process.Stderr = s.log, s.log
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	s.ended = ended
	go func(p *exec.Cmd) {
		defer close(ended)
		_ = p.Wait()
	}(s.process)
	eventually(s.t, 2*time.Minute, "the collector is ready", func() bool {
		select {
		case <-ended:
			s.t.Fatal("the collector ended")
		default:
		}
		resp, err := http.Get("http://" + s.web + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// kill is kill -9; it returns when the process is gone.
func (s *site) kill() {
	if s.process != nil {
		_ = s.process.Process.Kill()
		<-s.ended
	}
}

// ask decodes an object of the operators' API.
func (s *site) ask(path string, into any) {
	s.t.Helper()
	o, err := newOperator("http://"+s.web, "", s.storage)
	if err != nil {
		s.t.Fatal(err)
	}
	defer o.client.CloseIdleConnections()
	raw, err := o.get(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		s.t.Fatalf("%s: %v in %s", path, err, raw)
	}
}

// get is a call without the bound on its answer that tokens need.
func (o *operator) get(path string) ([]byte, error) {
	req, err := http.NewRequest(http.MethodGet, o.url+"/api/watchbill/v1"+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+o.token)
	resp, err := o.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", path, resp.Status, raw)
	}
	return raw, err
}

// ticketJSON is as much of a ticket as these tests look at.
type ticketJSON struct {
	Number, Asset, Customer, Site, Title string
	OpenedAt                             time.Time `json:"opened_at"`
	Alerts                               []struct{ Name string }
	Record                               map[string]struct {
		None    string
		Entries []struct {
			Text string
			At   time.Time
		}
	}
}

// tickets are those that a rule has opened, by asset; two for one asset are an error.
func (s *site) tickets(rule string) map[string]ticketJSON {
	s.t.Helper()
	var list struct{ Tickets []ticketJSON }
	s.ask("/tickets?limit=1000", &list)
	found := map[string]ticketJSON{}
	for _, tk := range list.Tickets {
		for _, a := range tk.Alerts {
			if a.Name != rule {
				continue
			}
			if old, ok := found[tk.Asset]; ok {
				s.t.Errorf("%s and %s are both open for %s", old.Number, tk.Number, tk.Asset)
			}
			found[tk.Asset] = tk
		}
	}
	return found
}

// prepare enrols n Linux agents.
func (s *site) prepare(n int, windows float64) string {
	s.t.Helper()
	dir := filepath.Join(s.dir, "ids")
	p := &preparation{dir: dir, agents: n, places: places(2, 2), windows: windows, prefix: "sim", url: "http://" + s.web,
		store: s.storage, perSecond: 45, concurrency: 4, progress: io.Discard}
	if err := p.run(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	if p.enrolled.Load() != int64(n) {
		s.t.Fatalf("%d agents enrolled, want %d", p.enrolled.Load(), n)
	}
	return dir
}

// start lets a fleet run until the returned function is called.
func (s *site) start(c config, acknowledged func(string, *wire.Report)) (*fleet, func()) {
	s.t.Helper()
	f, err := newFleet(c)
	if err != nil {
		s.t.Fatal(err)
	}
	f.shared.acknowledged = acknowledged
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				s.t.Errorf("the fleet: %v", err)
			}
		})
	}
	s.t.Cleanup(stop)
	return f, stop
}

func TestFleetIsTakenInAndItsFaultsBecomeTickets(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", patient)
	c := good()
	c.dir, c.interval, c.duration = s.prepare(50, 0.3), 500*time.Millisecond, 5*time.Minute
	c.churn, c.events, c.wire = 20, 600, 1
	c.sources = 10 // the door lets 16 strangers of one address in at a time, and a busy machine is slow to know them
	c.faults = []fault{{kind: faultValue, share: 0.1}}
	f, stop := s.start(c, nil)
	if f.broken != 4 {
		t.Fatalf("%d hosts are broken, want 4 of 35 Linux hosts", f.broken)
	}
	eventually(t, 2*time.Minute, "every broken host has its ticket and all have reported for a while", func() bool {
		return len(s.tickets(linuxBreakage().rule)) >= f.broken && f.shared.stats.reports.Load() > 600
	})
	stop()
	found := s.tickets(linuxBreakage().rule)
	for _, p := range f.people {
		tk, ok := found[p.Name]
		if ok != (p.fault != nil) {
			t.Errorf("%s: broken %v, ticket %v", p.Name, p.fault != nil, ok)
		}
		if ok && (tk.Customer != p.Customer || tk.Site != p.Site) {
			t.Errorf("%s is about %s/%s, want %s/%s", tk.Number, tk.Customer, tk.Site, p.Customer, p.Site)
		}
	}
	var all struct{ Tickets []ticketJSON }
	if s.ask("/tickets?limit=1000", &all); len(all.Tickets) != f.broken {
		t.Errorf("%d tickets for %d faults: a healthy host is not healthy by the shipped rules: %+v", len(all.Tickets), f.broken, all.Tickets)
	}
	st := f.shared.stats
	unharmed(t, st)
	if st.connects.Load() != 50 {
		t.Errorf("%d connections, want one for each of 50 agents", st.connects.Load())
	}
	if r := st.returns(); len(r) != 1 || !r[0].stages[stageBack].whole || !r[0].stages[stageLive].whole {
		t.Errorf("returns %+v, want one of all", r)
	}
}

// unharmed finds that of honest agents all was accepted. Who needs a shape that somebody else was asked for is told to come
// later when the machine is busy, and then a report may give way to the next.
func unharmed(t *testing.T, st *stats) {
	t.Helper()
	refused, failed, _ := st.reasons()
	later, superseded := refused["later"], st.superseded.Load()
	if delete(refused, "later"); len(refused) != 0 || len(failed) != 0 || later == 0 && superseded != 0 {
		t.Errorf("refused %v, failed %v, %d not delivered, %d told to come later: want all reports of honest agents accepted", refused,
			failed, superseded, later)
	}
}

// heardEvents remembers which events were acknowledged, and when.
type heardEvents struct {
	mu     sync.Mutex
	events map[string][]heardEvent
}

type heardEvent struct {
	text         string
	happened, at time.Time
}

func (h *heardEvents) acknowledged(asset string, m *wire.Report) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range m.Events {
		if e.Kind == "unit_restarted" {
			h.events[asset] = append(h.events[asset], heardEvent{e.Text, time.UnixMilli(e.AtMs), time.Now()})
		}
	}
}

// before is the newest few events of an asset that were acknowledged before t.
func (h *heardEvents) before(asset string, t time.Time) []heardEvent {
	const few = 6 // a ticket shows ten
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []heardEvent
	for _, e := range h.events[asset] {
		if e.at.Before(t) {
			out = append(out, e)
		}
	}
	return out[max(len(out)-few, 0):]
}

// The collector is killed with -9 under 200 agents, twice: all come back, one ticket is open for each fault, and every
// event that was acknowledged, by whichever collector, is in its host's ticket.
func TestCollectorKilledUnderAFleet(t *testing.T) {
	t.Parallel()
	const n = 200
	s := newSite(t, "", patient)
	c := good()
	c.dir, c.interval, c.duration = s.prepare(n, 0), 500*time.Millisecond, 10*time.Minute
	c.events, c.spooled, c.wire = 600, 0.05, 1
	c.faults = []fault{{kind: faultValue, share: 1, after: 10 * time.Second}}
	heard := &heardEvents{events: map[string][]heardEvent{}}
	f, stop := s.start(c, heard.acknowledged)
	st := f.shared.stats
	for round := range 2 {
		reports := st.reports.Load()
		eventually(t, 3*time.Minute, "all report", func() bool {
			r := st.returns()
			return len(r) == round+1 && r[round].stages[stageLive].whole && st.reports.Load() > reports+3*n
		})
		s.kill()
		s.serve()
	}
	eventually(t, 4*time.Minute, "all are back, and those with a spool are replayed", func() bool {
		r := st.returns()
		return len(r) == 3 && r[2].stages[stageLive].whole && r[2].stages[stageReplayed].whole
	})
	eventually(t, 3*time.Minute, "every host has its ticket", func() bool { return len(s.tickets(linuxBreakage().rule)) == n })
	stop()
	var said strings.Builder
	var all []comingBack
	for _, r := range st.returns() {
		all = append(all, r.times())
	}
	returns(all, func(name, format string, args ...any) {
		fmt.Fprintf(&said, "%s: %s\n", name, fmt.Sprintf(format, args...))
	})
	t.Logf("returns:\n%s", &said)
	// Evidence is read when the ticket is opened, or, when many open at once, soon after; a moment before the ticket, all
	// that was acknowledged must be there.
	checked := 0
	var lost []string
	missing := func() bool {
		checked, lost = 0, nil
		for asset, tk := range s.tickets(linuxBreakage().rule) {
			var whole ticketJSON
			s.ask("/tickets/"+tk.Number, &whole)
			var actions strings.Builder
			var counted time.Time // until when events are only counted: where these were read late, newer ones are in front
			for _, e := range whole.Record["actions_taken"].Entries {
				actions.WriteString(e.Text + "\n")
				if strings.HasSuffix(e.Text, "older such events within 24 h") {
					counted = e.At
				}
			}
			for _, e := range heard.before(asset, tk.OpenedAt.Add(-time.Second)) {
				has := strings.Contains(actions.String(), e.text)
				if !has && !e.happened.After(counted) {
					continue
				}
				checked++
				if !has {
					lost = append(lost, fmt.Sprintf("%s of %s: acknowledged at %v and lost: %s\nit has:\n%s", tk.Number, asset, e.at, e.text, actions.String()+whole.Record["actions_taken"].None))
				}
			}
		}
		return len(lost) > 0
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(strings.Join(lost, "\n"))
		}
	})
	eventually(t, 3*time.Minute, "tickets tell of all that was acknowledged", func() bool { return !missing() })
	if checked < n/2 {
		t.Errorf("only %d acknowledged events were looked for: this test proves little", checked)
	}
	refused, failed, _ := st.reasons()
	t.Logf("%d reports, %d acknowledged events checked, refused %v, failed %v, replayed %d", st.reports.Load(), checked, refused, failed, st.replayed.Load())
	if st.replayed.Load() == 0 {
		t.Error("no agent with a spool has replayed anything")
	}
}

// A hostile agent is refused, for each thing it does, and nobody else notices. The bounds are as usual, but lower, so that
// a few seconds of it are enough to come to them; every agent has an address of its own, as the one at the door has it.
func TestHostileAgentsHurtNobody(t *testing.T) {
	s := newSite(t, "address_burst: 100", patient+"\nquotas: {agent: {shapes_per_hour: 30, series: 2000}}")
	c := good()
	c.dir, c.interval, c.duration = s.prepare(30, 0.5), 500*time.Millisecond, 5*time.Minute
	c.attacks, c.sources = 40, 30
	c.faults = []fault{{kind: faultHostile, share: 0.03}}
	f, stop := s.start(c, nil)
	st := f.shared.stats
	want := map[string][]string{
		"bomb": {"413"}, "slow_body": {"broken_off", "408"}, "shape_flood": {"shapes_quota"}, "label_explosion": {"series_quota"},
		"reconnect": {"broken_off"}, "no_certificate": {"401"},
	}
	var attacks map[string]uint64
	defer func() { t.Logf("attacks %v", attacks) }()
	eventually(t, 3*time.Minute, "every kind of attack was refused", func() bool {
		_, _, attacks = st.reasons()
		for kind, answers := range want {
			if !slices.ContainsFunc(answers, func(answer string) bool { return attacks[kind+": "+answer] > 0 }) {
				return false
			}
		}
		return true
	})
	stop()
	unharmed(t, st)
	for _, never := range []string{"bomb: taken", "slow_body: taken", "no_certificate: taken", "label_explosion: taken"} {
		if attacks[never] != 0 {
			t.Errorf("attacks succeeded: %v", attacks)
		}
	}
}

// safeBuffer is a bytes.Buffer for two goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func tail(s string, n int) string { return s[max(len(s)-n, 0):] }

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
