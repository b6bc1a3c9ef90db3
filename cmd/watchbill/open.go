package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/api"
)

// newTicketOpenCmd makes a ticket of what a person reports.
func newTicketOpenCmd(c *connection) *cobra.Command {
	var in api.OpenRequest
	var received string
	var facts []string
	cmd := &cobra.Command{
		Use: "open TITLE", Short: "Open a ticket: what somebody reports or asks for",
		Long: `Opens a ticket. Its policy gives priority, owner and clocks from what you say; what a type asks for and was not said is
named. Clocks start at --received-at.`,
		Example: `  watchbill ticket open "orders do not print" --customer acme --channel telephone --reporter Pat --impact team
  watchbill ticket open "new starter" --customer acme --type new-account --fact security=yes -m "Sam Hill, starts Monday"
  watchbill ticket open "mail bounces" --customer acme --system smtp --received-at "2026-11-20 16:00"`,
		Args: takes("TITLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Title = args[0]
			if received != "" {
				var err error
				if in.ReceivedAt, err = instant("--received-at", received, time.Now()); err != nil {
					return err
				}
			}
			if len(facts) > 0 {
				var as api.ActionRequest
				if err := factsField(&as, strings.Join(facts, "\n")); err != nil {
					return err
				}
				in.Facts = as.Facts
			}
			var t api.Ticket
			if printed, err := c.ask(cmd, http.MethodPost, "/tickets", nil, in, &t); err != nil || printed {
				return inFlags(err)
			}
			opened(screenOf(cmd), t)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.Customer, "customer", "", "whose ticket it is; yours when your token is a customer's")
	f.StringVar(&in.Kind, "kind", "", "incident, request, task, delivery or announcement; the type's when left out")
	f.StringVar(&in.Type, "type", "", "one of the policy's types")
	f.StringVar(&in.Site, "site", "", "at which site")
	f.StringVar(&in.Asset, "asset", "", "about which asset")
	f.StringVar(&in.Service, "service", "", "about which service")
	f.StringVar(&in.System, "system", "", "word of the ownership map: client-device, iis, application …")
	f.StringVarP(&in.Text, "message", "m", "", "what was said; kept as a symptom in the record")
	f.StringVar(&in.Users, "users", "", "who is affected, and how many; kept in the record")
	f.StringVar(&in.Channel, "channel", "", "how it came: telephone, email, on-call, page")
	f.StringVar(&received, "received-at", "", "when it was received; now when left out")
	f.StringVar(&in.Reporter, "reporter", "", "who reported it; you when left out")
	f.StringVar(&in.Impact, "impact", "", "how many it concerns, in the policy's words")
	f.StringVar(&in.Urgency, "urgency", "", "how urgent it is, in the policy's words")
	f.StringArrayVar(&facts, "fact", nil, "NAME=WORD: what the type asks for, lines-busy=yes …; repeatable")
	f.StringVar(&in.Parent, "parent", "", "the ticket that it is opened because of")
	f.StringVar(&in.Relation, "relation", "", "how it stands to --parent; \"child of\" when left out")
	f.StringVar(&in.Key, "key", "", "makes it the only open ticket of that name at the customer")
	return cmd
}

// opened tells what became of a report: number, priority, owner, clocks and when it is done.
func opened(s screen, t api.Ticket) {
	fmt.Fprintf(s.w, "%s is open: %s\n", clean(t.Number), clean(t.Title))
	s.para("", "", fmt.Sprintf("%s, owned by %s", t.Priority, or(t.Owner, nobody)))
	s.clocks(t.Clocks)
	for _, line := range expected(s, t) {
		s.para("", "", line[0]+": "+line[1])
	}
}

// inFlags says a refusal that names fields of the request by the flags that give them.
func inFlags(err error) error {
	var e *api.Error
	if !errors.As(err, &e) || len(e.Details) == 0 {
		return err
	}
	var needs, wrong []string
	for _, d := range e.Details {
		field, text, ok := strings.Cut(d, ": ")
		fact, isFact := strings.CutPrefix(field, "facts.")
		switch {
		case !ok:
			wrong = append(wrong, d)
		case isFact && text == "it is not said":
			needs = append(needs, "--fact "+fact+"=…")
		case isFact:
			wrong = append(wrong, "--fact "+fact+": "+text)
		default:
			wrong = append(wrong, openFlag(field)+": "+text)
		}
	}
	if len(needs) > 0 {
		wrong = append([]string{"it needs " + strings.Join(needs, ", ")}, wrong...)
	}
	return fmt.Errorf("no ticket is opened: %s", strings.Join(wrong, "; "))
}

// openFlag is by what the command line gives a field of an OpenRequest.
func openFlag(field string) string {
	switch field {
	case "title":
		return "TITLE"
	case "text":
		return "-m"
	case "facts":
		return "--fact"
	}
	return "--" + strings.ReplaceAll(field, "_", "-")
}
