package main

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/ticket"
)

// verb is one thing a person does to a ticket, as a command.
type verb struct {
	verb           ticket.Verb
	short, example string
	// wants says what the message must tell; empty when there need be none.
	wants string
	// arg names what follows the ticket on the command line, empty for nothing; it is put by into. optional: it may be left out.
	arg      string
	into     func(in *api.ActionRequest, s string) error
	optional bool
	flags    []verbFlag
}

// verbFlag is a flag of one verb.
type verbFlag struct {
	name, usage string
	into        func(in *api.ActionRequest, s string) error
}

func toField(in *api.ActionRequest, s string) error    { in.To = s; return nil }
func whatField(in *api.ActionRequest, s string) error  { in.What = s; return nil }
func asField(in *api.ActionRequest, s string) error    { in.As = s; return nil }
func otherField(in *api.ActionRequest, s string) error { in.Other = s; return nil }

func scoreField(in *api.ActionRequest, s string) error {
	n, err := strconv.Atoi(s)
	if err != nil {
		return usagef("SCORE: want a number from 0 to 10, got %q", s)
	}
	in.Score = &n
	return nil
}

func untilField(in *api.ActionRequest, s string) (err error) {
	in.Until, err = instant("--until", s, time.Now())
	return err
}

func whenField(in *api.ActionRequest, s string) (err error) {
	in.Until, err = instant("WHEN", s, time.Now())
	return err
}

func startField(in *api.ActionRequest, s string) (err error) {
	in.At, err = instant("--start", s, time.Now())
	return err
}

func atField(in *api.ActionRequest, s string) (err error) {
	in.At, err = instant("--at", s, time.Now())
	return err
}

// instant reads a time as people write it: RFC 3339, "2026-11-20 16:00" of this machine's zone, or from now on: 4h, 90m.
func instant(flag, s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(d).Truncate(time.Second), nil
	}
	if d, err := model.ParseDuration(s); err == nil { // 2d, 1w, as in the configuration and amtool
		return now.Add(time.Duration(d)).Truncate(time.Second), nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, usagef("%s: want 2026-11-20T16:00:00Z, \"2026-11-20 16:00\" or a distance from now like 4h or 2d, got %q", flag, s)
	}
	return t, nil
}

var asFlag = verbFlag{"as", "the role in which you act, one of yours", asField}

func verbs() []verb {
	all := lifecycleVerbs()
	all = append(all, clockVerbs()...)
	all = append(all, partyVerbs()...)
	all = append(all, moneyVerbs()...)
	all = append(all, recordVerbs()...)
	return append(all, messageVerbs()...)
}

func lifecycleVerbs() []verb {
	return []verb{
		{verb: ticket.Ack, short: "Acknowledge a ticket: you have seen it and take it", example: `watchbill ticket ack WB-1042`},
		{verb: ticket.Start, short: "Say that work on a ticket has begun", example: `watchbill ticket start WB-1042`},
		{verb: ticket.Note, short: "Write something down on a ticket; what people of its customer or department write is an answer that all who see the ticket read", example: `watchbill ticket note WB-1042 -m "customer called"`, wants: "what to write down"},
		{verb: ticket.Did, short: "Record what you did; it becomes part of the record", example: `watchbill ticket action WB-1042 -m "restarted nginx"`, wants: "what was done"},
		{verb: ticket.Resolve, short: "Resolve a ticket, saying what resolved it", example: `watchbill ticket resolve WB-1042 -m "disk grown to 40 GiB"`, wants: "what resolved it"},
		{verb: ticket.Close, short: "Close a resolved ticket", example: `watchbill ticket close WB-1042`},
		{verb: ticket.Reopen, short: "Reopen a resolved or closed ticket, saying why", example: `watchbill ticket reopen WB-1042 -m "still full"`, wants: "why"},
		{verb: ticket.Verify, short: "Verify what somebody else resolved: the second pair of eyes", example: `watchbill ticket verify WB-1042 -m "ordered something, it works"`, flags: []verbFlag{asFlag}},
		{verb: ticket.Decline, short: "Refuse a request, saying why in words that go to the client: it is resolved as refused", example: `watchbill ticket decline WB-1042 -m "against the security policy"`, wants: "why the request is refused, in words for the client"},
		{verb: ticket.MarkMajor, short: "Mark a major incident, and let another ticket join it", example: `watchbill ticket major WB-1042 -m "all shops are down"
  watchbill ticket major WB-1042 WB-1050 -m "the same cause"`, wants: "why it is a major incident", arg: "OTHER", into: otherField, optional: true},
		{verb: ticket.LinkTo, short: "Link a ticket to another", example: `watchbill ticket link WB-1042 WB-1001 --relation "child of"`, arg: "OTHER", into: otherField,
			flags: []verbFlag{{"relation", "how TICKET stands to OTHER: " + strings.Join(ticket.Relations, ", ") + " (required)",
				func(in *api.ActionRequest, s string) error { in.Relation = s; return nil }}}},
		{verb: ticket.Merge, short: "Make a ticket part of another, which goes on for both", example: `watchbill ticket merge WB-1050 WB-1042 -m "one cable"`,
			wants: "why the two are one", arg: "OTHER", into: otherField},
	}
}

