package dashboards

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// check is one thing that holds of every dashboard: it names what does not.
type check struct {
	name string
	find func(*testing.T, []board) []string
	// spoil breaks it in a good dashboard; the check has to see that.
	spoil func(*board)
}

// panels are a dashboard's without the rows' titles; note formats what is wrong with one.
func (b board) panels() (out []panel) {
	for _, p := range b.Panels {
		if !p.isRow() {
			out = append(out, p)
		}
	}
	return out
}

func note(b board, p panel, format string, args ...any) string {
	return fmt.Sprintf("%s, panel %q: %s", b.file, p.Title, fmt.Sprintf(format, args...))
}

// each makes a check of every panel.
func each(look func(*testing.T, board, panel) string) func(*testing.T, []board) []string {
	return func(t *testing.T, all []board) (out []string) {
		for _, b := range all {
			for _, p := range b.panels() {
				if wrong := look(t, b, p); wrong != "" {
					out = append(out, note(b, p, "%s", wrong))
				}
			}
		}
		return out
	}
}

// first is the first panel that is not a row's title, to be spoilt.
func (b *board) first() *panel {
	return &b.Panels[slices.IndexFunc(b.Panels, func(p panel) bool { return !p.isRow() && len(p.Targets) > 0 && p.Type != "table" })]
}

var checks = []check{
	{"panel ids are unique", unique, func(b *board) { b.Panels[2].ID = b.Panels[1].ID }},
	{"dashboards have uids and titles of their own, a description and the tag by which they find each other", identified, func(b *board) { b.Tags = nil }},
	{"every row's title is a question", questions, func(b *board) { b.Panels[0].Title = "Overview" }},
	{"the first thing is a row, and every row has panels", rowsFilled, func(b *board) { b.Panels = append(b.Panels, panel{ID: 999, Type: "row", Title: "Anything?"}) }},
	{"panels have titles, each once in its row, and say what they show", each(titled), func(b *board) { b.first().Description = "" }},
	{"panels have units that Grafana knows", each(united), func(b *board) { b.first().FieldConfig.Defaults.Unit = "percents" }},
	{"rates have a unit of something per second or a share, and times are seconds", each(fitting), func(b *board) {
		p := b.first()
		p.FieldConfig.Defaults.Unit = "bytes"
		p.Targets[0].Expr = `rate(node_network_receive_bytes_total{customer=~"$customer",site=~"$site",instance=~"$asset"}[$__rate_interval])`
	}},
	{"the data source is the variable everywhere", sources, func(b *board) { b.first().Targets[0].Datasource.UID = "P4169E866C3094E38" }},
	{"nothing is hard-coded: every chosen label is chosen by a variable, and no URL names a host", hardCoded, func(b *board) {
		b.first().Targets[0].Expr = `up{instance="web1"}`
	}},
	{"every query chooses by the variables that its metrics have labels for", filtered, func(b *board) { b.first().Targets[0].Expr = `sum(node_load1{customer=~"$customer"})` }},
	{"panels do not overlap and fit 24 columns", placed, func(b *board) { b.Panels[2].GridPos = b.Panels[1].GridPos }},
	{"graphs of several series have legends that tell them apart", each(legends), func(b *board) {
		p := b.first()
		p.Type, p.Targets[0].LegendFormat = "timeseries", ""
	}},
	{"thresholds begin without a value and rise", each(steps), func(b *board) {
		p := b.first()
		p.FieldConfig.Defaults.Thresholds.Steps = p.FieldConfig.Defaults.Thresholds.Steps[1:]
	}},
	{"every row that is asked whether something is well has thresholds", thresholds, func(b *board) {
		for i := range b.Panels {
			b.Panels[i].FieldConfig.Defaults.Thresholds.Steps = nil
		}
	}},
	{"links lead to addresses that there are, by labels that the series have, and carry variables", linked, func(b *board) {
		b.first().FieldConfig.Defaults.Links = []link{{Title: "x", URL: "${collector:raw}/tickets/1"}}
	}},
	{"every panel leads on: to its assets, its tickets, or the list behind its total", each(leading), func(b *board) {
		b.first().FieldConfig.Defaults.Links = nil
	}},
	{"dashboards refresh, look at a span up to now, and link to the others with variables and time", opened, func(b *board) { b.Refresh = "" }},
	{"variables are the data source, then the chain, each asked within those before; every one is used", variables, func(b *board) {
		b.Templating.List = append(b.Templating.List, variable{Name: "unused", Type: "query", Query: "label_values(up, job)", Datasource: source{"prometheus", "${datasource}"}})
	}},
	{"counters are rated and gauges are not", rated, func(b *board) {
		b.first().Targets[0].Expr = `rate(node_load1{customer=~"$customer",site=~"$site",instance=~"$asset"}[$__rate_interval])`
	}},
	{"rates are over $__rate_interval, $__range or a span of hours", spans, func(b *board) {
		b.first().Targets[0].Expr = `rate(node_forks_total{customer=~"$customer",site=~"$site",instance=~"$asset"}[30s])`
	}},
	{"panels have a least step", each(stepped), func(b *board) { b.first().Interval = "" }},
	{"graphs ask for ranges, all others for an instant; tables for tables", each(formats), func(b *board) {
		b.first().Targets[0].Instant, b.first().Targets[0].Range = true, true
	}},
	{"a panel whose query may find nothing says what that means", each(empty), func(b *board) {
		p := b.first()
		p.FieldConfig.Defaults.NoValue = ""
		p.Type, p.Targets[0].Expr = "stat", `count(up{customer=~"$customer",site=~"$site",instance=~"$asset"} == 0)`
	}},
	{"tickets are drawn as annotations", annotated, func(b *board) { b.Annotations.List = nil }},
	{"tables show columns that their query gives", each(columns), func(b *board) {
		for i := range b.Panels {
			b.Panels[i].Type = "table"
			b.Panels[i].Transformations = nil
		}
	}},
}

