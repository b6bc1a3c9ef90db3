package collector

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/rules/window"
)

var (
	long = flag.Bool("long", false, "run the proofs of replay and restart at full length")
	seed = flag.Uint64("seed", 0, "seed of those proofs; 0 takes a new one")
)

// chance is a source of random numbers that says how to have the same again.
func chance(t *testing.T) *rand.Rand { return chanceOf(t, cmp.Or(*seed, rand.Uint64())) }

func chanceOf(t *testing.T, s uint64) *rand.Rand {
	t.Logf("-seed %d", s)
	return rand.New(rand.NewPCG(s, 3))
}

// overtime tells whether a long proof should end with what it has, because its -timeout is near.
func overtime(t *testing.T) bool {
	end, ok := t.Deadline()
	return *long && ok && time.Until(end) < 2*time.Minute
}

const instantRules = `groups:
- name: g
  rules:
  - {alert: Low, expr: 'node_filesystem_avail_bytes < 20', labels: {severity: warning, service: a, system: server}}
  - {alert: LowForLong, expr: 'node_filesystem_avail_bytes < 40', for: 30s, labels: {severity: warning, service: b, system: server}}
  - {alert: LowKept, expr: 'node_filesystem_avail_bytes < 10', keep_firing_for: 50s, labels: {severity: warning, service: c, system: server}}
`

// Promise 3: a report sent twice takes effect once, and a replay changes no live alert: a collector that hears everything
// many times, late and in any order has, at every moment, the very alerts of one that heard only what came in time.
func TestAReplayChangesNoLiveAlert(t *testing.T) {
	want := 4_000
	if *long {
		want = 1_000_000
	}
	rnd := chance(t)
	delivered := 0
	for delivered < want && !overtime(t) && !t.Failed() {
		delivered += replayRound(t, rnd)
	}
	t.Logf("%d reports delivered beside those that came in time", delivered)
}

// replayRound plays two hours and returns how many reports were delivered beside those that came in time.
func replayRound(t *testing.T, rnd *rand.Rand) (extra int) {
	defer func() {
		runtime.GC()
		runtime.GC()
	}()
	cfgs := [2]Config{testConfig(t, instantRules), testConfig(t, instantRules)}
	synctest.Test(t, func(t *testing.T) {
		var towns [2]*town
		var lines [2]*rawLine
		builder := wire.NewBuilder(wire.DefaultLimits())
		for i := range towns {
			cfgs[i].History.Retention = 0
			cfgs[i].Evaluation.Interval = policy.Duration(10 * time.Second)
			n := &town{t: t, cfg: cfgs[i], start: time.Now()}
			c, err := New(context.Background(), cfgs[i], Options{Directory: testFleet})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			n.c = c
			towns[i], lines[i] = n, &rawLine{t: t, c: c, cert: n.enrol("web1"), builder: builder}
		}
		extra = replayHours(t, rnd, lines[0], lines[1])
	})
	return extra
}

