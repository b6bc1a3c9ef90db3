package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/ticket"
)

func newSLACmd() *cobra.Command {
	return group("sla", "Explain service targets",
		"Works out clocks as tickets get them, from policy sets and contracts. Nothing is stored and no collector is asked.",
		"  watchbill sla explain --set erp-partner --priority high --at 2026-03-27T17:30:00Z", newSLAExplainCmd())
}

// slaQuestion is what the flags of `sla explain` say.
type slaQuestion struct {
	set, priority, kind, channel, customer, at, output string
	facts, contract                                    []string
}

func newSLAExplainCmd() *cobra.Command {
	var q slaQuestion
	cmd := &cobra.Command{
		Use:   "explain --set NAME|DIR --priority NAME --at TIME",
		Short: "Say which clocks a ticket would get, when each is due, and why",
		Long: `Says which clocks a ticket would get that is detected or received at a moment: when each is due, and interval by interval
which time counts and which does not, with the reason.

--set is a shipped set's name, or a directory or file of your own; several are joined with commas. --contract says what a
contract would: cover=24x7, oncall=true, zone=ZONE, region=REGION, agreement=NUMBER|none, phase=implementation|live,
model=separate|same-party, target.PRIORITY.CLOCK=DURATION,MODE[,inform], override.SECTION=SET. With --customer the contract
of a file of the fleet directory holds that is in force at the moment, and --set may be left out.

--output json prints a list of {clock, mode, start, due, breaches, intervals: [{from, to, counted, reason}]}; breaches is
false where a clock only informs.`,
		Example: `  watchbill sla explain --set erp-partner --priority system-down --at 2026-12-24T17:50:00Z
  watchbill sla explain --set web-host --priority urgent --channel telephone --contract cover=24x7 --at 2026-03-08T01:50:00-05:00
  watchbill sla explain --set web-host --priority urgent --type password --fact lines-busy --at 2026-03-09T10:00:00-04:00 --output json
  watchbill sla explain --set ./policies/ours --priority P1 --contract target.P1.response=30m,business --at 2026-11-20T16:00:00Z`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error { return q.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&q.set, "set", "", "a shipped set's name, a directory or a file; several joined with commas")
	f.StringVar(&q.priority, "priority", "", "the ticket's priority")
	f.StringVar(&q.kind, "type", "", "the ticket's type, one of the set's")
	f.StringVar(&q.channel, "channel", "", "how it came: "+strings.Join(policy.Channels(), ", ")+" (telephone where it is left out)")
	f.StringArrayVar(&q.facts, "fact", nil, "a fact of the ticket, NAME or NAME=WORD; can be given several times")
	f.StringArrayVar(&q.contract, "contract", nil, "what the contract says, KEY=VALUE; can be given several times")
	f.StringVar(&q.customer, "customer", "", "file or directory with the customer and its contract, as in the fleet directory")
	f.StringVar(&q.at, "at", "", "when it is detected or received, with its offset: 2026-11-20T16:00:00Z")
	f.StringVarP(&q.output, "output", "o", "text", "text for people, json for programs")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("channel", cobra.FixedCompletions(policy.Channels(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (q slaQuestion) run(cmd *cobra.Command) error {
	if q.output != "text" && q.output != "json" {
		return usagef("--output: want text or json, got %q", q.output)
	}
	asked, err := q.question()
	if err != nil {
		return usageError{err}
	}
	resolved, err := q.resolve(asked.At)
	if err != nil {
		return err
	}
	clocks, err := resolved.Explain(asked)
	if err != nil {
		return usageError{err}
	}
	for _, w := range resolved.Warnings {
		fmt.Fprintln(safeWriter{cmd.ErrOrStderr()}, "warning: "+w)
	}
	if q.output == "json" {
		raw, err := json.Marshal(clocks)
		if err != nil {
			return fmt.Errorf("encode clocks: %w", err)
		}
		return printJSON(cmd.OutOrStdout(), raw)
	}
	tellClocks(screenOf(cmd), resolved, asked, clocks)
	return nil
}

// question reads the flags that say what the ticket is.
func (q slaQuestion) question() (policy.Question, error) {
	out := policy.Question{Priority: q.priority, Type: q.kind, Channel: q.channel, Facts: ticket.Facts{}}
	if q.set == "" && q.customer == "" {
		return out, errors.New("--set is missing: name a policy set, or a customer with --customer")
	}
	at, err := time.Parse(time.RFC3339, q.at)
	if err != nil {
		return out, fmt.Errorf("--at %q: want a date, a time and its offset from UTC, like 2026-11-20T16:00:00Z or 2026-03-08T01:50:00-05:00", q.at)
	}
	out.At = at
	for _, f := range q.facts {
		name, word, said := strings.Cut(f, "=")
		if !said {
			word = "true"
		}
		out.Facts[name] = word
	}
	return out, nil
}

// resolve is the policy that the flags name, at a time.
func (q slaQuestion) resolve(at time.Time) (policy.Resolved, error) {
	book, err := policy.Shipped()
	if err != nil {
		return policy.Resolved{}, err
	}
	r := policy.Request{Customer: fleet.Customer{ID: "none"}}
	k := fleet.Contract{}
	if q.customer != "" {
		if r.Customer, k, err = customerAt(q.customer, at); err != nil {
			return policy.Resolved{}, err
		}
	} else {
		k.ID = "command-line"
	}
	if q.set != "" {
		k.Sets = nil
		for name := range strings.SplitSeq(q.set, ",") {
			if book, name, err = withSet(book, name); err != nil {
				return policy.Resolved{}, err
			}
			k.Sets = append(k.Sets, name)
		}
	}
	for _, say := range q.contract {
		key, value, said := strings.Cut(say, "=")
		if !said {
			return policy.Resolved{}, usagef("--contract %q: want KEY=VALUE; keys are %s", say, strings.Join(policy.ContractKeys(), ", "))
		}
		if k, err = policy.Agree(k, key, value); err != nil {
			return policy.Resolved{}, usagef("--contract %s: %w", say, err)
		}
	}
	k = book.ForClocks(k)
	r.Contract = &k
	resolved, err := book.Resolve(r)
	if err != nil {
		return policy.Resolved{}, usageError{err}
	}
	return resolved, nil
}

// withSet is a book in which a set is: a shipped one by its name, or that of a directory or file. It gives the set's name.
func withSet(book *policy.Book, name string) (*policy.Book, string, error) {
	if _, shipped := book.Set(name); shipped {
		return book, name, nil
	}
	if _, err := os.Stat(name); err != nil {
		var names []string
		for _, s := range book.Sets() {
			names = append(names, s.Name)
		}
		return book, "", usagef("%q is no shipped set, directory or file; shipped sets are %s", name, strings.Join(names, ", "))
	}
	if info, err := os.Stat(name); err == nil && info.IsDir() && !isSet(name) {
		return withOnlySet(book, name)
	}
	s, err := policy.LoadSet(name)
	if err != nil {
		return book, "", err
	}
	return book.With(s), s.Name, nil
}

// withOnlySet is withSet for a directory of sets, which has to hold one alone.
func withOnlySet(book *policy.Book, dir string) (*policy.Book, string, error) {
	sets, err := policy.LoadSets(dir)
	if err != nil {
		return book, "", err
	}
	if len(sets) == 1 {
		return book.With(sets[0]), sets[0].Name, nil
	}
	names := make([]string, len(sets))
	for i, s := range sets {
		names[i] = filepath.Dir(s.At)
	}
	return book, "", usagef("%q holds %s, one is wanted: name %s", dir, count(len(sets), "policy set"), orNothing(names))
}

func orNothing(names []string) string {
	if len(names) == 0 {
		return "a directory with policy.yml"
	}
	return strings.Join(names, " or ")
}

// customerAt is the one customer of a file or directory, with its contract that is in force.
func customerAt(file string, at time.Time) (fleet.Customer, fleet.Contract, error) {
	d, err := fleet.LoadDirectory(file)
	if err != nil {
		return fleet.Customer{}, fleet.Contract{}, err
	}
	if len(d.Customers) != 1 {
		return fleet.Customer{}, fleet.Contract{}, fmt.Errorf("--customer %s: it declares %s, one is wanted: give the file of that one alone", file, count(len(d.Customers), "customer"))
	}
	c := d.Customers[0]
	for _, k := range c.Contracts {
		zone := c.Location()
		if own, err := fleet.LoadZone(k.Zone); k.Zone != "" && err == nil {
			zone = own
		}
		day := fleet.DateOf(at, zone)
		if (k.From == "" || k.From <= day) && (k.Until == "" || day <= k.Until) {
			return c, k, nil
		}
	}
	return c, fleet.Contract{}, nil
}

const slaLayout = "Mon 2006-01-02 15:04:05 MST"

// tellClocks prints clocks for people.
func tellClocks(out screen, r policy.Resolved, q policy.Question, clocks []policy.Explained) {
	what := q.Priority
	if q.Type != "" {
		what += " (" + q.Type + ")"
	}
	fmt.Fprintf(out.w, "%s under %s, version %s\n", clean(what), r.Ticket.Policy, r.Ticket.Version)
	if len(clocks) == 0 {
		why := "no target holds for it"
		if q.At.Before(r.Ticket.EntitledFrom) {
			why = "the customer's entitlement has not begun"
		}
		fmt.Fprintf(out.w, "\nNo clock: %s.\n", why)
	}
	for _, c := range clocks {
		after := "a breach after that"
		if !c.Breaches {
			after = "it informs and never breaches"
		}
		fmt.Fprintf(out.w, "\n%s: %s (%s)\n", clean(c.Clock), c.Target.Text(), clean(c.Source))
		fmt.Fprintf(out.w, "  starts  %s\n  due     %s: %s\n", c.Start.Format(slaLayout), c.Due.Format(slaLayout), after)
		rows := make([][]string, len(c.Intervals))
		for i, x := range c.Intervals {
			counts := "-"
			if x.Counted {
				counts = policy.Duration(x.To.Sub(x.From)).String()
			}
			rows[i] = []string{"", x.From.Format(slaLayout), x.To.Format(slaLayout), counts, x.Reason}
		}
		table(out.w, out.width, []column{{title: ""}, {title: "FROM"}, {title: "TO"}, {title: "COUNTS"}, {title: "WHY", stretch: true}}, rows)
	}
}
