package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/incident"
)

const someSilence = "5f1f9c1e-6a0e-4f0c-9d1b-1d7b1f4b6a11"

func TestSilenceList(t *testing.T) {
	listed := []silence{{ID: someSilence, Matchers: []incident.Matcher{{Name: "instance", Value: "web.*", IsRegex: true, IsEqual: true}},
		StartsAt: time.Now(), EndsAt: time.Now().Add(time.Hour), CreatedBy: "jane (by ada)", Comment: "new disks\x1b[2J",
		Status: &silenceStatus{incident.MutingActive}, Bound: &incident.Bound{Department: "retail"}}}
	for _, tt := range []struct {
		args, request string
		answer        any
		says          []string
	}{
		{"silence list", "GET /api/v2/silences?expired=false", listed, []string{someSilence, "active", `instance=~"web.*"`, "jane (by ada) for department retail", "new disks"}},
		{"silence list --all --filter a=b", "GET /api/v2/silences?filter=a%3Db", []silence{}, []string{"No silences."}},
		{"silence list -o json", "GET /api/v2/silences?expired=false", listed, []string{`"isRegex": true`}},
		{"silence expire " + someSilence, "DELETE /api/v2/silence/" + someSilence, "", []string{"Silence " + someSilence + " is over.\n"}},
	} {
		t.Run(tt.args, func(t *testing.T) {
			s := newScripted(t, 200, tt.answer)
			code, out, errs := cli(t, append(strings.Fields(tt.args), "--url", s.URL, "--storage.path", storage(t, "wbo_secret"))...)
			if code != exitOK {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			if got := s.got.Method + " " + s.got.URL.RequestURI(); got != tt.request || s.got.Header.Get("Authorization") != "Bearer wbo_secret" {
				t.Errorf("asked %s by %q, want %s", got, s.got.Header.Get("Authorization"), tt.request)
			}
			for _, want := range tt.says {
				if !strings.Contains(out, want) {
					t.Errorf("says\n%s\nwant it to say %q", out, want)
				}
			}
			if strings.Contains(out, "\x1b") {
				t.Errorf("a comment reaches the terminal: %q", out)
			}
		})
	}
}

func TestSilenceAdd(t *testing.T) {
	s := newScripted(t, 200, map[string]string{"silenceID": someSilence})
	code, out, errs := cli(t, "silence", "add", `instance="web1"`, `severity!~"info|none"`, "--from", "1h", "--until", "2d", "-m", "new disks",
		"--url", s.URL, "--storage.path", storage(t, "wbo_secret"))
	if code != exitOK || out != someSilence+"\n" {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	var sent silence
	if err := json.Unmarshal([]byte(s.sent), &sent); err != nil {
		t.Fatal(err)
	}
	want := []incident.Matcher{{Name: "instance", Value: "web1", IsEqual: true}, {Name: "severity", Value: "info|none", IsRegex: true}}
	if !slices.Equal(sent.Matchers, want) || sent.Comment != "new disks" || sent.EndsAt.Sub(sent.StartsAt) != 47*time.Hour {
		t.Errorf("sent %s", s.sent)
	}
	if got := s.got.Method + " " + s.got.URL.RequestURI(); got != "POST /api/v2/silences" || s.got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("asked %s with %q", got, s.got.Header.Get("Content-Type"))
	}
}

// A silence of nothing that fires may be misspelt: it is set, and said to be so.
func TestSilenceOfNothing(t *testing.T) {
	for by, warns := range map[string]bool{someSilence: false, "another": true} {
		s := newScripted(t, 200, map[string]any{"silenceID": someSilence, "alerts": []api.Alert{{Name: "A", MutedBy: []incident.MutedBy{{ID: by}}}}})
		code, out, errs := cli(t, "silence", "add", `instance="web1"`, "--until", "2h", "-m", "disks", "--url", s.URL, "--storage.path", storage(t, "x"))
		if code != exitOK || out != someSilence+"\n" || strings.Contains(errs, "no alert that fires now") != warns {
			t.Errorf("held by %s: exit code %d, output %q, says %q; warns: want %v", by, code, out, errs, warns)
		}
	}
}

func TestSilenceFaults(t *testing.T) {
	const why = ` --until 2h -m why`
	for _, tt := range []struct {
		args   string
		status int
		answer string
		code   int
		says   string
	}{
		{"silence add", 200, "", exitUsage, "MATCHER is missing"},
		{"silence add a=b -m why", 200, "", exitUsage, "--until is missing"},
		{"silence add a=b --until 2h", 200, "", exitUsage, "-m is missing"},
		{"silence add a" + why, 200, "", exitUsage, `MATCHER "a"`},
		{"silence add a=b --until soon -m why", 200, "", exitUsage, "--until: want"},
		{"silence add a=~.* b!=c" + why, 200, "", exitUsage, `they would silence every alert there is; 'alertname=~".+"' says so`},
		{"silence add a=b" + why, 400, `"bad: no"`, exitFailed, "watchbill: bad: no\n"},
		{"silence add a=b --until -2h -m why", 200, "", exitUsage, "--until: want a time to come, after --from ("},
		{"silence add a=b --until 2h --from 3h -m why", 200, "", exitUsage, "--until: want a time to come, after --from ("},
		{"silence add a=b" + why, 400, "Client sent an HTTP request to an HTTPS server.", exitFailed, "not as a collector does: check --url (with TLS it begins with https://)"},
		{"silence add a=b" + why, 200, "<html>", exitFailed, "not as a collector does: check --url"},
		{"silence list --filter =", 200, "", exitUsage, `--filter "=": bad matcher format: =; write it like`},
		{"silence list", 200, "<html>", exitFailed, "not as a collector does: check --url"},
		{"silence list", 404, "404 page not found", exitFailed, "not as a collector does: check --url"},
		{"silence expire 5f1f9c1e", 200, "", exitUsage, "ID: want one that `watchbill silence list` shows, like "},
		{"silence expire " + someSilence, 200, "<html>", exitFailed, "not as a collector does: check --url"},
		{"silence expire " + someSilence, 404, "404 page not found", exitFailed, "not as a collector does: check --url"},
		{"silence add a=b" + why, 422, `{"code":602,"message":"silence.comment in body is required"}`, exitFailed, "silence.comment in body is required"},
		{"silence add a=b" + why, 403, `"viewers may not: ask"`, exitFailed, "watchbill: viewers may not: ask\n"},
		{"silence expire " + someSilence, 404, "", exitFailed, "there is no such silence"},
		{"silence list", 401, `"no"`, exitFailed, "does not know the token"},
		{"silence add a=b" + why, 405, `{"code":405,"message":"method POST is not allowed, but [GET] are"}`, exitFailed, "watchbill: method POST is not allowed"},
		{"silence add a=b" + why, 415, `"only JSON"`, exitFailed, "watchbill: only JSON\n"},
		{"silence list", 503, `"no answer in time: try again"`, exitFailed, "watchbill: no answer in time: try again\n"},
		{"silence list", 500, `{"error":{"code":"internal","message":"the collector failed at this","hint":"see the collector's log"}}`, exitFailed, "watchbill: the collector failed at this: see the collector's log\n"},
		{"silence list", 401, "<html>", exitFailed, "not as a collector does: check --url"},
		{"silence list", 502, "<html>", exitFailed, "not as a collector does: check --url"},
		{"silence list", 302, "", exitFailed, "not as a collector does: check --url"},
	} {
		t.Run(tt.args+" "+tt.answer, func(t *testing.T) {
			s := newScripted(t, tt.status, tt.answer)
			code, out, errs := cli(t, append(strings.Fields(tt.args), "--url", s.URL, "--storage.path", storage(t, "wbo_secret"))...)
			if code != tt.code || !strings.Contains(errs, tt.says) || out != "" {
				t.Errorf("exit code %d, says %q %q; want %d, %q", code, out, errs, tt.code, tt.says)
			}
		})
	}
}
