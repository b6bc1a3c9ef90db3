package main

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/policy"
)

func newIntakeCmd() *cobra.Command {
	cmd := group("intake", "Confirm that mail boxes and the like were read",
		`Intakes are what comes in beside the desk and has to be read: the policy sets in force name them, and how long one may lie unread.
Whoever reads one, a person or a program, confirms that; where nobody did in time a ticket opens.`,
		`  watchbill intake list
  watchbill intake read helpdesk`)
	c := connect(cmd)
	cmd.AddCommand(&cobra.Command{
		Use: "list", Short: "List intakes, and when each was read last", Long: "Lists every intake of the sets in force: when it was read last, by whom, until when it has to be read again, and the ticket about it.",
		Example: "  watchbill intake list", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list api.IntakeList
			if printed, err := c.ask(cmd, http.MethodGet, "/intakes", nil, nil, &list); err != nil || printed {
				return err
			}
			s := screenOf(cmd)
			if len(list.Intakes) == 0 {
				fmt.Fprintln(s.w, "No intakes: the policy sets in force have none.")
				return nil
			}
			var rows [][]string
			for _, i := range list.Intakes {
				read := "never"
				if i.ReadAt != nil {
					read = s.stamp(*i.ReadAt)
				}
				rows = append(rows, []string{i.Name, i.Set, i.Within, read, i.By, s.stamp(i.Due), i.Ticket})
			}
			table(s.w, s.width, []column{{title: "INTAKE"}, {title: "SET"}, {title: "WITHIN"}, {title: "READ"}, {title: "BY", stretch: true}, {title: "DUE"}, {title: "TICKET"}}, rows)
			return nil
		},
	}, &cobra.Command{
		Use: "read NAME", Short: "Confirm that an intake was read now", Long: "Confirms that everything in an intake was read: it is due again after the time that its set gives, and the ticket about it is resolved.",
		Example: "  watchbill intake read helpdesk", Args: takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var state policy.IntakeState
			if printed, err := c.ask(cmd, http.MethodPost, "/intakes/"+url.PathEscape(args[0])+"/read", nil, nil, &state); err != nil || printed {
				return err
			}
			s := screenOf(cmd)
			fmt.Fprintf(s.w, "Intake %s is read; it has to be read again by %s.\n", clean(state.Name), s.stamp(state.Due))
			return nil
		},
	})
	return cmd
}
