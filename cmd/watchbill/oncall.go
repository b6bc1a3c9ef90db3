package main

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/api"
)

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func newOnCallCmd() *cobra.Command {
	cmd := group("oncall", "See who is on call, and put somebody else on",
		"On-call rotas come from the policy sets; an override puts somebody else on for a while. Of two that overlap the newest wins.",
		`  watchbill oncall show
  watchbill oncall override nights bob --until 12h -m "Ann is ill"
  watchbill oncall overrides`)
	c := connect(cmd)
	cmd.AddCommand(newOnCallShowCmd(c), newOverrideCmd(c), newOverridesCmd(c), &cobra.Command{
		Use: "drop ID", Short: "Take an override back", Long: "Takes an override back: the rota goes on as it would without it.", Example: "  watchbill oncall drop 20261121t120000.000-abcdef",
		Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var gone api.Removed
			printed, err := c.ask(cmd, http.MethodDelete, "/oncall/overrides/"+url.PathEscape(args[0]), nil, nil, &gone)
			if err != nil || printed {
				return err
			}
			fmt.Fprintf(screenOf(cmd).w, "Override %s is taken back.\n", clean(gone.Removed))
			return nil
		},
	})
	return cmd
}

func newOnCallShowCmd(c *connection) *cobra.Command {
	var at, until string
	cmd := &cobra.Command{
		Use: "show", Short: "Show who is on call now and who comes then", Long: "Shows every rota: who is on call, until when, and what follows for two weeks, with the gaps in which nobody is. Hours for which the rota is not meant are left out.",
		Example: `  watchbill oncall show
  watchbill oncall show --at "2026-12-24 18:00" --until "2027-01-02"`, Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			for name, s := range map[string]string{"at": at, "until": until} {
				if s == "" {
					continue
				}
				t, err := instant("--"+name, s, time.Now())
				if err != nil {
					return err
				}
				q.Set(name, t.Format(time.RFC3339))
			}
			var list api.OnCallList
			if printed, err := c.ask(cmd, http.MethodGet, "/oncall", q, nil, &list); err != nil || printed {
				return err
			}
			s := screenOf(cmd)
			if len(list.Rotas) == 0 {
				fmt.Fprintln(s.w, "No rotas: the policy sets in force have none.")
			}
			for _, r := range list.Rotas {
				s.para("", "", r.Rota+" ("+r.Zone+")")
				for i, d := range append([]api.Duty{r.Now}, r.Next...) {
					if i > 0 && d.Planned {
						continue // nobody is meant to be on call then
					}
					mark := "    "
					if i == 0 {
						mark = "now "
					}
					s.para("  "+mark+s.stamp(d.From)+" to "+s.stamp(d.Until)+"  ", "        ", dutyWords(d))
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "from this time on; now when left out")
	cmd.Flags().StringVar(&until, "until", "", "up to this time; two weeks when left out")
	return cmd
}

// dutyWords is who is on call in a stretch, or why nobody is.
func dutyWords(d api.Duty) string {
	switch {
	case d.Gap != "" && d.Planned:
		return "nobody: " + d.Gap
	case d.Gap != "":
		return "NOBODY: " + d.Gap
	case d.Override != "":
		return joined(d.Person, "override", d.Override)
	case d.Name != "" && d.Name != d.Person:
		return d.Person + " (" + d.Name + ")"
	}
	return d.Person
}

func newOverrideCmd(c *connection) *cobra.Command {
	var in api.OverrideRequest
	var from, until string
	cmd := &cobra.Command{
		Use: "override ROTA PERSON", Short: "Put somebody else on call for a while", Long: "Puts a person on call in a rota from --from until --until, within the rota's hours and outside of them.",
		Example: `  watchbill oncall override nights bob --until 12h -m "Ann is ill"`, Args: takes("ROTA", "PERSON"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			in.Rota, in.Person = args[0], args[1]
			if until == "" {
				return usagef("--until is missing: when does it end?")
			}
			now := time.Now()
			if in.Until, err = instant("--until", until, now); err != nil {
				return err
			}
			if from != "" {
				if in.From, err = instant("--from", from, now); err != nil {
					return err
				}
			}
			var o api.Override
			if printed, err := c.ask(cmd, http.MethodPost, "/oncall/overrides", nil, in, &o); err != nil || printed {
				return err
			}
			s := screenOf(cmd)
			fmt.Fprintf(s.w, "%s is on call in %s from %s until %s (override %s).\n", clean(o.Person), clean(o.Rota), s.stamp(o.From), s.stamp(o.Until), clean(o.ID))
			return nil
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "when it begins; now when left out")
	cmd.Flags().StringVar(&until, "until", "", "when it ends: a time, or a distance from now like 12h (required)")
	cmd.Flags().StringVarP(&in.Reason, "message", "m", "", "why")
	return cmd
}

func newOverridesCmd(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "overrides", Short: "List overrides, the newest first", Long: "Lists every override that was made and not taken back.", Example: "  watchbill oncall overrides", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list api.OverrideList
			if printed, err := c.ask(cmd, http.MethodGet, "/oncall/overrides", nil, nil, &list); err != nil || printed {
				return err
			}
			s := screenOf(cmd)
			if len(list.Overrides) == 0 {
				fmt.Fprintln(s.w, "No overrides.")
				return nil
			}
			var rows [][]string
			for _, o := range list.Overrides {
				rows = append(rows, []string{o.ID, o.Rota, o.Person, s.stamp(o.From), s.stamp(o.Until), o.By, o.Reason})
			}
			table(s.w, s.width, []column{{title: "ID"}, {title: "ROTA"}, {title: "PERSON", stretch: true}, {title: "FROM"}, {title: "UNTIL"}, {title: "BY", stretch: true}, {title: "REASON", stretch: true}}, rows)
			return nil
		},
	}
}