func clockVerbs() []verb {
	return []verb{
		{verb: ticket.WaitFor, short: "Put a ticket aside until something happens", example: `watchbill ticket wait WB-1042 client -m "until they send the file"`,
			wants: "what it waits for", arg: "REASON", into: whatField},
		{verb: ticket.Resume, short: "Go on with a ticket that waits", example: `watchbill ticket resume WB-1042 -m "the file came"`},
		{verb: ticket.Callback, short: "Say that you spoke to the client: it meets the callback", example: `watchbill ticket callback WB-1042 -m "told Pat that it is being looked at"`, wants: "what was said to the client"},
		{verb: ticket.Restored, short: "Say that access or service is back, though the cause may not be mended", example: `watchbill ticket restored WB-1042 -m "moved to the second server"`, wants: "what was done"},
		{verb: ticket.Waive, short: "Consent to missing a target, before it is missed", example: `watchbill ticket waive WB-1042 response --until 4h -m "the site is snowed in"`,
			wants: "why the target may be missed", arg: "CLOCK", into: whatField,
			flags: []verbFlag{{"until", "when the consent ends: a time, or a distance from now; never when left out", untilField}, asFlag}},
		{verb: ticket.Agree, short: "Keep a date that was agreed with the client; the targets stay", example: `watchbill ticket promise WB-1042 "2026-11-25 12:00" --with Pat`,
			arg: "WHEN", into: whenField, flags: []verbFlag{{"with", "with whom of the client it was agreed (required)", toField}}},
		{verb: ticket.Workaround, short: "Say that the client can go on with a workaround: accepted, proposed by it, or none any more",
			example: `watchbill ticket workaround WB-1042 accepted --by Pat -m "they print on the second floor"`, wants: "what the workaround is",
			arg: "accepted|proposed|none", into: whatField,
			flags: []verbFlag{{"by", "who of the client accepted or proposed it", toField}, {"at", "when, if not now", atField}}},
		{verb: ticket.Set, short: "Say facts of a ticket: impact, urgency and what its policy asks; the priority follows",
			example: `watchbill ticket set WB-1042 impact=business urgency=time-critical -m "the whole shop waits"`, arg: "NAME=WORD…", into: factsField},
		{verb: ticket.Prioritise, short: "Set the priority outright, until facts change again", example: `watchbill ticket prioritise WB-1042 P1 -m "the board visits"`,
			wants: "why the priority is another", arg: "PRIORITY", into: whatField},
	}
}

func partyVerbs() []verb {
	return []verb{
		{verb: ticket.Assign, short: "Give a ticket to a person; to yourself when you name nobody", example: `watchbill ticket assign WB-1042 ann`, arg: "PERSON", into: toField, optional: true},
		{verb: ticket.HandOver, short: "Offer a ticket to another party; until it accepts the owner stays", example: `watchbill ticket handoff WB-1042 hosting-provider -m "the disk array reports a failed controller"`,
			wants: "why it is handed over", arg: "PARTY", into: toField},
		{verb: ticket.Accept, short: "Take over a ticket that was offered", example: `watchbill ticket accept WB-1042`,
			flags: []verbFlag{{"to", "who works on it; you when left out", toField}}},
		{verb: ticket.Return, short: "Give back a ticket that was offered, saying why", example: `watchbill ticket return WB-1042 -m "the browser was not tried"`, wants: "why it is returned"},
		{verb: ticket.Escalate, short: "Take a step of the ladder by hand: somebody further up is told", example: `watchbill ticket escalate WB-1042 "response at risk" -m "the client is angry"
  watchbill ticket escalate WB-1042 --to service-director -m "the client is angry"`,
			wants: "why", arg: "STEP", into: whatField, optional: true, flags: []verbFlag{{"to", "the role, party or person who is told; those of STEP when left out", toField}}},
		{verb: ticket.Approve, short: "Approve something, with the date of the consent", example: `watchbill ticket approve WB-1042 equipment-change --at "2026-11-20 16:00"`,
			arg: "WHAT", into: whatField, flags: []verbFlag{{"at", "when the consent was given; now when left out", atField}, asFlag}},
		{verb: ticket.StateSecurity, short: "State whether it is within the security policy: yes, no or exception", example: `watchbill ticket security WB-1042 exception --by "Dana Reed" -m "for one week"`,
			arg: "yes|no|exception", into: whatField, flags: []verbFlag{{"by", "who made the exception", toField}, asFlag}},
	}
}

