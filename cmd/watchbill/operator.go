package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector"
	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/bolt"
)

func newOperatorCmd() *cobra.Command {
	cmd := group("operator", "Add, list and remove operators and scrapers",
		`An operator is a person with a token of their own; what they do stands in tickets with their name. Roles:

  admin     everything: operators, tokens, agents, reload
  operator  work on tickets, send messages again, read, scrape
  viewer    read, scrape
  scrape    /metrics, /federate and Prometheus' query API, nothing else: for a Prometheus that scrapes
  sender    send samples and alerts, nothing else: for a Prometheus, an Alertmanager, Grafana

A token may also carry what the person is (engineer, general-manager, it-ops-manager, department-member …): several
--role sum up, and gates ask for them. --department and --customer bound what the token shows to what is theirs: nothing
else exists for it.

The first administrator is made on the collector's own host, before it first runs: with no collector running,
"operator add --storage.path DIR" writes to the storage itself.`,
		`  watchbill operator add alice --role operator
  watchbill operator add dana --role it-ops-manager --role general-manager
  watchbill operator add pat --role client-owner-user --customer acme
  watchbill operator add scraper --role scrape
  watchbill operator add alertmanager --role sender
  watchbill operator remove alice`)
	cmd.Aliases = []string{"operators"}
	c := connect(cmd)
	cmd.AddCommand(newOperatorAddCmd(c), newOperatorListCmd(c), newOperatorRemoveCmd(c))
	return cmd
}

func newOperatorListCmd(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List operators and their roles",
		Long:    "Lists everybody who has a token, with their role. Tokens themselves are nowhere.",
		Example: "  watchbill operator list",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list api.OperatorList
			if printed, err := c.ask(cmd, http.MethodGet, "/operators", nil, nil, &list); err != nil || printed {
				return err
			}
			s := screenOf(cmd)
			rows := make([][]string, len(list.Operators))
			for i, o := range list.Operators {
				rows[i] = []string{o.Name, roleNames(o), scopeName(o), s.stamp(o.CreatedAt), o.CreatedBy}
			}
			table(s.w, s.width, []column{{title: "NAME", stretch: true}, {title: "ROLE", stretch: true}, {title: "SEES"}, {title: "ADDED"},
				{title: "ADDED BY", stretch: true}}, rows)
			return nil
		},
	}
}

// roleNames are an operator's roles in one line.
func roleNames(o api.Operator) string {
	names := make([]string, len(o.Roles))
	for i, r := range o.Roles {
		names[i] = string(r)
	}
	if len(names) == 0 {
		return o.Role
	}
	return strings.Join(names, ", ")
}

// scopeName is what an operator sees.
func scopeName(o api.Operator) string {
	switch {
	case o.Customer != "":
		return "customer " + o.Customer
	case o.Department != "":
		return "department " + o.Department
	}
	return "all"
}

func newOperatorRemoveCmd(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Aliases: []string{"rm"}, Short: "Remove an operator: their token stops working at once",
		Long:    "Removes an operator. Their token stops working at once; what they did stays in the tickets.",
		Example: "  watchbill operator remove alice",
		Args:    takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var gone api.Removed
			printed, err := c.ask(cmd, http.MethodDelete, "/operators/"+url.PathEscape(args[0]), nil, nil, &gone)
			if err != nil || printed {
				return err
			}
			fmt.Fprintf(screenOf(cmd).w, "Removed operator %s.\n", clean(gone.Removed))
			return nil
		},
	}
}

func newOperatorAddCmd(c *connection) *cobra.Command {
	var roles []string
	var in api.OperatorRequest
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Add an operator and print their token",
		Long: `Adds an operator and prints their token, once. Give it to them as you would a password; they keep it in
` + collector.TokenName + ` (mode 0600) in their own --storage.path, or in $` + tokenEnv + `.

With a collector running this needs an administrator's token. With none running at the default --url it writes to the
store in --storage.path itself and says so: that is how the first administrator is made, by whoever may write there. A store
that is not there yet it makes only when --storage.path says where.`,
		Example: `  watchbill operator add alice --role operator
  watchbill operator add pat --role client-owner-user --customer acme
  watchbill operator add prometheus --role sender > sender.token   # the token alone goes into the file
  watchbill operator add root-admin --role admin --storage.path /var/lib/watchbill   # collector stopped`,
		Args: takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name = args[0]
			return runOperatorAdd(cmd, c, in, roles)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&roles, "role", nil, "admin, operator, viewer, scrape, sender, or what the person is, like engineer; repeatable; operator when left out, admin for the first one")
	f.StringVar(&in.Department, "department", "", "see only what is this department's")
	f.StringVar(&in.Customer, "customer", "", "see only what is this customer's")
	f.StringVar(&in.Person, "person", "", "ID of the declared person that they are")
	cmd.MarkFlagsMutuallyExclusive("department", "customer")
	_ = cmd.RegisterFlagCompletionFunc("role", completeRoles)
	return cmd
}

func completeRoles(*cobra.Command, []string, string) (all []string, _ cobra.ShellCompDirective) {
	for _, r := range fleet.AllRoles() {
		all = append(all, string(r))
	}
	return all, cobra.ShellCompDirectiveNoFileComp
}

