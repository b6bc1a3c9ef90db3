package collector

import (
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/bolt"
	"github.com/watchbill/watchbill/collector/ticket"
)

// oldStore is a collector on the store that the last release of format 1 left in testdata: of forty hosts, WB-1001 was closed
// days ago, WB-1002 is acknowledged, WB-1003 resolved and not closed yet, WB-1004 flaps, WB-1005 is the head of a storm, and
// WB-1006 to WB-1030 are its tickets, of which the first five are resolved.
func oldStore(t *testing.T) *weather {
	t.Helper()
	f, err := os.Open("testdata/format-1-desk.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(unzipped)
	if err != nil {
		t.Fatal(err)
	}
	w := newWeather(t, 40)
	w.at = time.Date(2026, 11, 28, 10, 15, 20, 0, time.UTC) // when it was left
	w.Close()
	if err := os.WriteFile(filepath.Join(w.cfg.Storage.Path, StoreName), content, 0o600); err != nil {
		t.Fatal(err)
	}
	w.restart(40)
	return w
}

func (w *weather) byNumber(number string) (out ticket.Ticket) {
	w.t.Helper()
	w.view(func(tx store.Tx) (err error) {
		out, err = tx.TicketByNumber(number)
		return err
	})
	return out
}

// TestOldStoreIsBroughtOver: what the release before left is backed up, and everything of it can be read: every ticket, its
// timeline, which folds to what is kept, and the lists that it stands in.
func TestOldStoreIsBroughtOver(t *testing.T) {
	w := oldStore(t)
	info, err := bolt.VerifyBackup(bolt.MigrationBackup(filepath.Join(w.cfg.Storage.Path, StoreName), 1))
	if err != nil || info.Facts.Format != 1 || !info.Sealed() {
		t.Errorf("the backup of what it was: %+v, %v", info, err)
	}
	all := w.tickets(store.TicketFilter{})
	if len(all) != 30 {
		t.Fatalf("%d tickets, want 30", len(all))
	}
	w.view(func(tx store.Tx) error {
		for _, kept := range all {
			line, err := tx.Timeline(kept.ID)
			if err != nil {
				return err
			}
			folded, err := ticket.Fold(line)
			if err != nil {
				t.Errorf("%s: %v", kept.Number, err)
			}
			if diff := cmp.Diff(kept, folded); diff != "" {
				t.Errorf("%s is not what its timeline says (- kept, + folded):\n%s", kept.Number, diff)
			}
		}
		return nil
	})
	for name, c := range map[string]struct {
		f    store.TicketFilter
		want int
	}{
		"the queue":      {store.TicketFilter{Order: store.InQueue}, 23},
		"open":           {store.TicketFilter{OpenOnly: true}, 23},
		"a customer's":   {store.TicketFilter{Customer: "customer00"}, 30},
		"in a scope":     {store.TicketFilter{Scope: &store.Scope{Customers: []string{"customer00"}}, Order: store.InQueue}, 23},
		"out of scope":   {store.TicketFilter{Scope: &store.Scope{Customers: []string{"other"}}}, 0},
		"folded":         {store.TicketFilter{Folded: true}, 5},
		"of the storm":   {store.TicketFilter{Storm: w.byNumber("WB-1005").ID}, 25},
		"closed":         {store.TicketFilter{State: ticket.Shut}, 1},
		"resolved":       {store.TicketFilter{State: ticket.Done}, 6},
		"of one host":    {store.TicketFilter{Asset: "host00039"}, 1},
		"acknowledged":   {store.TicketFilter{State: ticket.Acked}, 1},
		"of nobody's":    {store.TicketFilter{Assignee: "nobody"}, 0},
		"heads of storm": {store.TicketFilter{Kind: ticket.KindStorm}, 1},
	} {
		if got := w.tickets(c.f); len(got) != c.want {
			t.Errorf("%s: %d tickets, want %d", name, len(got), c.want)
		}
	}
}

// TestOldStoreGoesOn: what was under way when the release before stopped goes on under this one: the storm takes in who joins
// it, flapping comes to its end, what recovered is closed and what still fails reopened, what was closed is followed up, and people work on it.
func TestOldStoreGoesOn(t *testing.T) {
	w := oldStore(t)
	w.sent()
	w.later(time.Second)
	w.view(func(tx store.Tx) error {
		if some, err := tx.Unplaced(1); err != nil || len(some) > 0 {
			t.Errorf("without a place in the queue after the first look: %v, %v", some, err)
		}
		return nil
	})
	w.strike(25, 27)
	if members := w.tickets(store.TicketFilter{Storm: w.byNumber("WB-1005").ID}); len(members) != 27 {
		t.Errorf("%d tickets in the storm after two more joined its 25", len(members))
	}
	ada := ticket.By{Actor: ticket.Actor{Kind: ticket.Person, Name: "ada"}}
	for _, a := range []ticket.Action{{Verb: ticket.Note, Text: "seen"}, {Verb: ticket.Ack}, {Verb: ticket.Resolve, Text: "mended"}} {
		if _, err := w.pipeline.Act(context.Background(), "WB-1002", a, ada); err != nil && a.Verb != ticket.Ack {
			t.Errorf("%s: %v", a.Verb, err)
		}
	}
	w.later(12 * time.Minute)
	if flapped := w.byNumber("WB-1004"); !flapped.Flap.Since.IsZero() || !flapped.State.Open() {
		t.Errorf("after a quarter of an hour without a change it flaps since %v and is %s", flapped.Flap.Since, flapped.State)
	}
	w.later(25 * time.Hour)
	for number, want := range map[string]ticket.State{"WB-1002": ticket.Again, "WB-1003": ticket.Shut, "WB-1006": ticket.Shut, "WB-1010": ticket.Shut} {
		if got := w.byNumber(number); got.State != want {
			t.Errorf("%s is %s, want %s", number, got.State, want)
		}
	}
	w.strike(38, 39)
	again := w.tickets(store.TicketFilter{Asset: "host00038"})
	if len(again) != 2 || !slices.ContainsFunc(again[0].Links, func(l ticket.Link) bool { return l.Number == "WB-1001" }) {
		t.Errorf("the host whose ticket was closed fails again: %d tickets, the newest with links %v", len(again), again[0].Links)
	}
	if said, texts := w.sent(); !strings.Contains(strings.Join(said, " "), "opened") || texts == "" {
		t.Errorf("what was told meanwhile: %v, of storms %q", said, texts)
	}
}
