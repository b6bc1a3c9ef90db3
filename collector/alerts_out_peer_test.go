package collector

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/policy"
)

// peerAlertmanager starts a real Alertmanager and returns its address. It ends with the test.
func peerAlertmanager(t *testing.T) string {
	t.Helper()
	program := peerProgram(t, "prometheus-alertmanager")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "alertmanager.yml")
	const config = "global: {resolve_timeout: 1s}\nroute: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config.file="+file, "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--cluster.listen-address=")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	url := "http://" + address
	eventually(t, "the Alertmanager is ready", func() bool {
		resp, err := http.Get(url + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return url
}

// eventually waits for a real program.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if so() {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Fatalf("not within 20 s: %s", what)
}

// shownBy are the alerts that an Alertmanager shows.
func shownBy(t *testing.T, url string) (out []outHeard) {
	t.Helper()
	resp, err := http.Get(url + "/api/v2/alerts")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// runWithPeer runs a whole collector that tells an Alertmanager, on the real clock.
func runWithPeer(t *testing.T, url string, resend time.Duration) *stage {
	cfg := testConfig(t, diskRules)
	cfg.Evaluation.Interval = policy.Duration(100 * time.Millisecond)
	cfg.Web.ExternalURL = "https://watch.example"
	cfg.Receivers = []notify.Receiver{{Name: "am", Alertmanager: &notify.AlertmanagerConfig{
		URLs: []string{url}, ResendDelay: model.Duration(resend),
	}}}
	s := newStage(t, cfg)
	s.now, s.pipeline.now, s.silence.now = time.Now, time.Now, time.Now
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// An Alertmanager takes the alerts of a whole collector: one that fires stands for as long as it is said again, far longer than
// one word holds.
func TestPeerAlertmanagerHoldsWhatIsSaidAgain(t *testing.T) {
	url := peerAlertmanager(t)
	s := runWithPeer(t, url, 250*time.Millisecond)
	s.at = time.Now()
	s.report("web1", 0, 5)
	eventually(t, "the alert is there", func() bool { return len(shownBy(t, url)) == 1 })
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); { // each word holds for one second
		got := shownBy(t, url)
		if len(got) != 1 || got[0].Labels["alertname"] != "DiskFull" || got[0].Labels["watchbill_source"] != "https://watch.example" ||
			got[0].GeneratorURL != "https://watch.example/api/watchbill/v1/tickets/WB-1001" {
			t.Fatalf("it shows %+v", got)
		}
		<-time.After(50 * time.Millisecond)
	}
	s.at = time.Now()
	s.report("web1", 0, 50)
	eventually(t, "the alert is gone", func() bool { return len(shownBy(t, url)) == 0 })
}

// It is told of an end at once: without a word the alert would stand for eight minutes.
func TestPeerAlertmanagerIsToldOfTheEnd(t *testing.T) {
	url := peerAlertmanager(t)
	s := runWithPeer(t, url, 2*time.Minute)
	s.at = time.Now()
	s.report("web1", 0, 5)
	eventually(t, "the alert is there", func() bool { return len(shownBy(t, url)) == 1 })
	if valid := time.Until(shownBy(t, url)[0].EndsAt); valid < 7*time.Minute || valid > 8*time.Minute {
		t.Errorf("it would stand for %v, want four times the resend delay", valid)
	}
	s.at = time.Now()
	s.report("web1", 0, 50)
	eventually(t, "the alert is gone", func() bool { return len(shownBy(t, url)) == 0 })
}
