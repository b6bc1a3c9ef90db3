package main

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestQuery(t *testing.T) {
	const vector = `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","instance":"web1\u001b[2J"},"value":[1795000000,"1"]},
{"metric":{},"value":[1795000000,"17179869184.5"]},
{"metric":{"a":"h"},"histogram":[1795000000,{"count":"2","sum":"3","buckets":[[0,"0","1","2"]]}]}]},"warnings":["narrowed\u001b[2J"]}`
	const matrix = `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up"},"values":[[1795000000,"1"],[1795000030,"NaN"]]}]}}`
	for _, tt := range []struct {
		args, path, answer string
		form               url.Values
		says               []string
	}{
		{"up", "/api/v1/query", vector, url.Values{"query": {"up"}}, []string{"SERIES ", "VALUE", `up{instance="web1\x1b[2J"}  1`, "17179869184.5", "Count: 2", "warning: narrowed"}},
		{"up --at 2026-11-28T03:00:00+01:00", "/api/v1/query", `{"status":"success","data":{"resultType":"vector","result":[]}}`,
			url.Values{"query": {"up"}, "time": {"1795831200"}}, []string{"No series.\n"}},
		{"1+1", "/api/v1/query", `{"status":"success","data":{"resultType":"scalar","result":[1795000000,"2"]}}`, url.Values{"query": {"1+1"}}, []string{"2\n"}},
		{"up --range 6h --step 30s --at 2026-11-28T02:00:00Z", "/api/v1/query_range", matrix,
			url.Values{"query": {"up"}, "start": {"1795809600"}, "end": {"1795831200"}, "step": {"30"}}, []string{"SERIES  TIME ", "\nup      2", "\n        2", "  NaN\n"}},
		{"up --range 1d --at 2026-11-28T02:00:00Z", "/api/v1/query_range", matrix,
			url.Values{"query": {"up"}, "start": {"1795744800"}, "end": {"1795831200"}, "step": {"345"}}, nil},
		{"up --range 10s --at 2026-11-28T02:00:00Z", "/api/v1/query_range", matrix,
			url.Values{"query": {"up"}, "start": {"1795831190"}, "end": {"1795831200"}, "step": {"1"}}, nil},
		{"up -o json", "/api/v1/query", vector, url.Values{"query": {"up"}}, []string{`"resultType": "vector"`, `"warnings": [`}},
	} {
		t.Run(tt.args, func(t *testing.T) {
			s := newScripted(t, 200, tt.answer)
			code, out, errs := cli(t, append(append([]string{"query"}, strings.Fields(tt.args)...), "--url", s.URL, "--storage.path", storage(t, "wbo_secret"))...)
			if code != exitOK {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			sent, err := url.ParseQuery(s.sent)
			if err != nil || s.got.URL.Path != tt.path || sent.Encode() != tt.form.Encode() || s.got.Header.Get("Authorization") != "Bearer wbo_secret" {
				t.Errorf("asked %s %s by %q, want %s %s", s.got.URL.Path, sent.Encode(), s.got.Header.Get("Authorization"), tt.path, tt.form.Encode())
			}
			for _, want := range tt.says {
				if !strings.Contains(out+errs, want) {
					t.Errorf("says\n%s%s\nwant it to say %q", out, errs, want)
				}
			}
			if strings.Contains(out+errs, "\x1b") {
				t.Errorf("a label reaches the terminal: %q", out+errs)
			}
		})
	}
}

// TestQueryUntilNow: a range without --at ends now.
func TestQueryUntilNow(t *testing.T) {
	s := newScripted(t, 200, `{"status":"success","data":{"resultType":"matrix","result":[]}}`)
	before := time.Now()
	if code, _, errs := cli(t, "query", "up", "--range", "1h", "--url", s.URL, "--storage.path", storage(t, "wbo_secret")); code != exitOK {
		t.Fatal(errs)
	}
	sent, _ := url.ParseQuery(s.sent)
	end, err := strconv.ParseFloat(sent.Get("end"), 64)
	if at := time.UnixMilli(int64(end * 1000)); err != nil || at.Before(before.Add(-time.Second)) || at.After(time.Now()) {
		t.Errorf("ends at %v", at)
	}
}

func TestQueryFaults(t *testing.T) {
	refused := func(kind, text string) string {
		return `{"status":"error","errorType":"` + kind + `","error":` + strconv.Quote(text) + `}`
	}
	for _, tt := range []struct {
		name   string
		args   []string
		status int
		answer string
		code   int
		says   string
	}{
		{"where it is wrong", []string{"sum("}, 400, refused("bad_data", `invalid parameter "query": 1:5: parse error: unclosed left parenthesis`), exitFailed,
			"watchbill: the expression is wrong at line 1, column 5: unclosed left parenthesis\n  sum(\n      ^\n"},
		{"in the second line, after letters of two bytes and of two cells", []string{"up +\n{a=\"ü猫\"}} "}, 400, refused("bad_data", `invalid parameter "query": 2:12: parse error: unexpected "}"`), exitFailed,
			"at line 2, column 12: unexpected \"}\"\n  {a=\"ü猫\"}} \n  " + strings.Repeat(" ", 9) + "^\n"},
		{"a place that is none", []string{"up"}, 400, refused("bad_data", `invalid parameter "query": 7:99: parse error: huh`), exitFailed, "line 7, column 99: huh\n"},
		{"the engine's", []string{"a * b"}, 422, refused("execution", "many-to-many matching not allowed"), exitFailed, "watchbill: the query was refused (execution): many-to-many matching not allowed\n"},
		{"crowded", []string{"up"}, 503, refused("unavailable", "2 queries are being answered"), exitFailed, "(unavailable): 2 queries are being answered\n"},
		{"may not", []string{"up"}, 403, refused("forbidden", "your role does not allow that"), exitFailed, "(forbidden): your role does not allow that\n"},
		{"wrong token", []string{"up"}, 401, refused("unauthorized", "x"), exitFailed, "does not know the token from "},
		{"somebody else's door", []string{"up"}, 401, "<html>", exitFailed, "not as a collector does: check --url"},
		{"somebody else", []string{"up"}, 200, "<html>", exitFailed, "not as a collector does: check --url"},
		{"somebody else's JSON", []string{"up"}, 404, `{"message":"no"}`, exitFailed, "not as a collector does: check --url"},
		{"a newer answer", []string{"up"}, 200, `{"status":"success","data":{"resultType":"cube","result":[]}}`, exitFailed, "use the same release on both sides"},
		{"a text", []string{`"up"`}, 200, `{"status":"success","data":{"resultType":"string","result":[1,"up"]}}`, exitFailed, "name a metric without them"},
		{"no expression", nil, 200, "", exitUsage, "EXPR is missing"},
		{"an empty one", []string{" "}, 200, "", exitUsage, "EXPR is missing"},
		{"not in quotation marks", []string{"up", "==", "0"}, 200, "", exitUsage, `"==" is one argument too many: put the whole expression into quotation marks`},
		{"a step of nothing", []string{"up", "--step", "5s"}, 200, "", exitUsage, "--step: it goes with --range"},
		{"no range", []string{"up", "--range", "long"}, 200, "", exitUsage, "want a positive duration like 1s or 1m30s"},
		{"no time", []string{"up", "--at", "noon"}, 200, "", exitUsage, "--at: want 2026-11-20T16:00:00Z"},
		{"no form", []string{"up", "-o", "xml"}, 200, "", exitUsage, "--output: want text or json"},
		{"no URL", []string{"up", "--url", "here"}, 200, "", exitUsage, "--url: want http://HOST:PORT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScripted(t, tt.status, tt.answer)
			args := append([]string{"query", "--url", s.URL, "--storage.path", storage(t, "wbo_secret")}, tt.args...)
			code, out, errs := cli(t, args...)
			if code != tt.code || out != "" || !strings.Contains(errs, tt.says) {
				t.Errorf("exit code %d, says %q, want %d and %q", code, out+errs, tt.code, tt.says)
			}
		})
	}
}
