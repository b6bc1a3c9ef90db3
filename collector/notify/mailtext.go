package notify

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"

	"github.com/watchbill/watchbill/collector/outbox"
)

// Bounds of what a mail says, in runes and lines: it is read on a phone, at night. The ticket has the rest.
const (
	maxSubject = 120
	maxLine    = 300
	maxChecks  = 12
	maxListed  = 10
	// maxLines bounds a letter: a digest names forty tickets.
	maxLines = 60
)

// letter is the mail about a notice to one recipient.
func (s *Mail) letter(m outbox.Message, n Notice, to *mail.Address) (*gomail.Msg, error) {
	l := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithEncoding(gomail.EncodingQP))
	if err := l.FromFormat(s.from.Name, s.from.Address); err != nil {
		return nil, fmt.Errorf("%w: from: %w", outbox.ErrRefused, err)
	}
	if err := l.AddToFormat(to.Name, to.Address); err != nil {
		return nil, fmt.Errorf("%w: to: %w", outbox.ErrRefused, err)
	}
	domain := s.domain()
	l.Subject(subject(n.Ticket))
	l.SetMessageIDWithValue(safeID(m.ID) + "@" + domain)
	// Every mail answers the same message, which was never sent: so they are one thread whatever arrives first.
	thread := "<ticket." + safeID(n.Ticket.ID) + "@" + domain + ">"
	l.SetGenHeader(gomail.HeaderInReplyTo, thread)
	l.SetGenHeader(gomail.HeaderReferences, thread)
	l.SetDateWithValue(cmp.Or(m.CreatedAt, n.At))
	l.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no holiday notes back
	l.SetGenHeader("X-Watchbill-Ticket", tame(n.Ticket.Number, 40))
	l.SetGenHeader("X-Watchbill-What", tame(n.What, 40))
	l.SetGenHeader(gomail.HeaderUserAgent, "Watchbill/"+tame(s.options.Version, 40))
	if n.Ticket.Severity == "critical" && n.What != "resolved" && n.What != "closed" {
		l.SetImportance(gomail.ImportanceHigh)
	}
	l.SetBodyString(gomail.TypeTextPlain, mailText(n, s.options.Now()))
	return l, nil
}

// domain is that of the sender.
func (s *Mail) domain() string {
	domain := s.from.Address[strings.LastIndex(s.from.Address, "@")+1:]
	for _, r := range domain {
		if r != '.' && r != '-' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r)) {
			return "watchbill.invalid"
		}
	}
	return domain
}

// safeID is an ID as it may stand in a Message-ID (RFC 5322, dot-atom-text): as it is, or its digest.
func safeID(id string) string {
	for _, r := range id {
		if r != '-' && r != '_' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r)) {
			sum := sha256.Sum256([]byte(id))
			return hex.EncodeToString(sum[:12])
		}
	}
	return cmp.Or(id, "none")
}

// subject is the same for every mail about a ticket as long as its title is, so that programs that thread by it do too.
func subject(t Ticket) string {
	where := t.Customer
	if t.Asset != "" {
		where += " " + t.Asset
	}
	return tame(fmt.Sprintf("[%s] %s: %s", t.Number, where, t.Title), maxSubject)
}

// mailText is the mail's body. Nothing that came from a server can begin a line, hide text or become a link.
func mailText(n Notice, now time.Time) string {
	var b strings.Builder
	t := n.Ticket
	say := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-9s %s\n", name, value)
		}
	}
	if n.Letter {
		return letterText(n.Text)
	}
	fmt.Fprintf(&b, "%s\n\n", tame(n.Text, maxLine))
	firing, ended := split(n.Alerts)
	say("What", tame(t.Title, maxLine))
	say("Where", where(t))
	say("Since", since(n, now))
	say("Priority", tame(strings.TrimSuffix(t.Priority+", "+t.Severity, ", "), maxLine))
	say("State", tame(strings.TrimSuffix(t.State+", with "+t.Owner, ", with "), maxLine))
	if checks := firstChecks(firing); len(checks) > 0 {
		b.WriteString("\nFirst checks\n")
		for _, c := range checks {
			fmt.Fprintf(&b, "  %s\n", c)
		}
	}
	list(&b, "Firing", firing)
	if more := n.moreText(); more != "" {
		fmt.Fprintf(&b, "\n%s\n", more)
	}
	list(&b, "Over", ended)
	number := tame(t.Number, 40)
	fmt.Fprintf(&b, "\nwatchbill ticket show %s\nwatchbill ticket ack %s\n", number, number)
	if t.URL != "" {
		fmt.Fprintf(&b, "%s\n", oneLine(t.URL, maxLine)) // the collector's own, from its configuration
	}
	return b.String()
}

