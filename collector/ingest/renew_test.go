package ingest

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/enroll"
	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
)

var long = flag.Bool("long", false, "run the proofs at full length")

// real is an agent with the agent's own part in it: it enrols, keeps its identity on disk, renews it and knows the
// collector as agents do.
type real struct {
	w      *world
	dir    string
	via    *enroll.Proxy
	keeper *enroll.Keeper
	seq    uint64
}

// enrolReal enrols one over the line, by a token.
func (w *world) enrolReal(asset, dir string, via *enroll.Proxy) *real {
	w.t.Helper()
	r := &real{w: w, dir: dir, via: via}
	r.enrol(asset, false)
	return r
}

func (r *real) enrol(asset string, replace bool) {
	r.w.t.Helper()
	_, text, err := r.w.fleet.CreateToken(context.Background(), fleet.TokenRequest{
		Customer: "acme", Site: "leeds", Asset: asset, By: "test", Address: r.w.addr,
	})
	if err != nil {
		r.w.t.Fatal(err)
	}
	token, err := enroll.ParseToken(text)
	if err != nil {
		r.w.t.Fatal(err)
	}
	if _, err := enroll.Enroll(context.Background(), enroll.Options{
		Token: token, Dir: r.dir, Replace: replace, Now: r.w.clock.now, Proxy: r.via,
	}); err != nil {
		r.w.t.Fatal(err)
	}
	r.open()
}

