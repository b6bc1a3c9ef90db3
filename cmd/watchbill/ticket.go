package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/ticket"
)

func newTicketCmd() *cobra.Command {
	cmd := group("ticket", "List, read and work on tickets",
		`Tickets are opened by the collector when an alert fires, and by people. A ticket is named by its number (WB-1042, wb-1042 or 1042) or its ID.

A ticket is new, then acknowledged (somebody has it), in progress, resolved (with what resolved it) and closed. When
every alert on it has recovered the collector resolves it; when one returns soon after, it is reopened.

What its policy wants before something is done stands before it as a gate: the command then exits with 1 and names the
gate and everything that is missing, one by line.`,
		`  watchbill ticket list
  watchbill ticket show WB-1042
  watchbill ticket ack WB-1042
  watchbill ticket note WB-1042 -m "customer called, shop is down"
  watchbill ticket resolve WB-1042 -m "old logs deleted, rotation turned on"`)
	cmd.Aliases = []string{"tickets"}
	c := connect(cmd)
	cmd.AddCommand(newTicketListCmd(c), newTicketShowCmd(c), newTicketChainCmd(c), newTicketOpenCmd(c), newTicketClocksCmd(c),
		newTicketRebaseCmd(c))
	for _, v := range verbs() {
		cmd.AddCommand(newVerbCmd(c, v))
	}
	return cmd
}

// listFilters are the filters that are words, listUsages what they select.
var (
	listFilters = []string{"state", "customer", "asset", "priority", "storm", "order", "department", "owner", "assignee", "kind", "type"}
	listUsages  = []string{"only those in this state: new, acknowledged, in-progress, waiting, resolved, closed, reopened", "only this customer's",
		"only those about this asset", "only those of this priority, like P1", "only those that are part of this storm, by the number of its ticket",
		"queue (open ones, as the policy orders them) or newest", "only of customers of this department", "only those owned by this party",
		"only this person's", "only of this kind", "only of this type"}
)

func newTicketListCmd(c *connection) *cobra.Command {
	var all bool
	var members bool
	var breached, atRisk bool
	var filter [11]string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List tickets, open ones unless told otherwise",
		Long: `Lists tickets: those that want work, in the order of the queue, unless --state, --all or --order says otherwise.
CLOCK is the target that is due next, with what is left until then.

When many assets flip at the same time, the storm has a ticket that stands for all of theirs: they are left out, unless
--storm, --asset or --members asks for them.`,
		Example: `  watchbill ticket list
  watchbill ticket list --customer acme --priority P1
  watchbill ticket list --state resolved
  watchbill ticket list --storm WB-1042
  watchbill ticket list --all --output json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			for i, name := range listFilters {
				if filter[i] != "" {
					q.Set(name, filter[i])
				}
			}
			state, asset, storm := q.Get("state"), q.Get("asset"), q.Get("storm")
			for name, set := range map[string]bool{"breached": breached, "at_risk": atRisk} {
				if set {
					q.Set(name, "true")
				}
			}
			if state == "" && !all {
				q.Set("open", "true")
			}
			if !members && storm == "" && asset == "" {
				q.Set("fold", "true")
			}
			q.Set("limit", strconv.Itoa(limit))
			var list api.TicketList
			if printed, err := c.ask(cmd, http.MethodGet, "/tickets", q, nil, &list); err != nil || printed {
				return err
			}
			printTickets(screenOf(cmd), list, state == "" && !all)
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&all, "all", false, "resolved and closed ones too")
	for i, name := range listFilters {
		f.StringVar(&filter[i], name, "", listUsages[i])
	}
	f.BoolVar(&breached, "breached", false, "only those with a target that was missed")
	f.BoolVar(&atRisk, "at-risk", false, "only those with a target that is at risk")
	f.BoolVar(&members, "members", false, "those that are part of a storm too")
	f.IntVar(&limit, "limit", 100, "at most so many")
	cmd.MarkFlagsMutuallyExclusive("all", "state")
	return cmd
}

func printTickets(s screen, list api.TicketList, openOnly bool) {
	if len(list.Tickets) == 0 {
		if openOnly {
			fmt.Fprintln(s.w, "No open tickets.")
		} else {
			fmt.Fprintln(s.w, "No tickets.")
		}
		return
	}
	rows := make([][]string, len(list.Tickets))
	for i, t := range list.Tickets {
		rows[i] = []string{t.Number, t.Priority, stateOf(t), nearest(t.Clocks, s.now), age(s.now.Sub(t.OpenedAt)), t.Customer, about(t), t.Title, or(t.Owner, nobody)}
	}
	table(s.w, s.width, []column{{title: "NUMBER"}, {title: "PRIO"}, {title: "STATE"}, {title: "CLOCK"}, {title: "AGE"},
		{title: "CUSTOMER", stretch: true}, {title: "ASSET", stretch: true}, {title: "TITLE", stretch: true},
		{title: "OWNER", stretch: true}}, rows)
	if list.Truncated {
		fmt.Fprintf(s.w, "There are more than these %d: narrow the list, or raise --limit.\n", len(list.Tickets))
	}
}

// stateOf is a ticket's state, with a mark on one that flaps: reopened for the last time says little of it.
func stateOf(t api.TicketRow) string {
	if t.Flap == nil {
		return string(t.State)
	}
	return string(t.State) + ", " + string(t.Flap.State)
}

// about is the asset of a ticket; of a storm's, how many it stands for.
func about(t api.TicketRow) string {
	switch g := t.Gathers; {
	case g == nil:
		return t.Asset
	case g.Standing == g.Tickets:
		return fmt.Sprintf("%d assets", g.Assets)
	default:
		return fmt.Sprintf("%d assets, %d open", g.Assets, g.Standing)
	}
}

func newTicketShowCmd(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "show TICKET", Short: "Show one ticket with its record and timeline",
		Long: `Shows one ticket whole: what it is about, its alerts, the record in five parts (time, symptoms, affected users,
error references, actions already taken), each line with its source and time, and the timeline.

Times are shown in this machine's time zone with their distance from UTC.`,
		Example: `  watchbill ticket show WB-1042
  watchbill ticket show WB-1042 --output json`,
		Args: takes("TICKET"), ValidArgsFunction: c.completeTickets,
		RunE: func(cmd *cobra.Command, args []string) error {
			var t api.Ticket
			printed, err := c.ask(cmd, http.MethodGet, "/tickets/"+url.PathEscape(args[0]), nil, nil, &t)
			if err != nil || printed {
				return err
			}
			showTicket(screenOf(cmd), t)
			return nil
		},
	}
}

