package collector

import (
	"fmt"
	"net/mail"
	"slices"
	"strconv"
	"strings"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// This file sends the messages to clients that somebody of the owning department lets go: through the receivers of whom they
// are to, else by mail to their address, through the first mail receiver of the configuration.

// letter is a message to a client on its way: its text, by which ways it goes, and that in words. No way leads to whom it is
// to where ways is empty.
type letter struct {
	text string
	ways []way
	how  string
}

// way is a receiver, and whom it is to reach where that is not for the receiver to say.
type way struct {
	receiver string
	to       []string
}

// byHand is what somebody is told who sends what nothing here can deliver.
const byHand = "marked as sent by hand: deliver it yourself"

// letterOf is the message that an action sends, false when it sends none.
func (p *pipeline) letterOf(t ticket.Ticket, a ticket.Action) (letter, bool) {
	n, err := strconv.Atoi(strings.TrimSpace(a.What))
	if a.Verb != ticket.SendDraft || err != nil || n < 1 || n > len(t.Drafts) {
		return letter{}, false
	}
	dr := t.Drafts[n-1]
	l := letter{text: dr.Text, how: byHand}
	if strings.TrimSpace(dr.Text) == "" { // it could not be worded: there is nothing to deliver
		return l, true
	}
	var by, missed []string
	for _, whom := range p.addressees(t.Customer, dr.To) {
		ways := p.waysTo(t.Customer, whom)
		if len(ways) == 0 {
			missed = append(missed, whom)
		}
		for _, w := range ways {
			if !slices.ContainsFunc(l.ways, func(o way) bool { return o.receiver == w.receiver && slices.Equal(o.to, w.to) }) {
				l.ways = append(l.ways, w)
				by = append(by, strings.TrimSpace(w.receiver+" "+strings.Join(w.to, " ")))
			}
		}
	}
	if len(by) > 0 {
		l.how = "sent through " + strings.Join(by, ", ")
		if len(missed) > 0 {
			l.how += "; for " + strings.Join(missed, ", ") + " " + byHand
		}
	}
	return l, true
}

// addressees are those whom a message names between commas: people by ID, name or address. A comma between quotes belongs to
// a name, and so does one before what is nobody by itself and has the address behind it: Miller, Pat <pat@client.example>.
func (p *pipeline) addressees(customer, to string) (out []string) {
	nobody := func(whom string) bool {
		one := p.known(customer, whom, "")
		return one.Person == "" && one.Name == "" && !strings.Contains(whom, "@")
	}
	if to = strings.TrimSpace(to); !nobody(to) && !strings.Contains(to, "@") {
		return []string{to} // the comma is of the name
	}
	rest := ""
	for _, piece := range unquotedPieces(to) {
		name, _, addressed := strings.Cut(piece, "<")
		switch {
		case rest != "" && addressed:
			piece = strconv.Quote(rest+", "+strings.TrimSpace(name)) + piece[len(name):]
			rest = ""
		case rest != "":
			out, rest = append(out, rest), ""
		}
		if !addressed && nobody(piece) {
			rest = piece
			continue
		}
		out = append(out, piece)
	}
	if rest != "" {
		out = append(out, rest)
	}
	return out
}

// unquotedPieces takes text apart at the commas that do not stand between quotes.
func unquotedPieces(text string) (out []string) {
	inside, escaped, begin := false, false, 0
	add := func(piece string) {
		if piece = strings.TrimSpace(piece); piece != "" {
			out = append(out, piece)
		}
	}
	for i, r := range text {
		switch {
		case escaped:
			escaped = false
		case r == '\\' && inside:
			escaped = true
		case r == '"':
			inside = !inside
		case r == ',' && !inside:
			add(text[begin:i])
			begin = i + 1
		}
	}
	add(text[begin:])
	return out
}

// waysTo are those to somebody that a message names by ID, name or address: all of their receivers that the configuration
// has, else a mail to their address.
func (p *pipeline) waysTo(customer, whom string) (ways []way) {
	a := p.audience.Load()
	address := ""
	if parsed, err := mail.ParseAddress(whom); err == nil {
		address = parsed.Address
	}
	person := p.known(customer, whom, address)
	for _, r := range person.Receivers {
		if slices.Contains(a.receivers, r) {
			ways = append(ways, way{receiver: r})
		}
	}
	if address = or(address, person.Email); len(ways) == 0 && address != "" && a.mail != "" {
		ways = append(ways, way{a.mail, []string{address}})
	}
	return ways
}

// known is who an ID, an address or a name means for a customer: a person by ID, else one of the customer's contacts, of its
// department's, or of all people, by address where there is one and else by name.
func (p *pipeline) known(customer, whom, address string) fleet.Contact {
	as := func(one fleet.Person) fleet.Contact {
		return fleet.Contact{Person: one.ID, Name: one.Name, Email: one.Email, Receivers: one.Receivers}
	}
	if one, ok := p.fleet.Person(whom); ok {
		return as(one)
	}
	c, _ := p.fleet.Customer(customer)
	d, _ := p.fleet.Department(c.Department)
	all := slices.Concat(c.Contacts, d.Contacts)
	for i := range all {
		if one, ok := p.fleet.Person(all[i].Person); ok {
			all[i] = as(one)
		}
	}
	for _, one := range p.fleet.People() {
		all = append(all, as(one))
	}
	for _, one := range all {
		if address != "" && strings.EqualFold(one.Email, address) || address == "" && whom != "" && one.Name == whom {
			return one
		}
	}
	return fleet.Contact{}
}

// deliver puts a letter that a change sends into the outbox.
func (p *pipeline) deliver(tx store.Tx, c ticket.Change, l letter, did *outcome) error {
	told := route.Telling{What: ticket.Sent, Text: l.text, External: true}
	for i, w := range l.ways {
		n := p.noticeOf(c, told)
		n.To = w.to
		body, err := n.Encode()
		if err != nil {
			return fmt.Errorf("send a message of %s: %w", c.Ticket.Number, err)
		}
		did.says(channelOf(told), queued)
		at := c.Ticket.UpdatedAt
		id := messageID(voice{c, letterVoice + i}, told, w.receiver+"\x00"+strings.Join(w.to, ","), p.line)
		if err := tx.PutMessage(outbox.Message{ID: id, Receiver: w.receiver, Ticket: c.Ticket.ID, Number: c.Ticket.Number,
			What: string(ticket.Sent), Body: body, CreatedAt: at, NextAt: at, State: outbox.Queued}); err != nil {
			return err
		}
	}
	return nil
}

// letterVoice is where letters stand among what is told of one version of a ticket.
const letterVoice = 50
