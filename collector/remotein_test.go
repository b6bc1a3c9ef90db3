package collector

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// remoteRules has rules of both paths: about one asset, judged at arrival, and about several, on a timer.
const remoteRules = `groups:
- name: remote
  rules:
  - alert: DiskFull
    expr: disk_free_ratio < 0.1
    labels: {severity: warning, service: filesystem, system: server}
    annotations: {summary: "{{ $labels.mountpoint }} is filling on {{ $labels.instance }}"}
  - alert: TargetDown
    expr: up == 0
    labels: {severity: critical, service: node, system: server}
    annotations: {summary: "{{ $labels.job }} of {{ $labels.instance }} cannot be scraped"}
  - alert: AllFilling
    expr: sum by (job) (disk_free_ratio) < 0.3
    labels: {severity: info, service: capacity, system: server}
    annotations: {summary: "disks of {{ $labels.job }} are filling"}
`

// scraper is a program that writes to a stage with a token of its own.
type scraper struct {
	s     *stage
	token string
}

func (s *stage) sender(name string) *scraper {
	s.t.Helper()
	token, err := s.fleet.AddOperator(context.Background(), name, fleet.Sender, "test")
	if err != nil {
		s.t.Fatal(err)
	}
	return &scraper{s, token}
}

// post sends a body and returns the answer.
func (p *scraper) post(body []byte, head ...string) *httptest.ResponseRecorder {
	p.s.t.Helper()
	req := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+p.token)
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("Content-Type", "application/x-protobuf")
	for i := 0; i+1 < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	w := httptest.NewRecorder()
	p.s.api.Handler().ServeHTTP(w, req)
	return w
}

// ts is a series with one sample at the stage's time.
func (p *scraper) ts(v float64, lbls ...string) prompb.TimeSeries {
	t := prompb.TimeSeries{Samples: []prompb.Sample{{Value: v, Timestamp: p.s.at.UnixMilli()}}}
	for i := 0; i+1 < len(lbls); i += 2 {
		t.Labels = append(t.Labels, prompb.Label{Name: lbls[i], Value: lbls[i+1]})
	}
	return t
}