// TestLint holds every check against every dashboard.
func TestLint(t *testing.T) {
	all := load(t)
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			for _, wrong := range c.find(t, all) {
				t.Error(wrong)
			}
		})
	}
}

// TestLintSees: each check finds what is spoilt in a dashboard that was good.
func TestLintSees(t *testing.T) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			b := load(t)[slices.IndexFunc(load(t), func(b board) bool { return b.file == "linux.json" })]
			c.spoil(&b)
			if found := c.find(t, []board{b}); len(found) == 0 {
				t.Error("the check finds nothing")
			}
		})
	}
}

func unique(_ *testing.T, all []board) (out []string) {
	for _, b := range all {
		seen := map[int]string{}
		for _, p := range b.Panels {
			if p.ID == 0 || seen[p.ID] != "" {
				out = append(out, note(b, p, "id %d is that of %q", p.ID, seen[p.ID]))
			}
			seen[p.ID] = p.Title
		}
	}
	return out
}

func identified(_ *testing.T, all []board) (out []string) {
	seen := map[string]bool{}
	for _, b := range all {
		want := "watchbill-" + strings.TrimSuffix(b.file, ".json")
		switch {
		case b.UID != want || len(b.UID) > 40:
			out = append(out, fmt.Sprintf("%s: uid %q: expected %q, by which links know it", b.file, b.UID, want))
		case seen[b.UID] || seen[b.Title] || b.Title == "":
			out = append(out, b.file+": its uid or title is another's")
		case !strings.HasSuffix(b.Description, "?") && !strings.Contains(b.Description, "? "):
			out = append(out, b.file+": its description does not say what it answers")
		case !slices.Equal(b.Tags, []string{"watchbill"}):
			out = append(out, b.file+": expected the tag watchbill")
		}
		seen[b.UID], seen[b.Title] = true, true
	}
	return out
}

