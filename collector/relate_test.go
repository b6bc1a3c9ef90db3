package collector

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

func (d *desk) reports(n int) (numbers []string) {
	d.t.Helper()
	for range n {
		made := d.open(ticket.Birth{Title: "it is slow", Report: &ticket.Report{Customer: "acme", Channel: "telephone"}})
		numbers = append(numbers, made.Number)
	}
	return numbers
}

func (d *desk) links(ref string, v ticket.Verb, relation, to string) error {
	d.t.Helper()
	_, err := d.Act(context.Background(), ref, ticket.Action{Verb: v, Relation: relation, Other: &ticket.Ticket{Opening: ticket.Opening{Number: to}}, Text: "x"},
		person("eve"))
	return err
}

// TestNoTicketIsItsOwnAncestor: however far up the other one stands, and whichever of the two is asked.
func TestNoTicketIsItsOwnAncestor(t *testing.T) {
	d := newDesk(t)
	n := d.reports(5)
	for i := 1; i < 4; i++ { // 3 below 2 below 1 below 0
		if err := d.links(n[i], ticket.LinkTo, ticket.ChildOf, n[i-1]); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		ref      string
		verb     ticket.Verb
		relation string
		to       string
	}{
		"child of its great-grandchild":  {n[0], ticket.LinkTo, ticket.ChildOf, n[3]},
		"child of its grandchild":        {n[0], ticket.LinkTo, ticket.ChildOf, n[2]},
		"parent of its grandparent":      {n[2], ticket.LinkTo, ticket.ParentOf, n[0]},
		"major above its grandparent":    {n[3], ticket.MarkMajor, "", n[0]},
		"merged into its own grandchild": {n[0], ticket.Merge, "", n[2]},
	} {
		t.Run(name, func(t *testing.T) {
			before := d.ticket(n[0]).Seq
			err := d.links(c.ref, c.verb, c.relation, c.to)
			if !errors.Is(err, ticket.ErrRefused) || !strings.Contains(err.Error(), "own ancestor") || d.ticket(n[0]).Seq != before {
				t.Errorf("%v, want a refusal that changes nothing", err)
			}
		})
	}
	if err := d.links(n[4], ticket.LinkTo, ticket.ChildOf, n[3]); err != nil {
		t.Errorf("one more below: %v", err)
	}
	if err := d.links(n[0], ticket.LinkTo, ticket.RelatedTo, n[3]); err != nil {
		t.Errorf("related: %v", err)
	}
}

// TestATicketHasSoManyChildren: no verb and no report opens more below a ticket than it keeps the state of.
func TestATicketHasSoManyChildren(t *testing.T) {
	d := newDesk(t)
	n := d.reports(1)
	err := d.store.Update(context.Background(), "", func(tx store.Tx) error {
		one, err := FindTicket(tx, n[0])
		for i := 0; err == nil && i < ticket.MaxChildren; i++ {
			var c ticket.Change
			child := ticket.Ticket{Opening: ticket.Opening{ID: strings.Repeat("x", i+1), Number: "WB-0", Kind: ticket.KindTask}, State: ticket.New}
			if c, err = one.ChildChanged(child, d.at); err == nil {
				err = tx.AppendTicket(c.Before, c.Ticket, c.Events)
				one = c.Ticket
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	before := d.ticket(n[0]).Seq
	_, err = d.Act(context.Background(), n[0], ticket.Action{Verb: ticket.Monitor, Text: "the disk"}, person("eve"))
	if !errors.Is(err, ticket.ErrRefused) || !strings.Contains(err.Error(), "children") {
		t.Errorf("a verb opened one more: %v", err)
	}
	parent := ticket.Ticket{Opening: ticket.Opening{Number: n[0]}}
	_, err = d.Open(context.Background(), ticket.Birth{Title: "more", Parent: &parent, Report: &ticket.Report{Customer: "acme"}}, person("eve"))
	if !errors.Is(err, ticket.ErrRefused) || !strings.Contains(err.Error(), "children") || d.ticket(n[0]).Seq != before {
		t.Errorf("a report opened one more: %v", err)
	}
}