// open starts the agent's identity from disk, as a new process would.
func (r *real) open() {
	r.w.t.Helper()
	if r.keeper != nil {
		r.keeper.CloseIdleConnections()
	}
	k, err := enroll.OpenKeeper(r.dir, enroll.KeeperOptions{Now: r.w.clock.now, Proxy: r.via, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.w.t.Fatal(err)
	}
	r.keeper = k
	r.w.t.Cleanup(k.CloseIdleConnections)
}

var errNotAccepted = errors.New("not accepted")

// report sends the n-th report once.
func (r *real) report(n uint64) error {
	body, coding, err := wire.Encode(&wire.Report{Epoch: 1, Sequence: n, MadeAtMs: r.w.clock.now().UnixMilli()})
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, "https://"+r.w.addr+wire.PathReport, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set(wire.HeaderType, wire.TypeReport)
	req.Header.Set(wire.HeaderCoding, coding)
	resp, err := r.keeper.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var ack wire.Ack
	if err := wire.Decode(resp.Body, "", wire.DefaultLimits(), &ack); err != nil {
		return err
	}
	if ack.Result != wire.Ack_RESULT_ACCEPTED {
		return fmt.Errorf("%w: %s %v", errNotAccepted, resp.Status, proto.MarshalOptions{}.Size(&ack))
	}
	return nil
}

// near sets a world's clock to now: the moment does not matter, but that certificates are dated by the clocks of both
// sides does.
func near(t *testing.T) *world {
	t.Helper()
	return newWorld(t, func(o *Options) {
		o.Quotas = DefaultQuotas()
		o.Quotas.Agent.ReportsPerMinute, o.Quotas.Customer.ReportsPerMinute = 1e9, 1e9
		o.Quotas.Agent.RenewalsPerHour = 1e6
	}).serve(Door{PerSecond: 1e6, PerAddress: 1e6, AddressBurst: 1e6})
}

// TestRotationUnderTraffic: while agents report without a pause, another authority comes, all agents learn of it, the
// first one goes, and all agents forget it. No report fails, none is lost, none takes effect twice.
func TestRotationUnderTraffic(t *testing.T) {
	w := near(t)
	const agents = 6
	var all []*real
	for n := range agents {
		all = append(all, w.enrolReal(fmt.Sprintf("web%d", n), filepath.Join(t.TempDir(), "identity"), nil))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var g sync.WaitGroup
	var failed atomic.Int64
	reported := make([]atomic.Uint64, agents)
	for n, r := range all {
		g.Go(func() { _ = r.keeper.Run(ctx) })
		g.Go(func() {
			for ctx.Err() == nil {
				if err := r.report(reported[n].Load() + 1); err != nil {
					failed.Add(1)
					t.Errorf("report of %d: %v", n, err)
					return
				}
				reported[n].Add(1)
			}
		})
	}
	pass := func() {
		w.clock.add(time.Second) // lets five more be told
		before := make([]uint64, agents)
		for n := range before {
			before[n] = reported[n].Load()
		}
		waitFor(t, func() bool {
			for n := range before {
				if reported[n].Load() == before[n] && failed.Load() == 0 {
					return false
				}
			}
			return true
		})
	}
	advance := func() {
		if err := w.fleet.AdvanceAuthorities(ctx); err != nil {
			t.Error(err)
		}
	}
	trusts := func(authorities int, signed string) func() bool {
		return func() bool {
			pass()
			for _, r := range all {
				id := r.keeper.Identity()
				if len(id.Authorities) != authorities || id.Certificate.Leaf.Issuer.CommonName != signed {
					return failed.Load() > 0
				}
			}
			return true
		}
	}
	pass()
	made, err := w.fleet.RotateAuthority(ctx, "ann")
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, trusts(2, made.Name))
	for range 40 { // tokens of the enrolments are used, agents have come over
		pass()
		if advance(); len(w.fleet.Authorities()) == 1 {
			break
		}
	}
	if all := w.fleet.Authorities(); len(all) != 1 || all[0].Fingerprint != made.Fingerprint {
		t.Fatalf("the first authority is still there: %+v", all)
	}
	for _, r := range all {
		r.keeper.CloseIdleConnections() // the next handshakes meet the listener under the new authority
	}
	w.clock.add(tellRenewEvery)
	waitFor(t, trusts(1, made.Name))
	cancel()
	g.Wait()
	applied := map[string]map[uint64]int{}
	for _, r := range w.sink.all() {
		if applied[r.Agent.ID] == nil {
			applied[r.Agent.ID] = map[uint64]int{}
		}
		applied[r.Agent.ID][r.Sequence]++
	}
	for _, one := range applied {
		for n := uint64(1); n <= uint64(len(one)); n++ {
			if one[n] != 1 {
				t.Errorf("report %d of an agent took effect %d times", n, one[n])
			}
		}
	}
	var sum int
	for n := range reported {
		sum += int(reported[n].Load())
	}
	if len(applied) != agents || len(w.sink.all()) < sum {
		t.Errorf("%d agents, %d reports acknowledged, %d applied", len(applied), sum, len(w.sink.all()))
	}
}

// scissors is a proxy that cuts the line when it is told to: before a request gets through, or before its answer does.
type scissors struct {
	cut  atomic.Int32 // 0: not; 1: before the collector sees any of it; 2: once it has answered
	cuts atomic.Int64
}

func (s *scissors) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	far, err := net.Dial("tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	near, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		_ = far.Close()
		return
	}
	_, _ = near.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	done := make(chan struct{})
	go func() { defer close(done); s.carry(far, near, 1); _ = far.Close() }()
	s.carry(near, far, 2)
	_ = near.Close()
	<-done
}