func questions(_ *testing.T, all []board) (out []string) {
	for _, b := range all {
		for _, p := range b.Panels {
			if p.isRow() && !strings.HasSuffix(p.Title, "?") {
				out = append(out, note(b, p, "the row asks nothing"))
			}
		}
	}
	return out
}

func rowsFilled(_ *testing.T, all []board) (out []string) {
	for _, b := range all {
		for i, p := range b.Panels {
			if i == 0 != p.isRow() && i == 0 || p.isRow() && (i+1 == len(b.Panels) || b.Panels[i+1].isRow()) {
				out = append(out, note(b, p, "a row without panels, or a panel without a row"))
			}
		}
	}
	return out
}

func titled(_ *testing.T, b board, p panel) string {
	at := slices.IndexFunc(b.Panels, func(o panel) bool { return o.ID == p.ID })
	for i := at - 1; i >= 0 && !b.Panels[i].isRow(); i-- {
		if b.Panels[i].Title == p.Title {
			return "another of its row has this title"
		}
	}
	if p.Title == "" || !strings.HasSuffix(p.Description, ".") {
		return "expected a title and a description of whole sentences"
	}
	return ""
}

// units are those of Grafana that the dashboards may use.
var units = []string{"short", "s", "ms", "bytes", "deckbytes", "Bps", "bps", "pps", "reqps", "percent", "percentunit"}

func united(_ *testing.T, _ board, p panel) string {
	if u := p.FieldConfig.Defaults.Unit; !slices.Contains(units, u) {
		return fmt.Sprintf("unit %q: expected one of %v", u, units)
	}
	return ""
}

// fitting compares a unit with what the last operation of a query makes of its metric's.
func fitting(t *testing.T, _ board, p panel) string {
	u := p.FieldConfig.Defaults.Unit
	for _, q := range p.Targets {
		e := parsed(t, anything(q.Expr))
		call, isCall := e.(*parser.Call)
		if s, ok := e.(*parser.VectorSelector); ok {
			for suffix, want := range map[string][]string{"_bytes": {"bytes"}, "_seconds": {"s"}, "_ratio": {"percentunit"}, "_percent": {"percent"}} {
				if strings.HasSuffix(s.Name, suffix) && !slices.Contains(want, u) {
					return fmt.Sprintf("%s in unit %q: expected %v", s.Name, u, want)
				}
			}
		}
		if !isCall || call.Func.Name != "rate" {
			continue
		}
		name := selectors(e)[0].Name
		switch {
		case strings.Contains(name, "bytes") && u != "Bps":
			return fmt.Sprintf("bytes per second in unit %q: expected Bps", u)
		case strings.HasSuffix(name, "seconds_total") && u != "percentunit":
			return fmt.Sprintf("seconds per second in unit %q: expected percentunit", u)
		}
	}
	return ""
}

func sources(_ *testing.T, all []board) (out []string) {
	want := source{"prometheus", "${datasource}"}
	for _, b := range all {
		for _, p := range b.panels() {
			for _, q := range p.Targets {
				if q.Datasource != want || p.Datasource != want {
					out = append(out, note(b, p, "data source %v: expected %v", q.Datasource, want))
				}
			}
		}
		for _, a := range b.Annotations.List {
			if a.Datasource != want {
				out = append(out, fmt.Sprintf("%s: annotation %s: data source %v", b.file, a.Name, a.Datasource))
			}
		}
		for _, v := range b.Templating.List {
			if v.Type == "query" && v.Datasource != want {
				out = append(out, fmt.Sprintf("%s: variable %s: data source %v", b.file, v.Name, v.Datasource))
			}
		}
	}
	return out
}

// anything makes an expression of Grafana one that can be parsed: variables become what selects all.
func anything(expr string) string {
	c := builtIn()
	for _, name := range references(expr) {
		if _, ours := c[name]; !ours {
			c[name] = []string{".*"}
		}
	}
	return c.fill(expr)
}

