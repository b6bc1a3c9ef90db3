package collector

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/collector/ticket"
)

// expectedTicket is one ticket that is expected at a time. What is left out is not compared, but for asset.
type expectedTicket struct {
	Asset    string          `yaml:"asset"`
	Service  string          `yaml:"service"`
	State    string          `yaml:"state"`
	Priority string          `yaml:"priority"`
	Severity string          `yaml:"severity"`
	Title    string          `yaml:"title"`
	Customer string          `yaml:"customer"`
	Site     string          `yaml:"site"`
	System   string          `yaml:"system"`
	Owner    string          `yaml:"owner"`
	Key      string          `yaml:"key"`
	Alerts   []string        `yaml:"alerts"`
	Opened   *model.Duration `yaml:"opened"`
	Resolved *model.Duration `yaml:"resolved"`
	Reopened *int            `yaml:"reopened"`
	Recurs   *bool           `yaml:"recurs"`
	Told     []string        `yaml:"told"`
}

var ticketStates = []string{
	string(ticket.New), string(ticket.Acked), string(ticket.InProgress), string(ticket.Waiting), string(ticket.Done),
	string(ticket.Shut), string(ticket.Again),
}

func (c *ticketCheck) expected(path []any, e expectedTicket) {
	if !slices.Contains(ticketStates, e.State) {
		c.fault(append(path, "state"), "%q is no state of a ticket: want one of %s", e.State, strings.Join(ticketStates, ", "))
	}
	if e.Service == "" {
		c.fault(append(path, "service"), "is missing: want the service that the ticket is about")
	}
	if e.Asset != "" {
		c.known(append(path, "asset"), e.Asset)
	}
}

// field is one thing that a ticket says.
type field struct{ key, text string }

// fields are what is expected, in the order in which they are shown.
func (e expectedTicket) fields() []field {
	out := []field{{"asset", e.Asset}, {"service", e.Service}, {"state", e.State}}
	text := func(key, text string) {
		if text != "" {
			out = append(out, field{key, text})
		}
	}
	text("priority", e.Priority)
	text("severity", e.Severity)
	text("title", e.Title)
	text("customer", e.Customer)
	text("site", e.Site)
	text("system", e.System)
	text("owner", e.Owner)
	text("key", e.Key)
	if e.Alerts != nil {
		out = append(out, field{"alerts", sortedList(e.Alerts)})
	}
	if e.Opened != nil {
		out = append(out, field{"opened", e.Opened.String()})
	}
	if e.Resolved != nil {
		out = append(out, field{"resolved", e.Resolved.String()})
	}
	if e.Reopened != nil {
		out = append(out, field{"reopened", strconv.Itoa(*e.Reopened)})
	}
	if e.Recurs != nil {
		out = append(out, field{"recurs", strconv.FormatBool(*e.Recurs)})
	}
	if e.Told != nil {
		out = append(out, field{"told", strings.Join(e.Told, ", ")})
	}
	return out
}

func sortedList(all []string) string {
	all = slices.Clone(all)
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// foundTicket is a ticket that there is, by the test's time.
type foundTicket map[string]string

func found(t ticket.Ticket, told []string, start time.Time) foundTicket {
	since := func(at time.Time) string {
		if at.IsZero() {
			return ""
		}
		return model.Duration(at.Sub(start)).String()
	}
	var alerts []string
	for _, a := range t.Alerts {
		name := a.Name
		if !a.Firing() {
			name += " " + string(a.End)
		}
		alerts = append(alerts, name)
	}
	recurs := slices.ContainsFunc(t.Links, func(l ticket.Link) bool { return l.Relation == "recurrence of" })
	return foundTicket{
		"asset": t.Asset, "service": t.Service, "state": string(t.State), "priority": t.Priority,
		"severity": string(t.Severity), "title": t.Title, "customer": t.Customer, "site": t.Site, "system": t.System,
		"owner": t.Owner, "key": t.Key, "alerts": sortedList(alerts), "opened": since(t.OpenedAt),
		"resolved": since(t.ResolvedAt), "reopened": strconv.Itoa(t.Reopened), "recurs": strconv.FormatBool(recurs),
		"told": strings.Join(told, ", "),
	}
}

func (f foundTicket) is(want []field) bool {
	for _, x := range want {
		if f[x.key] != x.text {
			return false
		}
	}
	return true
}

// in is the ticket in the terms of an expectation.
func (f foundTicket) in(want []field) string {
	var like []field
	for _, x := range want {
		like = append(like, field{x.key, f[x.key]})
	}
	return ticketLine(like)
}

// plainly is a ticket that nobody expected.
func (f foundTicket) plainly() string {
	var all []field
	for _, key := range []string{"asset", "service", "state", "priority", "title", "alerts"} {
		all = append(all, field{key, f[key]})
	}
	if f["asset"] == "" && f["site"] != "" {
		all = append(all, field{"site", f["site"]})
	}
	return ticketLine(all)
}

func ticketLine(fields []field) string {
	var parts []string
	for _, f := range fields {
		switch {
		case f.key == "asset" && f.text == "":
		case f.key == "alerts", f.key == "told":
			parts = append(parts, fmt.Sprintf("%s: [%s]", f.key, f.text))
		case strings.ContainsAny(f.text, ":,#{}[]'\"&*!|>%@`") || f.text == "":
			parts = append(parts, fmt.Sprintf("%s: %q", f.key, f.text))
		default:
			parts = append(parts, f.key+": "+f.text)
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// compareTickets gives a line for each ticket that is expected and one for each there is; they are equal where all is well.
func compareTickets(expected []expectedTicket, there []foundTicket) (want, got []string) {
	var fields [][]field
	for _, e := range expected {
		fields = append(fields, e.fields())
	}
	pairs := pair(fields, there)
	taken := map[int]bool{}
	var lone []int
	for i, f := range fields {
		want = append(want, ticketLine(f))
		if j := pairs[i]; j >= 0 {
			got, taken[j] = append(got, ticketLine(f)), true
			continue
		}
		lone = append(lone, i)
	}
	for j, t := range there {
		if taken[j] {
			continue
		}
		line := t.plainly()
		k := slices.IndexFunc(lone, func(i int) bool { return t.is(fields[i][:2]) }) // asset and service
		if k >= 0 {
			line = t.in(fields[lone[k]])
			lone = slices.Delete(lone, k, k+1)
		}
		got = append(got, line)
	}
	return want, got
}

// pair finds for as many expectations as possible a ticket of their own; -1 where there is none.
// Source: Kuhn's algorithm for matchings in bipartite graphs.
func pair(want [][]field, there []foundTicket) []int {
	owner := make([]int, len(there))
	for j := range owner {
		owner[j] = -1
	}
	var claim func(i int, tried map[int]bool) bool
	claim = func(i int, tried map[int]bool) bool {
		for j, t := range there {
			if tried[j] || !t.is(want[i]) {
				continue
			}
			tried[j] = true
			if owner[j] < 0 || claim(owner[j], tried) {
				owner[j] = i
				return true
			}
		}
		return false
	}
	out := make([]int, len(want))
	for i := range want {
		claim(i, map[int]bool{})
		out[i] = -1
	}
	for j, i := range owner {
		if i >= 0 {
			out[i] = j
		}
	}
	return out
}
