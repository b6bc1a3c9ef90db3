package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/agent/wire"
)

func someReport(n uint64) *wire.Report {
	return &wire.Report{Epoch: 1, Sequence: n, MadeAtMs: noon.UnixMilli()}
}

func sendOne(l *line, n uint64) error {
	q, err := plain(wire.PathReport, wire.TypeReport, someReport(n))
	if err != nil {
		return err
	}
	ack, err := l.post(context.Background(), q)
	if err == nil && ack.Sequence != n {
		return errors.New("the Ack is about another report")
	}
	return err
}

func TestLineIsKeptAliveAndShowsItsCertificate(t *testing.T) {
	f := newFake(t)
	for _, name := range []string{"one", "two", ""} {
		l := f.line(name)
		for n := range uint64(3) {
			if err := sendOne(l, n+1); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, names, from := f.got()
	if strings.Join(names, ",") != "one,one,one,two,two,two,,," {
		t.Errorf("certificates shown: %q", names)
	}
	if from[0] != from[2] || from[2] == from[3] || f.stats.connects.Load() != 3 || f.stats.connected.Load() != 3 {
		t.Errorf("%d connections made, %d stand, from %v: want one for each agent", f.stats.connects.Load(), f.stats.connected.Load(), from)
	}
	if f.stats.sentBytes.Load() == 0 {
		t.Error("no bytes are counted")
	}
}

func TestLineComesFromItsAddress(t *testing.T) {
	if runtime.GOOS == "darwin" {
		t.Skip("loopback has one address here")
	}
	f := newFake(t)
	l := f.line("one")
	l.source = sources(2, f.road.address)[1]
	if err := sendOne(l, 1); err != nil {
		t.Fatal(err)
	}
	_, _, from := f.got()
	if host, _, _ := net.SplitHostPort(from[0]); host != "127.0.1.2" {
		t.Errorf("it came from %s, want 127.0.1.2", from[0])
	}
}

func TestLineThatDiedIdleIsReplaced(t *testing.T) {
	f := newFake(t)
	l := f.line("one")
	if err := sendOne(l, 1); err != nil {
		t.Fatal(err)
	}
	f.server.CloseClientConnections()
	if err := sendOne(l, 2); err != nil {
		t.Fatal(err)
	}
	if n := f.stats.connects.Load(); n != 2 || f.stats.connected.Load() != 1 {
		t.Errorf("%d connections made, %d stand, want 2 and 1", n, f.stats.connected.Load())
	}
}

func TestLineThatIsClosedByItsAnswer(t *testing.T) {
	f := newFake(t)
	f.server.Config.SetKeepAlivesEnabled(false)
	l := f.line("one")
	for n := range uint64(2) {
		if err := sendOne(l, n+1); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.stats.connected.Load(); n != 0 || f.stats.connects.Load() != 2 {
		t.Errorf("%d connections stand of %d, want none of 2", n, f.stats.connects.Load())
	}
}

func TestLineTellsAnswersFromFailures(t *testing.T) {
	hijack := func(say string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = c.Write([]byte(say))
				_ = c.Close()
			}
		}
	}
	for name, c := range map[string]struct {
		serve  http.HandlerFunc
		status int // 0: a failure of the line
	}{
		"unavailable":         {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "later", http.StatusServiceUnavailable) }, http.StatusServiceUnavailable},
		"another's answer":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }, 200},
		"an Ack that is none": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(wire.HeaderType, wire.TypeReport) }, 200},
		"broken Ack": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(wire.HeaderType, wire.TypeReport)
			_, _ = w.Write([]byte{0xff})
		}, 0},
		"no HTTP":          {hijack("SSH-2.0-OpenSSH\r\n"), 0},
		"broken off":       {hijack("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"), 0},
		"nothing whatever": {hijack(""), 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.serve = c.serve
			l := f.line("one")
			err := sendOne(l, 1)
			var status *statusError
			switch {
			case err == nil:
				t.Error("it was taken for an Ack")
			case c.status == 0 && (errors.As(err, &status) || l.conn != nil):
				t.Errorf("error %v, line kept %v: want a failure of the line, which is dropped", err, l.conn != nil)
			case c.status != 0 && (!errors.As(err, &status) || status.code != c.status || l.conn == nil):
				t.Errorf("error %v, line kept %v: want status %d on a line that is kept", err, l.conn != nil, c.status)
			}
		})
	}
}

func TestLineIsLetGoWhenItsContextEnds(t *testing.T) {
	f := newFake(t)
	ctx, cancel := context.WithCancel(context.Background())
	stop := make(chan struct{})
	f.serve = func(http.ResponseWriter, *http.Request) { cancel(); <-stop }
	defer close(stop)
	l := f.line("one")
	if _, err := l.post(ctx, request{path: wire.PathReport, media: wire.TypeReport}); err == nil || l.conn != nil {
		t.Errorf("error %v, line kept %v", err, l.conn != nil)
	}
}

func TestLineTrustsItsAuthorityOnly(t *testing.T) {
	f := newFake(t)
	road, err := newRoad(f.road.address, nil, f.stats)
	if err != nil {
		t.Fatal(err)
	}
	l := &line{x: road, certificate: certificate(t, "one")}
	if err := sendOne(l, 1); err == nil || failure(err) != "untrusted" {
		t.Errorf("error %v, want one of trust", err)
	}
	if reports, _, _ := f.got(); len(reports) != 0 {
		t.Error("a report was sent to a collector that is not trusted")
	}
}

func TestOnLoopback(t *testing.T) {
	for address, ok := range map[string]bool{
		"127.0.0.1:9721": true, "127.1.2.3:1": true, "[::1]:9721": true, "localhost:9721": true, "[::ffff:127.0.0.1]:1": true,
		"10.0.0.1:9721": false, "collector.example:9721": false, "0.0.0.0:1": false, "localhost.example:1": false,
	} {
		if err := onLoopback(address); (err == nil) != ok || err != nil && !errors.Is(err, errRemote) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if err := onLoopback("127.0.0.1"); err == nil {
		t.Error("an address without a port was taken")
	}
}

func TestSources(t *testing.T) {
	all := sources(maxSources, "127.0.0.1:1")
	seen := map[string]bool{}
	for _, a := range all {
		host, _, _ := net.SplitHostPort(a.String())
		if seen[host] || !net.ParseIP(host).IsLoopback() {
			t.Errorf("%s is there twice or not on loopback", host)
		}
		seen[host] = true
	}
	for _, elsewhere := range []string{"[::1]:1", "10.0.0.1:1", "localhost:1", "x"} {
		if got := sources(3, elsewhere); got != nil {
			t.Errorf("%s is to be reached from %v", elsewhere, got)
		}
	}
}
