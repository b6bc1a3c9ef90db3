package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/collector/outbox"
)

// outputs are the receivers that hear of tickets by a call of their own form, each made for an address.
var outputs = map[string]func(url string) Receiver{
	"slack": func(url string) Receiver {
		return Receiver{Name: "chat", Slack: &SlackConfig{HookConfig{URL: secret(url), Timeout: model.Duration(time.Minute)}}}
	},
	"teams": func(url string) Receiver {
		return Receiver{Name: "chat", Teams: &TeamsConfig{HookConfig{URL: secret(url), Timeout: model.Duration(time.Minute)}}}
	},
	"pagerduty": func(url string) Receiver {
		return Receiver{Name: "pager", PagerDuty: &PagerDutyConfig{URL: url, RoutingKey: "geheim-key", Timeout: model.Duration(time.Minute)}}
	},
}

func output(t testing.TB, r Receiver) outbox.Sender {
	t.Helper()
	all, err := New([]Receiver{r}, Options{ExternalURL: "https://watch.example", Version: "1.2", Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	return all[r.Name]
}

// record is an incident record as a fresh ticket has it.
var record = []RecordPart{{"time", "first bad sample at 11:59 (rule)"}, {"symptoms", "/srv is full (rule)\n  a | b"},
	{"affected_users", "40 people (fleet)"}, {"error_references", "none, because nothing was logged"}, {"actions_taken", "none, because no restart"}}

func TestOutputsGolden(t *testing.T) {
	for kind, of := range outputs {
		for _, what := range []string{"opened", "acknowledged", "resolved"} {
			t.Run(kind+"/"+what, func(t *testing.T) {
				n := notice()
				n.What, n.Record = what, record
				if what == "resolved" {
					n.Ticket.State, n.Alerts = "resolved", n.Alerts[:1]
				}
				d := newDesk(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
				if err := output(t, of(d.URL+"/hook/geheim")).Send(t.Context(), message(t, n)); err != nil {
					t.Fatal(err)
				}
				golden(t, filepath.Join("testdata", kind+"_"+what+".golden.json"), d.last.Load().body)
				if got := d.last.Load().header.Get("Content-Type"); got != "application/json" {
					t.Errorf("Content-Type %q", got)
				}
			})
		}
	}
}

// golden compares JSON with a file.
func golden(t *testing.T, file string, body []byte) {
	t.Helper()
	var got bytes.Buffer
	if err := json.Indent(&got, body, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the payload is not that of %s; run with -update when that is meant:\n%s", file, &got)
	}
}

// That alerts fire which the ticket only counts is said wherever what fires is, also when all that are listed are over.
func TestOutputsTellOfWhatIsCounted(t *testing.T) {
	for more, want := range map[int]string{0: "", 1: "1 more fires, which the ticket counts", 500: "500 more fire, which the ticket counts"} {
		n, m := notice(), outbox.Message{ID: "m-7"}
		n.Alerts, n.More = n.Alerts[:1], more
		said := map[string]any{"mail": mailText(n, noon), "slack": slackOf(m, n, noon), "teams": string(teamsOfNotice(t, n)), "pagerduty": pager(t, nil).event(m, n)}
		for kind, what := range said {
			body, err := json.Marshal(what)
			if err != nil {
				t.Fatal(err)
			}
			if want == "" && strings.Contains(string(body), "more fire") || !strings.Contains(string(body), want) {
				t.Errorf("%s, %d more: %s", kind, more, body)
			}
		}
	}
}

func TestOutputsAnswers(t *testing.T) {
	const retry, refused, ok = "retry", "refused", "ok"
	answers := map[int]string{200: ok, 202: ok, 204: ok, 302: refused, 400: refused, 403: refused, 404: refused, 410: refused,
		413: refused, 408: retry, 429: retry, 500: retry, 503: retry}
	for kind, of := range outputs {
		for code, want := range answers {
			t.Run(fmt.Sprint(kind, code), func(t *testing.T) {
				d := newDesk(t, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Retry-After", "30")
					w.WriteHeader(code)
					if code >= 400 { // as a router that repeats what it does not know
						io.WriteString(w, "no such place "+r.URL.String()+" nor /hook/%67eheim-key invalid_payload")
					}
				})
				err := output(t, of(d.URL+"/hook/T01/geheim-key?token=geheim-too")).Send(t.Context(), message(t, notice()))
				got := retry
				switch {
				case err == nil:
					got = ok
				case errors.Is(err, outbox.ErrRefused):
					got = refused
				}
				if got != want {
					t.Errorf("%s (%v), want %s", got, err, want)
				}
				if err == nil {
					return
				}
				if strings.Contains(err.Error(), "geheim") {
					t.Errorf("the error tells what is secret: %v", err)
				}
				if code >= 400 && !strings.Contains(err.Error(), "invalid_payload") {
					t.Errorf("%v does not say why", err)
				}
				if e, found := errors.AsType[*outbox.RetryAfter](err); want == retry && (!found || e.Wait != 30*time.Second) {
					t.Errorf("does not say how long to wait: %v", err)
				}
			})
		}
	}
}

// A receiver that commits and then drops the connection may have it: it is told again.
func TestOutputsDroppedAfterCommit(t *testing.T) {
	for kind, of := range outputs {
		t.Run(kind, func(t *testing.T) {
			d := newDesk(t, func(w http.ResponseWriter, _ *http.Request) {
				if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
					c.Close()
				}
			})
			s, m := output(t, of(d.URL+"/geheim")), message(t, notice())
			var bodies [][]byte
			for range 2 {
				err := s.Send(t.Context(), m)
				if err == nil || errors.Is(err, outbox.ErrRefused) || strings.Contains(err.Error(), "geheim") {
					t.Fatalf("%v, want to try again, and no secret", err)
				}
				bodies = append(bodies, d.last.Load().body)
			}
			if !bytes.Equal(bodies[0], bodies[1]) || !bytes.Contains(bodies[0], []byte("m-7")) {
				t.Errorf("the repeat cannot be told from a new one:\n%s\n%s", bodies[0], bodies[1])
			}
		})
	}
}

func TestOutputsHanging(t *testing.T) {
	release := make(chan struct{})
	d := newDesk(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	for kind, of := range outputs {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		err := output(t, of(d.URL+"/geheim")).Send(ctx, message(t, notice()))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, outbox.ErrRefused) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v, want to try again", kind, err)
		}
	}
}

