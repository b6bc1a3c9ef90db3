package collector

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// TestTermsAreKeptOrRefused: the document of a ticket's terms is kept with it, and a ticket whose terms are not those that it
// was decided by is not written.
func TestTermsAreKeptOrRefused(t *testing.T) {
	d := newDesk(t)
	ts, err := d.agreements.at("acme", d.at)
	if err != nil {
		t.Fatal(err)
	}
	keep := func(digest string) error {
		return d.store.Update(context.Background(), "", func(tx store.Tx) error {
			return d.agreements.keep(tx, ticket.Ticket{Opening: ticket.Opening{Number: "WB-1"}, Work: ticket.Work{Terms: digest}}, ts)
		})
	}
	if err := keep("of another document"); err == nil || !strings.Contains(err.Error(), "WB-1") {
		t.Errorf("kept terms that are not the ticket's: %v", err)
	}
	if err := keep(ts.Ticket.Digest); err != nil {
		t.Fatal(err)
	}
	d.view(func(tx store.Tx) error {
		if _, ok, err := tx.Terms(ts.Ticket.Digest); !ok || err != nil {
			t.Errorf("the document is not there: %v", err)
		}
		return nil
	})
}

// TestDocumentsOfTermsAreCounted: each document is kept and counted once, however often it is used, and that there are many
// is said.
func TestDocumentsOfTermsAreCounted(t *testing.T) {
	d := newDesk(t)
	var log bytes.Buffer
	d.agreements.log = slog.New(slog.NewTextHandler(&log, nil))
	tally := func(name string) (n int) {
		t.Helper()
		d.view(func(tx store.Tx) (err error) {
			n, err = tx.Tally(name)
			return err
		})
		return n
	}
	before, size := tally(tallyTerms), tally(tallyTermsBytes)
	put := func(n int) {
		t.Helper()
		digest, document := fmt.Sprint("digest ", n), []byte(strings.Repeat("x", 100))
		ts := &terms{document: document}
		ts.Ticket.Digest = digest
		if err := d.store.Update(context.Background(), "", func(tx store.Tx) error {
			return d.agreements.keep(tx, ticket.Ticket{Opening: ticket.Opening{Number: fmt.Sprint("WB-", n)}, Work: ticket.Work{Terms: digest}}, ts)
		}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		put(1)
		put(2)
	}
	if n, s := tally(tallyTerms)-before, tally(tallyTermsBytes)-size; n != 2 || s != 200 {
		t.Errorf("%d documents of %d bytes are counted, want 2 of 200", n, s)
	}
	if log.Len() > 0 {
		t.Errorf("two documents are warned of: %s", log.String())
	}
	if err := d.store.Update(context.Background(), "", func(tx store.Tx) error {
		return tx.AddTally(tallyTerms, manyDocuments-1-before-2)
	}); err != nil {
		t.Fatal(err)
	}
	put(3)
	if said := log.String(); !strings.Contains(said, "documents=1000") || !strings.Contains(said, "WB-3") {
		t.Errorf("of a thousand documents the log says %q", said)
	}
	shown := strings.NewReader(`# HELP watchbill_terms_documents Documents of terms that the store keeps, one for every agreement that tickets were opened under or moved to; none is ever removed.
# TYPE watchbill_terms_documents gauge
watchbill_terms_documents 1000
`)
	if err := testutil.CollectAndCompare(&tallyGauges{d.store}, shown, "watchbill_terms_documents"); err != nil {
		t.Error(err)
	}
}

// TestTermsInMemoryAreBounded: as many customers as there may be, each with terms of their own, do not fill memory.
func TestTermsInMemoryAreBounded(t *testing.T) {
	d := newDesk(t)
	d.agreements.mu.Lock()
	for i := range maxTerms {
		one := &terms{}
		id := fmt.Sprint("customer ", i)
		d.agreements.known[id], d.agreements.kept[id], d.agreements.newest[id] = one, true, resolution{terms: one}
	}
	d.agreements.mu.Unlock()
	if _, err := d.agreements.at("acme", d.at); err != nil {
		t.Fatal(err)
	}
	if n := len(d.agreements.known) + len(d.agreements.newest) + len(d.agreements.kept); n > 10 {
		t.Errorf("%d are kept in memory although all were customers'", n)
	}
	d.fire("web1", "DiskFull", "critical", rules.Firing)
	if got := d.ticket("WB-1001"); got.Policy != "erp-partner" {
		t.Errorf("opened under %s", got.Policy)
	}
}

// TestReloadIsCheckedWithWhatCommandsDeclared: a contract that a command declared keeps policies from coming into force that
// it cannot hold under, and nothing else of that reload takes effect.
func TestReloadIsCheckedWithWhatCommandsDeclared(t *testing.T) {
	s, log := reloaded(t, func(*Config) {})
	made := fleet.Customer{ID: "made", Contracts: []fleet.Contract{{ID: "m-1", Sets: []string{"no-such-set"}}}}
	if err := s.fleet.PutCustomer(t.Context(), made, "ann"); err != nil {
		t.Fatal(err)
	}
	before := s.pipeline.Policies()
	_, err := s.Reload(t.Context())
	if err == nil || !strings.Contains(err.Error(), "m-1") || !strings.Contains(err.Error(), "no-such-set") {
		t.Fatalf("reloaded: %v, want the contract and its set named", err)
	}
	if s.pipeline.Policies() != before {
		t.Error("the policies are others")
	}
	s.doubtMade(before)
	if text := log.String(); !strings.Contains(text, "m-1") || !strings.Contains(text, "command declared") {
		t.Errorf("a start says %q", text)
	}
	made.Contracts[0].Sets = []string{"erp-partner"}
	if err := s.fleet.PutCustomer(t.Context(), made, "ann"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reload(t.Context()); err != nil || s.pipeline.Policies() == before {
		t.Errorf("mended: %v", err)
	}
}

// TestARefusedReloadChangesNothingByHalf: where the fleet does not fit what commands declared, quotas and policies stay too.
func TestARefusedReloadChangesNothingByHalf(t *testing.T) {
	s, _ := reloaded(t, func(c *Config) { c.Agents.Door.PerSecond = 10 })
	spread := s.ingest.SpreadFor(1000)
	if err := s.fleet.PutCustomer(t.Context(), fleet.Customer{ID: "made", Sites: []fleet.Site{{ID: "x", Assets: []fleet.Asset{{Name: "twice"}}}}}, "ann"); err != nil {
		t.Fatal(err)
	}
	s.o.Directory.Customers = append([]fleet.Customer{{ID: "filed", Sites: []fleet.Site{{ID: "y", Assets: []fleet.Asset{{Name: "twice"}}}}}},
		s.o.Directory.Customers...)
	before := s.pipeline.Policies()
	if _, err := s.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Fatalf("reloaded: %v, want the asset that is there twice", err)
	}
	if got := s.ingest.SpreadFor(1000); got != spread {
		t.Errorf("the refused configuration's bounds are in force: agents spread over %v, before over %v", got, spread)
	}
	if _, there := s.fleet.Customer("filed"); there || s.pipeline.Policies() != before {
		t.Error("the refused configuration's fleet or policies are in force")
	}
}

// TestOverridesOutlastEachOther: of overrides made at the same time all are in force, whichever was read first, and those
// that ended long ago are gone.
func TestOverridesOutlastEachOther(t *testing.T) {
	d := newDesk(t)
	old := store.Override{ID: "old", Rota: "web-host-on-call", Person: "eve", From: d.at.Add(-50 * 24 * time.Hour), Until: d.at.Add(-40 * 24 * time.Hour)}
	if err := d.store.Update(context.Background(), "", func(tx store.Tx) error { return tx.PutOverride(old) }); err != nil {
		t.Fatal(err)
	}
	const together = 16
	var all sync.WaitGroup
	for i := range together {
		all.Go(func() {
			if _, err := d.Override(context.Background(), route.Override{Rota: "web-host-on-call", Person: "eve", Reason: "ill",
				From: d.at.Add(time.Duration(i) * time.Hour), Until: d.at.Add(time.Duration(i+1) * time.Hour)}, person("ann")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := d.Overrides(); len(got) != together {
		t.Errorf("%d are in force, want %d", len(got), together)
	}
	d.view(func(tx store.Tx) error {
		kept, err := tx.Overrides()
		if len(kept) != together {
			t.Errorf("%d are kept, want %d: the one that ended forty days ago is not among them", len(kept), together)
		}
		return err
	})
}

// TestOverridesWhileTheyAreRead: who is on call is asked while overrides are made and dropped, the rotas being made anew every
// time, and is one of those that may be. Run with -race it fails where either side takes no lock.
func TestOverridesWhileTheyAreRead(t *testing.T) {
	d := newDesk(t)
	const rota, rounds = "web-host-on-call", 40
	night := d.at.Add(10 * time.Hour)
	ctx := t.Context()
	done := make(chan struct{})
	var writer, readers sync.WaitGroup
	writer.Go(func() {
		for range rounds {
			made, err := d.Override(ctx, route.Override{Rota: rota, Person: "tom", Reason: "ill", From: night.Add(-time.Hour), Until: night.Add(time.Hour)}, person("ann"))
			if err == nil {
				err = d.DropOverride(ctx, made.ID)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				d.oncall.stale()
				if r, ok := d.oncall.at(night)[rota]; !ok {
					t.Error("there is no rota")
				} else {
					r.OnDuty(night)
				}
				for _, o := range d.Overrides() {
					if o.Rota != rota || o.Person != "tom" || o.ID == "" {
						t.Errorf("half an override: %+v", o)
					}
				}
			}
		})
	}
	writer.Wait()
	close(done)
	readers.Wait()
	if left := d.Overrides(); len(left) > 0 {
		t.Errorf("left: %+v", left)
	}
}
