package main

import (
	"bufio"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func newDirectory() *cobra.Command {
	var customers, sites int
	cmd := &cobra.Command{
		Use:   "directory",
		Short: "Print the customers and sites of a simulated fleet, for the collector's fleet directory",
		Long: `Prints the customers and sites that "prepare" puts agents into, as YAML for the directory that the collector's
configuration names under fleet.directory. Reload the collector afterwards.`,
		Example: "  watchbill-fleet directory --customers 20 --sites 5 > /etc/watchbill/fleet/simulated.yml",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkPlaces(customers, sites); err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			return writeDirectory(cmd.OutOrStdout(), places(customers, sites))
		},
	}
	placeFlags(cmd, &customers, &sites)
	return cmd
}

func placeFlags(cmd *cobra.Command, customers, sites *int) {
	cmd.Flags().IntVar(customers, "customers", 10, "how many customers the fleet belongs to")
	cmd.Flags().IntVar(sites, "sites", 5, "how many sites each customer has")
}

func checkPlaces(customers, sites int) error {
	if customers < 1 || sites < 1 || customers > 999 || sites > 99 {
		return fmt.Errorf("--customers %d, --sites %d: want 1 to 999 customers with 1 to 99 sites each", customers, sites)
	}
	return nil
}

// writeDirectory writes the customers of places, which come sorted by customer.
func writeDirectory(to io.Writer, all []place) error {
	w := bufio.NewWriter(to)
	fmt.Fprintln(w, "# A simulated fleet: watchbill-fleet directory.\ncustomers:")
	last := ""
	for _, p := range all {
		if p.customer != last {
			last = p.customer
			fmt.Fprintf(w, "- id: %s\n  name: Simulated customer %s\n  department: simulation\n  zone: Europe/London\n  sites:\n",
				p.customer, p.customer)
		}
		fmt.Fprintf(w, "  - id: %s\n    name: Simulated %s\n", p.site, p.site)
	}
	if err := w.Flush(); err != nil { // bufio keeps the first error for here
		return fmt.Errorf("write the directory: %w", err)
	}
	return nil
}
