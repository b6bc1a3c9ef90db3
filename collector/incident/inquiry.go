package incident

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules"
)

// Asked is what came of asking one silent host whether it is there.
type Asked struct {
	Asset string
	// Address is the one its reports came from; empty when none is known.
	Address string
	At      time.Time
	// Sent and Answered count echo requests, RTT is the fastest answer.
	Sent, Answered int
	RTT            time.Duration
	// Shared: further hosts report from that address, so that it is not the host's own.
	Shared bool
	// Own: the collector runs on this host, so nobody needs to ask.
	Own bool
	// Why nobody could ask, or no answer means anything; empty when all is said by the numbers.
	Why string
}

// Inquiry is what was found out about a silence beside the silence.
type Inquiry struct {
	Asked []Asked
	// Left is how many hosts fell silent at the same moment and were not asked for there being so many, Most how many are.
	Left, Most int
	// Self is what the collector found of itself.
	Self []string
}

// Answer is what asking says of a silent host.
type Answer int

const (
	// Unsure: nobody knows whether the host is there.
	Unsure Answer = iota
	// Answers: the host is there, its agent is not.
	Answers
	// Mute: nothing answers at the host's address.
	Mute
)

// Answer is what a's numbers say. That an address answers that several hosts share says nothing about one of them; that
// it does not answer says that none of them can be reached.
func (a Asked) Answer() Answer {
	switch {
	case a.Own:
		return Answers
	case a.Why != "" || a.Sent == 0:
		return Unsure
	case a.Answered == 0:
		return Mute
	case a.Shared:
		return Unsure
	}
	return Answers
}

// String is what was done and what it shows, for the incident's record.
func (a Asked) String() string {
	switch {
	case a.Own:
		return fmt.Sprintf("%s is the host that this collector runs on, so the host is up; its agent is not heard", a.Asset)
	case a.Address == "":
		return fmt.Sprintf("%s was not pinged: %s", a.Asset, a.Why)
	}
	said := fmt.Sprintf("pinged %s, the address that the reports of %s came from, from the collector at %s", a.Address, a.Asset, clock(a.At))
	switch {
	case a.Why != "":
		return said + ": no answer to go by: " + a.Why
	case a.Answered == 0 && a.Shared:
		return fmt.Sprintf("%s: timed out, %d of %d. Other hosts report from that address too, a router or proxy perhaps: it does not answer either", said, a.Sent, a.Sent)
	case a.Answered == 0:
		return fmt.Sprintf("%s: timed out, %d of %d: the host is down, or the line to it, or something on the way drops pings", said, a.Sent, a.Sent)
	}
	said += fmt.Sprintf(": %d of %d answered in %s", a.Answered, a.Sent, millis(a.RTT))
	if a.Shared {
		return said + ". Other hosts report from that address too, so it is a router's or a proxy's: that does not prove that the host is up"
	}
	return said + ": the host is up, its agent is not"
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// Lines is all of it, one finding each.
func (r Inquiry) Lines() []string {
	var out []string
	for _, a := range r.Asked {
		out = append(out, a.String())
	}
	if r.Left > 0 {
		out = append(out, fmt.Sprintf("not pinged: %d more fell silent at the same moment, and %d at most are pinged", r.Left, r.Most))
	}
	return append(out, r.Self...)
}

// Looked is the annotation of a silence alert with the lines of what was done to find its cause.
const Looked = "looked"

// Found adds to an alert of silence what was found out: the title of one host's silence says whether the host is up, and
// first_checks begin where it matters. A host that is silent stays as severe: kernels answer pings of hosts that do nothing
// else any more. One that said goodbye and does not answer is as severe as any other that cannot be reached: it did not come
// back from where it went.
func (r Inquiry) Found(a rules.Alert) rules.Alert {
	lines := r.Lines()
	if len(lines) == 0 {
		return a
	}
	switch name := a.Labels.Get(labels.AlertName); {
	case (name == HostSilent || name == AgentStopped) && len(r.Asked) == 1:
		a = r.Asked[0].decides(a, name)
	case name == SiteSilent || name == CollectorBlind:
		a = note(a, "description", a.Annotations.Get("description")+r.ofSeveral())
	}
	return note(note(a, Looked, strings.Join(lines, "\n")), "description", a.Annotations.Get("description")+sentences(lines))
}

// decides says in the alert of one host's silence what the answer shows, if it shows anything.
func (a Asked) decides(of rules.Alert, name string) rules.Alert {
	host := of.Labels.Get("instance")
	answer := a.Answer()
	if answer != Unsure {
		of = note(of, "description", strings.TrimSuffix(of.Annotations.Get("description"), undecided))
	}
	switch {
	case answer == Answers && name == HostSilent:
		of = note(of, "summary", host+" is up, but its agent is silent")
		return note(of, "first_checks", "The host answers, so look at it: systemctl status watchbill-agent, journalctl -u watchbill-agent. Can anybody log in? A host that hangs for want of memory or disk answers pings, too.")
	case answer == Answers:
		return note(of, "first_checks", "The host answers: start the agent (systemctl start watchbill-agent); journalctl -u watchbill-agent says why it stopped. If it was taken out of service, revoke the agent.")
	case answer == Mute && name == HostSilent:
		of = note(of, "summary", host+" is silent and cannot be reached")
		return note(of, "first_checks", "Look at the host's console or hypervisor. Does its site's router answer? If the host is up: systemctl status watchbill-agent, and can it reach this collector?")
	case answer == Mute:
		of = note(of, "summary", host+" stopped in order and cannot be reached since")
		of.Labels = labels.NewBuilder(of.Labels).Set("severity", string(Critical)).Set("service", Availability).Set("system", "server").Labels()
		return note(of, "first_checks", "Was it to be shut down, or to restart? Look at its console or hypervisor: a host that restarts and stays there waits for a disk, a password or a boot loader. Does its site's router answer? If it was taken out of service, revoke the agent.")
	}
	return of
}

// ofSeveral is what the answers of some of many silent hosts show.
func (r Inquiry) ofSeveral() string {
	switch answers, mute := r.count(); {
	case answers > 0 && mute > 0:
		return " Some of the hosts that were pinged answer and some do not, so it is not the line alone."
	case answers > 0:
		return " Hosts there can be reached, so the line is up: what they send does not arrive here. Look at firewalls on the way to this collector's port for agents."
	case mute > 0:
		return " None of the hosts that were pinged answers."
	}
	return ""
}

// sentences are lines as a text goes on with them.
func sentences(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(" " + strings.ToUpper(l[:1]) + l[1:] + ".")
	}
	return b.String()
}

// note gives an alert an annotation.
func note(a rules.Alert, name, text string) rules.Alert {
	a.Annotations = labels.NewBuilder(a.Annotations).Set(name, text).Labels()
	return a
}

// count is how many of those that were asked are there and how many are not.
func (r Inquiry) count() (answers, mute int) {
	for _, a := range r.Asked {
		switch a.Answer() {
		case Answers:
			answers++
		case Mute:
			mute++
		}
	}
	return answers, mute
}
