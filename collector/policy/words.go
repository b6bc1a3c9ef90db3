package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/ticket"
)

// Systems are the words of the ownership map, which rules and alert mappings share, sorted.
func Systems() []string {
	var out []string
	for _, words := range route.Systems() {
		out = append(out, words...)
	}
	slices.Sort(out)
	return out
}

// Channels are how something reaches the desk.
func Channels() []string { return []string{"telephone", "email", "on-call", "page", "detected"} }

// Fact is something that conditions may ask of a ticket or its contract.
type Fact struct {
	Name string
	// Contract: the contract says it, not the ticket.
	Contract bool
	// Words are all that it can be; none: any word.
	Words []string
	Doc   string
}

// Facts are all that conditions may ask for, besides what a set's types ask (`asks`).
func Facts() []Fact {
	return []Fact{
		{Name: "severity", Words: []string{"critical", "warning", "info"}, Doc: "of the rule that fired"},
		{Name: "impact", Words: ticket.Scale(ticket.FactImpact), Doc: "who is affected, as reported"},
		{Name: "urgency", Words: ticket.Scale(ticket.FactUrgency), Doc: "whether time presses, as reported"},
		{Name: "priority", Doc: "the ticket's; targets, waits, notices and rungs may ask for it"},
		{Name: "channel", Words: Channels(), Doc: "how it came"},
		{Name: "kind", Words: append([]string{ticket.KindStorm}, ticket.Kinds...), Doc: "of ticket"},
		{Name: "type", Doc: "one of the set's types"},
		{Name: "system", Words: Systems(), Doc: "what is at fault"},
		{Name: "service", Doc: "what is broken on the asset"},
		{Name: "lines-busy", Words: []string{"true"}, Doc: "nobody was free to take the call"},
		{Name: "workaround", Words: []string{"accepted", "proposed"}, Doc: "the client accepted one, or proposed it, and can go on working"},
		{Name: "workaround-by", Doc: "who of the client accepted or proposed it"},
		{Name: "entitled", Words: []string{"yes", "no"}, Doc: "the customer's support had begun when it came"},
		{Name: "role", Doc: "of the asset"},
		{Name: "criticality", Words: wordsOf(fleet.Criticalities()), Doc: "of the asset"},
		{Name: "environment", Words: wordsOf(fleet.Environments()), Doc: "that the asset serves for"},
		{Name: "first-to-know", Words: []string{"person", "monitoring"}, Doc: "who found the fault first"},
		{Name: "reported", Words: []string{"true"}, Doc: "a person reported it"},
		{Name: "detected", Words: []string{"true"}, Doc: "monitoring found it"},
		{Name: "state", Words: wordsOf(states), Doc: "of the ticket; gates, notices and rungs may ask for it"},
		{Name: "owner", Doc: "the party that owns the ticket; notices and rungs may ask for it"},
		{Name: "customer", Doc: "whose ticket it is"},
		{Name: "major", Words: []string{"true", "yes"}, Doc: "it is a major incident: yes to gates, true to notices and rungs"},
		{Name: "hosted", Words: []string{"true"}, Doc: "the customer is hosted"},
		{Name: "chargeable", Words: []string{"yes", "no"}, Doc: "as a person marked it, or its type says"},
		{Name: "estimate", Words: []string{"requested"}, Doc: "an estimate is wanted"},
		{Name: "security", Words: []string{"yes", "no", "exception"}, Doc: "whether it is within the security policy"},
		{Name: "version", Doc: "of a change or a delivery"},
		{Name: "version-exception", Words: []string{"yes"}, Doc: "a blocker's change went out without a version"},
		{Name: "delivery", Words: []string{"rejected"}, Doc: "what became of it"},
		{Name: "declined", Words: []string{"yes"}, Doc: "the request was refused"},
		{Name: "mail-fault", Words: []string{"quarantine", "junk", "smtp-block"}, Doc: "where mail is held back"},
		{Name: "monitoring", Words: []string{"asked"}, Doc: "somebody wants it monitored"},
		{Name: "approved", Words: []string{"no"}, Doc: "it concerns software that is not approved"},
		{Name: "support", Words: []string{"ended"}, Doc: "its maker supports it no more"},
		{Name: "unsupported", Doc: "it is outside of support"},
		{Name: "maintenance", Words: []string{"yes"}, Doc: "it announces maintenance, as its type says"},
		{Name: "long-investigation", Words: []string{"yes"}, Doc: "it took longer than the set calls long"},
		{Name: "cover", Contract: true, Words: []string{"24x7"}, Doc: "enhanced hours"},
		{Name: "oncall", Contract: true, Words: []string{"true"}, Doc: "the on-call service is contracted"},
		{Name: "agreement", Contract: true, Doc: "number of the written agreement, or none"},
		{Name: "phase", Contract: true, Words: wordsOf(fleet.Phases()), Doc: "of the customer's project"},
		{Name: "model", Contract: true, Words: wordsOf(fleet.Models()), Doc: "who runs the platform"},
		{Name: "supports-hosting", Contract: true, Words: []string{"true"}, Doc: "hosting is covered by a contract"},
		{Name: "supports-maintenance", Contract: true, Words: []string{"true"}, Doc: "maintenance is covered by a contract"},
		{Name: "department", Contract: true, Doc: "that owns the customer"},
	}
}

