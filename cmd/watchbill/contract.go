package main

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/api"
)

func newContractCmd() *cobra.Command {
	cmd := group("contract", "Read contracts and what they come to", "A contract lists policy sets and may replace targets of theirs. It is declared with its customer.",
		`  watchbill contract list
  watchbill contract show acme-2026`)
	cmd.Aliases = []string{"contracts"}
	c := connect(cmd)
	cmd.AddCommand(newContractListCmd(c), newContractShowCmd(c))
	return cmd
}

func newContractListCmd(c *connection) *cobra.Command {
	var customer string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List contracts", Long: "Lists the contracts that you see, with their sets and whether they are in force; why one cannot hold is in `contract show`.",
		Example: "  watchbill contract list --customer acme", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			if customer != "" {
				q.Set("customer", customer)
			}
			var list api.ContractList
			if printed, err := c.ask(cmd, http.MethodGet, "/contracts", q, nil, &list); err != nil || printed {
				return err
			}
			var rows [][]string
			for _, k := range list.Contracts {
				force := "no"
				switch {
				case k.Fault != "":
					force = "no: it cannot hold"
				case k.InForce:
					force = "yes"
				}
				rows = append(rows, []string{k.ID, k.Customer, strings.Join(k.Sets, " "), string(k.From), string(k.Until), force, k.Agreement})
			}
			s := screenOf(cmd)
			table(s.w, s.width, []column{{title: "CONTRACT"}, {title: "CUSTOMER", stretch: true}, {title: "SETS", stretch: true}, {title: "FROM"}, {title: "UNTIL"}, {title: "IN FORCE"}, {title: "AGREEMENT"}}, rows)
			return nil
		},
	}
	cmd.Flags().StringVar(&customer, "customer", "", "only this customer's")
	return cmd
}

func newContractShowCmd(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "show CONTRACT", Short: "Show a contract with the targets that hold under it", Long: "Shows a contract: its terms as people read them, and every target that holds, with where it comes from.",
		Example: "  watchbill contract show acme-2026", Args: takes("CONTRACT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var k api.Contract
			printed, err := c.ask(cmd, http.MethodGet, "/contracts/"+url.PathEscape(args[0]), nil, nil, &k)
			if err != nil || printed {
				return err
			}
			showContract(screenOf(cmd), k)
			return nil
		},
	}
}

func showContract(s screen, k api.Contract) {
	s.para("", "", k.ID+" of "+k.Customer)
	for _, f := range [][2]string{{"Sets", strings.Join(k.Sets, ", ")}, {"Days", joined(string(k.From), "until", string(k.Until))}, {"Agreement", k.Agreement},
		{"Cover", k.Cover}, {"Phase", string(k.Phase)}, {"Model", string(k.Model)}, {"In force", joined(k.Policy, "version", k.PolicyVersion)}, {"Cannot hold", k.Fault}, {"Terms", string(k.Terms)}} {
		if f[1] != "" {
			s.para("  "+pad(f[0], 11), "  "+pad("", 11), f[1])
		}
	}
	if k.EntitledFrom != nil {
		s.para("  "+pad("Entitled", 11), "", "from "+s.stamp(*k.EntitledFrom))
	}
	if len(k.Clocks) == 0 {
		return
	}
	s.title("TARGETS")
	var rows [][]string
	for _, t := range k.Clocks {
		var when []string
		for _, name := range sortedNames(t.When) {
			when = append(when, name+"="+strings.Join(t.When[name], "|"))
		}
		target := t.Target
		if !t.Breaches {
			target = strings.TrimSuffix(target, ",inform") + " (informs only)"
		}
		rows = append(rows, []string{"  " + t.Clock, target, strings.Join(when, " "), t.Source})
	}
	table(s.w, s.width, []column{{title: "  CLOCK"}, {title: "TARGET"}, {title: "WHEN", stretch: true}, {title: "SOURCE", stretch: true}}, rows)
}