// carry copies until the line ends or is cut in this direction.
func (s *scissors) carry(to, from net.Conn, side int32) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && s.cut.CompareAndSwap(side, 0) {
			s.cuts.Add(1)
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// TestRenewals lets an agent live through renewals, sixty days apart, with everything in its way that a renewal can
// meet: the request or its answer is cut off, the agent's process ends right after, the collector starts anew, another
// authority comes or goes. Between any two of these it reports, and every report is accepted at the latest the second
// time, when the line is whole again. -long makes a thousand of it, which is promise 17.
func TestRenewals(t *testing.T) {
	rounds := 40
	if *long {
		rounds = 1000
	}
	const seed = 17
	random := rand.New(rand.NewPCG(seed, 0))
	w := near(t)
	s := &scissors{}
	proxy := &http.Server{Handler: s}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- proxy.Serve(inner) }()
	defer func() { _ = proxy.Close(); <-done }()
	via, err := enroll.ParseProxy("http://" + inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	r := w.enrolReal("web1", filepath.Join(t.TempDir(), "identity"), via)
	sent := 0
	report := func(when string) {
		t.Helper()
		r.seq++
		sent++
		if err := r.report(r.seq); err != nil {
			t.Fatalf("seed %d, report %d, %s: %v", seed, r.seq, when, err)
		}
	}
	renewed, lost := 0, 0
	for n := range rounds {
		w.clock.add(60 * 24 * time.Hour)
		r.keeper.CloseIdleConnections() // the next handshake is by the new date
		report("before the renewal")
		cut := random.Int32N(4) // half of them are cut
		for try := 0; ; try++ {
			if s.cut.Store(cut); cut == 3 {
				s.cut.Store(0)
			}
			err := r.keeper.Renew(t.Context())
			s.cut.Store(0)
			if err == nil {
				renewed++
				break
			}
			lost++
			report("after a renewal that failed")
			if random.Int32N(3) == 0 {
				r.open()
				report("by a new process")
			}
			if cut = 0; try > 3 {
				t.Fatalf("seed %d, round %d: %v", seed, n, err)
			}
		}
		switch random.Int32N(8) {
		case 0:
			r.open()
		case 1:
			if _, err := w.fleet.RotateAuthority(t.Context(), "ann"); err != nil && !errors.Is(err, fleet.ErrInvalid) {
				t.Fatal(err)
			}
		case 2:
			if err := w.fleet.Load(t.Context()); err != nil { // as a restart does
				t.Fatal(err)
			}
		}
		report("after the renewal")
		w.fleetAdvances()
	}
	if renewed != rounds || len(w.sink.all()) != sent || s.cuts.Load() == 0 || lost == 0 {
		t.Errorf("%d renewals in %d rounds, %d cut off, %d reports of which %d were applied", renewed, rounds, lost, sent, len(w.sink.all()))
	}
	t.Logf("seed %d: %d renewals, %d answers or requests lost, %d reports, none lost", seed, renewed, lost, sent)
}

func (w *world) fleetAdvances() {
	w.t.Helper()
	if err := w.fleet.AdvanceAuthorities(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// TestOffPastExpiry: an agent that was off until its certificate had expired is told so and enrols again, as the same
// asset, with a new token; what it was before is worth nothing, and neither is the token to anybody else.
func TestOffPastExpiry(t *testing.T) {
	w := near(t)
	r := w.enrolReal("web1", filepath.Join(t.TempDir(), "identity"), nil)
	if err := r.report(1); err != nil {
		t.Fatal(err)
	}
	old := r.keeper.Identity()
	r.keeper.CloseIdleConnections()
	w.clock.add(91 * 24 * time.Hour)
	err := r.report(2)
	if !errors.Is(err, enroll.ErrUnwelcome) || !strings.Contains(err.Error(), "enrol again with a new token and --replace") {
		t.Errorf("error %v", err)
	}
	if err := r.keeper.Renew(t.Context()); !errors.Is(err, enroll.ErrUnwelcome) {
		t.Errorf("renewed with an expired certificate: %v", err)
	}
	r.enrol("web1", true)
	if err := r.report(2); err != nil {
		t.Fatal(err)
	}
	if got := w.sink.last(t); got.Asset.Name != "web1" || got.Asset.Site != "leeds" {
		t.Errorf("asset %+v", got.Asset)
	}
	if _, err := w.fleet.AuthenticateCert(old.Certificate.Leaf); !errors.Is(err, fleet.ErrRevoked) {
		t.Errorf("the former identity: %v", err)
	}
	// While web1 is active its name is not given away, and nobody at another site gets it ever.
	for site, customer := range map[string]string{"leeds": "acme", "main": "beta"} {
		if _, _, err := w.fleet.CreateToken(t.Context(), fleet.TokenRequest{Customer: customer, Site: site, Asset: "web1", By: "test", Address: w.addr}); !errors.Is(err, fleet.ErrTaken) {
			t.Errorf("%s: %v", site, err)
		}
	}
}