func moneyVerbs() []verb {
	price := []verbFlag{
		{"price", "the price, with its currency (required)", func(in *api.ActionRequest, s string) error { in.Price = s; return nil }},
		{"exceptions", "what is not in it; \"none\"", func(in *api.ActionRequest, s string) error { in.Exceptions = s; return nil }},
		{"terms", "on which terms", func(in *api.ActionRequest, s string) error { in.Terms = s; return nil }},
		{"eta", "when it would be done", func(in *api.ActionRequest, s string) error { in.ETA = s; return nil }},
	}
	return []verb{
		{verb: ticket.Charge, short: "Mark a ticket chargeable or not, before work starts", example: `watchbill ticket charge WB-1042 yes`, arg: "yes|no", into: whatField},
		{verb: ticket.GiveEstimate, short: "Give an estimate", example: `watchbill ticket estimate WB-1042 --price "about 400 GBP"`, flags: price},
		{verb: ticket.GiveQuote, short: "Issue a quote: price, exceptions, terms and ETA", example: `watchbill ticket quote WB-1042 --price "420 GBP" --exceptions none --terms "30 days" --eta "two weeks"`,
			flags: append(append([]verbFlag{}, price...), asFlag)},
		{verb: ticket.Order, short: "Put the order number on a ticket", example: `watchbill ticket order WB-1042 PO-77123`, arg: "NUMBER", into: whatField},
	}
}

func recordVerbs() []verb {
	return []verb{
		{verb: ticket.GivePart, short: "Give a part of the record, or say why it has none", example: `watchbill ticket record WB-1042 affected_users -m "none, because it is night"`, wants: "what it is", arg: "PART", into: whatField},
		{verb: ticket.Confirm, short: "Confirm that something was checked: device, browser, network …", example: `watchbill ticket confirm WB-1042 browser -m "the newest one, another one too"`,
			wants: "what was found", arg: "WHAT", into: whatField},
		{verb: ticket.Tick, short: "Tick a step or an item of a checklist", example: `watchbill ticket tick WB-1042 "disk encrypted"`, arg: "ITEM", into: whatField},
		{verb: ticket.DocumentIt, short: "Say where the changes of an object are documented", example: `watchbill ticket document WB-1042 invoice-report -m "https://wiki.example/invoice"`,
			wants: "where: a link or a document's name", arg: "OBJECT", into: whatField},
		{verb: ticket.RemoteSession, short: "Record a remote session: tool, times and who consented", example: `watchbill ticket session WB-1042 RDP --consent Pat --start "2026-11-20 16:00" --until "2026-11-20 16:20" -m "looked at the event log"`,
			arg: "TOOL", into: whatField, flags: []verbFlag{
				{"consent", "who of the client consented (required)", toField}, {"start", "when it began (required)", startField}, {"until", "when it ended (required)", untilField}}},
		{verb: ticket.Monitor, short: "Open a task to create or improve monitoring", example: `watchbill ticket monitor WB-1042 create -m "the order queue"`, wants: "what should be monitored",
			arg: "create|improve", into: whatField, optional: true},
		{verb: ticket.RejectDelivery, short: "Reject a delivery; at least one follow-up is opened", example: `watchbill ticket reject-delivery WB-1042 --follow-up documentation,re-test -m "the installer fails"`,
			wants: "the reason", flags: []verbFlag{{"follow-up", "documentation, investigation, re-test: one or more, with commas (required)", toField}}},
		{verb: ticket.ExceptVersion, short: "Let a blocker's change go out without a version; a task to deliver one is opened", example: `watchbill ticket except WB-1042 -m "production stands still"`, wants: "why"},
	}
}

