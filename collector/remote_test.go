package collector

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/history/remote"
	"github.com/watchbill/watchbill/collector/policy"
)

// engine is a remote-write target; it tells the series of every sample it gets.
func engine(t *testing.T) (url string, got <-chan string) {
	t.Helper()
	ch := make(chan string, 1000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			t.Error(err)
		}
		raw, err := snappy.Decode(nil, body)
		var m prompb.WriteRequest
		if err == nil {
			err = m.Unmarshal(raw)
		}
		if err != nil {
			t.Error(err)
		}
		b := labels.NewScratchBuilder(0)
		for _, ts := range m.Timeseries {
			for range ts.Samples {
				ch <- ts.ToLabels(&b, nil).String()
			}
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, ch
}

func remoteConfig(t *testing.T, urls ...string) remote.Config {
	t.Helper()
	c, text := remote.DefaultConfig(), "remote_write:\n"
	for _, u := range urls {
		text += "- url: " + u + "\n  queue_config: {batch_send_deadline: 10ms}\n"
	}
	if err := policy.Decode("watchbill.yml", []byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// What agents report goes on to the engines that are configured, with history and without; a reload changes which they are.
func TestReportsAreWrittenOn(t *testing.T) {
	for name, retention := range map[string]time.Duration{"with history": 2 * time.Hour, "without": 0} {
		t.Run(name, func(t *testing.T) {
			first, gotFirst := engine(t)
			second, gotSecond := engine(t)
			cfg := testConfig(t, diskRules)
			cfg.History.Retention = policy.Duration(retention)
			cfg.Remote = remoteConfig(t, first)
			s := newStage(t, cfg)
			s.o.Reread = func() (Config, error) {
				cfg.Remote = remoteConfig(t, second)
				return cfg, nil
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.remote.Run(ctx) }()
			defer func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}()
			want := []string{
				`{__name__="node_filesystem_avail_bytes", customer="acme", instance="web1", job="node", mountpoint="/srv", site="london"}`,
				`{__name__="node_filesystem_size_bytes", customer="acme", instance="web1", job="node", mountpoint="/srv", site="london"}`,
			}
			receive := func(from <-chan string) {
				t.Helper()
				var got []string
				for range want {
					select {
					case series := <-from:
						got = append(got, series)
					case <-time.After(20 * time.Second):
						t.Fatalf("came %q, want %q", got, want)
					}
				}
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Errorf("came %q, want %q", got, want)
				}
			}
			until(t, "the first target", func() bool { return begun(s.remote, first) })
			s.report("web1", time.Second, 50)
			receive(gotFirst)
			if got := s.viewed(api.Root + "/status"); !strings.Contains(got, `"url":"`+first+`"`) {
				t.Errorf("status does not tell of the target: %s", got)
			}
			if _, err := s.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			until(t, "the second target", func() bool { return begun(s.remote, second) })
			s.report("web1", time.Second, 50)
			receive(gotSecond)
			if len(gotFirst) > 0 {
				t.Error("the engine that is configured no more gets samples")
			}
		})
	}
}

// begun tells whether samples from now on go to a target.
func begun(r *remote.Remote, url string) bool {
	return slices.ContainsFunc(r.Status(), func(s remote.Status) bool { return s.URL == url && s.Shards > 0 })
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline, tick := time.After(90*time.Second), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-deadline:
			t.Fatalf("in 90 s did not come: %s", what)
		case <-tick.C:
		}
	}
}

func TestAReloadNamesWhatIsWrongWithRemoteWrite(t *testing.T) {
	s, _ := reloaded(t, func(c *Config) {
		c.Remote = remoteConfig(t, "ftp://a", "http://b")
		c.Remote.Targets[1].HTTP.TLSConfig.CAFile = "/nowhere/ca.pem"
	})
	_, err := s.Reload(t.Context())
	for _, want := range []string{"remote_write[0].url: want", "remote_write[1]: ", "/nowhere/ca.pem"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s named", err, want)
		}
	}
	if len(s.remote.Status()) != 0 {
		t.Error("a reload that is wrong made a target")
	}
}
