package ticket

import (
	"slices"
	"strings"
)

// stateWords say to a client how far a ticket has come.
var stateWords = map[State]string{
	New: "received", Acked: "being looked at", InProgress: "being worked on", Waiting: "waiting for information",
	Done: "solved", Shut: "closed", Again: "being looked at again",
}

// stateWord says to a client how far the ticket has come, and of what ended without being done that it did.
func (t Ticket) stateWord() string {
	switch {
	case t.State.Open():
	case t.Facts[factDeclined] == yes:
		return "refused"
	case t.Facts[factDelivery] == rejected:
		return rejected
	case t.State == Done && t.Kind != KindIncident && t.Kind != KindStorm && t.Kind != "":
		return "done"
	}
	return stateWords[t.State]
}

func doingWords(t Ticket) string {
	switch t.State {
	case Done, Shut:
		return "Nothing more has to be done."
	case New, Again:
		return "Our engineers have been told and will look at it."
	case Waiting:
		return "We are waiting for information that we need to go on."
	}
	return "Our engineers are working on it."
}

// fallbacks are what a message says of each kind of ticket where nobody said it in words for the client: what happened
// while it is open and when it is over ("%s" is the service), its effect, and how it ended.
var fallbacks = map[string]struct{ open, over, effect, outcome string }{
	KindIncident: {"We are looking into a fault that concerns %s.", "There was a fault that concerned %s.",
		"We are still finding out what it means for your work.", "The fault is mended."},
	KindRequest: {"We have your request that concerns %s.", "You asked us for something that concerns %s.",
		"We will tell you if it changes anything for your work.", "What you asked for is done."},
	KindTask: {"There is work to be done that concerns %s.", "There was work to be done that concerned %s.",
		"We will tell you if it changes anything for your work.", "The work is done."},
	KindDelivery: {"There is a delivery that concerns %s.", "There was a delivery that concerned %s.",
		"We will tell you what it changes for your work.", "The delivery is complete."},
	KindAnnouncement: {"There is something to announce that concerns %s.", "What we announced concerned %s.",
		"We will tell you what it means for your work.", "What we announced is over."},
}

// says are the fallbacks of the ticket's kind.
func (t Ticket) says() struct{ open, over, effect, outcome string } {
	if f, ok := fallbacks[t.Kind]; ok {
		return f
	}
	return fallbacks[KindIncident]
}

// happening is what happened, as a client would put it.
func (t Ticket) happening(service string) string {
	words := t.says().open
	if !t.State.Open() {
		words = t.says().over
	} else if told := happened[t.Service]; told != "" && (t.Kind == KindIncident || t.Kind == KindStorm || t.Kind == "") {
		return told
	}
	return strings.Replace(words, "%s", service, 1)
}

// effect is what it means for the client, as far as the ticket itself can tell.
func (t Ticket) effect() string {
	if t.State.Open() {
		return t.says().effect
	}
	return "As far as we know it does not hold you up any more."
}

// outcome is how it ended. Of a request that was refused it says so, with the reason that was given for it, unless that
// shows what only the desk reads.
func (t Ticket) outcome() string {
	reason := line(strings.TrimSpace(t.Resolution))
	if t.internalIn(reason) != nil {
		reason = ""
	}
	switch {
	case t.Facts[factDeclined] == yes:
		reason = strings.TrimPrefix(reason, "refused: ")
		return because("Your request was refused", reason)
	case t.Facts[factDelivery] == rejected:
		return because("The delivery was rejected", strings.TrimPrefix(reason, "rejected: "))
	}
	return t.says().outcome
}

// because is a sentence with its reason.
func because(what, reason string) string {
	if reason == "" {
		return what + "."
	}
	return what + ": " + strings.TrimRight(reason, ".") + "."
}

// responded tells whether somebody has answered already, so that there is nothing to respond to by any time.
func (t Ticket) responded() bool {
	return !t.State.Open() || !t.AcknowledgedAt.IsZero() && !t.AutoAcked && t.responds().IsZero()
}

// withoutSentence is a template without the sentences that use a placeholder; a line that has no others goes with it.
func withoutSentence(template, name string) string {
	lines := strings.Split(template, "\n")
	out := lines[:0]
	for _, l := range lines {
		if !uses(l, name) {
			out = append(out, l)
			continue
		}
		parts := strings.SplitAfter(l, ". ")
		kept := slices.DeleteFunc(parts, func(p string) bool { return uses(p, name) })
		if len(kept) == 0 {
			continue
		}
		out = append(out, strings.TrimRight(strings.Join(kept, ""), " "))
	}
	return strings.Join(out, "\n")
}

// uses tells whether a piece of a template has a placeholder.
func uses(piece, name string) bool {
	for _, after := range strings.Split(piece, "{{")[1:] {
		if got, _, closed := strings.Cut(after, "}}"); closed && strings.TrimSpace(got) == name {
			return true
		}
	}
	return false
}