// chooses are the labels by which people choose; their values are the operator's own.
var chooses = []string{"customer", "site", "instance", "asset", "job", "target", "mssql_instance", "rota", "person"}

func hardCoded(t *testing.T, all []board) (out []string) {
	host := regexp.MustCompile(`https?://|localhost|\d+\.\d+\.\d+\.\d+`)
	for _, b := range all {
		for _, q := range everything([]board{b}) {
			for _, s := range selectors(parsed(t, anything(q.expr))) {
				for _, m := range s.LabelMatchers {
					if slices.Contains(chooses, m.Name) && m.Value != ".*" {
						out = append(out, fmt.Sprintf("%s: %s is chosen for everybody", q.where, m))
					}
				}
			}
		}
		for _, p := range b.panels() {
			for _, l := range p.FieldConfig.Defaults.Links {
				if host.MatchString(l.URL) {
					out = append(out, note(b, p, "link to %s", l.URL))
				}
			}
		}
	}
	return out
}

// wanted are the labels by which a metric has to be chosen, the fewest that any of its kind has.
func wanted(metric string) []string {
	prefixed := func(all ...string) bool {
		return slices.ContainsFunc(all, func(p string) bool { return strings.HasPrefix(metric, p) })
	}
	switch {
	case metric == "watchbill_ticket_opened_timestamp_seconds":
		return []string{"customer", "site", "asset"}
	case prefixed("watchbill_customer_"), metric == "watchbill_tickets", prefixed("watchbill_tickets_by", "watchbill_tickets_opened", "watchbill_tickets_resolved"):
		return []string{"customer"}
	case prefixed("watchbill_oncall", "watchbill_pages_"):
		return []string{"rota"}
	case prefixed("windows_iis_requests", "windows_iis_current_connections", "windows_iis_not_found", "windows_iis_http_"):
		return []string{"customer", "instance"} // the exporter's own label site is a web site
	case prefixed("windows_mssql_"):
		return []string{"customer", "site", "instance", "mssql_instance"}
	case prefixed("watchbill_agent_"):
		return []string{"customer", "site", "instance"}
	case prefixed("watchbill_", "process_", "go_"):
		return nil // the collector's own
	}
	return []string{"customer", "site", "instance"}
}

// filtered looks whether a query is chosen by variables. Of metrics that are joined by their labels one is enough.
func filtered(t *testing.T, all []board) (out []string) {
	for _, b := range all {
		for _, q := range everything([]board{b}) {
			if strings.Contains(q.where, "oncall.json, annotation") {
				continue // rotas are nobody's customer's: all tickets
			}
			for _, side := range sides(parsed(t, anything(q.expr))) {
				lacks := []string{}
				for i, s := range selectors(side) {
					lack := slices.DeleteFunc(slices.Clone(wanted(s.Name)), func(name string) bool {
						return slices.ContainsFunc(s.LabelMatchers, func(m *labels.Matcher) bool { return m.Name == name && m.Value == ".*" })
					})
					if len(lack) > 0 && (i == 0 || len(lacks) > 0) {
						lacks = append(lacks, fmt.Sprintf("%s does not choose by %v", s.Name, lack))
					}
				}
				for _, l := range lacks {
					out = append(out, q.where+": "+l)
				}
			}
		}
	}
	return out
}

// sides are the parts of an expression that are joined by `or`, each of which gives series by itself.
func sides(e parser.Expr) []parser.Expr {
	split := false
	var out []parser.Expr
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if b, ok := n.(*parser.BinaryExpr); ok && b.Op == parser.LOR && !split {
			split = true
			out = append(sides(b.LHS), sides(b.RHS)...)
		}
		return nil
	})
	if !split {
		return []parser.Expr{e}
	}
	return out
}

