package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/fleet"
)

func newCustomerCmd() *cobra.Command {
	cmd := group("customer", "List, declare and export customers",
		`Customers own what is watched: sites, assets, applications; they have contracts and contacts. They are declared in the
fleet directory of the configuration, or by command; what a file declares is changed there.`,
		`  watchbill customer list
  watchbill customer show acme
  watchbill customer export --customer acme > acme.yml
  watchbill customer apply acme.yml
  watchbill customer export | watchbill customer apply -     # no change: it is declared already`)
	cmd.Aliases = []string{"customers"}
	c := connect(cmd)
	cmd.AddCommand(newCustomerListCmd(c), newCustomerShowCmd(c), newApplyCmd(c, applied{what: wholeFile, example: "watchbill customer apply acme.yml"}), newExportCmd(c),
		newRemoveCmd(c, "CUSTOMER", "/customers/", "a customer", "watchbill customer remove acme"))
	return cmd
}

func newCustomerListCmd(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List customers with their department and contracts",
		Long: "Lists the customers that you see: the department that owns them, their contracts and how much is watched.", Example: "  watchbill customer list",
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list api.CustomerList
			if printed, err := c.ask(cmd, http.MethodGet, "/customers", nil, nil, &list); err != nil || printed {
				return err
			}
			var rows [][]string
			for _, k := range list.Customers {
				var contracts []string
				for _, one := range k.Contracts {
					contracts = append(contracts, one.ID)
				}
				assets := 0
				for _, site := range k.Sites {
					assets += len(site.Assets)
				}
				rows = append(rows, []string{k.ID, k.Name, k.Department, strings.Join(contracts, " "), strconv.Itoa(assets), madeBy(k.MadeBy, k.DeclaredAt)})
			}
			s := screenOf(cmd)
			table(s.w, s.width, []column{{title: "CUSTOMER"}, {title: "NAME", stretch: true}, {title: "DEPARTMENT", stretch: true},
				{title: "CONTRACTS", stretch: true}, {title: "ASSETS"}, {title: "DECLARED", stretch: true}}, rows)
			return nil
		},
	}
}

// madeBy is where something is declared: a file, or by whom.
func madeBy(who, at string) string {
	if who != "" {
		return "by " + who
	}
	return at
}

func newCustomerShowCmd(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "show CUSTOMER", Short: "Show one customer: contacts, contracts, applications, sites",
		Long: "Shows what is declared of a customer, as YAML in the form of the fleet directory.", Example: "  watchbill customer show acme",
		Args: takes("CUSTOMER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var k api.Customer
			printed, err := c.ask(cmd, http.MethodGet, "/customers/"+url.PathEscape(args[0]), nil, nil, &k)
			if err != nil || printed {
				return err
			}
			return fleet.Directory{Customers: []fleet.Customer{k.Customer}}.Export(safeWriter{cmd.OutOrStdout()})
		},
	}
}

func newExportCmd(c *connection) *cobra.Command {
	var customer string
	cmd := &cobra.Command{
		Use: "export", Short: "Write what is declared as YAML of the fleet directory",
		Long: `Writes what you see of what is declared, by files and by command, as YAML that the fleet directory and "customer apply"
read: reading it and writing it again gives the same. The operator's contacts and approved software are in it for who sees
the whole fleet.`,
		Example: `  watchbill customer export > fleet.yml
  watchbill customer export --customer acme`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			if customer != "" {
				q.Set("customer", customer)
			}
			return c.copyOut(cmd, "/export", q)
		},
	}
	cmd.Flags().StringVar(&customer, "customer", "", "this customer only, with what it refers to")
	return cmd
}

// copyOut writes an answer that is a file to standard output, made inert for a terminal.
func (c *connection) copyOut(cmd *cobra.Command, path string, q url.Values) error {
	resp, as, err := c.send(cmd.Context(), http.MethodGet, path, q, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		_, err := c.answer(resp, as)
		return err
	}
	out := cmd.OutOrStdout()
	if terminalWidth(out) > 0 {
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return fmt.Errorf("the answer of the collector at %s broke off: %w", c.url, err)
		}
		_, err = safeWriter{out}.Write(b)
		return err
	}
	if _, err := io.Copy(out, resp.Body); err != nil {
		return fmt.Errorf("the answer of the collector at %s broke off: %w", c.url, err)
	}
	return nil
}

// newRemoveCmd takes back what a command declared.
func newRemoveCmd(c *connection, arg, path, what, example string) *cobra.Command {
	return &cobra.Command{
		Use: "remove " + arg, Aliases: []string{"rm"}, Short: "Take back " + what + " that was declared by command",
		Long: "Takes back " + what + " that was declared by command. What a file declares is removed there; what something else refers to stays.", Example: "  " + example,
		Args: takes(arg),
		RunE: func(cmd *cobra.Command, args []string) error {
			var gone api.Removed
			printed, err := c.ask(cmd, http.MethodDelete, path+url.PathEscape(args[0]), nil, nil, &gone)
			if err != nil || printed {
				return err
			}
			fmt.Fprintf(screenOf(cmd).w, "Removed %s.\n", clean(gone.Removed))
			return nil
		},
	}
}
