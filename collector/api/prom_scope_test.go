package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"
	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/history"
	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// ofAcme is the reach of somebody of acme.
var ofAcme = reach{must: []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "customer", "acme")}}

// everyNode has every kind of node that an expression can have, each with selectors in every place that takes one; with how
// many there are.
var everyNode = []struct {
	name, expr string
	selectors  int
}{
	{"vector", `up`, 1},
	{"vector without a name", `{job="node"}`, 1},
	{"vector by pattern of names", `{__name__=~"up|node_.+"}`, 1},
	{"quoted name", `{"näme.with.dots"}`, 1},
	{"another customer's, by name", `up{customer="shop"}`, 1},
	{"everybody but oneself", `up{customer!="acme"}`, 1},
	{"no customer", `up{customer=""}`, 1},
	{"any customer", `up{customer=~".*"}`, 1},
	{"twice", `up{customer=~".+",customer!~"acme"}`, 1},
	{"matrix", `rate(up[5m])`, 1},
	{"matrix alone", `up[5m]`, 1},
	{"offset", `up offset 5m`, 1},
	{"negative offset", `up offset -5m`, 1},
	{"at a time", `up @ 1795260000`, 1},
	{"at start and end", `up @ start() + up @ end()`, 2},
	{"matrix at, with offset", `increase(up[5m] @ 1795260000 offset 5m)`, 1},
	{"subquery", `max_over_time(up[10m:1m])`, 1},
	{"subquery of a subquery", `max_over_time(rate(up[5m])[10m:1m]) + min_over_time(sum_over_time(up[5m:1m])[5m:1m])`, 2},
	{"subquery with offset and at", `avg_over_time(up[10m:1m] @ 1795260000 offset 5m)`, 1},
	{"parentheses", `((up))`, 1},
	{"unary", `-up`, 1},
	{"binary", `up + up`, 2},
	{"binary with a number", `1 - up`, 1},
	{"and, or, unless", `up and up or up unless up`, 4},
	{"matching and grouping", `up * on(instance) group_left(site) node_load1`, 2},
	{"bool", `up == bool up`, 2},
	{"aggregation", `sum(up)`, 1},
	{"aggregation by and without", `sum by (customer) (up) + on() group_left() count without (instance, site, job, customer) (up)`, 2},
	{"parameter of an aggregation", `topk(scalar(count(up)), up)`, 2},
	{"parameter of quantile", `quantile(scalar(max(up)), up)`, 2},
	{"count_values", `count_values("v", up)`, 1},
	{"call of calls", `clamp(up, scalar(min(up)), scalar(max(up)))`, 3},
	{"scalar and vector", `vector(scalar(sum(up)))`, 1},
	{"absent", `absent(up{instance="db1"})`, 1},
	{"absent of another's", `absent(up{customer="shop"})`, 1},
	{"absent over time", `absent_over_time(up{customer="shop"}[5m])`, 1},
	{"absent of an expression", `absent(up > 1)`, 1},
	{"label_replace", `label_replace(up, "customer", "acme", "instance", ".*")`, 1},
	{"label_join", `label_join(up, "customer", "", "site")`, 1},
	{"label_replace of a pattern", `label_replace(up, "x", "$1", "customer", "(.*)") or up`, 2},
	{"histogram_quantile", `histogram_quantile(scalar(max(up)), sum by (le) (rate(http_request_duration_seconds_bucket[5m])))`, 2},
	{"sort", `sort_desc(up)`, 1},
	{"timestamp", `timestamp(up)`, 1},
	{"day of a series", `day_of_week(node_boot_time_seconds)`, 1},
	{"count of everything", `count({__name__!=""})`, 1},
	{"count of everything by name", `count by (__name__) ({__name__=~".+"})`, 1},
	{"no selector", `1 + time()`, 0},
	{"text", `"acme"`, 0},
}

// TestEnforceEveryNode: whatever stands where in an expression, each of its selectors is narrowed.
func TestEnforceEveryNode(t *testing.T) {
	kinds := map[string]bool{}
	for _, tt := range everyNode {
		t.Run(tt.name, func(t *testing.T) {
			e, err := readExpr(tt.expr)
			if err != nil {
				t.Fatal(err)
			}
			if err := ofAcme.enforce(e); err != nil {
				t.Fatal(err)
			}
			parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
				kinds[fmt.Sprintf("%T", n)] = true
				return nil
			})
			all := parser.ExtractSelectors(e)
			if len(all) != tt.selectors {
				t.Errorf("%d selectors, want %d", len(all), tt.selectors)
			}
			for _, ms := range all {
				if !slices.Contains(ms, ofAcme.must[0]) {
					t.Errorf("not narrowed: %v", ms)
				}
			}
		})
	}
	for _, kind := range []string{"AggregateExpr", "BinaryExpr", "Call", "MatrixSelector", "NumberLiteral", "ParenExpr", "StringLiteral",
		"SubqueryExpr", "UnaryExpr", "VectorSelector"} {
		if !kinds["*parser."+kind] {
			t.Errorf("no expression of this test has a %s", kind)
		}
	}
}

