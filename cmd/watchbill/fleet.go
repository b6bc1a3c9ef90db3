package main

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/rules"
)

func newAlertCmd() *cobra.Command {
	cmd := group("alert", "List alerts that stand",
		`Alerts are what rules find: pending while a rule waits out its "for", firing after that. A firing alert opens a
ticket or attaches to the one that is open for the same fault.`,
		`  watchbill alert list`)
	cmd.Aliases = []string{"alerts"}
	c := connect(cmd)
	var resolved bool
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List alerts, firing ones first",
		Long: `Lists every alert that is pending or firing, with the ticket it is attached to, or the silence or maintenance window that
holds its ticket back. An alert that is unknown is frozen:
nothing is heard of its series, so it can neither end nor get worse until there is; the reasons stand below.`,
		Example: `  watchbill alert list
  watchbill alert list --output json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list api.AlertList
			q := url.Values{}
			if resolved {
				q.Set("resolved", "true")
			}
			if printed, err := c.ask(cmd, http.MethodGet, "/alerts", q, nil, &list); err != nil || printed {
				return err
			}
			printAlerts(screenOf(cmd), list)
			return nil
		},
	}
	list.Flags().BoolVar(&resolved, "resolved", false, "also what fired and ended within the last 15 minutes")
	cmd.AddCommand(list)
	return cmd
}

func printAlerts(s screen, list api.AlertList) {
	if len(list.Alerts) == 0 {
		fmt.Fprintln(s.w, "No alerts.")
		return
	}
	rows := make([][]string, len(list.Alerts))
	var reasons, holders []string
	for i, a := range list.Alerts {
		state, since := standingOf(a)
		rows[i] = []string{state, string(a.Severity), a.Name, age(s.now.Sub(since)), a.Customer, a.Asset, ticketCell(a),
			a.Annotations["summary"]}
		if a.Unknown != "" && !slices.Contains(reasons, a.Unknown) {
			reasons = append(reasons, a.Unknown)
		}
		if !a.Held() {
			continue
		}
		if line := holder(a.MutedBy[0]); !slices.Contains(holders, line) {
			holders = append(holders, line)
		}
	}
	table(s.w, s.width, []column{{title: "STATE"}, {title: "SEVERITY"}, {title: "ALERT"}, {title: "FOR"},
		{title: "CUSTOMER", stretch: true}, {title: "ASSET", stretch: true}, {title: "TICKET"},
		{title: "SUMMARY", stretch: true}}, rows)
	for _, why := range reasons {
		s.para("unknown: ", "         ", why)
	}
	for _, line := range holders {
		s.para("held: ", "      ", line)
	}
}

// standingOf is an alert's state, or how it ended, and since when that is so.
func standingOf(a api.Alert) (state string, since time.Time) {
	state, since = string(a.State), a.ActiveAt
	if a.State == rules.Firing && a.FiredAt != nil {
		since = *a.FiredAt
	}
	if a.EndedAt != nil && a.End != nil {
		state, since = string(*a.End), *a.EndedAt
	}
	if a.Unknown != "" {
		state += ", unknown"
	}
	return state, since
}

// ticketCell is the ticket of an alert, or what holds it back.
func ticketCell(a api.Alert) string {
	switch {
	case a.Held():
		by := a.MutedBy[0]
		return "held: " + cmp.Or(by.Name, by.ID[:min(8, len(by.ID))])
	case a.Ticket == nil:
		return ""
	case !a.Ticket.State.Open():
		return a.Ticket.Number + " (" + string(a.Ticket.State) + ")"
	}
	return a.Ticket.Number
}

// holder is what holds an alert back, in words.
func holder(by incident.MutedBy) string {
	who := by.Name
	if by.ID != "" {
		who = "silence " + by.ID + " of " + by.By
	}
	if by.Comment != "" {
		who += ": " + by.Comment
	}
	return who
}

func newAssetCmd() *cobra.Command {
	cmd := group("asset", "List what is watched and whether it reports",
		`Assets are hosts and devices. An asset is reporting, silent (it should report and does not), or has never
reported since the collector started. A host with no agent has none of these: other programs' alerts may be about it.`,
		`  watchbill asset list
  watchbill asset show web1`)
	cmd.Aliases = []string{"assets"}
	c := connect(cmd)
	cmd.AddCommand(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List assets with their state and what could not be looked at",
		Long: "Lists every asset of the fleet: whether it reports, when it last did, and which samplers failed.",
		Example: `  watchbill asset list
  watchbill asset list --output json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list api.AssetList
			if printed, err := c.ask(cmd, http.MethodGet, "/assets", nil, nil, &list); err != nil || printed {
				return err
			}
			printAssets(screenOf(cmd), list)
			return nil
		},
	}, &cobra.Command{
		Use: "show ASSET", Short: "Show one asset with every sampler and its open tickets",
		Long:    "Shows one asset: what the fleet says of it, every sampler with its last word, and the open tickets.",
		Example: "  watchbill asset show web1",
		Args:    takes("ASSET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var a api.AssetDetail
			printed, err := c.ask(cmd, http.MethodGet, "/assets/"+url.PathEscape(args[0]), nil, nil, &a)
			if err != nil || printed {
				return err
			}
			showAsset(screenOf(cmd), a)
			return nil
		},
	})
	return cmd
}

func printAssets(s screen, list api.AssetList) {
	if len(list.Assets) == 0 {
		fmt.Fprintln(s.w, "No assets: `watchbill token create` makes the token that enrols one.")
		return
	}
	rows := make([][]string, len(list.Assets))
	for i, a := range list.Assets {
		rows[i] = []string{a.Name, assetState(a), lastReport(s, a), a.Customer, a.Site, a.Role, failures(a.Failed)}
	}
	table(s.w, s.width, []column{{title: "ASSET", stretch: true}, {title: "STATE"}, {title: "LAST REPORT"},
		{title: "CUSTOMER", stretch: true}, {title: "SITE", stretch: true}, {title: "ROLE", stretch: true},
		{title: "FAILED", stretch: true}}, rows)
}

// assetState is an asset's state. Of a host that nothing reports no report is due: other programs' alerts may be about it.
func assetState(a api.Asset) string {
	if a.State == api.Never && a.Kind != fleet.Device && len(a.From) == 0 {
		return "no agent"
	}
	return string(a.State)
}

func lastReport(s screen, a api.Asset) string {
	if a.LastReportAt == nil {
		return "never"
	}
	return age(s.now.Sub(*a.LastReportAt)) + " ago"
}

func failures(failed []api.Source) string {
	out := make([]string, len(failed))
	for i, f := range failed {
		out[i] = f.Name + ": " + f.Reason
	}
	return strings.Join(out, "; ")
}

func showAsset(s screen, a api.AssetDetail) {
	users := "not declared"
	if a.Users > 0 {
		users = strconv.Itoa(a.Users)
	}
	customer := a.Customer
	if a.CustomerName != "" && a.CustomerName != a.Customer {
		customer += " (" + a.CustomerName + ")"
	}
	for _, f := range [][2]string{
		{"Asset", a.Name + ", " + string(a.Kind)}, {"State", assetState(a.Asset) + ", last report " + lastReport(s, a.Asset)},
		{"Customer", joined(customer, "site", a.Site)}, {"Role", a.Role}, {"Users", users},
	} {
		if f[1] != "" {
			s.para("  "+pad(f[0], 10), "  "+pad("", 10), f[1])
		}
	}
	s.title("SAMPLERS")
	rows := make([][]string, len(a.Sources))
	for i, src := range a.Sources {
		state := "ok"
		if !src.OK {
			state = "failed: " + src.Reason
		}
		rows[i] = []string{"  " + src.Name, age(s.now.Sub(src.At)) + " ago", strconv.Itoa(src.Series), state}
	}
	table(s.w, s.width, []column{{title: "  SAMPLER"}, {title: "LAST"}, {title: "SERIES"}, {title: "STATE", stretch: true}}, rows)
	s.title("OPEN TICKETS")
	printTickets(s, api.TicketList{Tickets: a.Tickets}, true)
}