func placed(_ *testing.T, all []board) (out []string) {
	for _, b := range all {
		for i, p := range b.Panels {
			g := p.GridPos
			if g.W == 0 || g.H == 0 || g.X < 0 || g.X+g.W > 24 {
				out = append(out, note(b, p, "place %+v", g))
			}
			for _, o := range b.Panels[:i] {
				h := o.GridPos
				if g.X < h.X+h.W && h.X < g.X+g.W && g.Y < h.Y+h.H && h.Y < g.Y+g.H {
					out = append(out, note(b, p, "lies over %q", o.Title))
				}
			}
		}
	}
	return out
}

func legends(_ *testing.T, _ board, p panel) string {
	if p.Type != "timeseries" && p.Type != "bargauge" {
		return ""
	}
	seen := map[string]bool{}
	for _, q := range p.Targets {
		if q.LegendFormat == "" || seen[q.LegendFormat] {
			return fmt.Sprintf("query %s: legend %q is empty or another's", q.RefID, q.LegendFormat)
		}
		seen[q.LegendFormat] = true
	}
	return ""
}

func steps(_ *testing.T, _ board, p panel) string {
	s := p.FieldConfig.Defaults.Thresholds.Steps
	if len(s) == 0 || s[0].Value != nil {
		return "expected a first threshold without a value"
	}
	for i := 1; i < len(s); i++ {
		if s[i].Value == nil || i > 1 && *s[i].Value < *s[i-1].Value || s[i].Color == "" {
			return fmt.Sprintf("threshold %d does not rise", i)
		}
	}
	return ""
}

// thresholds looks at dashboards as wholes: a quarter of all panels at least says when to be concerned.
func thresholds(_ *testing.T, all []board) (out []string) {
	for _, b := range all {
		with := 0
		for _, p := range b.panels() {
			if len(p.FieldConfig.Defaults.Thresholds.Steps) > 1 {
				with++
			}
		}
		if 4*with < len(b.panels()) {
			out = append(out, fmt.Sprintf("%s: only %d of %d panels say when to be concerned", b.file, with, len(b.panels())))
		}
	}
	return out
}

func linked(t *testing.T, all []board) (out []string) {
	uids := map[string]bool{}
	for _, b := range load(t) {
		uids[b.UID] = true
	}
	api := regexp.MustCompile(`^\$\{collector:raw\}/api/watchbill/v1/((tickets|assets)/\$\{__(field\.labels|data\.fields)\.\w+\}|` +
		`assets|alerts|rules|outbox|oncall|status|tickets(\?(&?(open|at_risk|breached)=true)*(&(priority|owner)=\$\{__field\.labels\.\w+\})?)?)$`)
	for _, b := range all {
		for _, p := range b.panels() {
			for _, l := range p.FieldConfig.Defaults.Links {
				u, err := url.Parse(strings.NewReplacer("${", "", "}", "").Replace(l.URL))
				to, board := strings.CutPrefix(l.URL, "/d/")
				uid, _, _ := strings.Cut(to, "?")
				switch {
				case err != nil || l.Title == "":
					out = append(out, note(b, p, "link %q: %v", l.URL, err))
				case !board && !api.MatchString(l.URL):
					out = append(out, note(b, p, "link %q leads to nothing there is", l.URL))
				case board && (!uids[uid] || u.Query().Get("var-datasource") == "" || !strings.Contains(l.URL, "${__url_time_range}")):
					out = append(out, note(b, p, "link %q: expected a dashboard's uid, the data source and the time", l.URL))
				}
			}
		}
	}
	return out
}

// leading: a label of an asset, a customer or a ticket that a panel shows leads to that; a total to what it is made of.
func leading(_ *testing.T, _ board, p panel) string {
	links := ""
	for _, l := range p.FieldConfig.Defaults.Links {
		links += l.URL + " "
	}
	shows := func(label, column string) bool {
		for _, q := range p.Targets {
			if p.Type != "table" && strings.Contains(q.LegendFormat, "{{"+label+"}}") {
				return true
			}
		}
		return p.Type == "table" && slices.Contains(p.shown(), column)
	}
	switch {
	case links == "":
		return "it leads nowhere: expected a link to what it shows, or to the list behind it"
	case shows("instance", "instance") && !strings.Contains(links, "/v1/assets/${"):
		return "it shows assets and does not lead to them"
	case shows("number", "number") && !strings.Contains(links, "/v1/tickets/${"):
		return "it shows tickets and does not lead to them"
	case shows("customer", "") && !shows("instance", "") && !strings.Contains(links, "var-customer=${__field.labels.customer}"):
		return "it shows customers and does not lead to their tickets"
	}
	return ""
}

