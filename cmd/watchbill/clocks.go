package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/sla"
)

// pressing tells a clock that still runs and can be missed, or was and is not met.
func pressing(c api.Clock) bool { return c.EndedAt == nil && c.Breaches && c.Due != nil }

// nearest is the target of a ticket that is due next, with what is left until then, or how long it is overdue.
func nearest(clocks []api.Clock, now time.Time) string {
	var first *api.Clock
	for i, c := range clocks {
		if pressing(c) && (first == nil || c.Due.Before(*first.Due)) {
			first = &clocks[i]
		}
	}
	if first == nil {
		if slices.ContainsFunc(clocks, func(c api.Clock) bool { return c.State == sla.StatePaused }) {
			return "paused"
		}
		return ""
	}
	if first.Due.Before(now) {
		return first.Clock + " " + age(now.Sub(*first.Due)) + " over"
	}
	return first.Clock + " in " + age(first.Due.Sub(now))
}

// clocks prints each clock in words: how it stands, until when and how long, what it rests on.
func (s screen) clocks(all []api.Clock) {
	for _, c := range all {
		s.para("  "+pad(clean(c.Clock), 17)+"  ", "  "+pad("", 17)+"  ", s.clockWords(c))
	}
}

func (s screen) clockWords(c api.Clock) string {
	parts := []string{strings.ToUpper(string(c.State))}
	if c.Due != nil {
		word := "due "
		if c.EndedAt == nil && c.Due.Before(s.now) {
			word = "was due "
		}
		parts = append(parts, word+s.stamp(*c.Due))
	}
	if c.EndedAt != nil {
		text := c.End + " " + s.stamp(*c.EndedAt)
		if c.EndReason != "" {
			text += " (" + c.EndReason + ")"
		}
		parts = append(parts, text)
	} else if c.RemainingSeconds != nil {
		left := time.Duration(*c.RemainingSeconds * float64(time.Second))
		if left < 0 {
			parts = append(parts, age(-left)+" over")
		} else {
			parts = append(parts, age(left)+" left of its own time")
		}
	}
	if c.BreachedAt != nil {
		parts = append(parts, "missed "+s.stamp(*c.BreachedAt))
	}
	if c.WaivedUntil != nil {
		parts = append(parts, "waived until "+s.stamp(*c.WaivedUntil))
	}
	parts = append(parts, "target "+c.Target)
	if c.Source != "" {
		parts = append(parts, "by "+c.Source)
	}
	return strings.Join(parts, ", ")
}

func newTicketClocksCmd(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "clocks TICKET", Short: "Explain a ticket's clocks interval by interval",
		Long: `Explains every clock of a ticket: from its start to when it is due, which stretches counted and which did not, and why:
closed hours, holidays by name, pauses. Times are in the zone of the ticket's calendar.`,
		Example: "  watchbill ticket clocks WB-1042",
		Args:    takes("TICKET"), ValidArgsFunction: c.completeTickets,
		RunE: func(cmd *cobra.Command, args []string) error {
			var list api.ClockList
			printed, err := c.ask(cmd, http.MethodGet, "/tickets/"+url.PathEscape(args[0])+"/clocks", nil, nil, &list)
			if err != nil || printed {
				return err
			}
			s := screenOf(cmd)
			if len(list.Clocks) == 0 {
				fmt.Fprintf(s.w, "%s has no clocks: its policy gives such a ticket none.\n", clean(list.Number))
			}
			for _, c := range list.Clocks {
				s.clocks([]api.Clock{c.Clock})
				for _, i := range c.Intervals {
					counted := "counted"
					if !i.Counted {
						counted = "not"
					}
					fmt.Fprintf(s.w, "    %s  %s  %s  %s\n", wall(i.From), wall(i.To), pad(counted, 7), clean(i.Reason))
				}
			}
			return nil
		},
	}
}

// wall is a time as its own zone's clock shows it.
func wall(t time.Time) string { return t.Format("Mon 2006-01-02 15:04:05 -07:00") }

func newTicketRebaseCmd(c *connection) *cobra.Command {
	var message, customer string
	cmd := &cobra.Command{
		Use: "rebase [TICKET]", Short: "List open tickets that newer policies would move, or move one",
		Long: `Without a ticket, lists the open tickets that newer versions of their policy or calendar would move: another priority,
another target or due time. With one, puts it under what its customer has now; starts, pauses and breaches stay, and the
timeline keeps what was and what is. Nothing moves by itself.`,
		Example: `  watchbill ticket rebase
  watchbill ticket rebase WB-1042 -m "the new bank holiday"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%q is one argument too many", args[1])
			}
			return nil
		}, ValidArgsFunction: c.completeTickets,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.listRebases(cmd, customer)
			}
			if strings.TrimSpace(message) == "" {
				return usagef("say why it is put under other terms: -m \"…\"")
			}
			var t api.Ticket
			printed, err := c.ask(cmd, http.MethodPost, "/tickets/"+url.PathEscape(args[0])+"/rebase", nil, api.ActionRequest{Text: message}, &t)
			if err != nil || printed {
				return err
			}
			s := screenOf(cmd)
			fmt.Fprintf(s.w, "%s is under %s %s now\n", clean(t.Number), clean(t.PolicySet), clean(t.PolicyVersion))
			s.clocks(t.Clocks)
			return nil
		},
	}
	cmd.Flags().StringVarP(&message, "message", "m", "", "why it is put under other terms (required with a ticket)")
	cmd.Flags().StringVar(&customer, "customer", "", "list this customer's only")
	return cmd
}

func (c *connection) listRebases(cmd *cobra.Command, customer string) error {
	q := url.Values{}
	if customer != "" {
		q.Set("customer", customer)
	}
	var list api.RebaseList
	if printed, err := c.ask(cmd, http.MethodGet, "/rebase", q, nil, &list); err != nil || printed {
		return err
	}
	s := screenOf(cmd)
	if len(list.Tickets) == 0 {
		fmt.Fprintln(s.w, "No open ticket would move.")
		return nil
	}
	var rows [][]string
	for _, t := range list.Tickets {
		base := []string{t.Number, t.Customer, t.FromVersion + " → " + t.ToVersion, t.FromPriority + " → " + t.ToPriority}
		if len(t.Clocks) == 0 {
			rows = append(rows, base)
		}
		for _, k := range t.Clocks {
			rows = append(rows, append(slices.Clone(base), k.Clock, s.due(k.FromDue)+" → "+s.due(k.ToDue)))
		}
	}
	table(s.w, s.width, []column{{title: "NUMBER"}, {title: "CUSTOMER", stretch: true}, {title: "VERSION"}, {title: "PRIO"}, {title: "CLOCK"}, {title: "DUE"}}, rows)
	return nil
}

// due is a due time, or none.
func (s screen) due(at *time.Time) string {
	if at == nil {
		return "none"
	}
	return s.stamp(*at)
}
