package main

import "strings"

// board is one dashboard: questions, and the panels that answer them.
type board struct {
	// uid names it in links for good; its file is called by it without the prefix.
	uid, title, asks string
	// from is how far back it looks when it is opened.
	from string
	// chain are the variables by which what is shown is chosen, each asked within those before it.
	chain []choice
	rows  []row
	// leads is where panels lead that say nothing else: to the list behind their totals.
	leads link
	// marks is drawn as annotations; tickets of what is chosen where it is empty.
	marks string
}

const uidPrefix = "watchbill-"

func (b board) file() string { return strings.TrimPrefix(b.uid, uidPrefix) + ".json" }

// choice is a variable: the values of a label of a series.
type choice struct {
	name, label string
	// series is asked for the label of; it may refer to variables before it.
	series, of string
}

// row is a question and the panels that answer it.
type row struct {
	question string
	panels   []panel
}

// kind is how a panel shows its data.
type kind string

const (
	graph   kind = "timeseries"
	stat    kind = "stat"
	bars    kind = "bargauge"
	listing kind = "table"
)

// panel is one answer.
type panel struct {
	kind  kind
	title string
	// asks says what is shown, and what to make of it.
	asks    string
	unit    string
	width   uint32
	height  uint32
	queries []query
	// steps are where it becomes a matter of concern; nil for what is good or bad at no value.
	steps []step
	// floor and ceiling are the axis' ends; nil is the data's own.
	floor, ceiling *float64
	decimals       *float64
	// words stand for values.
	words map[string]string
	// empty is said where there is no data, which is then no fault.
	empty string
	// stacked: the series are parts of a whole.
	stacked bool
	// columns are a listing's, as it names labels: in order, and as people call them. Value is the value's.
	columns []column
	// order is the name of the column that a listing is ordered by; empty is the query's own order.
	order string
	links []link
}

// query is one expression. $hosts, $tickets and $customers in it stand for the matchers that the variables choose by.
type query struct{ expr, legend string }

// step is a threshold and its colour from there on.
type step struct {
	from   float64
	colour string
}

// column is a label of a listing, and how it is called.
type column struct{ label, name string }

// link leads from a value to what it is about.
type link struct{ title, url string }

// The matchers that every expression chooses by.
const (
	hostMatch     = `customer=~"$customer",site=~"$site",instance=~"$asset"`
	ticketMatch   = `customer=~"$customer",site=~"$site",asset=~"$asset"`
	customerMatch = `customer=~"$customer"`
	// The exporter has a label site for web sites of IIS. Where a scrape gives its target a site of the fleet, it becomes
	// exported_site; where it does not (honor_labels), site says something else than the variable. So it chooses nothing.
	poolMatch   = `customer=~"$customer",instance=~"$asset"`
	targetMatch = hostMatch + `,target=~"$target"`
)

var matchers = strings.NewReplacer("$hosts", hostMatch, "$tickets", ticketMatch, "$customers", customerMatch,
	"$pools", poolMatch, "$targets", targetMatch)

// expr is an expression with its matchers.
func (q query) full() string { return matchers.Replace(strings.Join(strings.Fields(q.expr), " ")) }

// q is a query of one expression; legend names its series.
func q(expr, legend string) query { return query{expr: expr, legend: legend} }

func ts(title, unit string, width uint32, asks string, queries ...query) panel {
	return panel{kind: graph, title: title, unit: unit, width: width, height: 8, asks: asks, queries: queries}
}

func one(title, unit string, width uint32, asks string, of query, steps ...step) panel {
	return panel{kind: stat, title: title, unit: unit, width: width, height: 4, asks: asks, queries: []query{of}, steps: steps}
}

func top(title, unit string, width uint32, asks string, of query, steps ...step) panel {
	return panel{kind: bars, title: title, unit: unit, width: width, height: 8, asks: asks, queries: []query{of}, steps: steps}
}

func list(title, unit string, width uint32, asks string, of query, columns ...column) panel {
	return panel{kind: listing, title: title, unit: unit, width: width, height: 8, asks: asks, queries: []query{of}, columns: columns}
}

// at puts thresholds on a panel: fine below the first, a warning from it on, bad from the second.
func (p panel) at(warn, bad float64) panel {
	p.steps = rising(warn, bad)
	return p
}

func rising(warn, bad float64) []step { return []step{{warn, "orange"}, {bad, "red"}} }

// under puts thresholds on a panel of which little is bad: red below bad, a warning below fine.
func (p panel) under(fine, bad float64) panel {
	p.steps = falling(fine, bad)
	return p
}

