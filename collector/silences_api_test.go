package collector

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
)

// silenceDesk is a collector's API over real HTTP, with a token of an operator who sees all and of one who sees one customer.
type silenceDesk struct {
	*weather
	url          string
	ada, bob, ro string
}

func newSilenceDesk(t *testing.T) *silenceDesk {
	t.Helper()
	w := newWeather(t, 600) // two customers
	d := &silenceDesk{weather: w}
	for into, o := range map[*string]fleet.NewOperator{
		&d.ada: {Name: "ada", Roles: []fleet.Role{fleet.Responder}},
		&d.bob: {Name: "bob", Roles: []fleet.Role{fleet.Responder}, Scope: fleet.Scope{Customer: "customer01"}},
		&d.ro:  {Name: "eve", Roles: []fleet.Role{fleet.Viewer}},
	} {
		o.By = "test"
		secret, err := w.fleet.AddOperatorWith(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		*into = secret
	}
	srv := httptest.NewServer(w.api.Handler())
	t.Cleanup(srv.Close)
	d.url = srv.URL
	return d
}

// ask sends a request and returns status and answer, without the line end.
func (d *silenceDesk) ask(token, method, path, body string) (int, string) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, d.url+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.SetBasicAuth("any", token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		d.t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(b.String())
}

func silenceBody(id, matchers string, from, until time.Duration) string {
	now := time.Now().UTC()
	return fmt.Sprintf(`{"id":%q,"matchers":[%s],"startsAt":%q,"endsAt":%q,"createdBy":"jane","comment":"patching","unknown":{"is":"overlooked"}}`,
		id, matchers, now.Add(from).Format(time.RFC3339Nano), now.Add(until).Format(time.RFC3339Nano))
}

const onWeb1 = `{"name":"instance","value":"host00001","isRegex":false}`

func (d *silenceDesk) add(token, body string) string {
	d.t.Helper()
	status, answer := d.ask(token, "POST", "/api/v2/silences", body)
	var out struct{ SilenceID string }
	if err := json.Unmarshal([]byte(answer), &out); err != nil || status != 200 || out.SilenceID == "" {
		d.t.Fatalf("%d %s", status, answer)
	}
	return out.SilenceID
}

// TestSilenceAPI: shapes, states and who is written down.
func TestSilenceAPI(t *testing.T) {
	d := newSilenceDesk(t)
	id := d.add(d.ada, silenceBody("", onWeb1, 0, time.Hour))
	status, answer := d.ask(d.ro, "GET", "/api/v2/silence/"+id, "")
	var got map[string]any
	if err := json.Unmarshal([]byte(answer), &got); err != nil || status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	if got["createdBy"] != "jane (by ada)" || got["comment"] != "patching" || fmt.Sprint(got["status"]) != "map[state:active]" ||
		fmt.Sprint(got["matchers"]) != "[map[isEqual:true isRegex:false name:instance value:host00001]]" {
		t.Errorf("%s", answer)
	}
	if again := d.add(d.ada, strings.Replace(answer, `"comment":"patching"`, `"comment":"more"`, 1)); again != id {
		t.Errorf("an update made %s of %s", again, id)
	}
	if other := d.add(d.ada, strings.Replace(answer, "host00001", "host00002", 1)); other == id {
		t.Error("a silence of something else kept its ID")
	}
	for query, want := range map[string]int{"": 2, "?expired=false": 1, "?active=false": 1, "?pending=false": 2,
		"?filter=instance%3D%22host00002%22": 1, "?filter=instance%3D~%22host00002%22": 0} {
		var list []any
		if status, answer := d.ask(d.ro, "GET", "/api/v2/silences"+query, ""); json.Unmarshal([]byte(answer), &list) != nil || status != 200 || len(list) != want {
			t.Errorf("%s: %d, want %d silences: %s", query, status, want, answer)
		}
	}
	if status, answer := d.ask(d.ada, "DELETE", "/api/v2/silence/"+id, ""); status != 200 || answer != "" {
		t.Errorf("expire: %d %s", status, answer)
	}
}

// TestSilenceAPIRefuses: by Alertmanager's texts and states.
func TestSilenceAPIRefuses(t *testing.T) {
	d := newSilenceDesk(t)
	const none = "00000000-0000-4000-8000-000000000000"
	ok := silenceBody("", onWeb1, 0, time.Hour)
	for name, c := range map[string]struct {
		token, method, path, body string
		status                    int
		says                      string
	}{
		"nobody":             {"", "GET", "/api/v2/silences", "", 401, "token"},
		"may not work":       {d.ro, "POST", "/api/v2/silences", ok, 403, ""},
		"may not expire":     {d.ro, "DELETE", "/api/v2/silence/" + none, "", 403, ""},
		"in the past":        {d.ada, "POST", "/api/v2/silences", silenceBody("", onWeb1, -2*time.Hour, -time.Hour), 400, `"Failed to create silence: end time can't be in the past"`},
		"ends before it":     {d.ada, "POST", "/api/v2/silences", silenceBody("", onWeb1, 2*time.Hour, time.Hour), 400, `"Failed to create silence: start time must be before end time"`},
		"unknown":            {d.ada, "POST", "/api/v2/silences", silenceBody(none, onWeb1, 0, time.Hour), 404, `"silence not found"`},
		"everything":         {d.ada, "POST", "/api/v2/silences", silenceBody("", `{"name":"a","value":".*","isRegex":true}`, 0, time.Hour), 400, "at least one matcher must not match the empty string"},
		"no expression":      {d.ada, "POST", "/api/v2/silences", silenceBody("", `{"name":"a","value":"(","isRegex":true}`, 0, time.Hour), 400, "invalid silence: invalid label matcher 0"},
		"no matchers":        {d.ada, "POST", "/api/v2/silences", silenceBody("", "", 0, time.Hour), 422, `"code":612`},
		"fields missing":     {d.ada, "POST", "/api/v2/silences", `{"matchers":[]}`, 422, `silence.comment in body is required`},
		"half a matcher":     {d.ada, "POST", "/api/v2/silences", silenceBody("", `{"name":"a"}`, 0, time.Hour), 422, `"code":602`},
		"no JSON":            {d.ada, "POST", "/api/v2/silences", `{`, 400, "parsing silence body"},
		"get unknown":        {d.ada, "GET", "/api/v2/silence/" + none, "", 404, ""},
		"expire unknown":     {d.ada, "DELETE", "/api/v2/silence/" + none, "", 404, ""},
		"no UUID":            {d.ada, "GET", "/api/v2/silence/x", "", 422, "silenceID in path must be of type uuid"},
		"no filter":          {d.ada, "GET", "/api/v2/silences?filter=x", "", 400, "bad matcher format"},
		"no boolean":         {d.ada, "GET", "/api/v2/silences?active=maybe", "", 422, "active in query must be of type boolean"},
		"nothing for nobody": {d.bob, "POST", "/api/v2/silences", silenceBody("", `{"name":"a","value":".*","isRegex":true}`, 0, time.Hour), 400, "must not match the empty string"},
		"no such method":     {d.ada, "PUT", "/api/v2/silences", ok, 405, `{"code":405,"message":"method PUT is not allowed, but [GET,POST] are"}`},
		"nor by id":          {d.ada, "POST", "/api/v2/silence/" + none, ok, 405, `"method POST is not allowed, but [DELETE,GET] are"`},
		"more than is taken": {d.ada, "POST", "/api/v2/silences", strings.Repeat(" ", 1<<17) + ok, 413, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer := d.ask(c.token, c.method, c.path, c.body)
			if status != c.status || !strings.Contains(answer, c.says) {
				t.Errorf("%d %s, want %d %s", status, answer, c.status, c.says)
			}
		})
	}
	if n := len(d.pipeline.Silences()); n != 0 {
		t.Errorf("%d silences were made", n)
	}
}