func TestOutputsBodyThatIsNoNotice(t *testing.T) {
	for kind, of := range outputs {
		if err := output(t, of("http://127.0.0.1:1/")).Send(t.Context(), outbox.Message{ID: "m", Body: []byte(`[`)}); !errors.Is(err, outbox.ErrRefused) {
			t.Errorf("%s: %v, want it refused", kind, err)
		}
	}
}

// The address of a hook, and a key, may lie in files, which are read for every call; while they are bad nothing is sent.
func TestOutputsSecretsFromFiles(t *testing.T) {
	d := newDesk(t, func(http.ResponseWriter, *http.Request) {})
	dir := t.TempDir()
	file := filepath.Join(dir, "secret")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for kind, r := range map[string]Receiver{
		"slack":     {Name: "x", Slack: &SlackConfig{HookConfig{URLFile: "secret"}}},
		"teams":     {Name: "x", Teams: &TeamsConfig{HookConfig{URLFile: "secret"}}},
		"pagerduty": {Name: "x", PagerDuty: &PagerDutyConfig{URL: d.URL, RoutingKeyFile: "secret"}},
	} {
		r.SetDirectory(dir)
		write(d.URL + "/first\n")
		s := output(t, r)
		if err := s.Send(t.Context(), message(t, notice())); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if kind == "pagerduty" && !bytes.Contains(d.last.Load().body, []byte(`"routing_key":"`+d.URL+`/first"`)) {
			t.Errorf("the key is not the file's: %s", d.last.Load().body)
		}
		calls := d.calls.Load()
		for _, bad := range []string{"", "\n"} {
			write(bad)
			if err := s.Send(t.Context(), message(t, notice())); err == nil || errors.Is(err, outbox.ErrRefused) {
				t.Errorf("%s with a bad file: %v, want to try again", kind, err)
			}
			if _, err := New([]Receiver{r}, Options{}); err == nil {
				t.Errorf("%s: a bad file is taken at a start", kind)
			}
		}
		if kind != "pagerduty" {
			write("ftp://geheim")
			if err := s.Send(t.Context(), message(t, notice())); err == nil || strings.Contains(err.Error(), "geheim") {
				t.Errorf("%s: %v", kind, err)
			}
		}
		if d.calls.Load() != calls {
			t.Errorf("%s sent something without its secret", kind)
		}
	}
}

