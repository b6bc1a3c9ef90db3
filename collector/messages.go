package collector

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/ticket"
)

// audience is who is told of tickets.
type audience struct {
	// receivers are their names, url is where people look at tickets; empty when nobody said.
	receivers []string
	url       string
	// flapping is when the alerts of tickets that open from now on are taken to flap.
	flapping incident.Flapping
}

// tell says who is told from now on.
func (p *pipeline) tell(cfg Config) {
	a := &audience{url: cfg.Web.ExternalURL, flapping: cfg.flapping()}
	for _, r := range cfg.Receivers {
		a.receivers = append(a.receivers, r.Name)
	}
	p.audience.Store(a)
}

// messages is what a change tells every receiver. Their IDs follow from the change, so that a closure that runs again
// makes the same ones.
func (p *pipeline) messages(c ticket.Change) ([]outbox.Message, error) {
	var out []outbox.Message
	to := p.audience.Load()
	for i, n := range c.Notices {
		body, err := noticeOf(c, n, to.url).Encode()
		if err != nil {
			return nil, err
		}
		for _, r := range to.receivers {
			out = append(out, outbox.Message{
				ID: messageID(c, i, r, p.line), Receiver: r, Ticket: c.Ticket.ID, Number: c.Ticket.Number, What: string(n.What),
				Body: body, CreatedAt: c.Ticket.UpdatedAt, NextAt: c.Ticket.UpdatedAt, State: outbox.Queued,
			})
		}
	}
	return out, nil
}

// messageID is unique per ticket version, notice and receiver, and sorts as the messages of one ticket came about. A
// ticket goes through some versions again after a restore, with other events; line keeps the messages of those apart, so
// that no receiver takes them for repeats.
func messageID(c ticket.Change, notice int, receiver, line string) string {
	sum := sha256.Sum256([]byte(receiver))
	id := fmt.Sprintf("%s-%06d-%02d-%s", c.Ticket.ID, c.Ticket.Seq, notice, hex.EncodeToString(sum[:4]))
	if line != "" {
		id += "-" + line
	}
	return id
}

func noticeOf(c ticket.Change, n ticket.Notice, url string) notify.Notice {
	t := c.Ticket
	out := notify.Notice{
		What: string(n.What), Text: n.Text, At: t.UpdatedAt,
		Ticket: notify.Ticket{
			ID: t.ID, Number: t.Number, Kind: t.Kind, State: string(t.State), Severity: string(t.Severity),
			Priority: t.Priority, Customer: t.Customer, Site: t.Site, Asset: t.Asset, Service: t.Service,
			Title: t.Title, Owner: t.Owner, OpenedAt: t.OpenedAt,
		},
	}
	if url != "" {
		out.Ticket.URL = url + "/api/watchbill/v1/tickets/" + t.Number
	}
	for _, a := range t.Alerts {
		out.Alerts = append(out.Alerts, notify.Alert{
			Labels: a.Labels, Annotations: a.Annotations, StartsAt: a.ActiveAt.Round(time.Millisecond), EndsAt: a.EndedAt,
		})
	}
	return out
}
