package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/fleet"
)

// wholeFile is what is applied where all of a file is.
const wholeFile = "customers"

// applied is which part of a file is declared: all of it, or the entries of one key.
type applied struct {
	what     string
	example  string
	approval string
}

// newApplyCmd declares what a file in the form of the fleet directory holds.
func newApplyCmd(c *connection, a applied) *cobra.Command {
	name := strings.ReplaceAll(a.what, "_", " ")
	cmd := &cobra.Command{
		Use: "apply FILE", Short: "Declare the " + name + " of a file",
		Long: "Declares the " + name + ` of a file in the form of the fleet directory ("customer export" writes one), in place of what was
declared by command before; the rest of the file is left alone. "-" reads standard input. What is declared already is no
change, and nothing is written. What is wrong is named with file and line, or by the collector.`,
		Example: "  " + a.example,
		Args:    takes("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := readDirectory(cmd, args[0])
			if err != nil {
				return err
			}
			return c.apply(cmd, d, a)
		},
	}
	if a.what == wholeFile {
		cmd.Short = "Declare all that a file holds: customers and what they refer to"
		cmd.Long = `Declares what a file in the form of the fleet directory holds ("customer export" writes one): its people, the operator's
contacts and approved software where it has any, its departments, then its customers, each whole, in place of what was
declared by command before. "-" reads standard input. What is declared already is no change, and nothing is written. What
is wrong is named with file and line, or by the collector, and what was declared before that stays. A customer with a
contract that "check policies --customers" calls at fault is refused in the same words; that nobody can be reached for a
party is a warning, like all else that a check finds.

What becomes of a contract's operating model, or of who owns its systems, wants the client owner's approval: --approval
names the ticket on which they gave it.`
		cmd.Example += `
  watchbill customer export --customer acme | watchbill customer apply -
  watchbill customer apply acme.yml --approval WB-1007`
		cmd.Flags().StringVar(&a.approval, "approval", "", "number of the ticket on which the client owner approved the change of operating model or owners")
	}
	return cmd
}

// newClearCmd takes back a list of the operator's own that a command declared, by putting none.
func newClearCmd(c *connection, what, path string, none any, example string) *cobra.Command {
	return &cobra.Command{
		Use: "remove", Aliases: []string{"rm"}, Short: "Take back the " + what + " that a command declared",
		Long:    "Takes back the operator's " + what + " that were declared by command, all of them. What a file declares is removed there.",
		Example: "  " + example, Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var row appliedRow
			printed, err := c.ask(cmd, http.MethodPut, path, nil, none, &row)
			if err != nil || printed {
				return err
			}
			text := "There were none."
			if row.Changed {
				text = "Removed the operator's " + what + "."
			}
			fmt.Fprintln(screenOf(cmd).w, text)
			return nil
		},
	}
}

// readDirectory reads a file of a fleet directory strictly.
func readDirectory(cmd *cobra.Command, file string) (d fleet.Directory, err error) {
	var content []byte
	if file == "-" {
		file = "standard input"
		content, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxAnswer))
	} else {
		content, err = os.ReadFile(file) //nolint:gosec // the file that the user names
	}
	if err != nil {
		return d, fmt.Errorf("read what to declare: %w", err)
	}
	if d, err = fleet.ReadDirectory(file, content); err != nil {
		fmt.Fprintln(safeWriter{cmd.ErrOrStderr()}, err) // each fault on a line, file first, as editors read it
		return d, errSaid
	}
	return d, nil
}

// declaration is one thing to put.
type declaration struct {
	name, path string
	body       any
	// asIs is where it is read, and the key that holds it, for what only an administrator puts: who may not is told nothing
	// of it where it is as it should be.
	asIs, key string
}

