package ticket

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/watchbill/watchbill/collector/sla"
)

// MessageFacts is what a person, or the policy, says to a client beside what the ticket itself tells.
type MessageFacts struct {
	// Contact is who the message is addressed to, Customer the client's name, Sender who signs it, Service the client's name
	// for what it is about.
	Contact, Customer, Sender, Service string
	// What happened, its Effect, what we are Doing, and how it was Solved, in a person's words for the client.
	What, Effect, Doing, Solved string
	// Next is when the next update comes; zero: the placeholder says when there is news.
	Next time.Time
	// Link is where the client answers, of a rating.
	Link string
	// Zone is what times are written in; nil: UTC.
	Zone *time.Location
}

// placeholder is one word that a template may use.
type placeholder struct {
	says string
	give func(t Ticket, m MessageFacts) string
}

// placeholders is the closed list: nothing of it comes from a rule, a label, or the name of an asset.
var placeholders = map[string]placeholder{
	"number":   {"the ticket's number", func(t Ticket, _ MessageFacts) string { return t.Number }},
	"contact":  {"who it is addressed to; otherwise \"customer\"", func(_ Ticket, m MessageFacts) string { return or(line(m.Contact), "customer") }},
	"customer": {"the client's name", func(_ Ticket, m MessageFacts) string { return or(line(m.Customer), "your company") }},
	"sender":   {"who signs it", func(_ Ticket, m MessageFacts) string { return or(line(m.Sender), "Your service team") }},
	"service":  {"what it is about, as the client calls it", func(_ Ticket, m MessageFacts) string { return or(line(m.Service), "your service") }},
	"what": {"what happened", func(t Ticket, m MessageFacts) string {
		return or(line(m.What), t.happening(or(line(m.Service), "your service")))
	}},
	"effect": {"its effect", func(t Ticket, m MessageFacts) string {
		return or(line(m.Effect), t.effect())
	}},
	"doing":    {"what we do", func(t Ticket, m MessageFacts) string { return or(line(m.Doing), doingWords(t)) }},
	"solved":   {"how it was solved; of a request that was refused, that it was, and why", func(t Ticket, m MessageFacts) string { return or(line(m.Solved), t.outcome()) }},
	"next":     {"when the next update comes", func(_ Ticket, m MessageFacts) string { return or(m.when(m.Next), "as soon as there is news") }},
	"priority": {"the priority that it has", func(t Ticket, _ MessageFacts) string { return or(line(t.Priority), "not decided yet") }},
	"expected": {"when it is expected to be solved: the agreed date, else the nearest target that the client waits for", func(t Ticket, m MessageFacts) string { return or(m.when(t.expected()), "to be scheduled with you") }},
	"respond":  {"by when somebody responds", func(t Ticket, m MessageFacts) string { return or(m.when(t.responds()), "as soon as possible") }},
	"received": {"when it was received, or noticed", func(t Ticket, m MessageFacts) string { return m.when(t.since()) }},
	"state":    {"how far it has come", func(t Ticket, _ MessageFacts) string { return t.stateWord() }},
	"link":     {"where the client answers", func(_ Ticket, m MessageFacts) string { return line(m.Link) }},
}

// happened says of services that the shipped rules name what a client would notice.
var happened = map[string]string{
	"application":  "Your application does not work as it should.",
	"availability": "One of the systems that serve you cannot be reached.",
	"backup":       "A backup of your data did not end as it should.",
	"certificate":  "A certificate that secures your connection needs attention.",
	"cpu":          "One of the systems that serve you is under unusual load.",
	"database":     "The database behind your application does not work as it should.",
	"dns":          "The names by which your systems are found do not resolve as they should.",
	"filesystem":   "The storage of one of the systems that serve you is running out.",
	"firewall":     "A firewall in front of your systems does not work as it should.",
	"memory":       "One of the systems that serve you is short of memory.",
	"network":      "The connection to one of the systems that serve you is disturbed.",
	"power":        "The power supply of one of the systems that serve you is disturbed.",
	"printer":      "A printer does not work as it should.",
	"reachability": "One of the systems that serve you cannot be reached.",
	"sql":          "The database behind your application does not work as it should.",
	"website":      "Your website does not answer as it should.",
}

// Placeholders lists what a template may use, with what each says.
func Placeholders() map[string]string {
	out := make(map[string]string, len(placeholders))
	for name, p := range placeholders {
		out[name] = p.says
	}
	return out
}