// falling begins with what the lowest values are.
func falling(fine, bad float64) []step {
	return []step{{lowest, "red"}, {bad, "orange"}, {fine, "green"}}
}

// lowest is the value of a first step that replaces the green that everything begins with.
const lowest = -1e300

func (p panel) share() panel {
	p.unit = "percentunit"
	return p.between(0, 1)
}

func (p panel) between(floor, ceiling float64) panel {
	p.floor, p.ceiling = &floor, &ceiling
	return p
}

func (p panel) above(floor float64) panel {
	p.floor = &floor
	return p
}

func (p panel) whole() panel {
	none := 0.0
	p.decimals = &none
	return p
}

func (p panel) stack() panel {
	p.stacked = true
	return p
}

func (p panel) tall(height uint32) panel {
	p.height = height
	return p
}

func (p panel) none(said string) panel {
	p.empty = said
	return p
}

func (p panel) by(column string) panel {
	p.order = column
	return p
}

func (p panel) says(words map[string]string) panel {
	p.words = words
	return p
}

func (p panel) to(links ...link) panel {
	p.links = append(p.links, links...)
	return p
}

// yesNo are the words of a truth.
var yesNo = map[string]string{"0": "no", "1": "yes"}

// The collector's addresses of what panels are about, and other dashboards. A listing names its columns, a graph its labels.
var (
	assetLink  = link{"Asset ${__field.labels.instance} in Watchbill", "${collector:raw}/api/watchbill/v1/assets/${__field.labels.instance}"}
	assetCell  = link{"This asset in Watchbill", "${collector:raw}/api/watchbill/v1/assets/${__data.fields.Asset}"}
	ticketCell = link{"This ticket in Watchbill", "${collector:raw}/api/watchbill/v1/tickets/${__data.fields.Ticket}"}
	// What totals are made of, in the collector's lists and on the dashboard of tickets.
	openList     = link{"Open tickets in Watchbill", "${collector:raw}/api/watchbill/v1/tickets?open=true"}
	riskList     = link{"Tickets at risk in Watchbill", "${collector:raw}/api/watchbill/v1/tickets?open=true&at_risk=true"}
	openBreached = link{"Open tickets with a breach in Watchbill", "${collector:raw}/api/watchbill/v1/tickets?open=true&breached=true"}
	breachedList = link{"Tickets with a breach in Watchbill", "${collector:raw}/api/watchbill/v1/tickets?breached=true"}
	priorityList = link{"Open tickets of this priority in Watchbill", "${collector:raw}/api/watchbill/v1/tickets?open=true&priority=${__field.labels.priority}"}
	ownerList    = link{"Open tickets of this owner in Watchbill", "${collector:raw}/api/watchbill/v1/tickets?open=true&owner=${__field.labels.owner}"}
	ticketList   = link{"Tickets in Watchbill", "${collector:raw}/api/watchbill/v1/tickets"}
	assetList    = link{"Assets in Watchbill", "${collector:raw}/api/watchbill/v1/assets"}
	alertList    = link{"Alerts in Watchbill", "${collector:raw}/api/watchbill/v1/alerts"}
	ruleList     = link{"Rules in Watchbill", "${collector:raw}/api/watchbill/v1/rules"}
	messageList  = link{"Messages that are not delivered, in Watchbill", "${collector:raw}/api/watchbill/v1/outbox"}
	rotaList     = link{"Who is on call, in Watchbill", "${collector:raw}/api/watchbill/v1/oncall"}
	statusPage   = link{"The collector at a glance", "${collector:raw}/api/watchbill/v1/status"}
	chosen       = link{"Tickets of what is chosen",
		"/d/watchbill-tickets?var-datasource=${datasource}&${customer:queryparam}&${site:queryparam}&${asset:queryparam}&${__url_time_range}"}
	// ticketsOf are the tickets of whom a graph is about.
	ticketsOf = link{"Tickets of ${__field.labels.customer}",
		"/d/watchbill-tickets?var-datasource=${datasource}&var-customer=${__field.labels.customer}&${__url_time_range}"}
)

// hosts is the chain customer, site, asset among the assets that have a series.
func hosts(series string) []choice {
	within := func(matchers string) string {
		if inner, braced := strings.CutSuffix(series, "}"); braced {
			return inner + "," + matchers + "}"
		}
		return series + "{" + matchers + "}"
	}
	return []choice{
		{"customer", "Customer", series, "customer"},
		{"site", "Site", within(`customer=~"$customer"`), "site"},
		{"asset", "Asset", within(`customer=~"$customer",site=~"$site"`), "instance"},
	}
}