func TestOutputsValidateNamesEveryFault(t *testing.T) {
	both := HookConfig{URL: "https://x.example/geheim", URLFile: "f"}
	err := Validate([]Receiver{
		{Name: "none", Slack: &SlackConfig{}},
		{Name: "both", Teams: &TeamsConfig{both}},
		{Name: "bad", Slack: &SlackConfig{HookConfig{URL: "ftp://geheim", Timeout: -1}}},
		{Name: "pager", PagerDuty: &PagerDutyConfig{URL: "geheim", Severities: map[string]string{"P1": "loud"}}},
		{Name: "keys", PagerDuty: &PagerDutyConfig{RoutingKey: "geheim", RoutingKeyFile: "f"}},
		{Name: "am", Alertmanager: &AlertmanagerConfig{}},
		{Name: "ams", Alertmanager: &AlertmanagerConfig{URLs: []string{"http://a", "http://a", "a:9093"}, ResendDelay: -1, Timeout: -1,
			ExternalLabels: map[string]string{"a-b": "x", "__x": "y"}, Relabel: relabels(t, "- {action: replace}")}},
		{Name: "many", Slack: &SlackConfig{HookConfig{URL: "https://x"}}, PagerDuty: &PagerDutyConfig{RoutingKey: "k"}},
	})
	if err == nil {
		t.Fatal("no fault found")
	}
	for _, want := range []string{`receivers["none"].slack.url, url_file: set one`, `receivers["both"].teams.url, url_file: set one of them, not both`,
		`receivers["bad"].slack.url: must begin with https://`, `receivers["bad"].slack.timeout`,
		`receivers["pager"].pagerduty.routing_key, routing_key_file: set one`, `receivers["pager"].pagerduty.url: must begin`,
		`receivers["pager"].pagerduty.severities: P1: want one of critical`, `receivers["keys"].pagerduty.routing_key, routing_key_file: set one of them, not both`,
		`receivers["am"].alertmanager.urls: must name one`, `receivers["ams"].alertmanager.urls[1]: is there twice`,
		`receivers["ams"].alertmanager.urls[2]: `, `receivers["ams"].alertmanager.resend_delay`,
		`receivers["ams"].alertmanager.timeout`, `external_labels: "a-b"`, `external_labels: "__x"`, `alert_relabel_configs[0]: `,
		`receivers["many"]: is slack and pagerduty`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "geheim") {
		t.Errorf("a fault repeats a secret: %v", err)
	}
}

// hostile is what a server may call its disks to get people's attention, or a click.
var hostile = []string{"<!channel> <@U024BE7LH> <https://evil.example|the ticket>", "@channel *bold* _x_ `code` ~no~ &lt;!here&gt;",
	"[click](https://evil.example) ![x](http://evil.example/x.png)", "<at>Boss</at> {{DATE(2020-01-01)}} ${payload} # head\n- list",
	"\x00\x1b[31m\u202e\u2028 https://evil.example", `"},"blocks":[{"type":"image"}]`, "\xff\xfe"}

// hostileNotice says a text wherever text of servers and people can stand.
func hostileNotice(text string) Notice {
	n := notice()
	n.What, n.Text, n.Record = text, text, []RecordPart{{text, text}}
	n.Ticket.Title, n.Ticket.Asset, n.Ticket.Customer, n.Ticket.Site, n.Ticket.Service = text, text, text, text, text
	n.Ticket.Priority, n.Ticket.Severity, n.Ticket.Owner, n.Ticket.Number, n.Ticket.State = text, text, text, text, text
	for i := range n.Alerts {
		n.Alerts[i].Labels = map[string]string{"alertname": text}
		n.Alerts[i].Annotations = map[string]string{"summary": text, "first_checks": text}
	}
	return n
}

// texts are all strings of JSON, by the path of keys to them.
func texts(t testing.TB, body []byte) map[string][]string {
	t.Helper()
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	out := map[string][]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case string:
			out[path] = append(out[path], v)
		case []any:
			for _, x := range v {
				walk(path, x)
			}
		case map[string]any:
			for k, x := range v {
				walk(path+"."+k, x)
			}
		}
	}
	walk("", v)
	return out
}

// unprintable finds a character that may hide text or move a cursor.
func unprintable(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) })
}