func runOperatorAdd(cmd *cobra.Command, c *connection, in api.OperatorRequest, roles []string) error {
	for _, role := range roles {
		if err := api.CheckRole(fleet.Role(role)); err != nil {
			return usagef("--role: %w", err)
		}
		in.Roles = append(in.Roles, fleet.Role(role))
	}
	if len(in.Roles) == 1 { // as releases that know one role only ask
		in.Role, in.Roles = in.Roles[0], nil
	}
	var made api.NewOperator
	printed, err := c.ask(cmd, http.MethodPost, "/operators", nil, in, &made)
	if errors.Is(err, errUnreachable) && !cmd.Flags().Changed("url") {
		return c.addHere(cmd, in, err)
	}
	if err != nil || printed {
		return err
	}
	sayAdded(cmd, made)
	return nil
}

// addHere adds an operator to the store itself and says loudly that no collector was asked: one that runs elsewhere, or with
// another storage, does not know the token. A new store is made only where somebody named its place.
func (c *connection) addHere(cmd *cobra.Command, in api.OperatorRequest, unreachable error) error {
	file, what := filepath.Join(c.storage, collector.StoreName), "the store"
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		if !cmd.Flags().Changed("storage.path") {
			return fmt.Errorf("%w; and there is no store at %s to write to, whose collector has not run yet: to make a new one, say "+
				"where with --storage.path", unreachable, file)
		}
		what = "a new store"
	}
	made, err := addLocally(cmd.Context(), c.storage, in, unreachable)
	if err != nil {
		return err
	}
	sayAdded(cmd, made)
	s := screenOf(cmd)
	s.w = safeWriter{cmd.ErrOrStderr()}
	s.para("NOTE: ", "      ", fmt.Sprintf("no collector answered at %s, so this was written to %s, %s. The token is good at the collector "+
		"that is started with it, and at no other: if yours runs, name it with --url.", c.url, what, file))
	return nil
}

// sayAdded prints a token with where it belongs. The token alone goes to the output, so that "> FILE" makes a file that
// programs take as it is; the words around it stay on the terminal.
func sayAdded(cmd *cobra.Command, made api.NewOperator) {
	s := screenOf(cmd)
	token := s.w
	s.w = safeWriter{cmd.ErrOrStderr()}
	fmt.Fprintf(s.w, "Added %s as %s. Their token, shown this once:\n", clean(made.Name), clean(roleNames(made.Operator)))
	fmt.Fprintln(token, clean(made.Token))
	if does, is := map[string]string{string(fleet.Scrape): "scrapes", string(fleet.Sender): "sends"}[made.Role]; is {
		s.para("", "", "Put it into a file that the program that "+does+" alone can read, and name that in its configuration; "+
			"in Prometheus': authorization: {credentials_file: FILE}.")
		return
	}
	s.para("", "", "Where they run watchbill it goes into the file "+collector.TokenName+" (mode 0600) of their own --storage.path ("+
		usualStorage()+" when they give none), or into $"+tokenEnv+".")
}

// usualStorage is the default of --storage.path in anybody's words.
func usualStorage() string {
	dir := collector.DefaultStoragePath()
	if home, err := os.UserHomeDir(); err == nil {
		if rest, err := filepath.Rel(home, dir); err == nil && filepath.IsLocal(rest) {
			return filepath.Join("~", rest)
		}
	}
	return dir
}

// addLocally adds an operator to the store itself. unreachable is why no collector was asked.
func addLocally(ctx context.Context, dir string, in api.OperatorRequest, unreachable error) (api.NewOperator, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return api.NewOperator{}, fmt.Errorf("%w; and the storage cannot be made: %w", unreachable, err)
		}
	}
	s, err := bolt.Open(filepath.Join(dir, collector.StoreName), bolt.Options{})
	if err != nil {
		return api.NewOperator{}, fmt.Errorf("%w; and the storage cannot be written to directly: %w", unreachable, err)
	}
	made, err := addToStore(ctx, s, in)
	return made, errors.Join(err, s.Close())
}

func addToStore(ctx context.Context, s store.Store, in api.OperatorRequest) (api.NewOperator, error) {
	reg := fleet.NewRegistry(store.Keeper(s), fleet.Options{})
	if err := reg.Load(ctx); err != nil {
		return api.NewOperator{}, fmt.Errorf("load the fleet: %w", err)
	}
	roles := in.All()
	if in.Role == "" && len(in.Roles) == 0 && len(reg.Operators()) == 0 {
		roles = []fleet.Role{fleet.Admin}
	}
	by := "local command line"
	if u, err := user.Current(); err == nil {
		by = u.Username + " on the command line"
	}
	n := fleet.NewOperator{Name: in.Name, Roles: roles, Scope: fleet.Scope{Department: in.Department, Customer: in.Customer}, Person: in.Person, By: by}
	token, err := reg.AddOperatorWith(ctx, n)
	if err != nil {
		return api.NewOperator{}, err
	}
	o, _ := reg.Authenticate(token)
	return api.NewOperator{Operator: api.Operator{Name: in.Name, Role: string(o.Role), Roles: o.Held(), Department: in.Department,
		Customer: in.Customer, Person: in.Person, CreatedBy: by}, Token: token}, nil
}
