package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/api"
)

func newMaintenanceCmd() *cobra.Command {
	cmd := group("maintenance", "See which maintenance windows hold, and when the others do",
		`A maintenance window of the configuration keeps alerts of some labels from tickets at certain times: they are evaluated and
listed all the same, and what still fires at its end opens its ticket. Tickets that are open stay. Windows are made and changed
under "maintenance" in the configuration; what is wanted once, at short notice, is "watchbill silence add".`,
		`  watchbill maintenance list
  watchbill maintenance list --at "2026-11-28 23:00"`)
	c := connect(cmd)
	cmd.AddCommand(newMaintenanceListCmd(c))
	return cmd
}

func newMaintenanceListCmd(c *connection) *cobra.Command {
	var at string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List maintenance windows: what holds now, until when, and what comes next",
		Long: `Lists the maintenance windows that the running collector has in force, those that hold first: since and until when in the
window's own zone, and how many firing alerts have no ticket now because of it ("watchbill alert list" names them).`,
		Example: "  watchbill maintenance list\n  watchbill maintenance list --at 12h --output json", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			if at != "" {
				t, err := instant("--at", at, time.Now())
				if err != nil {
					return err
				}
				q.Set("at", t.Format(time.RFC3339))
			}
			var list api.MaintenanceList
			if printed, err := c.ask(cmd, http.MethodGet, "/maintenance", q, nil, &list); err != nil || printed {
				return err
			}
			showMaintenance(screenOf(cmd), list)
			return nil
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "as it is at this time, like \"2026-11-28 23:00\" or 12h from now; now when left out")
	return cmd
}

func showMaintenance(s screen, list api.MaintenanceList) {
	if len(list.Windows) == 0 {
		fmt.Fprintln(s.w, "No maintenance windows: the configuration has none under `maintenance`, or none that are yours to see.")
		return
	}
	rows := make([][]string, len(list.Windows))
	for i, w := range list.Windows {
		state, from, until := "pending", onWall(w.From, ""), onWall(w.Until, "no end in sight")
		switch {
		case w.Active:
			state, from = "active", "holds already"
		case w.From == nil:
			state, from, until = "over", "not within 4 years", ""
		}
		rows[i] = []string{w.Name, state, from, until, w.Zone, strconv.Itoa(w.Held), strings.Join(w.Matchers, " "), w.Comment}
	}
	table(s.w, s.width, []column{{title: "WINDOW", stretch: true}, {title: "STATE"}, {title: "FROM"}, {title: "UNTIL"}, {title: "ZONE"},
		{title: "HOLDS BACK"}, {title: "MATCHERS", stretch: true}, {title: "COMMENT", stretch: true}}, rows)
}

// onWall is a moment as the clock on the wall shows it where it was told.
func onWall(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return t.Format("Mon 2006-01-02 15:04 -07:00")
}