func messageVerbs() []verb {
	return []verb{
		{verb: ticket.WriteDraft, short: "Write a message to the client, for who may send it", example: `watchbill ticket draft WB-1042 pat@client.example -m "We are looking into it."`,
			wants: "the message", arg: "CONTACT", into: toField, optional: true, flags: []verbFlag{
				{"number", "rewrite the draft of this number", whatField}, {"template", "name of the template it was made from",
					func(in *api.ActionRequest, s string) error { in.Template = s; return nil }}}},
		{verb: ticket.SendDraft, short: "Send a draft to the client", example: `watchbill ticket send WB-1042 1`, arg: "DRAFT", into: whatField},
		{verb: ticket.Update, short: "Tell stakeholders how it stands", example: `watchbill ticket update WB-1042 -m "parts come tomorrow" --late workload`, wants: "what stakeholders should know",
			flags: []verbFlag{{"late", "why it comes late: workload or absence", whatField}}},
		{verb: ticket.Rate, short: "Keep how likely the client is to recommend the service, 0 to 10, as they told you; refused where they answered themselves", example: `watchbill ticket rate WB-1042 9 --by Pat`, arg: "SCORE", into: scoreField,
			flags: []verbFlag{{"by", "who of the client said so, you are kept as who recorded it; left out by people of the client: they themselves", toField}}},
	}
}

// factsField reads NAME=WORD pairs; newVerbCmd hands it all of them, one by line.
func factsField(in *api.ActionRequest, s string) error {
	in.Facts = map[string]string{}
	for pair := range strings.SplitSeq(s, "\n") {
		name, word, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return usagef("want NAME=WORD, like impact=team; got %q", pair)
		}
		in.Facts[name] = word
	}
	return nil
}

// use is the command's line in its help.
func (v verb) use() string {
	switch {
	case v.arg == "":
		return string(v.verb) + " TICKET"
	case v.optional:
		return string(v.verb) + " TICKET [" + v.arg + "]"
	}
	return string(v.verb) + " TICKET " + v.arg
}

// args checks what follows the verb.
func (v verb) args(_ *cobra.Command, args []string) error {
	switch many := strings.HasSuffix(v.arg, "…"); {
	case len(args) == 0:
		return usagef("TICKET is missing")
	case v.arg == "" && len(args) > 1:
		return usagef("%q is one argument too many", args[1])
	case v.arg != "" && !v.optional && len(args) < 2:
		return usagef("%s is missing", strings.TrimSuffix(v.arg, "…"))
	case !many && len(args) > 2:
		return usagef("%q is one argument too many", args[2])
	}
	return nil
}

func newVerbCmd(c *connection, v verb) *cobra.Command {
	var message, breakGlass string
	given := make([]string, len(v.flags))
	cmd := &cobra.Command{
		Use: v.use(), Short: v.short, Long: v.short + ".\n\nThe timeline keeps it with your name and the time.",
		Example: "  " + v.example, Args: v.args, ValidArgsFunction: c.completeTickets,
		RunE: func(cmd *cobra.Command, args []string) error {
			if v.wants != "" && strings.TrimSpace(message) == "" {
				return usagef("say %s: -m \"…\"", v.wants)
			}
			in := api.ActionRequest{Text: message, BreakGlass: breakGlass}
			if len(args) > 1 {
				if err := v.into(&in, strings.Join(args[1:], "\n")); err != nil {
					return err
				}
			}
			for i, f := range v.flags {
				if !cmd.Flags().Changed(f.name) {
					if strings.HasSuffix(f.usage, "(required)") {
						return usagef("--%s is missing: %s", f.name, strings.TrimSuffix(f.usage, " (required)"))
					}
					continue
				}
				if err := f.into(&in, given[i]); err != nil {
					return err
				}
			}
			var t api.Ticket
			printed, err := c.ask(cmd, http.MethodPost, "/tickets/"+url.PathEscape(args[0])+"/"+string(v.verb), nil, in, &t)
			if err != nil || printed {
				return err
			}
			sayDone(screenOf(cmd), v.verb, t)
			return nil
		},
	}
	usage := "what to say about it"
	if v.wants != "" {
		usage = v.wants + " (required)"
	}
	cmd.Flags().StringVarP(&message, "message", "m", "", usage)
	cmd.Flags().StringVar(&breakGlass, "break-glass", "", "why a gate that stands in the way is gone through, where the policy lets you")
	for i, f := range v.flags {
		cmd.Flags().StringVar(&given[i], f.name, "", f.usage)
	}
	return cmd
}
