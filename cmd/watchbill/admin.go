package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/outbox"
)

func newAgentCmd() *cobra.Command {
	cmd := group("agent", "List agents and revoke them",
		`An agent is the right to report for one host, given by enrolment and proved by its certificate.`,
		`  watchbill agent list
  watchbill agent revoke web1`)
	cmd.Aliases = []string{"agents"}
	c := connect(cmd)
	cmd.AddCommand(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List every agent that was enrolled",
		Long:    "Lists every agent that was ever enrolled, with the end of its certificate.",
		Example: "  watchbill agent list",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list api.AgentList
			if printed, err := c.ask(cmd, http.MethodGet, "/agents", nil, nil, &list); err != nil || printed {
				return err
			}
			printAgents(screenOf(cmd), list)
			return nil
		},
	}, &cobra.Command{
		Use: "revoke AGENT", Short: "Revoke an agent: its certificate stops working at once",
		Long: `Revokes an agent, named by its asset or its ID. It may not report any more, on open connections too, and its
silence is expected from then on: an alert about it ends. An asset that the fleet directory does not declare is watched
no longer. A ticket that is open about it stays open for a person to resolve.

To bring the host back, enrol it again with a new token.`,
		Example: "  watchbill agent revoke web1",
		Args:    takes("AGENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var a api.Agent
			printed, err := c.ask(cmd, http.MethodPost, "/agents/"+url.PathEscape(args[0])+"/revoke", nil, nil, &a)
			if err != nil || printed {
				return err
			}
			fmt.Fprintf(screenOf(cmd).w, "Revoked the agent of %s (%s).\n", clean(a.Asset), clean(a.ID))
			return nil
		},
	})
	return cmd
}

func printAgents(s screen, list api.AgentList) {
	if len(list.Agents) == 0 {
		fmt.Fprintln(s.w, "No agents: `watchbill token create` makes the token that enrols one.")
		return
	}
	rows := make([][]string, len(list.Agents))
	for i, a := range list.Agents {
		state := "active"
		switch {
		case a.RevokedAt != nil:
			state = "revoked by " + a.RevokedBy
		case a.ExpiresAt.Before(s.now):
			state = "expired"
		}
		rows[i] = []string{a.Asset, a.Customer, a.Site, state, s.stamp(a.ExpiresAt), s.stamp(a.EnrolledAt), a.ID}
	}
	table(s.w, s.width, []column{{title: "ASSET", stretch: true}, {title: "CUSTOMER", stretch: true},
		{title: "SITE", stretch: true}, {title: "STATE", stretch: true}, {title: "CERTIFICATE UNTIL"}, {title: "ENROLLED"},
		{title: "ID"}}, rows)
}

func newTokenCmd() *cobra.Command {
	cmd := group("token", "Make and list the tokens that enrol agents",
		`A token lets one agent enrol once, for one customer and site, within its time. It carries the collector's address
and the fingerprint of its authority, so that the agent knows whom it talks to.`,
		`  watchbill token create --customer acme --site berlin
  watchbill token list`)
	cmd.Aliases = []string{"tokens"}
	c := connect(cmd)
	cmd.AddCommand(newTokenCreateCmd(c), &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List tokens and what became of them",
		Long:    "Lists the tokens that were made, without their secrets, which are nowhere.",
		Example: "  watchbill token list",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list api.TokenList
			if printed, err := c.ask(cmd, http.MethodGet, "/tokens", nil, nil, &list); err != nil || printed {
				return err
			}
			printTokens(screenOf(cmd), list)
			return nil
		},
	})
	return cmd
}

func newTokenCreateCmd(c *connection) *cobra.Command {
	var in api.TokenRequest
	var ttl time.Duration
	cmd := &cobra.Command{
		Use: "create", Short: "Make a token and print the command to run on the server",
		Long: `Makes an enrolment token and prints it once, alone, and beside the output the command to run on the server. Whoever has the token
can enrol one host as the customer's: hand it over as you would a password.`,
		Example: `  watchbill token create --customer acme --site berlin
  watchbill token create --customer acme --site berlin --asset web1 --ttl 1h
  watchbill token create --customer acme --site berlin > token   # the token alone goes into the file
  watchbill token create --customer local --site here --address 192.0.2.7:9721`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkToken(in, ttl); err != nil {
				return err
			}
			in.TTLSeconds = ttl.Seconds()
			var t api.NewToken
			if printed, err := c.ask(cmd, http.MethodPost, "/tokens", nil, in, &t); err != nil || printed {
				return err
			}
			s := screenOf(cmd)
			words := safeWriter{cmd.ErrOrStderr()} // so that "> FILE" makes a file for enroll --token-file
			fmt.Fprintf(words, "Token for one server of %s at %s, good until %s:\n", clean(t.Customer), clean(t.Site), s.stamp(t.ExpiresAt))
			fmt.Fprintln(s.w, clean(t.Text))
			fmt.Fprintf(words, "Run on the server:\n  %s\n", clean(t.Command))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.Customer, "customer", "", "whose server it is (required)")
	f.StringVar(&in.Site, "site", "", "at which of the customer's sites it stands (required)")
	f.StringVar(&in.Asset, "asset", "", "name the agent gets; the server's host name decides when empty")
	f.StringVar(&in.Address, "address", "", "HOST:PORT where this server reaches the collector, when it is not the configured one")
	f.DurationVar(&ttl, "ttl", 24*time.Hour, "how long the token can be used")
	return cmd
}