func opened(_ *testing.T, all []board) (out []string) {
	for _, b := range all {
		if b.Refresh == "" || b.Time.To != "now" || !strings.HasPrefix(b.Time.From, "now-") {
			out = append(out, b.file+": expected refresh and a time range up to now")
		}
		if !slices.ContainsFunc(b.Links, func(l link) bool {
			return l.Type == "dashboards" && slices.Contains(l.Tags, "watchbill") && l.IncludeVars && l.KeepTime
		}) {
			out = append(out, b.file+": expected a link to the other dashboards that carries variables and time")
		}
	}
	return out
}

func variables(_ *testing.T, all []board) (out []string) {
	for _, b := range all {
		used := ""
		for _, q := range everything([]board{b}) {
			used += q.expr + " "
		}
		for _, p := range b.panels() {
			for _, l := range p.FieldConfig.Defaults.Links {
				used += l.URL + " "
			}
			used += p.Datasource.UID + " "
		}
		before := []string{}
		for i, v := range b.Templating.List {
			if i == 0 && (v.Name != "datasource" || v.Type != "datasource" || v.Query != "prometheus") {
				out = append(out, b.file+": the first variable has to be the data source")
			}
			for _, ref := range references(v.Query) {
				if !slices.Contains(before, ref) {
					out = append(out, fmt.Sprintf("%s: variable %s is asked by %s, which comes later or never", b.file, v.Name, ref))
				}
			}
			if i > 1 && v.Multi && len(references(v.Query)) == 0 {
				out = append(out, fmt.Sprintf("%s: variable %s is not asked within those before it", b.file, v.Name))
			}
			if v.Multi && (!v.IncludeAll || v.AllValue != ".*") {
				out = append(out, fmt.Sprintf("%s: variable %s: expected all, as .*, so that series without the label are among all", b.file, v.Name))
			}
			if !slices.Contains(references(used), v.Name) && v.Name != "collector" {
				out = append(out, fmt.Sprintf("%s: variable %s is not used", b.file, v.Name))
			}
			before = append(before, v.Name)
		}
	}
	return out
}

// counts tells by its name whether a metric is a counter. Some exporters' names do not say so.
func counts(name string) bool {
	for _, suffix := range []string{"_total", "_bucket", "_sum", "_count", "_Tcp_RetransSegs", "_Tcp_OutSegs", "node_vmstat_oom_kill", "node_vmstat_pswpin", "node_vmstat_pswpout"} {
		if strings.HasSuffix(name, suffix) && name != "restic_snapshots_total" {
			return true
		}
	}
	return slices.Contains([]string{"ifHCInOctets", "ifHCOutOctets", "ifInErrors", "ifOutErrors", "ifOutDiscards",
		"windows_mssql_sqlstats_batch_requests", "windows_mssql_locks_deadlocks", "windows_mssql_locks_lock_wait_seconds",
		"windows_mssql_waitstats_log_write_waits", "windows_mssql_bufman_page_reads", "windows_mssql_databases_log_growths",
		"windows_iis_total_worker_process_failures", "windows_iis_total_application_pool_recycles", "windows_iis_http_request_total_rejected_request"}, name)
}

// ratedBy are the functions for counters, movedBy those for gauges, over a span of time.
var (
	ratedBy = []string{"rate", "increase", "irate", "resets"}
	movedBy = []string{"avg_over_time", "max_over_time", "min_over_time", "deriv", "predict_linear", "delta"}
)

