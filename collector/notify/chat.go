package notify

import (
	"fmt"
	"strings"
	"time"
)

// chat is a notice as chats show it: the same in Slack and Teams. Every text in it is tame: printable, bounded, without links.
type chat struct {
	subject, text string
	facts         []fact
	lists         []listing
	// url is the collector's own, from its configuration; empty when nobody said.
	url, number string
}

type fact struct{ name, value string }

// listing are lines under a title.
type listing struct {
	title string
	lines []string
}

// chatOf is what a chat says about a notice at now.
func chatOf(n Notice, now time.Time) chat {
	t := n.Ticket
	c := chat{subject: subject(t), text: tame(n.Text, maxLine), url: t.URL, number: tame(t.Number, 40)}
	if n.Letter {
		c.text = strings.TrimRight(letterText(n.Text), "\n")
		return c
	}
	for _, f := range []fact{
		{"Where", where(t)}, {"Since", since(n, now)},
		{"Priority", tame(strings.TrimSuffix(t.Priority+", "+t.Severity, ", "), maxLine)},
		{"State", tame(strings.TrimSuffix(t.State+", with "+t.Owner, ", with "), maxLine)},
	} {
		if f.value != "" {
			c.facts = append(c.facts, f)
		}
	}
	firing, ended := split(n.Alerts)
	if checks := firstChecks(firing); len(checks) > 0 {
		c.lists = append(c.lists, listing{title: "First checks", lines: checks})
	}
	if len(firing) > 0 {
		c.lists = append(c.lists, listingOf("Firing", firing))
	}
	if more := n.moreText(); more != "" {
		c.lists = append(c.lists, listing{title: more})
	}
	if len(ended) > 0 {
		c.lists = append(c.lists, listingOf("Over", ended))
	}
	return c
}

// listingOf are alerts, each with since when, its name and its summary.
func listingOf(title string, alerts []Alert) listing {
	var b strings.Builder
	list(&b, title, alerts)
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return listing{title: lines[0], lines: lines[1:]}
}

// bounded is the beginning of a text of several lines, at most `most` runes; what it leaves out it tells.
func bounded(s string, most int) string {
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	end := fmt.Sprintf("… (%d characters more, in the ticket)", len(runes)-most)
	return string(runes[:max(0, most-len([]rune(end)))]) + end
}