// CheckTemplate names every placeholder of a template that does not exist, and braces that do not close.
func CheckTemplate(template string) error {
	var errs []error
	_, err := expand(template, func(name string) string {
		if _, ok := placeholders[name]; !ok {
			errs = append(errs, unknownPlaceholder(name))
		}
		return ""
	})
	return errors.Join(append(errs, err)...)
}

func unknownPlaceholder(name string) error {
	return fmt.Errorf("template: there is no placeholder {{%s}}: expected one of %s", name, strings.Join(slices.Sorted(maps.Keys(placeholders)), ", "))
}

// Message is the text for a client that a template makes of a ticket: plain text, of which only the template itself has
// line breaks. Values are put in once and as they are: braces in them are no placeholders. Control characters and those
// that turn the direction of text are taken out; whoever sends it escapes for the medium. The error says which
// placeholder does not exist, or that a person's words show a rule's expression or labels. A sentence of the template that
// says by when somebody responds is left out once somebody has.
func Message(template string, t Ticket, m MessageFacts) (string, error) {
	if err := CheckTemplate(template); err != nil {
		return "", err
	}
	if err := t.internalIn(m.What, m.Effect, m.Doing, m.Solved, m.Service); err != nil {
		return "", err
	}
	if t.responded() {
		template = withoutSentence(template, "respond")
	}
	return expand(template, func(name string) string { return placeholders[name].give(t, m) })
}

// expand puts what give gives in the place of each {{name}}.
func expand(template string, give func(name string) string) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(template, "{{")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}}")
		if !closed {
			return "", fmt.Errorf("template: {{%s is not closed: write {{name}}", short(rest, 40))
		}
		b.WriteString(give(strings.TrimSpace(name)))
		template = after
	}
}

// line is a value as one line of text that does nothing but be read.
func line(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	return short(strings.Join(strings.Fields(text), " "), maxLine)
}

// maxLine bounds one value in a message, in bytes.
const maxLine = 2000

// internalIn refuses words for a client that show what only the desk reads.
func (t Ticket) internalIn(texts ...string) error {
	for _, text := range texts {
		for _, a := range t.Alerts {
			for _, secret := range []string{a.Expr, a.Labels["instance"], a.Labels["alertname"], a.Source} {
				if len(secret) >= minSecret && strings.Contains(text, secret) {
					return fmt.Errorf("message: the words %q show %q, which is internal: say it in the client's words", short(text, 80), secret)
				}
			}
			for name, value := range a.Labels {
				if err := labelIn(text, name, value); err != nil {
					return err
				}
			}
		}
		for _, pair := range labelPair.FindAllStringSubmatch(strings.Join(t.Crowd.Newest, "\n"), -1) {
			if value, err := strconv.Unquote(pair[2]); err == nil {
				if err := labelIn(text, pair[1], value); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// labelPair is a label in words; see incident.Alert.Particulars.
var labelPair = regexp.MustCompile(`([a-zA-Z_]\w*)=("(?:[^"\\\n]|\\.)*")`)

// labelIn refuses a text that shows a label.
func labelIn(text, name, value string) error {
	if value != "" && (strings.Contains(text, name+`="`+value+`"`) || strings.Contains(text, name+"="+value)) {
		return fmt.Errorf("message: the words %q show the label %s, which is internal: say it in the client's words", short(text, 80), name)
	}
	return nil
}

// minSecret is from how many bytes on an internal name is told apart from a common word.
const minSecret = 6

// when writes an instant for a client; empty for none.
func (m MessageFacts) when(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	zone := m.Zone
	if zone == nil {
		zone = time.UTC
	}
	return at.In(zone).Format("Monday 2 January 2006, 15:04 MST")
}

// expected is when the client may expect it to be solved: the last date that was agreed, else the earliest due instant of
// the clocks that end with the work. It is zero when there is none.
func (t Ticket) expected() time.Time {
	if n := len(t.Promises); n > 0 {
		return t.Promises[n-1].Until
	}
	return t.earliest("resolution", "restore", "access", "turnaround")
}

// responds is when somebody responds at the latest, zero when no clock says so.
func (t Ticket) responds() time.Time { return t.earliest("response", "callback") }

func (t Ticket) earliest(names ...string) time.Time {
	var at time.Time
	for _, c := range t.Clocks {
		if slices.Contains(names, c.Name) && runs(c) && (at.IsZero() || c.Due.Before(at)) {
			at = c.Due
		}
	}
	return at
}

func runs(c sla.Clock) bool { return !c.Ended() && !c.Due.IsZero() }

// since is when the client's matter began for us.
func (t Ticket) since() time.Time {
	if !t.ReceivedAt.IsZero() {
		return t.ReceivedAt
	}
	return t.OpenedAt
}