// TestSilenceScope: who sees one customer silences that one's alerts alone, and the silences of others do not exist for them.
func TestSilenceScope(t *testing.T) {
	d := newSilenceDesk(t)
	house := d.add(d.ada, silenceBody("", onWeb1, 0, time.Hour))
	own := d.add(d.bob, silenceBody("", `{"name":"alertname","value":"DiskFull","isRegex":false}`, 0, time.Hour))
	status, answer := d.ask(d.bob, "GET", "/api/v2/silences", "")
	var list []struct{ ID string }
	if err := json.Unmarshal([]byte(answer), &list); err != nil || status != 200 || len(list) != 1 || list[0].ID != own {
		t.Errorf("bob sees %s", answer)
	}
	_, answer = d.ask(d.bob, "GET", "/api/v2/silence/"+own, "")
	if again := d.add(d.bob, answer); again != own {
		t.Errorf("sent back as it was read it became %s", again)
	}
	for method, path := range map[string]string{"GET": "/api/v2/silence/" + house, "DELETE": "/api/v2/silence/" + house} {
		if status, _ := d.ask(d.bob, method, path, ""); status != 404 {
			t.Errorf("%s another's: %d", method, status)
		}
	}
	if status, _ := d.ask(d.bob, "POST", "/api/v2/silences", silenceBody(house, onWeb1, 0, time.Hour)); status != 404 {
		t.Errorf("changed another's: %d", status)
	}
	for _, wide := range []string{`customer=~".*"`, `customer!="customer00"`} {
		before := len(d.pipeline.Silences())
		d.pipeline.log.Debug(wide)
		m := matcher(t, wide)
		body, _ := json.Marshal(m)
		id := d.add(d.bob, silenceBody("", string(body)+`,`+onWeb1, 0, time.Hour))
		if len(d.pipeline.Silences()) != before+1 {
			t.Fatal("none was made")
		}
		if status, answer := d.ask(d.bob, "GET", "/api/v2/silence/"+id, ""); status != 200 || !strings.Contains(answer, `"value":"customer01"`) {
			t.Errorf("%s is not confined: %s", wide, answer)
		}
	}
	d.at = time.Now()
	d.strike(1, 2)     // of customer00, which ada's silence holds back
	d.strike(3, 4)     // of customer00
	d.strike(501, 502) // of customer01
	d.wantOpen("silenced each", "host00003")
}