// write sends series, and expects a status.
func (p *scraper) write(status int, all ...prompb.TimeSeries) string {
	p.s.t.Helper()
	b, err := (&prompb.WriteRequest{Timeseries: all}).Marshal()
	if err != nil {
		p.s.t.Fatal(err)
	}
	w := p.post(snappy.Encode(nil, b))
	if w.Code != status {
		p.s.t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	return w.Body.String()
}

// scrape is what Prometheus writes of a target with two disks.
func (p *scraper) scrape(instance string, free float64) []prompb.TimeSeries {
	return []prompb.TimeSeries{
		p.ts(free, "__name__", "disk_free_ratio", "instance", instance, "job", "node", "mountpoint", "/srv"),
		p.ts(0.5, "__name__", "disk_free_ratio", "instance", instance, "job", "node", "mountpoint", "/"),
		p.ts(1, "__name__", "up", "instance", instance, "job", "node"),
	}
}

// gone is the same target when it cannot be scraped any more.
func (p *scraper) failed(instance string) []prompb.TimeSeries {
	out := p.scrape(instance, 0)
	out[0].Samples[0].Value, out[1].Samples[0].Value = math.Float64frombits(value.StaleNaN), math.Float64frombits(value.StaleNaN)
	out[2].Samples[0].Value = 0
	return out
}

// pass lets time pass, and what waits for it be done.
func (s *stage) pass(d time.Duration) {
	s.t.Helper()
	s.at = s.at.Add(d)
	s.remoteIn.Load().Settle(context.Background(), s.at)
}

func (s *stage) fires() []string {
	var out []string
	for _, a := range s.evaluator.Alerts() {
		if a.Alert.State == rules.Firing {
			out = append(out, a.Origin.Name+" "+a.Alert.Labels.Get("instance"))
		}
	}
	return out
}

// A program that writes samples is an agent: what it writes is judged when it arrives, and a ticket is there before it is
// told that its samples are taken.
func TestRemoteWriteOpensATicket(t *testing.T) {
	s := newStage(t, testConfig(t, remoteRules))
	p := s.sender("prom")
	p.write(204, p.scrape("web1:9100", 0.5)...)
	s.pass(time.Second)
	s.pass(14 * time.Second)
	p.write(204, p.scrape("web1:9100", 0.05)...)
	tk := s.only()
	if tk.Customer != "acme" || tk.Asset != "web1" || tk.Title != "/srv is filling on web1" {
		t.Errorf("ticket %+v", tk)
	}
	st, _ := s.window.Asset("web1")
	for _, b := range st.Blocks {
		t.Logf("%+v", b)
	}
	if st.Series != 3 || st.Site != "london" {
		t.Errorf("window has %+v", st)
	}
	s.pass(15 * time.Second)
	p.write(204, p.scrape("web1:9100", 0.5)...)
	if got := s.fires(); len(got) != 0 {
		t.Errorf("still firing: %v", got)
	}
	if _, ok := s.window.Asset("web1:9100"); ok {
		t.Error("the asset is there under its instance, too")
	}
}

// What a sender says of customer and site never decides: the fleet does, and what it does not declare is the operator's.
// Rules on timers see it as those at arrival do.
func TestRemoteWriteKeysSeries(t *testing.T) {
	s := newStage(t, testConfig(t, remoteRules))
	p := s.sender("prom")
	send := func(free float64) {
		p.write(204,
			p.ts(free, "__name__", "disk_free_ratio", "customer", "acme", "instance", "db9:9187", "job", "pg", "mountpoint", "/", "site", "london"),
			p.ts(free, "__name__", "disk_free_ratio", "customer", "evil", "instance", "web2", "job", "pg", "mountpoint", "/"),
			p.ts(free, "__name__", "disk_free_ratio", "job", "batch", "mountpoint", "/"))
	}
	send(0.5)
	s.pass(time.Second)
	s.pass(14 * time.Second)
	send(0.05)
	if err := s.evaluator.EvaluateOnce(context.Background(), s.at.Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, tk := range s.tickets() {
		got[tk.Asset+": "+tk.Title] = tk.Customer
	}
	want := map[string]string{
		"db9: / is filling on db9":                             "operator",
		"web2: / is filling on web2":                           "acme",
		"remote-write/prom: / is filling on remote-write/prom": "operator",
		": disks of pg are filling":                            "operator",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("tickets %v, want %v", got, want)
	}
	w := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, "/api/watchbill/v1/assets", nil)
	admin, err := s.fleet.AddOperator(context.Background(), "ann", fleet.Admin, "test")
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+admin)
	s.api.Handler().ServeHTTP(w, req)
	var list struct {
		Assets []struct {
			Name, State string
			From        []string
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	said := fmt.Sprint(list.Assets)
	if want := "[{db9 reporting [remote write by prom]} {remote-write/prom reporting [remote write by prom]} {web1 never []} {web2 reporting [remote write by prom]}]"; said != want {
		t.Errorf("assets %s, want %s", said, want)
	}
}

// One kind of block of one asset has one writer: what the asset's agent reports nobody else writes, from the first or from
// when the agent begins.
func TestRemoteWriteBesideAnAgent(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	p := s.sender("prom")
	other := func(job string) prompb.TimeSeries { return p.ts(1, "__name__", "x", "instance", "web1", "job", job) }
	p.write(204, other("node"))
	s.enrolled("web1")
	s.report("web1", 15*time.Second, 50)
	s.remoteIn.Load().Sweep(context.Background(), s.at.Add(10*time.Second)) // it finds out by itself
	if n := s.live("x"); n != 0 {
		t.Errorf("%d series of it are there beside the agent's", n)
	}
	s.pass(15 * time.Second)
	said := p.write(400, other("node"), other("postgres"))
	for _, want := range []string{"1 samples were taken", "asset_has_own_agent", "web1 has an agent of its own that reports job \"node\""} {
		if !strings.Contains(said, want) {
			t.Errorf("said %q, want %q in it", said, want)
		}
	}
	s.pass(time.Second)
	if n := s.live("x"); n != 1 {
		t.Errorf("%d series, want the one of the other job", n)
	}
	ups := s.live("up")
	if ups != 1 {
		t.Errorf("%d series up, want the agent's", ups)
	}
}

// live counts the series of a name that have not ended.
func (s *stage) live(name string) (n int) {
	s.window.Last(func(l labels.Labels, _ time.Time, _ float64) {
		if l.Get("__name__") == name {
			n++
		}
	})
	return n
}

// A target that cannot be scraped is unknown, not well: its alerts stay as they are, and `up` tells why.
func TestRemoteWriteOfAFailedScrape(t *testing.T) {
	s := newStage(t, testConfig(t, remoteRules))
	p := s.sender("prom")
	for _, free := range []float64{0.5, 0.05, 0.05} {
		p.write(204, p.scrape("web1:9100", free)...)
		s.pass(time.Second)
		s.pass(14 * time.Second)
	}
	p.write(204, p.failed("web1:9100")...)
	s.pass(time.Second)
	got := s.fires()
	slices.Sort(got)
	if want := []string{"DiskFull web1", "TargetDown web1"}; !slices.Equal(got, want) {
		t.Errorf("firing %v, want %v", got, want)
	}
	for range 8 { // for a long time: only what Prometheus says of the scrape still comes
		s.pass(time.Minute)
		p.write(204, p.ts(0, "__name__", "up", "instance", "web1:9100", "job", "node"))
	}
	if got := s.fires(); len(got) != 2 {
		t.Errorf("firing %v after some time", got)
	}
	s.pass(15 * time.Second)
	p.write(204, p.scrape("web1:9100", 0.5)...)
	s.pass(time.Second)
	if got := s.fires(); len(got) != 0 {
		t.Errorf("firing %v when it is back and well", got)
	}
}

// A target that its sender does not know any more is gone, and what came late, twice or out of order changes no alert.
func TestRemoteWriteOfThePast(t *testing.T) {
	s := newStage(t, testConfig(t, remoteRules))
	p := s.sender("prom")
	for range 3 {
		p.write(204, p.scrape("web1:9100", 0.5)...)
		s.pass(time.Second)
		s.pass(14 * time.Second)
	}
	bad := p.scrape("web1:9100", 0.01)
	for _, back := range []time.Duration{7 * time.Second, 20 * time.Second, time.Hour} {
		for i := range bad {
			bad[i].Samples[0].Timestamp = s.at.Add(-15*time.Second - back).UnixMilli()
		}
		p.write(204, bad...)
		p.write(204, bad...)
		s.pass(time.Second)
	}
	if got := s.fires(); len(got) != 0 {
		t.Fatalf("the past fires %v", got)
	}
	// A backlog after the sender's outage: older than what is news, whatever it is newer than.
	s.pass(10 * time.Minute)
	for ago := 9 * time.Minute; ago > time.Minute; ago -= 15 * time.Second {
		for i := range bad {
			bad[i].Samples[0].Timestamp = s.at.Add(-ago).UnixMilli()
		}
		p.write(204, bad...)
	}
	if got := s.fires(); len(got) != 0 {
		t.Fatalf("the backlog fires %v", got)
	}
	p.write(204, p.scrape("web1:9100", 0.01)...)
	if got := s.fires(); len(got) != 1 {
		t.Errorf("firing %v", got)
	}
	p.write(204, p.scrape("web1:9100", 0.01)...)
	if len(s.tickets()) != 1 {
		t.Errorf("%d tickets", len(s.tickets()))
	}
}

// What one scrape brought may come in several requests, of several shards: it is one row, and judged when it is whole.
func TestRemoteWriteInShards(t *testing.T) {
	s := newStage(t, testConfig(t, remoteRules))
	p := s.sender("prom")
	for i := range 4 {
		all := p.scrape("web1:9100", 0.5)
		if i == 3 {
			all = p.scrape("web1:9100", 0.05)
		}
		for _, k := range []int{i % 3, (i + 1) % 3, (i + 2) % 3} {
			p.write(204, all[k])
		}
		if i == 3 {
			break // whole: it waits for nothing
		}
		s.pass(time.Second)
		s.pass(14 * time.Second)
	}
	if len(s.fires()) != 1 {
		t.Errorf("firing %v", s.fires())
	}
	st, _ := s.window.Asset("web1")
	if len(st.Blocks) != 2 || st.Blocks[0].Series != 2 || st.Blocks[1].Series != 1 {
		t.Errorf("blocks %+v", st.Blocks)
	}
}

// Of two that write the same series one wins, until it is gone; the other one's numbers never come between.
func TestRemoteWriteOfAPair(t *testing.T) {
	cfg := testConfig(t, remoteRules)
	cfg.RemoteWriteIn.Keying.DropLabels = []string{"__replica__"}
	s := newStage(t, cfg)
	p := s.sender("pair")
	of := func(replica string, free float64) []prompb.TimeSeries {
		all := p.scrape("web1:9100", free)
		for i := range all {
			all[i].Labels = append(all[i].Labels, prompb.Label{Name: "__replica__", Value: replica})
		}
		return all
	}
	for range 8 {
		p.write(204, of("a", 0.5)...)
		s.pass(5 * time.Second)
		p.write(204, of("b", 0.01)...) // it sees something else
		s.pass(10 * time.Second)
		if got := s.fires(); len(got) != 0 {
			t.Fatalf("b came through: %v", got)
		}
	}
	for range 6 { // a is gone
		p.write(204, of("b", 0.01)...)
		s.pass(15 * time.Second)
	}
	if got := s.fires(); len(got) != 1 {
		t.Fatalf("b did not take over: %v", got)
	}
	p.write(204, of("a", 0.5)...)
	s.pass(time.Second)
	if got := s.fires(); len(got) != 1 {
		t.Errorf("a took back what b writes: %v", got)
	}
}

// An orderly stop leaves the window, and rows go on in it; after a kill nothing is known of before, and what looks back is
// unknown, not well.
func TestRemoteWriteAcrossRestarts(t *testing.T) {
	const lookBack = `groups:
- name: remote
  rules:
  - alert: Errors
    expr: increase(errors_total[2m]) > 5
    labels: {severity: warning, service: app, system: server}
    annotations: {summary: "errors on {{ $labels.instance }}"}
`
	for _, orderly := range []bool{true, false} {
		t.Run(fmt.Sprintf("orderly %v", orderly), func(t *testing.T) {
			cfg := testConfig(t, lookBack)
			s := newStage(t, cfg)
			p := s.sender("prom")
			errors := 0.0
			send := func(instance string) {
				p.write(204, p.ts(errors, "__name__", "errors_total", "instance", instance, "job", "app"))
				s.pass(time.Second)
				s.pass(14 * time.Second)
			}
			for range 20 {
				errors += 2
				send("app7:80")
			}
			if got := s.fires(); len(got) != 1 {
				t.Fatalf("firing %v", got)
			}
			if !orderly {
				s.keepWindow.Store(false)
			}
			at := s.at
			s.Close()
			s2 := newStage(t, cfg)
			s2.at = at
			s2.listening.Store(at.UnixNano())
			p.s, s = s2, s2
			errors += 2
			send("app7:80") // before that nobody knows, and it does not end
			if got := s.fires(); len(got) != 1 {
				t.Fatalf("firing %v after the restart", got)
			}
			st, _ := s.window.Asset("app7")
			if since := at.Sub(st.CompleteSince); (since > time.Minute) != orderly {
				t.Errorf("complete since %v before the restart", since)
			}
			for range 3 {
				send("app7:80") // no more errors; but those of before the restart may be more than five
			}
			if got := s.fires(); len(got) != 1 {
				t.Fatalf("firing %v while it looks back over the restart", got)
			}
			for range 9 {
				send("app7:80")
			}
			if got := s.fires(); len(got) != 0 {
				t.Errorf("firing %v when all is well, and known", got)
			}
			if len(st.Blocks) != 1 {
				t.Errorf("blocks %+v", st.Blocks)
			}
		})
	}
}

// A sender that was heard steadily and stops is one alert and one ticket, which names it and what is not known without it.
// What it wrote stands as it is. A restart neither forgets it nor makes it up.
func TestRemoteWriteSilence(t *testing.T) {
	cfg := testConfig(t, remoteRules)
	s := newStage(t, cfg)
	p := s.sender("prom")
	for range 10 {
		p.write(204, append(p.scrape("web1:9100", 0.05), p.scrape("db9:9187", 0.5)...)...)
		s.watchFeeds(15 * time.Second)
	}
	if got := s.fires(); len(got) != 1 {
		t.Fatalf("firing %v", got)
	}
	s.watchFeeds(30 * time.Second)
	if got := s.fires(); len(got) != 1 {
		t.Fatalf("firing %v before its time", got)
	}
	restart := func() {
		at := s.at
		s.Close()
		s2 := newStage(t, cfg)
		s2.at = at
		s2.listening.Store(at.UnixNano())
		p.s, s = s2, s2
	}
	restart()
	s.watchFeeds(50 * time.Second)
	if got := s.fires(); len(got) != 1 {
		t.Fatalf("firing %v: it may have written while the collector was away", got)
	}
	s.watchFeeds(20 * time.Second)
	want := []string{"DiskFull web1", "RemoteWriteSilent remote-write/prom"}
	expect := func(what string) {
		t.Helper()
		got := s.fires()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("%s: firing %v, want %v", what, got, want)
		}
	}
	expect("silent")
	all := s.tickets()
	tk := all[slices.IndexFunc(all, func(t ticket.Ticket) bool { return t.Title == "Nothing is written any more by prom" })]
	if said := s.record(tk); len(all) != 2 || tk.Customer != "operator" || !strings.Contains(fmt.Sprint(said), "2 assets that it alone writes, whose alerts stay as they are: db9, web1") {
		t.Errorf("%d tickets, of it %+v\n%v", len(all), tk, said)
	}
	restart()
	s.watchFeeds(10 * time.Minute)
	expect("silent after a restart")
	if len(s.tickets()) != 2 {
		t.Errorf("%d tickets", len(s.tickets()))
	}
	for range 2 {
		p.write(204, p.scrape("web1:9100", 0.05)...)
		s.watchFeeds(15 * time.Second)
	}
	want = want[:1]
	expect("back")
}

// watchFeeds lets time pass second by second.
func (s *stage) watchFeeds(d time.Duration) {
	s.t.Helper()
	for end := s.at.Add(d); s.at.Before(end); {
		s.pass(time.Second)
		if err := s.feeds.look(context.Background()); err != nil {
			s.t.Fatal(err)
		}
	}
}

// An alert and samples that name the same exporter of a host nobody declared are about one asset, and one ticket.
func TestRemoteWriteAndAlertsOfOneInstance(t *testing.T) {
	f := newFeeding(t, testConfig(t, remoteRules))
	p := f.stage.sender("prom")
	for _, free := range []float64{0.5, 0.05} {
		p.write(204, p.scrape("db9:9187", free)...)
		f.stage.pass(time.Second)
		f.stage.pass(14 * time.Second)
	}
	alert := f.down("db9:9100")
	alert["labels"].(map[string]string)["service"] = "filesystem"
	f.post(alert)
	tk := f.only()
	if tk.Asset != "db9" || len(tk.Alerts) != 2 {
		t.Errorf("ticket of %q with the alerts %+v", tk.Asset, tk.Alerts)
	}
}
