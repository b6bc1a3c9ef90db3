package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/history"
	"github.com/watchbill/watchbill/collector/policy"
)

// requirePeer skips a test, or fails it where peers are required.
func requirePeer(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("WATCHBILL_REQUIRE_PEERS") == "1" {
		t.Fatalf("required here: %s", why)
	}
	t.Skip(why)
}

// freeAddress is an address that nobody listens on: ports from 32768 on are given to outgoing connections and to listeners on
// any port of all processes.
func freeAddress(t *testing.T) string {
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

// startPrometheus starts the one that is installed with its receiver of remote write on, and answers its address.
func startPrometheus(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		requirePeer(t, "no prometheus is installed to write to")
	}
	address := freeAddress(t)
	dir := t.TempDir()
	conf := filepath.Join(dir, "prometheus.yml")
	// Late samples are what a backlog is made of.
	if err := os.WriteFile(conf, []byte("storage: {tsdb: {out_of_order_time_window: 2h}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config.file="+conf, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--web.enable-remote-write-receiver")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		log.Close()
		if t.Failed() {
			said, _ := os.ReadFile(log.Name())
			t.Logf("prometheus says:\n%s", said)
		}
	})
	eventually(t, "prometheus is ready", func() bool {
		resp, err := http.Get("http://" + address + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return address
}

// eventually asks until it is so: another process is waited for, whose clock is not ours.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("not within two minutes: %s", what)
		}
		<-tick.C
	}
}

// ask is the result of an instant query, by instance.
func ask(t *testing.T, address, query string) map[string]string {
	t.Helper()
	resp, err := http.Get("http://" + address + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	body, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(body, &got)
	}
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, r := range got.Data.Result {
		out[r.Metric["instance"]] = fmt.Sprint(r.Value[1])
	}
	return out
}

// A real Prometheus takes what is written: live samples, a backlog from before, and what comes again after a restart.
func TestPrometheusTakesWhatIsWritten(t *testing.T) {
	address := startPrometheus(t)
	c := DefaultConfig()
	target := defaultTarget()
	target.Name, target.URL = "prometheus", "http://"+address+"/api/v1/write"
	target.Queue.BatchSendDeadline = policy.Duration(50 * time.Millisecond)
	c.Targets = []Target{target}
	c.External = map[string]string{"cluster": "eu"}
	dir := t.TempDir()
	run := func(feed func(r *Remote)) {
		r, err := New(dir, Options{Version: "test", free: func(string) (uint64, uint64, error) { return 1 << 40, 1 << 40, nil }})
		if err != nil {
			t.Fatal(err)
		}
		p, err := r.Plan(c)
		if err != nil {
			t.Fatal(err)
		}
		r.Adopt(p)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		eventually(t, "the spool is open", func() bool { return r.spool.isOpen() })
		feed(r)
		eventually(t, "all is written", func() bool {
			s := r.Status()
			return len(s) == 1 && s[0].PendingSamples == 0 && !s[0].SentAt.IsZero()
		})
		if s := r.Status()[0]; s.LastError != "" {
			t.Errorf("prometheus did not take it at once: %s", s.LastError)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	run(func(r *Remote) {
		for i := range 20 { // an hour's backlog behind a live sample
			r.Append(report("web-1", now.Add(-time.Duration(i)*3*time.Minute), float64(i)))
		}
		r.AppendSamples([]history.Sample{{Labels: labels.FromStrings("__name__", "up", "instance", "elsewhere"), T: now.UnixMilli(), V: 1}})
	})
	run(func(r *Remote) { r.Append(report("web-2", now, 42)) })
	if got := ask(t, address, `node_load1{cluster="eu",customer="acme",site="berlin",job="node"}`); got["web-1"] != "0" || got["web-2"] != "42" {
		t.Errorf("load is %v", got)
	}
	if got := ask(t, address, `count_over_time(node_load1{instance="web-1"}[2h])`); got["web-1"] != "20" {
		t.Errorf("there are %v samples of web-1, want 20", got)
	}
	if got := ask(t, address, `up{cluster="eu"}`); got["elsewhere"] != "1" {
		t.Errorf("up is %v", got)
	}
}