// TestSilenceStaysBound: a department's silence holds back its customers' alerts alone, whoever comes and whoever moves after
// it was set, and whoever changes it; it stays before the eyes of the department.
func TestSilenceStaysBound(t *testing.T) {
	d := newSilenceDesk(t)
	dir := county(600)
	dir.Customers[0].Department, dir.Customers[1].Department = "wholesale", "retail"
	d.declare(dir)
	ron, will := d.operator("ron", fleet.Scope{Department: "retail"}), d.operator("will", fleet.Scope{Department: "wholesale"})
	id := d.add(ron, silenceBody("", `{"name":"customer","value":"customer01|gamma","isRegex":true}`, 0, time.Hour))
	sees := func(who, token string, want int) {
		t.Helper()
		if status, answer := d.ask(token, "GET", "/api/v2/silence/"+id, ""); status != want ||
			want == 200 && !strings.Contains(answer, `"bound":{"department":"retail"}`) {
			t.Errorf("%s: %d %s, want %d", who, status, answer, want)
		}
	}

	dir.Customers = append(dir.Customers, fleet.Customer{ID: "gamma", Department: "wholesale",
		Sites: []fleet.Site{{ID: "hq", Assets: []fleet.Asset{{Name: "host00700"}}}}})
	d.declare(dir)
	d.at = time.Now()
	d.strike(500, 501)
	d.strike(700, 701)
	d.wantOpen("another department's new customer", "host00700")
	sees("its department", ron, 200)
	sees("another department", will, 404)

	_, answer := d.ask(d.ada, "GET", "/api/v2/silence/"+id, "")
	if again := d.add(d.ada, strings.Replace(answer, `"comment":"patching"`, `"comment":"the house looked"`, 1)); again != id {
		t.Errorf("an update made %s of %s", again, id)
	}
	if err := d.pipeline.loadSilences(t.Context()); err != nil {
		t.Fatal(err)
	}
	sees("its department after the house changed it and a restart", ron, 200)
	d.later(time.Second)
	d.wantOpen("and still holds back what it did", "host00700")

	dir.Customers[1].Department = "wholesale"
	d.declare(dir)
	d.later(time.Second)
	d.wantOpen("its customer went to another department", "host00500", "host00700")
	sees("who set it", ron, 200)
	sees("whose customer it is now", will, 404)
}