// replayHours tells the one everything there is, and the other what comes in time.
func replayHours(t *testing.T, rnd *rand.Rand, noisy, control *rawLine) (extra int) {
	var all []*wire.Report
	heard := map[*wire.Report]bool{}
	value, epoch, seq := 50.0, uint64(time.Now().UnixNano()), uint64(0)
	away := 0 // so many reports more come late only: what comes meanwhile must not pass for news
	for range 720 {
		if away--; away < -20 && rnd.IntN(20) == 0 {
			away = 5 + rnd.IntN(20)
		}
		time.Sleep(10 * time.Second)
		if rnd.IntN(60) == 0 { // a new process
			epoch, seq = uint64(time.Now().UnixNano()), 0
		}
		seq++
		value = min(max(value+rnd.Float64()*30-15, 0), 100)
		r := noisy.report(epoch, seq, value)
		all = append(all, r)
		if away < 0 && rnd.IntN(10) > 0 { // in time
			heard[r] = true
			noisy.send(r, wire.LaneLive)
			control.send(r, wire.LaneLive)
		}
		for range rnd.IntN(40) { // again, or for the first time, and too late
			i := rnd.IntN(len(all))
			old := all[i]
			if young := len(all)-i < 5; young && !heard[old] || old == r {
				continue // what is young and new is no replay: it is news
			}
			heard[old] = true
			noisy.send(old, []string{"", wire.LaneBacklog, wire.LaneReplay}[rnd.IntN(3)])
			extra++
		}
		for _, l := range []*rawLine{noisy, control} {
			if err := l.c.evaluator.EvaluateOnce(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := standing(t, noisy.c), standing(t, control.c); got != want {
			t.Fatalf("after %d reports too many the alerts are\n%s\nwithout them\n%s", extra, got, want)
		}
		for noisy.c.past.reviews.Step(t.Context()) {
		}
	}
	return extra
}

func standing(t *testing.T, c *Collector) string {
	t.Helper()
	b, err := json.MarshalIndent(c.evaluator.Alerts(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// rawLine sends reports as it is told to.
type rawLine struct {
	t       *testing.T
	c       *Collector
	cert    *x509.Certificate
	builder *wire.Builder
}

func (l *rawLine) report(epoch, seq uint64, avail float64) *wire.Report {
	l.t.Helper()
	b, err := l.builder.Block("node", "filesystem", time.Now(), 10*time.Second, []wire.Sample{
		{Name: "node_filesystem_avail_bytes", Labels: []wire.Label{{Name: "mountpoint", Value: "/srv"}}, Value: avail},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return &wire.Report{Epoch: epoch, Sequence: seq, MadeAtMs: time.Now().UnixMilli(), Blocks: []*wire.Block{b}}
}

// post sends a report once.
func (l *rawLine) post(m *wire.Report, lane string) *wire.Ack {
	l.t.Helper()
	body, coding, err := wire.Encode(m)
	if err != nil {
		l.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, wire.PathReport, bytes.NewReader(body))
	r.Header.Set(wire.HeaderType, wire.TypeReport)
	r.Header.Set(wire.HeaderCoding, coding)
	if lane != "" {
		r.Header.Set(wire.HeaderLane, lane)
		r.Header.Set(wire.HeaderWaiting, strconv.Itoa(50))
	}
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{l.cert}, VerifiedChains: [][]*x509.Certificate{{l.cert}}}
	rec := httptest.NewRecorder()
	l.c.ingest.Handler().ServeHTTP(rec, r)
	ack := &wire.Ack{}
	if err := proto.Unmarshal(rec.Body.Bytes(), ack); err != nil {
		l.t.Fatalf("%d: %v", rec.Code, err)
	}
	return ack
}

func (l *rawLine) send(m *wire.Report, lane string) {
	l.t.Helper()
	for {
		ack := l.post(m, lane)
		if ack.Result != wire.Ack_RESULT_NEED_SHAPES {
			if ack.Result == wire.Ack_RESULT_REFUSED || len(ack.Refusals) > 0 || lane == wire.LaneLive && ack.Result != wire.Ack_RESULT_ACCEPTED {
				l.t.Fatalf("%s report %d: %v", lane, m.Sequence, ack)
			}
			return
		}
		m = proto.CloneOf(m)
		for _, id := range ack.UnknownShapes {
			s, ok := l.builder.Shape(id)
			if !ok {
				l.t.Fatal("asked for a shape nobody made")
			}
			m.Shapes = append(m.Shapes, s)
		}
	}
}

const lookingBack = `groups:
- name: g
  interval: 1m
  rules:
  - {record: "disk:low", expr: 'avg_over_time(node_filesystem_avail_bytes[10m])'}
  - {alert: Now, expr: 'node_filesystem_avail_bytes < 30'}
  - {alert: Fell, expr: 'delta(node_filesystem_avail_bytes[6h]) < -30'}
  - {alert: Before, expr: 'node_filesystem_avail_bytes offset 2h < 20'}
  - {alert: Full, expr: 'predict_linear(node_filesystem_avail_bytes[1h], 14400) < 0'}
  - {alert: Made, expr: 'min_over_time(disk:low[1h]) < 25'}
`

// Promise 22: a restart under rules that look back six hours gives the same alerts as no restart, or says unknown.
func TestARestartGivesTheSameOrSaysUnknown(t *testing.T) {
	rounds, s := 2, cmp.Or(*seed, 42) // how much is known depends on when the restarts come, and two rounds have few
	if *long {
		rounds, s = 60, cmp.Or(*seed, rand.Uint64())
	}
	rnd := chanceOf(t, s)
	known, unknown, played := 0, 0, 0
	for ; played < rounds && !overtime(t); played++ {
		k, u := restartRound(t, rnd)
		known, unknown = known+k, unknown+u
		if t.Failed() {
			return
		}
	}
	t.Logf("%d rounds: %d judgements after restarts were the same, %d unknown", played, known, unknown)
	if known < 3*unknown/2 {
		t.Errorf("%d judgements after restarts were known and %d unknown: the replay brings too little back", known, unknown)
	}
}

// restartRound plays a day and a half of one host with a collector that restarts and one that does not.
func restartRound(t *testing.T, rnd *rand.Rand) (known, unknown int) {
	cfg := testConfig(t, lookingBack)
	steady, shaken := newStage(t, testConfig(t, lookingBack)), newStage(t, cfg)
	began := steady.at.Truncate(time.Minute)
	restarted := false
	var told []ingest.Report // what the agent has, and the collector had
	var replay []ingest.Report
	value := 60.0
	for step := range 36 * 60 {
		at := began.Add(time.Duration(step) * time.Minute)
		value = min(max(value+rnd.Float64()*8-4, 1), 100)
		r := minutely(at, began, uint64(step+1), value)
		if rnd.IntN(300) == 0 {
			shaken.Close()
			if rnd.IntN(2) == 0 { // it was no orderly stop
				if err := os.Remove(filepath.Join(cfg.Storage.Path, windowSnapshot)); err != nil {
					t.Fatal(err)
				}
			}
			shaken, restarted = newStage(t, cfg), true
			shaken.started = at
			replay = slices.Clone(told)
			if rnd.IntN(3) == 0 && len(replay) > 400 { // the agent's spool has lost some
				cut := len(replay) - rnd.IntN(400)
				replay = append(replay[:cut-min(cut, 20)], replay[cut:]...)
			}
		}
		steady.at, shaken.at = at, at
		for n := rnd.IntN(60); n > 0 && len(replay) > 0; n-- {
			old := replay[0]
			replay = replay[1:]
			old.ReceivedAt, old.Replayed, old.Lane = at, true, wire.LaneReplay
			old.Blocks = slices.Clone(old.Blocks)
			old.Blocks[0].Late = true
			if err := shaken.sink.Apply(t.Context(), old); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range []*stage{steady, shaken} {
			if err := s.sink.Apply(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		told = append(told, r)
		if !restarted {
			continue
		}
		want := firing(steady)
		for name, got := range firing(shaken) {
			switch {
			case got == "unknown" || want[name] == "unknown":
				unknown++
			case got != want[name]:
				t.Errorf("%s, %d minutes in: %s after restarts, %s without", name, step, got, want[name])
				return known, unknown
			default:
				known++
			}
		}
	}
	shaken.Close()
	return known, unknown
}

// minutely is a report of a host that reports every minute.
func minutely(at, enrolled time.Time, seq uint64, avail float64) ingest.Report {
	r := ingest.Report{
		Asset: window.Asset{Name: "web1", Customer: "acme", Site: "london"}, Epoch: 1, Sequence: seq, MadeAt: at, ReceivedAt: at,
		Lane: wire.LaneLive, Waiting: 0,
		Blocks: []window.Block{{Source: "filesystem", Kind: "node", At: at, Interval: time.Minute, Status: window.OK, Layout: oneDisk, Values: []float64{avail}}},
	}
	r.Agent.EnrolledAt = enrolled
	return r
}

var oneDisk = &window.Layout{ID: [32]byte{7}, Series: []labels.Labels{labels.FromStrings("__name__", "node_filesystem_avail_bytes", "mountpoint", "/srv")}}

// firing is, for each alerting rule, how many alerts fire, or that nobody can know.
func firing(s *stage) map[string]string {
	out := map[string]string{}
	for _, g := range s.evaluator.Groups() {
		for _, r := range g.Rules {
			if !r.Rule.Alerting() {
				continue
			}
			state := fmt.Sprintf("%d fire", len(r.Alerts))
			known := s.window.Look(window.Question{
				Selectors: r.Rule.Selectors, Labels: labels.FromStrings("instance", "web1", "mountpoint", "/srv"), At: s.at,
			})
			if r.Unknown > 0 || known.State == window.Unknown {
				state = "unknown"
			}
			out[r.Rule.Name()] = state
		}
	}
	return out
}
