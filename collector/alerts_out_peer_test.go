package collector

import (
	"context"
	"encoding/json"
	"net/http"
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
	address, dir := freeAddress(t), t.TempDir()
	config := write(t, filepath.Join(dir, "alertmanager.yml"), "global: {resolve_timeout: 1s}\nroute: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
	startPeer(t, "prometheus-alertmanager", "--config.file="+config, "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--cluster.listen-address=")
	url := "http://" + address
	until(t, "the Alertmanager is ready", func() bool {
		resp, err := http.Get(url + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return url
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
	var first time.Time
	until(t, "it stands three times longer than one word holds, which is a second", func() bool {
		got := shownBy(t, url)
		if len(got) == 0 { // not yet, or said again late on a busy machine
			return false
		}
		if len(got) != 1 || got[0].Labels["alertname"] != "DiskFull" || got[0].Labels["watchbill_source"] != "https://watch.example" ||
			got[0].GeneratorURL != "https://watch.example/api/watchbill/v1/tickets/WB-1001" {
			t.Fatalf("it shows %+v", got)
		}
		if first.IsZero() {
			first = got[0].EndsAt
		}
		return got[0].EndsAt.Sub(first) > 3*time.Second
	})
	s.at = time.Now()
	s.report("web1", 0, 50)
	until(t, "the alert is gone", func() bool { return len(shownBy(t, url)) == 0 })
}

// It is told of an end at once: without a word the alert would stand for eight minutes.
func TestPeerAlertmanagerIsToldOfTheEnd(t *testing.T) {
	url := peerAlertmanager(t)
	s := runWithPeer(t, url, 2*time.Minute)
	s.at = time.Now()
	s.report("web1", 0, 5)
	until(t, "the alert is there", func() bool { return len(shownBy(t, url)) == 1 })
	if valid := time.Until(shownBy(t, url)[0].EndsAt); valid < 7*time.Minute || valid > 8*time.Minute {
		t.Errorf("it would stand for %v, want four times the resend delay", valid)
	}
	s.at = time.Now()
	s.report("web1", 0, 50)
	until(t, "the alert is gone", func() bool { return len(shownBy(t, url)) == 0 })
}