// TestDepartmentDoesNotNarrowTheHousesSilence: what the house said is not changed under its ID: it ends, and the department's
// takes its place, which a department's update keeps.
func TestDepartmentDoesNotNarrowTheHousesSilence(t *testing.T) {
	d := newSilenceDesk(t)
	dir := county(600)
	dir.Customers[0].Department, dir.Customers[1].Department = "wholesale", "retail"
	d.declare(dir)
	ron := d.operator("ron", fleet.Scope{Department: "retail"})
	id := d.add(d.ada, silenceBody("", `{"name":"customer","value":"customer01","isRegex":false}`, 0, time.Hour))
	_, answer := d.ask(ron, "GET", "/api/v2/silence/"+id, "")
	longer := d.add(ron, answer)
	if longer == id {
		t.Error("the department's update kept the ID of the house's silence")
	}
	if again := d.add(ron, strings.Replace(answer, id, longer, 1)); again != longer {
		t.Errorf("the department's next update made %s of %s", again, longer)
	}
	for id, want := range map[string][]string{id: {`"state":"expired"`}, longer: {`"state":"active"`, `"bound":{"department":"retail"}`}} {
		_, answer := d.ask(d.ada, "GET", "/api/v2/silence/"+id, "")
		for _, w := range want {
			if !strings.Contains(answer, w) || len(want) == 1 && strings.Contains(answer, "bound") {
				t.Errorf("%s, want %v and of the house's no bound", answer, want)
			}
		}
	}
}

func (d *silenceDesk) declare(dir fleet.Directory) {
	d.t.Helper()
	dir.Customers = slices.Clone(dir.Customers)
	if err := d.fleet.SetDirectory(dir); err != nil {
		d.t.Fatal(err)
	}
}

func (d *silenceDesk) operator(name string, scope fleet.Scope) (token string) {
	d.t.Helper()
	token, err := d.fleet.AddOperatorWith(d.t.Context(), fleet.NewOperator{Name: name, Roles: []fleet.Role{fleet.Responder}, Scope: scope, By: "test"})
	if err != nil {
		d.t.Fatal(err)
	}
	return token
}

// TestAmtool: the real one adds, shows, updates, expires, exports and imports silences.
func TestAmtool(t *testing.T) {
	amtool := peerProgram(t, "amtool")
	d := newSilenceDesk(t)
	conf := filepath.Join(t.TempDir(), "http.yml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "authorization:\n  credentials: %s\n", d.ada), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), amtool, append([]string{"--alertmanager.url", d.url, "--http.config.file", conf, "--no-version-check"}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("amtool %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	id := run("silence", "add", "--author", "jane", "--comment", "new disks", "--duration", "2h", "alertname=DiskFull", "instance=~host0000.")
	if all := run("silence", "query", "-o", "extended"); !strings.Contains(all, id) || !strings.Contains(all, "jane (by ada)") || !strings.Contains(all, "new disks") {
		t.Errorf("query: %s", all)
	}
	d.at = time.Now()
	d.strike(1, 2)
	d.strike(11, 12)
	d.wantOpen("silenced by amtool", "host00011")
	if updated := run("silence", "update", "--duration", "3h", id); !strings.Contains(updated, id) {
		t.Errorf("update: %s", updated)
	}
	exported := run("silence", "query", "-o", "json")
	run("silence", "expire", id)
	if left := run("silence", "query", "-q"); left != "" {
		t.Errorf("still there after it expired: %s", left)
	}
	if gone := run("silence", "query", "-q", "--expired", "--within", "1h"); gone != id {
		t.Errorf("expired ones: %q, want %s", gone, id)
	}
	d.at = time.Now().Add(time.Second)
	d.later(time.Second)
	d.wantOpen("expired by amtool", "host00001", "host00011")
	file := filepath.Join(t.TempDir(), "silences.json")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(exported, id, "11111111-2222-4333-8444-555555555555")), 0o600); err != nil {
		t.Fatal(err)
	}
	imported := run("silence", "import", file)
	if left := run("silence", "query", "-q"); left != imported || imported == "" || imported == id {
		t.Errorf("imported %q, there is %q", imported, left)
	}
	if left := run("silence", "query", "-q", "alertname=DiskFull"); left != imported {
		t.Errorf("by a matcher: %q", left)
	}
}