// checkToken checks what the flags say of a token that is to be made.
func checkToken(in api.TokenRequest, ttl time.Duration) error {
	switch {
	case in.Customer == "":
		return usagef("--customer is missing: whose server is it?")
	case in.Site == "":
		return usagef("--site is missing: at which site of the customer does the server stand?")
	case ttl < 0:
		return usagef("--ttl: want a positive duration like 24h, got %v", ttl)
	}
	if err := api.CheckAgentAddress(in.Address); in.Address != "" && err != nil {
		return usagef("--address: %w, as the server reaches the agents' listener", err)
	}
	return nil
}

func printTokens(s screen, list api.TokenList) {
	if len(list.Tokens) == 0 {
		fmt.Fprintln(s.w, "No tokens.")
		return
	}
	rows := make([][]string, len(list.Tokens))
	for i, t := range list.Tokens {
		state := "unused"
		switch {
		case t.UsedAt != nil:
			state = "used by agent " + t.UsedBy
		case t.ExpiresAt.Before(s.now):
			state = "expired"
		}
		rows[i] = []string{t.ID, t.Customer, t.Site, t.Asset, state, s.stamp(t.ExpiresAt), t.CreatedBy}
	}
	table(s.w, s.width, []column{{title: "ID"}, {title: "CUSTOMER", stretch: true}, {title: "SITE", stretch: true},
		{title: "ASSET", stretch: true}, {title: "STATE", stretch: true}, {title: "GOOD UNTIL"},
		{title: "MADE BY", stretch: true}}, rows)
}

// exampleMessage is what a message's ID looks like: ticket, event, notice and receiver.
const exampleMessage = "7c1f0e5ad2b94c3386e0f1a2-000007-00-5b2e91d4"

func newOutboxCmd() *cobra.Command {
	cmd := group("outbox", "List undelivered messages, send them again or drop them",
		`Messages about tickets wait here until they are delivered. One that no retry could deliver is buried, and stays
until it is sent again or dropped. After "watchbill restore" the messages that were queued in the backup are parked:
most were delivered before, so none is sent by itself.`,
		`  watchbill outbox list
  watchbill outbox list --state buried
  watchbill outbox resend `+exampleMessage+`
  watchbill outbox drop `+exampleMessage)
	c := connect(cmd)
	cmd.AddCommand(newOutboxListCmd(c), newOutboxResendCmd(c), newOutboxDropCmd(c))
	return cmd
}

func newOutboxListCmd(c *connection) *cobra.Command {
	var state string
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List messages that are not delivered",
		Long:    "Lists messages that wait for delivery, and those that are buried or parked, oldest first, with the last error.",
		Example: "  watchbill outbox list --state buried",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			if state != "" {
				q.Set("state", state)
			}
			var list api.MessageList
			if printed, err := c.ask(cmd, http.MethodGet, "/outbox", q, nil, &list); err != nil || printed {
				return err
			}
			printMessages(screenOf(cmd), list)
			return nil
		},
	}
	list.Flags().StringVar(&state, "state", "", "only those in this state: queued, buried, parked")
	return list
}

