package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/api"
)

func newCACmd() *cobra.Command {
	cmd := group("ca", "List, rotate and retire the agents' certificate authorities",
		`The collector has a certificate authority of its own, by which it and its agents know each other. It is good for ten
years and gets a successor by itself two years before its end. Rotating it sooner cuts nobody off: agents learn of the
new one as they renew, within the hour, and the old one retires by itself when nobody needs it any more.`,
		`  watchbill ca list
  watchbill ca rotate`)
	c := connect(cmd)
	cmd.AddCommand(newCAListCmd(c), newCARotateCmd(c), newCARetireCmd(c))
	return cmd
}

func newCAListCmd(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the authorities in force and who still needs each",
		Long:    "Lists the authorities in force, oldest first, with the agents that know no newer one.",
		Example: "  watchbill ca list",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return showAuthorities(cmd, c, http.MethodGet, "/authorities", nil, "")
		},
	}
}

func newCARotateCmd(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "rotate", Short: "Bring in a new authority beside the present one",
		Long: `Brings in a new authority. It signs agents' certificates from now on; agents are asked, a few a second, to renew
theirs, and learn of it by that. The present one goes on vouching for the listener until all agents know the new one and
no enrolment token names the old one any more; then it retires by itself.`,
		Example: "  watchbill ca rotate",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return showAuthorities(cmd, c, http.MethodPost, "/authorities/rotate", nil, "A new authority is in force beside the present one:")
		},
	}
}

func newCARetireCmd(c *connection) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "retire FINGERPRINT", Short: "Retire the oldest authority before it does so by itself",
		Long: `Retires the oldest authority, named by its fingerprint, the first eight letters of it, or "oldest". While agents or
tokens still need it this is refused, and says which; --force retires it all the same, and cuts those off until they are
enrolled again. That is for an authority whose key may be in other hands.`,
		Example: `  watchbill ca retire oldest
  watchbill ca retire 3f9a61c2 --force`,
		Args: takes("FINGERPRINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/authorities/" + url.PathEscape(args[0]) + "/retire"
			return showAuthorities(cmd, c, http.MethodPost, path, api.RetireRequest{Force: force}, "Retired. What is in force now:")
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "retire it although agents or tokens need it")
	return cmd
}

// showAuthorities asks the collector and shows the authorities it answers with, under what is said about them.
func showAuthorities(cmd *cobra.Command, c *connection, method, path string, body any, say string) error {
	var list api.AuthorityList
	if printed, err := c.ask(cmd, method, path, nil, body, &list); err != nil || printed {
		return err
	}
	s := screenOf(cmd)
	if say != "" {
		fmt.Fprintln(s.w, say)
	}
	printAuthorities(s, list)
	return nil
}

func printAuthorities(s screen, list api.AuthorityList) {
	rows := make([][]string, len(list.Authorities))
	for i, a := range list.Authorities {
		role := "trusted"
		switch {
		case a.Listener && a.Signs:
			role = "listener, signs"
		case a.Listener:
			role = "listener"
		case a.Signs:
			role = "signs"
		}
		rows[i] = []string{a.Fingerprint[:min(16, len(a.Fingerprint))], role, s.stamp(a.ExpiresAt), strconv.Itoa(len(a.Agents)),
			strconv.Itoa(a.Tokens)}
	}
	table(s.w, s.width, []column{{title: "FINGERPRINT"}, {title: "ROLE", stretch: true}, {title: "UNTIL"},
		{title: "AGENTS THAT NEED IT"}, {title: "TOKENS"}}, rows)
}
