package collector

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// audience is whom the configuration knows.
type audience struct {
	// receivers are their names, url is where people look at tickets; empty when nobody said.
	receivers []string
	url       string
	// mail is the first receiver that is mail: by it go letters to addresses; empty where there is none.
	mail string
	// records says that there is a receiver which shows incident records.
	records bool
	// flapping is when the alerts of tickets that open from now on are taken to flap.
	flapping incident.Flapping
}

// tell says who can be told from now on.
func (p *pipeline) tell(cfg Config) {
	a := &audience{url: cfg.Web.ExternalURL, flapping: cfg.flapping()}
	for _, r := range cfg.Receivers {
		if r.TakesNotices() {
			a.receivers = append(a.receivers, r.Name)
		}
		a.records = a.records || r.PagerDuty != nil
		if r.Mail != nil && a.mail == "" {
			a.mail = r.Name
		}
	}
	p.audience.Store(a)
}

// hearers are all that routing needs to know to say who hears of a ticket under these terms.
func (p *pipeline) hearers(ts *terms, now time.Time) route.Audience {
	a, err := route.Audience{
		Policy: ts.Ticket, Terms: ts.Route, Directory: p.directory, Rotas: p.oncall.at(now), Message: p.wording(ts.Ticket.Hours()),
	}.Ready()
	if err != nil { // checked when it was loaded; nothing waits then
		p.log.Error("quiet hours cannot be read; nothing waits for them", "policy", ts.Ticket.Policy, "err", err)
	}
	return a
}

// errNoLink is why a letter with a link cannot be worded.
var errNoLink = errors.New("there is no link to answer by, for web.external_url is not set")

// wording renders what clients are told, with times of the calendar, which may be nil.
func (p *pipeline) wording(cal *sla.Calendar) func(template string, t ticket.Ticket, n ticket.Notice) (string, error) {
	return func(template string, t ticket.Ticket, n ticket.Notice) (string, error) {
		if n.What == ticket.RatingAsked && n.Link == "" { // a letter that asks without saying where to answer would be broken
			return "", errNoLink
		}
		return ticket.Message(template, t, p.messageFacts(t, n, cal))
	}
}

// voice is one thing that is told: its place among what a change tells, with what it is told by.
type voice struct {
	c  ticket.Change
	at int
}

// notices tells what a change has to be told, and returns the drafts that the owning department is to send.
func (p *pipeline) notices(tx store.Tx, c ticket.Change, ts *terms, did *outcome) (drafts []ticket.Draft, err error) {
	if len(c.Notices) == 0 {
		return nil, nil
	}
	hearers := p.hearers(ts, c.Ticket.UpdatedAt)
	for i, n := range c.Notices {
		more, err := p.send(tx, voice{c, i}, hearers.Tell(c, n, c.Ticket.UpdatedAt), did)
		if err != nil {
			return nil, err
		}
		drafts = append(drafts, more...)
	}
	return drafts, nil
}

// send puts tellings into the outbox, or holds them for the addressee's next digest. Drafts are returned.
func (p *pipeline) send(tx store.Tx, v voice, tellings []route.Telling, did *outcome) (drafts []ticket.Draft, err error) {
	for _, t := range tellings {
		switch {
		case t.Draft != nil:
			drafts = append(drafts, *t.Draft)
		case t.External || t.Person.ID+t.Person.Name+t.Person.Email == "":
			did.tells(t)
			err = p.post(tx, v, t)
		default:
			err = p.gather(tx, v, t, did)
		}
		if err != nil {
			return nil, err
		}
	}
	return drafts, nil
}

// The outcomes of a notice.
const queued, heldBack = "queued", "held"

// channelOf is by which way a telling goes, for metrics.
func channelOf(t route.Telling) string {
	switch {
	case t.External:
		return "external"
	case t.All:
		return "all"
	case t.Person.ID+t.Person.Name+t.Person.Email != "":
		return "person"
	}
	return "receiver"
}

// post puts one telling into the outbox, for each receiver that it goes through.
func (p *pipeline) post(tx store.Tx, v voice, t route.Telling) error {
	body, err := p.noticeOf(v.c, t).Encode()
	if err != nil {
		return err
	}
	next := v.c.Ticket.UpdatedAt
	if t.NotBefore.After(next) {
		next = t.NotBefore
	}
	for _, r := range p.through(t) {
		m := outbox.Message{
			ID: messageID(v, t, r, p.line), Receiver: r, Ticket: v.c.Ticket.ID, Number: v.c.Ticket.Number, What: string(t.What),
			Body: body, CreatedAt: v.c.Ticket.UpdatedAt, NextAt: next, State: outbox.Queued,
		}
		if err := tx.PutMessage(m); err != nil {
			return err
		}
	}
	return nil
}