// declarations are what of a directory is put, in the order in which one may refer to another.
func (a applied) declarations(d fleet.Directory) (out []declaration) {
	part := func(key string) bool { return a.what == wholeFile || a.what == key }
	if part("people") {
		for _, p := range d.People {
			out = append(out, declaration{name: "person " + p.ID, path: "/people/" + url.PathEscape(p.ID), body: p})
		}
	}
	if part("contacts") && len(d.Contacts) > 0 {
		out = append(out, declaration{"operator's contacts", "/contacts", api.ContactRequest{Contacts: d.Contacts}, "/contacts", "contacts"})
	}
	if part("approved_software") && len(d.ApprovedSoftware) > 0 {
		for i := range d.ApprovedSoftware {
			if one := &d.ApprovedSoftware[i]; one.Kind == "" {
				one.Kind = fleet.KindSoftware
			}
		}
		out = append(out, declaration{"approved software", "/approved-software", api.SoftwareRequest{ApprovedSoftware: d.ApprovedSoftware}, "/approved-software", "approved_software"})
	}
	if part("departments") {
		for _, p := range d.Departments {
			out = append(out, declaration{name: "department " + p.ID, path: "/departments/" + url.PathEscape(p.ID), body: p})
		}
	}
	if a.what == wholeFile {
		for _, p := range d.Customers {
			out = append(out, declaration{name: "customer " + p.ID, path: "/customers/" + url.PathEscape(p.ID), body: api.CustomerRequest{Customer: p, Approval: a.approval}})
		}
	}
	return out
}

// appliedRow is what became of one thing, for programs.
type appliedRow struct {
	Declared string   `json:"declared"`
	Changed  bool     `json:"changed"`
	Warnings []string `json:"warnings"`
}

// apply declares the part of d that a says, and tells of each thing whether that changed it.
func (c *connection) apply(cmd *cobra.Command, d fleet.Directory, a applied) error {
	if err := c.checkOutput(); err != nil {
		return err
	}
	all := a.declarations(d)
	if len(all) == 0 {
		return fmt.Errorf("the file declares no %s: nothing was changed", strings.ReplaceAll(a.what, "_", " "))
	}
	rows := make([]appliedRow, 0, len(all))
	out := screenOf(cmd)
	for _, one := range all {
		row, err := c.put(cmd, one)
		if err != nil {
			return c.gate(cmd, fmt.Errorf("%s: %w", one.name, err))
		}
		rows = append(rows, row)
		if c.output == "json" {
			continue
		}
		if row.Changed {
			fmt.Fprintf(out.w, "%s: declared\n", clean(one.name))
		} else {
			fmt.Fprintf(out.w, "%s: no change\n", clean(one.name))
		}
		for _, w := range row.Warnings {
			fmt.Fprintln(safeWriter{cmd.ErrOrStderr()}, "warning: "+w)
		}
	}
	if c.output == "json" {
		raw, err := json.Marshal(map[string]any{"applied": rows})
		if err != nil {
			return fmt.Errorf("encode what was applied: %w", err)
		}
		return printJSON(cmd.OutOrStdout(), raw)
	}
	return nil
}

// put declares one thing.
func (c *connection) put(cmd *cobra.Command, one declaration) (row appliedRow, err error) {
	row = appliedRow{Declared: one.name, Warnings: []string{}}
	if one.asIs != "" {
		if same, err := c.same(cmd, one); err != nil || same {
			return row, err
		}
	}
	raw, err := c.call(cmd.Context(), http.MethodPut, one.path, nil, one.body)
	if err != nil {
		return row, err
	}
	if err := json.Unmarshal(raw, &row); err != nil {
		return row, fmt.Errorf("the collector at %s answered something this release does not read (%w): use the same release on both sides", c.url, err)
	}
	return row, nil
}

// same tells that what is to be put is there already.
func (c *connection) same(cmd *cobra.Command, one declaration) (bool, error) {
	raw, err := c.call(cmd.Context(), http.MethodGet, one.asIs, nil, nil)
	if err != nil {
		return false, err
	}
	want, err := json.Marshal(one.body)
	if err != nil {
		return false, fmt.Errorf("encode %s: %w", one.name, err)
	}
	var there, wanted map[string]any
	if err := json.Unmarshal(raw, &there); err != nil {
		return false, fmt.Errorf("read %s: %w", one.name, err)
	}
	if err := json.Unmarshal(want, &wanted); err != nil {
		return false, fmt.Errorf("read %s: %w", one.name, err)
	}
	return reflect.DeepEqual(there[one.key], wanted[one.key]), nil
}