func rated(t *testing.T, all []board) (out []string) {
	for _, q := range everything(all) {
		parser.Inspect(parsed(t, anything(q.expr)), func(n parser.Node, path []parser.Node) error {
			s, ok := n.(*parser.VectorSelector)
			if !ok {
				return nil
			}
			function := ""
			for _, p := range path {
				if a, ok := p.(*parser.AggregateExpr); ok && (a.Op == parser.COUNT || a.Op == parser.GROUP) {
					return nil // how many there are is no matter of values
				}
				if c, ok := p.(*parser.Call); ok && (slices.Contains(ratedBy, c.Func.Name) || slices.Contains(movedBy, c.Func.Name)) {
					function = c.Func.Name
				}
			}
			switch gauge := strings.HasSuffix(s.Name, "_physical_total_bytes") || !counts(s.Name); {
			case gauge && slices.Contains(ratedBy, function):
				out = append(out, fmt.Sprintf("%s: %s of the gauge %s", q.where, function, s.Name))
			case !gauge && !slices.Contains(ratedBy, function):
				out = append(out, fmt.Sprintf("%s: the counter %s as it is", q.where, s.Name))
			}
			return nil
		})
	}
	return out
}

func spans(_ *testing.T, all []board) (out []string) {
	span := regexp.MustCompile(`\[([^\]:]*)\]`)
	bracket := regexp.MustCompile(`"[^"]*"`)
	for _, q := range everything(all) {
		for _, m := range span.FindAllStringSubmatch(bracket.ReplaceAllString(q.expr, ""), -1) {
			if !slices.Contains([]string{"$__rate_interval", "$__range", "10m", "1h", "6h", "1d"}, m[1]) {
				out = append(out, fmt.Sprintf("%s: over %s: expected $__rate_interval, $__range, 10m or hours", q.where, m[1]))
			}
		}
	}
	return out
}

func stepped(_ *testing.T, _ board, p panel) string {
	if p.Interval == "" {
		return "expected a least step (interval)"
	}
	return ""
}

func formats(_ *testing.T, _ board, p panel) string {
	for _, q := range p.Targets {
		graph := p.Type == "timeseries"
		if q.Range != graph || q.Instant == graph || (p.Type == "table") != (q.Format == "table") {
			return fmt.Sprintf("query %s: range %v, instant %v, format %q of a %s", q.RefID, q.Range, q.Instant, q.Format, p.Type)
		}
	}
	return ""
}

// empty: what is filtered by a comparison, or counted, may be nothing at all, which is no fault.
func empty(t *testing.T, _ board, p panel) string {
	if p.Type != "stat" && p.Type != "table" || p.FieldConfig.Defaults.NoValue != "" {
		return ""
	}
	for _, q := range p.Targets {
		e := parsed(t, anything(q.Expr))
		if a, ok := e.(*parser.AggregateExpr); ok {
			e = a.Expr
		}
		if b, ok := e.(*parser.BinaryExpr); ok && b.Op.IsComparisonOperator() && !b.ReturnBool {
			return "there may be nothing to show: expected a word for that (noValue)"
		}
	}
	return ""
}

func annotated(_ *testing.T, all []board) (out []string) {
	for _, b := range all {
		if !slices.ContainsFunc(b.Annotations.List, func(a annotation) bool {
			return a.Enable && strings.HasPrefix(a.Expr, "watchbill_ticket_opened_timestamp_seconds") && a.TitleFormat != ""
		}) {
			out = append(out, b.file+": expected tickets as annotations")
		}
	}
	return out
}

func columns(_ *testing.T, _ board, p panel) string {
	if p.Type != "table" {
		return ""
	}
	if len(p.Transformations) != 2 || p.Transformations[0].ID != "filterFieldsByName" || p.Transformations[1].ID != "organize" {
		return "expected columns that are chosen and named"
	}
	return ""
}