// moreText says how many alerts fire beside those of the notice, empty for none.
func (n Notice) moreText() string {
	switch {
	case n.More <= 0:
		return ""
	case n.More == 1:
		return "1 more fires, which the ticket counts"
	}
	return fmt.Sprintf("%d more fire, which the ticket counts", n.More)
}

// letterText keeps the lines of a text, each tame.
func letterText(text string) string {
	var b strings.Builder
	n := 0
	for l := range strings.Lines(text) {
		if n++; n > maxLines {
			b.WriteString("…\n")
			break
		}
		b.WriteString(tame(strings.TrimRight(l, "\r\n"), maxLine) + "\n")
	}
	return b.String()
}

func split(alerts []Alert) (firing, ended []Alert) {
	for _, a := range alerts {
		if a.Firing() {
			firing = append(firing, a)
		} else {
			ended = append(ended, a)
		}
	}
	return firing, ended
}

func where(t Ticket) string {
	parts := []string{t.Customer}
	for _, p := range [][2]string{{"site ", t.Site}, {"", t.Asset}, {"service ", t.Service}} {
		if p[1] != "" {
			parts = append(parts, p[0]+p[1])
		}
	}
	return tame(strings.Join(parts, ", "), maxLine)
}

// since is when the first alert began, or the ticket, and how long ago that is.
func since(n Notice, now time.Time) string {
	began := n.Ticket.OpenedAt
	for _, a := range n.Alerts {
		if !a.StartsAt.IsZero() && (began.IsZero() || a.StartsAt.Before(began)) {
			began = a.StartsAt
		}
	}
	if began.IsZero() {
		return ""
	}
	out := began.UTC().Format("Mon 2006-01-02 15:04:05 UTC")
	if ago := now.Sub(began); ago >= time.Second {
		out += " (" + roughly(ago) + " ago)"
	}
	return out
}

// roughly is a duration as people say it.
func roughly(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// firstChecks are what the rules say to look at, each line once.
func firstChecks(firing []Alert) []string {
	var out []string
	for _, a := range firing {
		for l := range strings.Lines(a.Annotations["first_checks"]) {
			l = tame(strings.TrimSpace(l), maxLine)
			if l == "" || slices.Contains(out, l) {
				continue
			}
			if out = append(out, l); len(out) == maxChecks {
				return out
			}
		}
	}
	return out
}

// list shows alerts, each with its name, its summary and since when.
func list(b *strings.Builder, title string, alerts []Alert) {
	if len(alerts) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s (%d)\n", title, len(alerts))
	for i, a := range alerts {
		if i == maxListed {
			fmt.Fprintf(b, "  … and %d more, in the ticket\n", len(alerts)-i)
			return
		}
		at := a.StartsAt
		if !a.Firing() {
			at = a.EndsAt
		}
		text := a.Labels["alertname"]
		if s := a.Annotations["summary"]; s != "" {
			text += ": " + s
		}
		fmt.Fprintf(b, "  %s %s\n", at.UTC().Format("15:04:05"), tame(text, maxLine))
	}
}

// tame is text from elsewhere as it may stand in a mail: one line of printable text, at most `most` runes, in which
// nothing is a link that a mail program would make clickable.
func tame(s string, most int) string { return oneLine(strings.ReplaceAll(s, "://", "[:]//"), most) }

// oneLine is one line of printable text, at most `most` runes.
func oneLine(s string, most int) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return '.'
		}
		return r
	}, strings.ToValidUTF8(s, "."))
	if runes := []rune(clean); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return clean
}