func newOutboxResendCmd(c *connection) *cobra.Command {
	var of, to string
	cmd := &cobra.Command{
		Use: "resend [MESSAGE...]", Short: "Queue messages again, buried, parked or not, or give them to another receiver",
		Long: `Queues messages for delivery at once. They keep their IDs, by which the receiver can tell that one is a repeat, in
case an earlier attempt did arrive.

The ID is what "watchbill outbox list" shows; its beginning will do, six letters or more, when no other message's ID
begins so. --receiver names all that wait for a receiver, of a name that is gone from the configuration for one, and --to the
one that is to take them in its place.`,
		Example: "  watchbill outbox resend " + exampleMessage + "\n  watchbill outbox resend " + exampleMessage[:10] +
			"\n  watchbill outbox resend --receiver old-desk --to new-desk",
		RunE: func(cmd *cobra.Command, args []string) error {
			if (of == "") == (len(args) == 0) {
				return usagef("name messages, or --receiver for all that wait for it, not both: `watchbill outbox list` shows them")
			}
			args, err := c.waitingFor(cmd, of, args)
			if err != nil {
				return err
			}
			var want any
			if to != "" {
				want = api.ResendRequest{Receiver: to}
			}
			for _, id := range args {
				var m api.Message
				printed, err := c.ask(cmd, http.MethodPost, "/outbox/"+url.PathEscape(id)+"/resend", nil, want, &m)
				if err != nil {
					return err
				}
				if !printed {
					fmt.Fprintf(screenOf(cmd).w, "Queued message %s to %s again.\n", clean(m.ID), clean(m.Receiver))
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&of, "receiver", "", "all messages that wait for this receiver or are buried, up to 1000 at a time")
	cmd.Flags().StringVar(&to, "to", "", "the receiver to give them to in place of their own")
	return cmd
}

// waitingFor are the messages that wait for a receiver; args when none is given.
func (c *connection) waitingFor(cmd *cobra.Command, receiver string, args []string) ([]string, error) {
	if receiver == "" {
		return args, nil
	}
	var list api.MessageList
	raw, err := c.call(cmd.Context(), http.MethodGet, "/outbox", url.Values{"limit": {"1000"}}, nil)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	for _, m := range list.Messages {
		if m.Receiver == receiver && m.State != outbox.Parked { // those may have been delivered: each is a person's decision
			args = append(args, m.ID)
		}
	}
	if len(args) == 0 {
		return nil, fmt.Errorf("no message waits for a receiver %q: `watchbill outbox list` shows which do", receiver)
	}
	return args, nil
}

func newOutboxDropCmd(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "drop MESSAGE...", Short: "Forget messages that nobody shall hear any more",
		Long: `Forgets buried or parked messages: nobody will hear of them any more. What they were about stands in the ticket. A
queued message is on its way and is not touched.`,
		Example: "  watchbill outbox drop " + exampleMessage,
		Args:    takesSome("MESSAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, id := range args {
				var gone api.Removed
				printed, err := c.ask(cmd, http.MethodDelete, "/outbox/"+url.PathEscape(id), nil, nil, &gone)
				if err != nil {
					return err
				}
				if !printed {
					fmt.Fprintf(screenOf(cmd).w, "Dropped message %s.\n", clean(gone.Removed))
				}
			}
			return nil
		},
	}
}

func printMessages(s screen, list api.MessageList) {
	if len(list.Messages) == 0 {
		fmt.Fprintln(s.w, "No messages wait.")
		return
	}
	rows := make([][]string, len(list.Messages))
	for i, m := range list.Messages {
		next := "not by itself"
		if m.State == outbox.Queued && m.NextAt != nil {
			next = "in " + age(m.NextAt.Sub(s.now))
		}
		rows[i] = []string{string(m.State), m.Receiver, m.Number, m.What, age(s.now.Sub(m.CreatedAt)), strconv.Itoa(m.Attempts), next}
	}
	var b bytes.Buffer
	table(&b, s.width, []column{{title: "STATE"}, {title: "RECEIVER", stretch: true}, {title: "TICKET"}, {title: "WHAT"},
		{title: "AGE"}, {title: "TRIES"}, {title: "NEXT TRY"}}, rows)
	for i, line := range slices.Collect(strings.Lines(b.String())) {
		fmt.Fprint(s.w, line)
		if i == 0 {
			s.para("  ", "  ", "ID, LAST ERROR")
			continue
		}
		m := list.Messages[i-1]
		s.para("  ", "  ", m.ID)
		if m.LastError != "" {
			s.para("    ", "    ", cause(m))
		}
	}
	if list.Truncated {
		fmt.Fprintf(s.w, "There are more than these %d.\n", len(list.Messages))
	}
}

// cause is why a message was not delivered, without what its row says: the ID and the receiver.
func cause(m api.Message) string {
	text := strings.TrimPrefix(m.LastError, "send "+m.ID+" to "+m.Receiver+": ")
	return strings.TrimPrefix(text, "webhook "+m.Receiver+": ")
}