// strange is a node of a later parser.
type strange struct{ *parser.VectorSelector }

func (strange) PositionRange() posrange.PositionRange { return posrange.PositionRange{} }

// TestEnforceRefuses: what may select of itself, or is not known here, is not evaluated at all.
func TestEnforceRefuses(t *testing.T) {
	experimental := parser.NewParser(parser.Options{EnableExperimentalFunctions: true})
	e, err := experimental.ParseExpr(`info(up)`)
	if err != nil {
		t.Fatal(err)
	}
	if err := ofAcme.enforce(e); err == nil {
		t.Error("info() selects target_info of everybody, and was let through")
	}
	if err := ofAcme.enforce(&parser.ParenExpr{Expr: &parser.StepInvariantExpr{Expr: e}}); err == nil {
		t.Error("info() was let through within something")
	}
	func() {
		defer func() { _ = recover() }() // the parser's own walk may not know it either
		if err := ofAcme.enforce(strange{}); err == nil {
			t.Error("an unknown node was let through")
		}
	}()
	if err := (reach{}).enforce(e); err != nil {
		t.Errorf("who sees all is refused: %v", err)
	}
}

// TestGuard: what is selected without the reach is no series and an error, at the storage.
func TestGuard(t *testing.T) {
	h := recordedHistory(t, "")
	q, err := ofAcme.guard(h.Queryable()).Querier(0, noon.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	alike := labels.MustNewMatcher(labels.MatchRegexp, "customer", "acme") // not the one that was put there
	up := labels.MustNewMatcher(labels.MatchEqual, "__name__", "up")
	for _, ms := range [][]*labels.Matcher{nil, {up}, {up, alike}} {
		set := q.Select(t.Context(), false, nil, ms...)
		if set.Next() || !errors.Is(set.Err(), errUnscoped) {
			t.Errorf("Select(%v): %v", ms, set.Err())
		}
		if v, _, err := q.LabelValues(t.Context(), "customer", nil, ms...); len(v) > 0 || !errors.Is(err, errUnscoped) {
			t.Errorf("LabelValues(%v): %v %v", ms, v, err)
		}
		if v, _, err := q.LabelNames(t.Context(), nil, ms...); len(v) > 0 || !errors.Is(err, errUnscoped) {
			t.Errorf("LabelNames(%v): %v %v", ms, v, err)
		}
	}
	if v, _, err := q.LabelValues(t.Context(), "customer", nil, ofAcme.with([]*labels.Matcher{up})...); err != nil || !slices.Equal(v, []string{"acme"}) {
		t.Errorf("of acme: %v %v", v, err)
	}
}

// pair is a house of two customers, asked by somebody of acme, and one whose history holds acme's series alone, asked by
// somebody who sees all.
type pair struct{ both, alone *house }

func newPair(t testing.TB) pair {
	t.Helper()
	p := pair{recordedHouse(t), nil}
	only := recordedHistory(t, "acme")
	p.alone = newHouse(t, func(o *Options) { o.History, o.Interval = only, 5*time.Second })
	p.both.add(fleet.NewOperator{Name: "the-engineer-of-acme", Roles: []fleet.Role{fleet.Engineer}, Scope: fleet.Scope{Customer: "acme"}, By: "test"})
	return p
}

// same asks both and tells how the answers differ.
func (p pair) same(q question) error {
	code, scoped := p.both.prom("engineer-of-acme", q.path)
	wantCode, alone := p.alone.prom("viewer", q.path)
	if code != wantCode || settled(q, scoped) != settled(q, alone) {
		return fmt.Errorf("%s\nscoped %d %.1500s\nalone  %d %.1500s", q.line, code, scoped, wantCode, alone)
	}
	return nil
}

// asked is an expression as both kinds of query.
func asked(expr string) []question {
	at, start := fmt.Sprint(noon.Unix()), fmt.Sprint(noon.Unix()-1800)
	return []question{{expr, "/query?" + url.Values{"query": {expr}, "time": {at}}.Encode()},
		{expr, "/query_range?" + url.Values{"query": {expr}, "step": {"300"}, "start": {start}, "end": {at}}.Encode()}}
}

// TestScopedAsIfAlone: who is bound to a customer is answered everything as if no other customer existed.
func TestScopedAsIfAlone(t *testing.T) {
	p := newPair(t)
	for _, tt := range everyNode {
		for _, q := range asked(tt.expr) {
			if err := p.same(q); err != nil {
				t.Error(err)
			}
		}
	}
	for _, q := range questions(t) {
		if err := p.same(q); err != nil {
			t.Error(err)
		}
	}
	if code, body := p.both.prom("engineer-of-acme", "/label/customer/values"); code != 200 || body != `{"status":"success","data":["acme"]}` {
		t.Errorf("values of customer: %d %s", code, body)
	}
	if _, body := p.both.prom("viewer", "/label/customer/values"); !strings.Contains(body, "shop") {
		t.Errorf("who sees all does not see shop: the test proves nothing: %s", body)
	}
}

// TestScopedProperty makes expressions up and asks the same of them.
func TestScopedProperty(t *testing.T) {
	p := newPair(t)
	rapid.Check(t, func(rt *rapid.T) {
		for _, q := range asked(drawn(rt, 3)) {
			if err := p.same(q); err != nil {
				rt.Fatal(err)
			}
		}
	})
}

// drawn is an expression of up to so many operations in one another that gives an instant vector.
func drawn(t *rapid.T, depth int) string {
	pick := func(of ...string) string { return rapid.SampledFrom(of).Draw(t, "word") }
	selector := func() string {
		s := pick("up", "node_load1", "gone", "odd_value", "ALERTS", `{__name__=~"up|n.*"}`, "nothing_here", "nobodys",
			"node_cpu_seconds_total", `{__name__!=""}`, "http_request_duration_seconds_bucket")
		if more := pick("", `customer="shop"`, `customer!="shop"`, `customer!="acme"`, `customer=~".*"`, `customer=""`, `instance="db1"`,
			`instance=~"w.*|d.*"`, `site!="leeds"`, `customer!~"acme|x"`); more != "" {
			s = strings.Replace(s+"{"+more+"}", "}{", ",", 1)
		}
		return s
	}
	when := func() string { return pick("", "", " offset 7m", " @ 1795260000", " @ end()", " offset -3m") }
	by := func() string {
		return pick("", " by (customer)", " by (instance)", " without (customer)", " by (__name__)")
	}
	if depth == 0 {
		return selector() + when()
	}
	sub := func() string { return drawn(t, depth-1) }
	switch rapid.IntRange(0, 8).Draw(t, "kind") {
	case 0:
		return selector() + when()
	case 1:
		return pick("rate", "max_over_time", "count_over_time", "last_over_time", "absent_over_time") + "(" + selector() + "[6m]" + when() + ")"
	case 2:
		return pick("sum", "count", "min", "max", "avg", "group") + by() + " (" + sub() + ")"
	case 3:
		return pick("topk", "bottomk", "quantile") + by() + " (scalar(count(" + selector() + ")), " + sub() + ")"
	case 4:
		return pick("max_over_time", "sum_over_time", "present_over_time") + "((" + sub() + ")[8m:2m]" + when() + ")"
	case 5:
		return "(" + sub() + ") " + pick("and", "or", "unless", "unless on(customer)", "and on(instance)") + " (" + sub() + ")"
	case 6:
		return pick("abs", "absent", "timestamp", "-", "sgn") + "(" + sub() + ")"
	case 7:
		return "(" + sub() + ") " + pick("+", "*", "> bool", "==", "- on(instance, customer) group_left()") + " " + pick("1", "scalar(sum("+selector()+"))")
	}
	return fmt.Sprintf("label_replace(%s, %q, %q, %q, %q)", sub(), pick("customer", "x"), pick("acme", "shop", "$1"), pick("customer", "instance"), "(.*)")
}

// FuzzScopedQuery asks it of any text.
func FuzzScopedQuery(f *testing.F) {
	for _, tt := range everyNode {
		f.Add(tt.expr)
	}
	p := newPair(f)
	limits := DefaultQueryLimits()
	limits.MaxSamples = 20_000 // an input has ten seconds, and may be a subquery of as many steps
	p.both.api.SetQueryLimits(limits)
	p.alone.api.SetQueryLimits(limits)
	f.Fuzz(func(t *testing.T, expr string) {
		p.both.t, p.alone.t = t, t
		for _, q := range asked(expr) {
			if err := p.same(q); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestEverybodysSeries: who is bound to a customer finds, by their names, the few series that belong to nobody and are
// everybody's, and not what somebody else has under such a name; by no way anything else that belongs to nobody.
func TestEverybodysSeries(t *testing.T) {
	dir, shared := t.TempDir(), []string{"watchbill_build_info", "watchbill_web_info"}
	houses := []string{"watchbill_oncall", "watchbill_oncall_covered", "watchbill_pages_total", "watchbill_tickets_left_out", "up", "go_info",
		"watchbill_web_info_total", "watchbill_outbox_messages"}
	recordInto(t, dir, func(yield func(labels.Labels, int64, float64)) {
		for _, name := range slices.Concat(shared, houses) {
			yield(labels.FromStrings("__name__", name, "job", "watchbill", "url", "https://watchbill.example"), noon.UnixMilli(), 1)
			yield(labels.FromStrings("__name__", name, "customer", "shop", "url", "https://shop.example"), noon.UnixMilli(), 1)
		}
	})
	past, err := history.Open(dir, history.Options{Retention: 1000 * time.Hour, MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = past.Close() })
	h := newHouse(t, func(o *Options) { o.History, o.Interval = past, 5*time.Second })
	h.add(fleet.NewOperator{Name: "the-client", Roles: []fleet.Role{fleet.ClientOwnerUser}, Scope: fleet.Scope{Customer: "acme"}, By: "test"})
	h.add(fleet.NewOperator{Name: "the-inner", Roles: []fleet.Role{fleet.Engineer}, Scope: fleet.Scope{Customer: "acme"}, By: "test"})
	for _, role := range []string{"client", "inner"} {
		count := func(expr, want string) {
			t.Helper()
			code, body := h.prom(role, "/query?"+url.Values{"query": {"count(" + expr + ") or vector(0)"}, "time": {fmt.Sprint(noon.Unix())}}.Encode())
			if code != 200 || !strings.Contains(body, `"`+want+`"]}`) {
				t.Errorf("%s asks how many %s there are: %d %s, want %s", role, expr, code, body, want)
			}
		}
		for _, name := range shared {
			count(name, "1")
			count(name+`{customer="shop"}`, "0")
			count(name+`{customer!=""}`, "0")
			count(name+" or up", "1")
			for path, want := range map[string]string{
				"/label/url/values?match[]=" + name:                 `["https://watchbill.example"]`,
				"/label/url/values?match[]=" + name + "&match[]=up": `["https://watchbill.example"]`,
				"/label/customer/values?match[]=" + name:            `[]`,
				"/series?match[]=" + name + "&match[]=up":           `[{"__name__":"` + name + `","job":"watchbill","url":"https://watchbill.example"}]`,
			} {
				if code, body := h.prom(role, path); code != 200 || body != `{"status":"success","data":`+want+`}` {
					t.Errorf("%s, %s: %d %s, want %s", role, path, code, body, want)
				}
			}
		}
		for _, name := range houses {
			count(name, "0")
		}
		for _, all := range []string{`{__name__!=""}`, `{job="watchbill"}`, `{customer="",job!=""}`, `{__name__=~"watchbill_web_info|up"}`,
			`{__name__=~"watchbill_web_info"}`, `{__name__=~"watchbill_.+",__name__!="watchbill_web_info"}`} {
			count(all, "0")
		}
		for _, path := range []string{"/labels", "/label/url/values", "/label/__name__/values"} {
			if _, body := h.prom(role, path); body != `{"status":"success","data":[]}` {
				t.Errorf("%s, %s: %s", role, path, body)
			}
		}
	}
}

// TestReach: who sees which series.
func TestReach(t *testing.T) {
	h := recordedHouse(t)
	h.want(http.StatusOK, "PUT", Root+"/departments/sales", `{"name":"Sales"}`)
	h.want(http.StatusOK, "PUT", Root+"/departments/empty", `{"name":"Empty"}`)
	h.want(http.StatusOK, "PUT", Root+"/customers/beta", `{"name":"Beta","department":"sales"}`)
	h.want(http.StatusOK, "PUT", Root+"/customers/gamma", `{"name":"Gamma","department":"sales"}`)
	for _, n := range []fleet.NewOperator{
		{Name: "the-seller", Roles: []fleet.Role{fleet.DepartmentMember}, Scope: fleet.Scope{Department: "sales"}},
		{Name: "the-idle", Roles: []fleet.Role{fleet.DepartmentMember}, Scope: fleet.Scope{Department: "empty"}},
		{Name: "the-client", Roles: []fleet.Role{fleet.ClientOwnerUser}, Scope: fleet.Scope{Customer: "acme"}},
		{Name: "the-inner", Roles: []fleet.Role{fleet.Engineer}, Scope: fleet.Scope{Customer: "acme"}},
		{Name: "the-dev", Roles: []fleet.Role{fleet.Developer}},
	} {
		n.By = "test"
		h.add(n)
	}
	all := `count(up) or vector(0)`
	for _, tt := range []struct {
		name, role, expr, want string
	}{
		{"the house sees all", "viewer", all, "3"},
		{"a scraper sees all", "scrape", all, "3"},
		{"a client sees its own", "client", all, "2"},
		{"a department without any customer's series sees nothing", "seller", all, "0"},
		{"a department without customers sees nothing", "idle", all, "0"},
		{"nor what belongs to nobody", "idle", `count({__name__!=""}) or vector(0)`, "0"},
		{"nor what has no customer", "idle", `count(nobodys{customer=""}) or vector(0)`, "0"},
		{"which a client does not see either", "client", `count(nobodys) or vector(0)`, "0"},
		{"alerts are inside", "inner", `count(ALERTS) or vector(0)`, "1"},
		{"of all for the house", "viewer", `count(ALERTS) or vector(0)`, "2"},
		{"clients do not see rules' words", "client", `count(ALERTS) or vector(0)`, "0"},
		{"by no other way", "client", `count({alertname!=""}) or vector(0)`, "0"},
		{"developers see all but those", "dev", `count(ALERTS) or count(up)`, "3"},
	} {
		code, body := h.prom(tt.role, asked(tt.expr)[0].path)
		if code != 200 || !strings.Contains(body, `"value":[1795262400,"`+tt.want+`"]`) {
			t.Errorf("%s: %d %s, want %s", tt.name, code, body, tt.want)
		}
	}
	who := h.operator("seller")
	if got := reachOf(h.api.sight(who)).must[0].String(); got != `customer=~"beta|gamma"` {
		t.Errorf("the department's matcher is %s", got)
	}
	if m := labels.MustNewMatcher(labels.MatchRegexp, "customer", oneOf([]string{"a.b", "c|d"})); !m.Matches("a.b") || !m.Matches("c|d") || m.Matches("axb") || m.Matches("c") {
		t.Errorf("names are not taken literally: %s", m)
	}
	if m := reachOf(h.api.sight(h.operator("idle"))).must[0]; m.Matches("") || m.Matches("acme") {
		t.Errorf("who has no customers matches %s", m)
	}
	if code, body := h.prom("sender", "/query?query=up"); code != 403 || !strings.Contains(body, `"status":"error"`) {
		t.Errorf("a program that sends was answered %d %s", code, body)
	}
}

// TestScopedLists: what is no series is scoped, too.
func TestScopedLists(t *testing.T) {
	h := newHouse(t)
	at := noon.Add(-time.Second)
	h.report("web1", at, window.OK, map[string]float64{"node_load1": 1, "node_secret_total": 2})
	h.window.Apply(window.Asset{Name: "erp1", Customer: "shop", Site: "leeds"}, at, []window.Block{{Source: "load", Kind: "node", At: at,
		Interval: 5 * time.Second, Status: window.OK, Layout: &window.Layout{Series: []labels.Labels{labels.FromStrings("__name__", "shop_load")}}, Values: []float64{1}}})
	other := standing("erp1", rules.Firing)
	other.Alert.Labels = labels.FromStrings("alertname", "ShopLoad", "customer", "shop", "instance", "erp1")
	h.rules.alerts = []evaluate.Standing{standing("web1", rules.Firing), other}
	h.rules.groups = ruleGroups(t)
	h.add(fleet.NewOperator{Name: "the-inner", Roles: []fleet.Role{fleet.Engineer}, Scope: fleet.Scope{Customer: "shop"}, By: "test"})
	h.add(fleet.NewOperator{Name: "the-client", Roles: []fleet.Role{fleet.ClientOwnerUser}, Scope: fleet.Scope{Customer: "shop"}, By: "test"})
	for _, tt := range []struct {
		path, role     string
		sees, seesNone []string
	}{
		{"/targets", "viewer", []string{"web1", "erp1"}, nil},
		{"/targets", "inner", []string{"erp1", "leeds"}, []string{"web1", "acme", "berlin"}},
		{"/targets", "client", []string{"erp1"}, []string{"web1", "acme"}},
		{"/metadata", "viewer", []string{"node_secret_total", `"type":"counter"`, "shop_load"}, nil},
		{"/metadata", "client", []string{"shop_load"}, []string{"node_"}},
		{"/alerts", "viewer", []string{"HighLoad", "ShopLoad"}, nil},
		{"/alerts", "inner", []string{"ShopLoad"}, []string{"HighLoad", "acme"}},
		{"/alerts", "client", []string{`{"alerts":[]}`}, []string{"Load"}},
		{"/alerts", "scrape", []string{`{"alerts":[]}`}, []string{"Load"}},
		{"/rules", "viewer", []string{"HighLoad"}, nil},
		{"/rules", "inner", []string{`{"groups":[]}`}, []string{"Load"}},
		{"/rules", "client", []string{`{"groups":[]}`}, []string{"Load"}},
		{"/status/tsdb", "client", []string{`"numSeries":0`}, nil},
		{"/status/runtimeinfo", "client", []string{`"CWD":""`}, []string{"/var/lib"}},
		{"/status/runtimeinfo", "viewer", []string{"/var/lib/watchbill"}, nil},
		{"/status/config", "client", []string{"evaluation_interval"}, []string{"/var", "acme"}},
		{"/status/flags", "client", []string{"query.timeout"}, []string{"/var", "acme"}},
		{"/scrape_pools", "client", []string{`["node"]`}, nil},
	} {
		code, body := h.prom(tt.role, tt.path)
		for _, s := range tt.sees {
			if code != 200 || !strings.Contains(body, s) {
				t.Errorf("%s as %s: %d %s, want %s", tt.path, tt.role, code, body, s)
			}
		}
		for _, s := range tt.seesNone {
			if strings.Contains(body, s) {
				t.Errorf("%s as %s: %s shows %s", tt.path, tt.role, body, s)
			}
		}
	}
}

// ruleGroups are two groups as the evaluator shows them.
func ruleGroups(t *testing.T) []evaluate.GroupStatus {
	t.Helper()
	load := func(file, text string) rules.Group {
		groups, err := rules.Parse(file, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return groups[0]
	}
	linux := load("packs/linux.yml", `groups: [{name: linux, limit: 5, rules: [
  {alert: HighLoad, expr: "node_load1 > 10", for: 30s, keep_firing_for: 1m, labels: {severity: warning}, annotations: {summary: "Load < is high"}},
  {record: "load:sum", expr: "sum(node_load1)", labels: {team: ops}}]}]`)
	quiet := load("own.yml", `groups: [{name: own, rules: [{alert: Quiet, expr: "up == 0"}]}]`)
	return []evaluate.GroupStatus{
		{Group: linux, Interval: 5 * time.Second, LastEvaluation: noon, Duration: 20 * time.Millisecond, Rules: []evaluate.RuleStatus{
			{Rule: linux.Rules[0], Health: evaluate.Good, LastEvaluation: noon, Duration: time.Millisecond,
				Alerts: []evaluate.Standing{standing("web1", rules.Firing), standing("web2", rules.Pending)}},
			{Rule: linux.Rules[1], Health: evaluate.Bad, LastError: "it <fails>", LastEvaluation: noon}}},
		{Group: quiet, Interval: time.Minute, Rules: []evaluate.RuleStatus{{Rule: quiet.Rules[0], Health: evaluate.NotYet}}},
	}
}

// TestScopeOverTheWindow: with the history away the reach holds all the same.
func TestScopeOverTheWindow(t *testing.T) {
	h := newHouse(t)
	h.report("web1", noon.Add(-time.Second), window.OK, map[string]float64{"node_load1": 1})
	h.add(fleet.NewOperator{Name: "the-inner", Roles: []fleet.Role{fleet.Engineer}, Scope: fleet.Scope{Customer: "shop"}, By: "test"})
	for role, want := range map[string]string{"viewer": "1", "inner": "0"} {
		if code, body := h.prom(role, asked("count(up) or vector(0)")[0].path); code != 200 || !strings.Contains(body, `"`+want+`"]`) ||
			!strings.Contains(body, `"warnings":["history is off`) {
			t.Errorf("%s: %d %s", role, code, body)
		}
	}
}