// through are the receivers that a telling goes through: all, or those it names that the configuration has. When it has
// none of them the telling goes to all: never to nobody. All are those that lead into the house: what reaches a client
// alone is for letters.
func (p *pipeline) through(t route.Telling) []string {
	all := p.audience.Load().receivers
	if t.All {
		return p.inward(all)
	}
	var known []string
	for _, r := range t.Receivers {
		if slices.Contains(all, r) && !slices.Contains(known, r) {
			known = append(known, r)
		}
	}
	if len(known) == 0 && !t.External {
		return p.inward(all)
	}
	return known
}

// inward are the receivers among some that lead into the house.
func (p *pipeline) inward(all []string) []string {
	var in []string
	for _, r := range all {
		if !p.fleet.Outward(r) {
			in = append(in, r)
		}
	}
	if len(in) == 0 && len(all) > 0 {
		p.log.Error("a notice reaches nobody: every receiver is a client's; configure one for the house", "receivers", all)
	}
	return in
}

// messageID is unique per ticket version, notice and receiver, and sorts as the messages of one ticket came about. A
// ticket goes through some versions again after a restore, with other events; line keeps the messages of those apart, so
// that no receiver takes them for repeats. What two people are told through one receiver are two messages.
func messageID(v voice, t route.Telling, receiver, line string) string {
	to := receiver
	if !t.All {
		to += "\x00" + t.To() + "\x00" + t.Text
	}
	sum := sha256.Sum256([]byte(to))
	id := fmt.Sprintf("%s-%06d-%02d-%s", v.c.Ticket.ID, v.c.Ticket.Seq, v.at, hex.EncodeToString(sum[:4]))
	if line != "" {
		id += "-" + line
	}
	return id
}

func (p *pipeline) noticeOf(c ticket.Change, told route.Telling) notify.Notice {
	t := c.Ticket
	if told.External { // nothing of the inside goes out with it
		return notify.Notice{What: string(told.What), Text: told.Text, At: t.UpdatedAt, Letter: true, Alerts: []notify.Alert{},
			Ticket: notify.Ticket{ID: t.ID, Number: t.Number, Kind: t.Kind, State: string(t.State), Customer: t.Customer,
				Title: "news of " + t.Number, OpenedAt: t.OpenedAt}}
	}
	out := notify.Notice{
		What: string(told.What), Text: told.Text, At: t.UpdatedAt,
		Ticket: notify.Ticket{
			ID: t.ID, Number: t.Number, Kind: t.Kind, State: string(t.State), Severity: string(t.Severity),
			Priority: t.Priority, Customer: t.Customer, Site: t.Site, Asset: t.Asset, Service: t.Service,
			Title: t.Title, Owner: t.Owner, OpenedAt: t.OpenedAt,
		},
		More: t.Crowd.Firing,
	}
	if url := p.audience.Load().url; url != "" {
		out.Ticket.URL = url + "/api/watchbill/v1/tickets/" + t.Number
	}
	if told.What == ticket.Opened && p.audience.Load().records {
		out.Record = recordOf(c)
	}
	for _, a := range t.Alerts {
		out.Alerts = append(out.Alerts, notify.Alert{
			Labels: a.Labels, Annotations: a.Annotations, StartsAt: a.ActiveAt.Round(time.Millisecond), EndsAt: a.EndedAt,
		})
	}
	return out
}

// messageFacts are what a template may say to a client beside what the ticket itself knows. What happened is for a person
// to word: notices are worded for the inside.
// Times are in the zone of the calendar that the ticket is worked by, which is the contract's where it names one; without a
// calendar they are in the customer's.
func (p *pipeline) messageFacts(t ticket.Ticket, n ticket.Notice, cal *sla.Calendar) ticket.MessageFacts {
	c, _ := p.fleet.Customer(t.Customer)
	f := ticket.MessageFacts{Customer: c.Name, Zone: p.zones.of(c.Zone)}
	if cal != nil {
		f.Zone = cal.Zone()
	}
	if reporter, ok := p.fleet.Person(t.Reporter); ok {
		f.Contact = reporter.Name
	} else {
		f.Contact = t.Reporter
	}
	if d, ok := p.fleet.Department(c.Department); ok {
		f.Sender = d.Name
	}
	if n.What == ticket.RatingAsked {
		f.Link = n.Link
	}
	return f
}