func newTicketChainCmd(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "verify-chain TICKET", Short: "Check that a ticket's timeline and evidence are what was written",
		Long: `Checks that a ticket's timeline is whole, in order and unaltered, and that every piece of evidence is the one that
was gathered: each event is sealed to all before it by its hash. Exits with 1 when it is not.`,
		Example: `  watchbill ticket verify-chain WB-1042`,
		Args:    takes("TICKET"), ValidArgsFunction: c.completeTickets,
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.output != "text" && c.output != "json" {
				return usagef("--output: want text or json, got %q", c.output)
			}
			raw, err := c.call(cmd.Context(), http.MethodGet, "/tickets/"+url.PathEscape(args[0])+"/chain", nil, nil)
			if err != nil {
				return err
			}
			var chain api.Chain
			if err := json.Unmarshal(raw, &chain); err != nil {
				return fmt.Errorf("read the verdict: %w", err)
			}
			switch {
			case c.output == "json":
				if err := printJSON(cmd.OutOrStdout(), raw); err != nil || chain.OK {
					return err
				}
				return errSaid
			case !chain.OK:
				return fmt.Errorf("%s does not verify: %s: what stands in the store is not what was written; keep a copy of "+
					"the storage and compare with a backup", args[0], chain.Error)
			}
			fmt.Fprintf(screenOf(cmd).w, "%s verifies: %d events, head %s\n", args[0], chain.Events, chain.Head)
			return nil
		},
	}
}

// sayDone says what a verb did to a ticket, and what will come of it.
func sayDone(s screen, v ticket.Verb, t api.Ticket) {
	switch v {
	case ticket.Note:
		fmt.Fprintf(s.w, "noted on %s\n", clean(t.Number))
		return
	case ticket.Did:
		fmt.Fprintf(s.w, "action written down on %s\n", clean(t.Number))
		return
	}
	if v == ticket.HandOver && t.Handoff != nil {
		fmt.Fprintf(s.w, "%s is offered to %s; %s owns it until it is accepted\n", clean(t.Number), clean(t.Handoff.To), clean(or(t.Owner, nobody)))
		return
	}
	if did := lastDone(t); did != "" && !slices.Contains(moving, v) {
		s.para("", "  ", fmt.Sprintf("%s, %s: %s", t.Number, t.State, did))
		return
	}
	fmt.Fprintf(s.w, "%s is %s: %s\n", clean(t.Number), clean(string(t.State)), clean(t.Title))
	if v == ticket.Resolve && t.ResolvedAt != nil {
		warnStillFiring(s, t)
	}
}

// moving are the verbs that are seen by the state in which they leave a ticket.
var moving = []ticket.Verb{ticket.Ack, ticket.Start, ticket.Resolve, ticket.Close, ticket.Reopen, ticket.Decline, ticket.Resume, ticket.Merge}

// lastDone is what a person did to a ticket last, in the words of its timeline.
func lastDone(t api.Ticket) string {
	for _, e := range slices.Backward(t.Timeline) {
		if e.Actor.Kind != ticket.Person {
			continue
		}
		return strings.TrimSuffix(kindName(e.Kind)+": "+eventText(e), ": ")
	}
	return ""
}

// warnStillFiring says when a ticket that was resolved although alerts on it fire is reopened.
func warnStillFiring(s screen, t api.Ticket) {
	const most = 5
	var names []string
	n := 0
	for _, a := range t.Alerts {
		if !a.Firing() {
			continue
		}
		if n++; !slices.Contains(names, a.Name) {
			names = append(names, a.Name)
		}
	}
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("%d more", more))
	}
	if c := t.Counted; c != nil && c.Firing > 0 {
		n += c.Firing
		names = append(names, fmt.Sprintf("%d that it counts and does not list", c.Firing))
	}
	if n == 0 {
		return
	}
	still, they := "alerts still fire", "they end"
	if n == 1 {
		still, they = "alert still fires", "it ends"
	}
	s.para("", "", fmt.Sprintf("%d %s (%s): the ticket is reopened at %s unless %s", n, still, strings.Join(names, ", "),
		t.ResolvedAt.Add(ticket.StillFiring).In(s.zone).Format(time.TimeOnly), they))
}

// completeTickets offers the numbers of open tickets to the shell.
func (c *connection) completeTickets(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	raw, err := c.call(ctx, http.MethodGet, "/tickets", url.Values{"open": {"true"}, "fold": {"true"}}, nil)
	var list api.TicketList
	if err != nil || json.Unmarshal(raw, &list) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	out := make([]cobra.Completion, len(list.Tickets))
	for i, t := range list.Tickets {
		out[i] = cobra.CompletionWithDesc(clean(t.Number), clean(t.Priority+" "+t.Asset+": "+t.Title))
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}
