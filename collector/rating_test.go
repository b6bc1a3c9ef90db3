package collector

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// asksForARating closes a reported ticket and returns it with what was logged and what was put into the outbox for people of
// the house meanwhile.
func asksForARating(t *testing.T, url string) (closed ticket.Ticket, logged, inside string) {
	t.Helper()
	d := newDesk(t)
	var log bytes.Buffer
	d.log = slog.New(slog.NewTextHandler(&log, nil))
	a := *d.audience.Load()
	a.url = url
	d.audience.Store(&a)
	made := d.open(ticket.Birth{Title: "cannot print", Report: &ticket.Report{Customer: "acme", Channel: "telephone", By: "Cleo"}})
	d.act(made.Number, ticket.Action{Verb: ticket.Ack}, person("eve"))
	d.act(made.Number, ticket.Action{Verb: ticket.Resolve, Text: "a new cable"}, person("eve"))
	d.pass(d.at.Add(2 * time.Minute)) // what is told next is told by itself
	d.act(made.Number, ticket.Action{Verb: ticket.Close, Text: "heard that it prints"}, person("eve"))
	d.pass(d.at.Add(2 * time.Minute))
	d.view(func(tx store.Tx) error {
		all, err := tx.Messages(outbox.Queued, 100)
		for _, m := range all {
			inside += m.Receiver + " " + string(m.Body) + "\n"
		}
		return err
	})
	return d.ticket(made.Number), log.String(), inside
}

// TestARatingsLinkIsForItsAddressee: the token of the link stands in the letter alone, and the link is a whole address.
func TestARatingsLinkIsForItsAddressee(t *testing.T) {
	closed, logged, inside := asksForARating(t, "https://watch.example")
	letter := closed.Drafts[len(closed.Drafts)-1]
	if letter.Template != "rating" || !strings.Contains(letter.Text, " https://watch.example/rate/"+closed.Number+"/") {
		t.Fatalf("the letter is %+v", letter)
	}
	if !strings.Contains(logged, "what=rating_asked") || strings.Contains(logged, "/rate/") {
		t.Errorf("logged: %s", logged)
	}
	if !strings.Contains(inside, "is asked for a rating") || strings.Contains(inside, "/rate/") {
		t.Errorf("the house is told: %s", inside)
	}
}

// TestARatingWithoutAnAddress: where nobody said how this collector is reached there is no half link, and the notice says why.
func TestARatingWithoutAnAddress(t *testing.T) {
	closed, _, inside := asksForARating(t, "")
	if letter := closed.Drafts[len(closed.Drafts)-1]; letter.Template != "rating" || strings.Contains(letter.Text, "/rate/") || letter.Text != "" {
		t.Errorf("the letter is %+v", letter)
	}
	if !strings.Contains(inside, "web.external_url is not set") {
		t.Errorf("the house is told: %s", inside)
	}
}
