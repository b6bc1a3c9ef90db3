package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/api"
)

// reportWords say of each report what it tells.
var reportWords = map[string][2]string{
	"sla": {"How targets were kept, and each that was missed", `Counts, by customer, priority and clock, how the targets of the tickets that were received in the span were kept: met,
missed, waived, not needed; median, 90 % and longest in the clock's own time; and lists every target that was missed, with what
is known of why. A target that was missed before it was met counts as missed.`},
	"first-to-know": {"Who knew of faults first: monitoring or people", "Counts the faults of the span by who knew first: monitoring, or a person who reported them."},
	"nps":           {"How likely clients are to recommend the service", "Counts the answers of the span by month: 9 and 10 promote, 0 to 6 detract; the score is the percentage of the first less that of the second."},
	"lifecycle": {"What is out of support, or will be within the budget year", `Lists devices and applications whose maker's support has ended or ends before --until, by responsible manager. Without --until
it looks as far as the budget year lasts that begins with the next budget date of the customer's policy sets, so that what the
next budget has to pay for is in it; where no set says a budget date, to the end of the calendar year. --due is another budget
date. What has ended is in it whenever that was: --from leaves nothing out.`},
	"availability": {"How long environments worked, by month", "Tells for each customer environment and month how much of the time it worked, with maintenance and unknown apart, and what that rests on."},
	"compliance":   {"How environments stand to the policy list", "Holds each customer environment against the policy list of its contract's sets, as it is now."},
}

func newReportCmd() *cobra.Command {
	cmd := group("report", "Reports: targets, first to know, NPS, lifecycle, availability, compliance",
		`Reports are about the customers that you see and the time from --from up to --until, this month unless told otherwise. As text,
as JSON (--output json) and as CSV (--output csv) in which no cell is a formula.`,
		`  watchbill report sla --from 2026-11-01 --until 2026-12-01 --customer acme
  watchbill report sla --output csv > sla.csv
  watchbill report lifecycle --due 2026-10-01`)
	cmd.Aliases = []string{"reports"}
	c := connect(cmd)
	cmd.PersistentFlags().Lookup("output").Usage = "text for people, json for programs (the API's objects, unchanged), csv for spreadsheets"
	for _, name := range api.Reports() {
		cmd.AddCommand(newReportOneCmd(c, name))
	}
	return cmd
}

func newReportOneCmd(c *connection, name string) *cobra.Command {
	filters := map[string]*string{"from": new(string), "until": new(string), "customer": new(string), "department": new(string), "zone": new(string)}
	cmd := &cobra.Command{
		Use: name, Short: reportWords[name][0], Long: reportWords[name][1],
		Example: "  watchbill report " + name + " --from 2026-11-01 --until 2026-12-01", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.output != "csv" && c.output != "json" && c.output != "text" {
				return usagef("--output: want text, json or csv, got %q", c.output)
			}
			q := url.Values{}
			for key, word := range filters {
				if *word != "" {
					if err := checkDay(key, *word); err != nil {
						return err
					}
					q.Set(key, *word)
				}
			}
			if c.output == "csv" {
				q.Set("format", "csv")
				return c.copyOut(cmd, "/reports/"+name, q)
			}
			var rep api.Report
			if printed, err := c.ask(cmd, http.MethodGet, "/reports/"+name, q, nil, &rep); err != nil || printed {
				return err
			}
			printReport(screenOf(cmd), rep)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(filters["from"], "from", "", "first day, or a time like 2026-11-01T00:00:00Z")
	until := "the day, or time, that is not in it any more; now when left out"
	if name == "lifecycle" {
		until = "the day, or time, that is not in it any more; the end of the budget year when left out"
	}
	f.StringVar(filters["until"], "until", "", until)
	f.StringVar(filters["customer"], "customer", "", "this customer only")
	f.StringVar(filters["department"], "department", "", "customers of this department only")
	f.StringVar(filters["zone"], "zone", "", "zone in which days begin, like Europe/London; UTC when left out")
	if name == "lifecycle" {
		filters["due"] = new(string)
		f.StringVar(filters["due"], "due", "", "the operator's budget date: the day before which decisions are due")
	}
	return cmd
}

// checkDay refuses what is no day and no time in a flag that wants one.
func checkDay(flag, s string) error {
	if !slices.Contains([]string{"from", "until", "due"}, flag) {
		return nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if _, err := time.Parse(layout, s); err == nil {
			return nil
		}
	}
	return usagef("--%s: want a day like 2026-11-01 or a time like 2026-11-01T00:00:00Z, got %q", flag, s)
}

// printReport prints the tables of a report for people.
func printReport(s screen, rep api.Report) {
	s.para("", "", fmt.Sprintf("%s, from %s up to %s", rep.Report, rep.From.Format(time.RFC3339), rep.Until.Format(time.RFC3339)))
	for _, t := range rep.Tables {
		s.title(clean(t.Title))
		if len(t.Rows) == 0 {
			fmt.Fprintln(s.w, "  nothing")
			continue
		}
		columnsOf := make([]column, len(t.Columns))
		for i, name := range t.Columns {
			columnsOf[i] = column{title: name, stretch: i == len(t.Columns)-1}
		}
		table(s.w, s.width, columnsOf, t.Rows)
	}
	if rep.RestsOn != "" {
		fmt.Fprintln(s.w)
		s.para("", "", rep.RestsOn)
	}
}
