package api

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// peer finds a program that is not part of this house, or skips the test.
func peer(t *testing.T, env string, names ...string) string {
	t.Helper()
	if p := os.Getenv(env); env != "" && p != "" {
		return p
	}
	for _, n := range names {
		if p, err := exec.LookPath(n); err == nil {
			return p
		}
	}
	if env == "" && os.Getenv("WATCHBILL_REQUIRE_PEERS") == "1" { // what only env names is no package: its answers are kept as a golden file
		t.Fatalf("required by WATCHBILL_REQUIRE_PEERS: one of %v is not in PATH, and %s names none", names, env)
	}
	t.Skipf("none of %v is in PATH, and %s names none", names, env)
	return ""
}

// startPrometheus runs Prometheus 3 over the recorded samples and gives its address.
func startPrometheus(t *testing.T) string {
	t.Helper()
	program := peer(t, "WATCHBILL_PROMETHEUS3", "prometheus3")
	dir := t.TempDir()
	record(t, dir, "")
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte("global: {evaluation_interval: 5s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	_ = ln.Close()
	var log bytes.Buffer
	cmd := exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "tsdb"),
		"--storage.tsdb.retention.time=100y", "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if resp, err := http.Get("http://" + address + "/-/ready"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return address
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("Prometheus does not get ready:\n%s", log.String())
		}
	}
}

// TestAnswersBesidePrometheus asks a real Prometheus 3 of the engine's version, over the same samples, all that this API is
// asked: the answers are the same to the byte, but for the order of series
// that no expression ordered. With -update what it said is kept for TestAnswersAsPrometheus.
func TestAnswersBesidePrometheus(t *testing.T) {
	address := startPrometheus(t)
	h := recordedHouse(t)
	var golden strings.Builder
	for _, q := range questions(t) {
		resp, err := http.Get("http://" + address + "/api/v1" + q.path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&golden, "%s\t%s\n", fingerprint(q, resp.StatusCode, string(body)), q.line)
		if code, own := h.prom("viewer", q.path); code != resp.StatusCode || settled(q, own) != settled(q, string(body)) {
			t.Errorf("%s\nanswered   %d %.1500s\nPrometheus %d %.1500s", q.line, code, own, resp.StatusCode, body)
		}
	}
	if *update {
		if err := os.WriteFile(goldenAnswers, []byte(golden.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPromtoolQueries: promtool, unmodified, reads this API, with a token as the password of basic authentication.
func TestPromtoolQueries(t *testing.T) {
	promtool := peer(t, "", "promtool")
	h := recordedHouse(t)
	srv := httptest.NewServer(h.handler)
	defer srv.Close()
	server := strings.Replace(srv.URL, "http://", "http://grafana:"+h.tokens["scrape"]+"@", 1)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"query", "instant", "--time=2026-11-21T12:00:00Z", server, `up{instance="web1"}`},
			`up{customer="acme", instance="web1", job="node", site="berlin"} => 1 @[1795262400]`},
		{[]string{"query", "instant", "--time=2026-11-21T12:00:00Z", server, "sum(up) by (customer)"}, `{customer="acme"} => 2 @[1795262400]`},
		{[]string{"query", "range", "--start=1795262340", "--end=1795262400", "--step=30s", server, `count(up)`}, "3 @[1795262370]"},
		{[]string{"query", "series", "--match=node_load1", server},
			`{__name__="node_load1", customer="shop", instance="db1", job="node", site="leeds"}`},
		{[]string{"query", "labels", server, "instance"}, "db1\n"},
	} {
		out, err := exec.Command(promtool, tt.args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), tt.want) {
			t.Errorf("promtool %s: %v\n%s\nwant %s", strings.Join(tt.args[:2], " "), err, out, tt.want)
		}
	}
	if out, err := exec.Command(promtool, "query", "instant", srv.URL, "up").CombinedOutput(); err == nil {
		t.Errorf("promtool without a token was answered: %s", out)
	}
}
