package main

import (
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/fleet"
)

func newDepartmentCmd() *cobra.Command {
	cmd := group("department", "List and declare departments that own customers",
		"A department owns customers and alone sends messages to them; it can be a customer itself. `customer apply` declares departments, too.",
		"  watchbill department list\n  watchbill department apply departments.yml")
	cmd.Aliases = []string{"departments"}
	c := connect(cmd)
	cmd.AddCommand(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List departments with their customers", Long: "Lists the departments that you see, with the customers they own.",
		Example: "  watchbill department list", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list api.DepartmentList
			if printed, err := c.ask(cmd, http.MethodGet, "/departments", nil, nil, &list); err != nil || printed {
				return err
			}
			var rows [][]string
			for _, d := range list.Departments {
				rows = append(rows, []string{d.ID, d.Name, strings.Join(d.Customers, " "), madeBy(d.MadeBy, d.DeclaredAt)})
			}
			s := screenOf(cmd)
			table(s.w, s.width, []column{{title: "DEPARTMENT"}, {title: "NAME", stretch: true}, {title: "CUSTOMERS", stretch: true}, {title: "DECLARED", stretch: true}}, rows)
			return nil
		},
	}, newApplyCmd(c, applied{what: "departments", example: "watchbill department apply departments.yml"}), newRemoveCmd(c, "DEPARTMENT", "/departments/", "a department", "watchbill department remove sales"))
	return cmd
}

func newPersonCmd() *cobra.Command {
	cmd := group("person", "List and declare people of the directory", "People are named by ID in rotas, contacts and overrides. `customer apply` declares people, too.",
		"  watchbill person list\n  watchbill person apply people.yml")
	cmd.Aliases = []string{"people", "persons"}
	c := connect(cmd)
	cmd.AddCommand(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List people with how they are reached", Long: "Lists the people that you see.", Example: "  watchbill person list", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list api.PersonList
			if printed, err := c.ask(cmd, http.MethodGet, "/people", nil, nil, &list); err != nil || printed {
				return err
			}
			var rows [][]string
			for _, p := range list.People {
				rows = append(rows, []string{p.ID, p.Name, p.Email, p.Phone, strings.Join(p.Receivers, " ")})
			}
			s := screenOf(cmd)
			table(s.w, s.width, []column{{title: "PERSON"}, {title: "NAME", stretch: true}, {title: "EMAIL", stretch: true}, {title: "PHONE"}, {title: "RECEIVERS", stretch: true}}, rows)
			return nil
		},
	}, newApplyCmd(c, applied{what: "people", example: "watchbill person apply people.yml"}), newRemoveCmd(c, "PERSON", "/people/", "a person", "watchbill person remove ann"))
	return cmd
}

func newContactCmd() *cobra.Command {
	cmd := group("contact", "List and declare the operator's own contacts",
		`The operator's own contacts are whom a role means where neither the customer nor its department has somebody in it. They are
declared together: in files of the fleet directory, or by an administrator's command where no file has any.`,
		"  watchbill contact list\n  watchbill contact apply fleet.yml")
	cmd.Aliases = []string{"contacts"}
	c := connect(cmd)
	cmd.AddCommand(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the operator's own contacts by role",
		Long: "Lists the operator's own contacts. Customers' are in `customer show`, departments' in `customer export`.", Example: "  watchbill contact list", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list api.ContactList
			if printed, err := c.ask(cmd, http.MethodGet, "/contacts", nil, nil, &list); err != nil || printed {
				return err
			}
			var rows [][]string
			for _, k := range list.Contacts {
				rows = append(rows, []string{string(k.Role), k.Person, k.Name, k.Email, k.Phone, strings.Join(k.Receivers, " ")})
			}
			s := screenOf(cmd)
			table(s.w, s.width, []column{{title: "ROLE"}, {title: "PERSON"}, {title: "NAME", stretch: true}, {title: "EMAIL", stretch: true}, {title: "PHONE"}, {title: "RECEIVERS", stretch: true}}, rows)
			return nil
		},
	}, newApplyCmd(c, applied{what: "contacts", example: "watchbill contact apply fleet.yml"}),
		newClearCmd(c, "contacts", "/contacts", api.ContactRequest{Contacts: []fleet.Contact{}}, "watchbill contact remove"))
	return cmd
}

func newSoftwareCmd() *cobra.Command {
	cmd := group("software", "List and declare approved software",
		`Approved software, applications and connections are supported; what is not on the list is marked as unsupported on tickets.
They are declared together: in files of the fleet directory, or by an administrator's command where no file has any.`,
		"  watchbill software list\n  watchbill software apply fleet.yml")
	c := connect(cmd)
	cmd.AddCommand(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List what is approved, with its versions", Long: "Lists what is approved. Without versions all of them are.",
		Example: "  watchbill software list", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list api.SoftwareList
			if printed, err := c.ask(cmd, http.MethodGet, "/approved-software", nil, nil, &list); err != nil || printed {
				return err
			}
			var rows [][]string
			for _, one := range list.ApprovedSoftware {
				rows = append(rows, []string{one.Name, string(one.Kind), strings.Join(one.Versions, " ")})
			}
			s := screenOf(cmd)
			table(s.w, s.width, []column{{title: "NAME", stretch: true}, {title: "KIND"}, {title: "VERSIONS", stretch: true}}, rows)
			return nil
		},
	}, newApplyCmd(c, applied{what: "approved_software", example: "watchbill software apply fleet.yml"}),
		newClearCmd(c, "approved software", "/approved-software", api.SoftwareRequest{ApprovedSoftware: []fleet.Software{}}, "watchbill software remove"))
	return cmd
}