func wordsOf[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return out
}

// fact finds a fact by its name.
func fact(name string) (Fact, bool) {
	all := Facts()
	i := slices.IndexFunc(all, func(f Fact) bool { return f.Name == name })
	if i < 0 {
		return Fact{}, false
	}
	return all[i], true
}

// states are those of a ticket.
var states = []ticket.State{ticket.New, ticket.Acked, ticket.InProgress, ticket.Waiting, ticket.Done, ticket.Shut, ticket.Again}

// told are the kinds of events that notices can be about.
var told = []ticket.Kind{
	ticket.Opened, ticket.AlertAttached, ticket.AlertEnded, ticket.AlertRefired, ticket.PriorityChanged, ticket.Acknowledged,
	ticket.Started, ticket.Noted, ticket.ActionTaken, ticket.Resolved, ticket.Reopened, ticket.Closed, ticket.Linked, ticket.Refused,
	ticket.FactsChanged, ticket.Assigned, ticket.HandedOff, ticket.HandoffTaken, ticket.HandoffBack, ticket.HandoffWithdrawn, ticket.WaitBegan,
	ticket.WaitOver, ticket.Verified, ticket.WaiverGiven, ticket.Approved, ticket.Estimated, ticket.Quoted, ticket.Ordered,
	ticket.Promised, ticket.Drafted, ticket.Sent, ticket.Rejected, ticket.Rated, ticket.RatingAsked, ticket.Merged,
	ticket.ChildChanged, ticket.MajorMarked, ticket.Rebased, ticket.ClockMet, ticket.ClockAtRisk, ticket.ClockBreached,
	ticket.GlassBroken, ticket.Escalated, ticket.Updated, ticket.FlappingBegan, ticket.Settled, ticket.StormJoined,
	ticket.StormLeft, ticket.StormSpread, ticket.StormOver,
}

// unknownWord is the finding of a word that is none of a closed list; a near one is offered.
func unknownWord(where, what, got string, known []string) Finding {
	fix := "write one of " + strings.Join(known, ", ")
	if near := nearest(got, known); near != "" {
		fix = fmt.Sprintf("did you mean %q? It is one of %s", near, strings.Join(known, ", "))
	}
	if len(known) == 0 {
		fix = "there is none"
	}
	return Finding{Where: where, Text: fmt.Sprintf("%s: %q is not known", what, got), Fix: fix, Fault: true}
}

// nearest is the known word that differs least from a wrong one, where it differs little.
func nearest(got string, known []string) string {
	best, least := "", 3
	for _, k := range known {
		if d := distance(got, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is the number of letters that have to be put in, left out or changed to make one word of another.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
