package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// terms are a resolved policy made ready: its calendar is expanded, its document is as the store keeps it.
type terms struct {
	policy.Resolved
	document []byte
}

// maxTerms bounds the documents that are kept in memory; those beyond it are read from the store again.
const maxTerms = 4096

// manyDocuments is after how many documents of terms in the store, and again after as many more, it is warned of them. They
// are never more than there are tickets, and of some kilobytes each.
const manyDocuments = 1000

// agreements are the terms that tickets go by. A new ticket gets those that the policies and its customer's contract come
// to; they are kept in the store with the first ticket that uses them, under their digest, and every later change of that
// ticket goes by them, whatever the policies became since.
type agreements struct {
	fleet *fleet.Registry
	log   *slog.Logger
	// learn hears of terms that were not known before; nil when nobody wants to. It asks nothing of agreements.
	learn func(ticket.Terms)

	mu   sync.Mutex
	book *policy.Book
	// known are terms by digest, kept those of them that the store is known to have.
	known map[string]*terms
	kept  map[string]bool
	// newest are the customers' terms as they were resolved last, bare those of no contract.
	newest map[string]resolution
	bare   *terms
}

// resolution is what a customer's terms were resolved from, and what came of it.
type resolution struct {
	department, zone string
	contract         *fleet.Contract
	terms            *terms
}

func newAgreements(book *policy.Book, f *fleet.Registry, log *slog.Logger) *agreements {
	return &agreements{
		fleet: f, log: log, book: book,
		known: map[string]*terms{}, kept: map[string]bool{}, newest: map[string]resolution{},
	}
}

// load puts a book into force: for tickets that open from now on, and for those that a person re-bases.
func (g *agreements) load(book *policy.Book) { g.swap(book, func() {}) }

// swap puts a book into force together with what show shows, which is the fleet that it goes with: no ticket opens under the
// one with the other.
func (g *agreements) swap(book *policy.Book, show func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	show()
	g.book, g.bare = book, nil
	clear(g.newest)
}

// policies is the book in force.
func (g *agreements) policies() *policy.Book {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.book
}

// at are a customer's terms now. A contract that cannot be resolved never keeps a ticket from opening: a check refuses it
// before it comes into force, and if one does all the same the set for customers without a contract holds.
func (g *agreements) at(customer string, now time.Time) (*terms, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := policy.Request{Customer: fleet.Customer{ID: customer}}
	if c, ok := g.fleet.Customer(customer); ok {
		r.Customer = c
		if k, ok := g.fleet.ContractAt(customer, now); ok {
			r.Contract = &k
		}
	}
	last, ok := g.newest[customer]
	if ok && last.department == r.Customer.Department && last.zone == r.Customer.Zone && reflect.DeepEqual(last.contract, r.Contract) {
		return last.terms, nil
	}
	t, err := g.resolve(r)
	if err != nil && r.Contract != nil {
		g.log.Error("a contract's terms are not to be used; tickets of this customer open as without a contract", "customer", customer,
			"contract", r.Contract.ID, "err", err)
		t, err = g.resolve(policy.Request{Customer: r.Customer})
	}
	if err != nil {
		return nil, err
	}
	g.newest[customer] = resolution{department: r.Customer.Department, zone: r.Customer.Zone, contract: r.Contract, terms: t}
	return t, nil
}

// ofSet are the terms of a set by itself, of no customer.
func (g *agreements) ofSet(set string) (*terms, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := "set " + set // no customer's ID has a space
	if last, ok := g.newest[key]; ok {
		return last.terms, nil
	}
	t, err := g.resolve(policy.Request{Contract: &fleet.Contract{Sets: []string{set}}})
	if err == nil {
		g.newest[key] = resolution{terms: t}
	}
	return t, err
}

// resolve makes terms of what is in force. The caller holds mu.
func (g *agreements) resolve(r policy.Request) (*terms, error) {
	res, err := g.book.Resolve(r)
	if err != nil {
		return nil, err
	}
	_, document, err := res.Document() // the digest is in the terms already
	if err != nil {
		return nil, err
	}
	return g.ready(res, document)
}

// ready makes terms ready and remembers them. The caller holds mu.
func (g *agreements) ready(res policy.Resolved, document []byte) (*terms, error) {
	if t, ok := g.known[res.Ticket.Digest]; ok {
		return t, nil
	}
	ready, err := res.Ticket.Ready()
	if err != nil {
		return nil, err
	}
	res.Ticket = ready
	t := &terms{Resolved: res, document: document}
	if len(g.known) >= maxTerms {
		g.forget()
	}
	g.known[ready.Digest] = t
	if g.learn != nil {
		g.learn(ready)
	}
	return t, nil
}

// forget drops the terms that no customer has now; tickets that go by them read them from the store again. Where customers
// have that many among them, theirs are resolved again when they are asked for.
func (g *agreements) forget() {
	used := map[*terms]bool{g.bare: true}
	for _, r := range g.newest {
		used[r.terms] = true
	}
	if len(used) >= maxTerms {
		clear(g.newest)
		used = map[*terms]bool{g.bare: true}
	}
	maps.DeleteFunc(g.known, func(_ string, t *terms) bool { return !used[t] })
	clear(g.kept) // what the store has is put there again, which changes nothing
}

// of are the terms that a ticket goes by: those of its digest. A ticket that was opened before there were any goes by what
// its customer would have without a contract.
func (g *agreements) of(tx store.Tx, t ticket.Ticket) (*terms, error) {
	if t.Terms == "" {
		return g.withoutContract()
	}
	g.mu.Lock()
	known, ok := g.known[t.Terms]
	g.mu.Unlock()
	if ok {
		return known, nil
	}
	document, ok, err := tx.Terms(t.Terms)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, fmt.Errorf("terms of ticket %s: %w: the store has no document %s; restore a backup that has it", t.Number,
			store.ErrNotFound, t.Terms)
	}
	res, err := policy.ReadDocument(document)
	if err != nil {
		return nil, fmt.Errorf("terms of ticket %s: %w", t.Number, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ready(res, document)
}

// withoutContract are the terms where there is no contract.
func (g *agreements) withoutContract() (*terms, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var err error
	if g.bare == nil {
		g.bare, err = g.resolve(policy.Request{})
	}
	return g.bare, err
}

// keep puts the document of a ticket's terms into the store, unless it is known to be there. A ticket whose terms are not
// those that it was decided by must not be written: nobody could ever say what it goes by.
func (g *agreements) keep(tx store.Tx, t ticket.Ticket, ts *terms) error {
	if t.Terms == "" {
		return nil
	}
	if t.Terms != ts.Ticket.Digest {
		return fmt.Errorf("keep terms of ticket %s: it goes by document %s and was decided by %s", t.Number, t.Terms, ts.Ticket.Digest)
	}
	g.mu.Lock()
	kept := g.kept[t.Terms]
	g.mu.Unlock()
	if kept {
		return nil
	}
	if _, there, err := tx.Terms(t.Terms); err != nil || there {
		return err
	}
	n, err := tx.Tally(tallyTerms)
	if err != nil {
		return err
	}
	if n++; n%manyDocuments == 0 {
		g.log.Warn("the store keeps many documents of terms, each for the tickets that go by it and for good: a contract or a policy set "+
			"that differs whenever it is read makes one for every ticket; look at what changes", "documents", n, "ticket", t.Number,
			"policy", t.Policy)
	}
	return errors.Join(tx.PutTerms(t.Terms, ts.document), tx.AddTally(tallyTerms, 1), tx.AddTally(tallyTermsBytes, len(ts.document)))
}

// committed notes that the store has the documents of these changes' terms.
func (g *agreements) committed(changes []ticket.Change) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range changes {
		if c.Ticket.Terms != "" {
			g.kept[c.Ticket.Terms] = true
		}
	}
}

// loadPolicies reads the shipped policy sets, and those of a directory when one is named.
func loadPolicies(dir string) (*policy.Book, error) {
	if dir == "" {
		return policy.Shipped()
	}
	return policy.Load(dir)
}

// agree puts policies and the overrides that people made of rotas into force.
func (p *pipeline) agree(ctx context.Context, book *policy.Book) error {
	p.agreements = newAgreements(book, p.fleet, p.log)
	p.agreements.learn = p.metrics.desk.expect
	p.directory, p.zones = directory{p.fleet}, &zones{}
	p.oncall = &oncall{agreements: p.agreements, people: p.directory, log: p.log}
	return p.oncall.load(ctx, p.store)
}

// forOpening are terms as a ticket is opened with: when its alerts flap is the operator's, not the policy's.
func (t *terms) forOpening(f incident.Flapping) ticket.Terms {
	out := t.Ticket
	out.Flapping = f
	return out
}

// checkContracts resolves every contract of a directory, and the terms of those without one. The error names every one that
// cannot be put into force, with its place.
func checkContracts(book *policy.Book, d fleet.Directory) []error {
	errs := checkCustomers(book, d.Customers)
	if err := resolves(book, policy.Request{}); err != nil {
		errs = append([]error{err}, errs...)
	}
	return errs
}

// checkMade is checkContracts of what commands declared: the policies may have changed since they did.
func checkMade(book *policy.Book, whole fleet.Directory) []error {
	return checkCustomers(book, slices.DeleteFunc(slices.Clone(whole.Customers), func(c fleet.Customer) bool { return c.MadeBy == "" }))
}

func checkCustomers(book *policy.Book, all []fleet.Customer) (errs []error) {
	for _, c := range all {
		for i := range c.Contracts {
			if err := resolves(book, policy.Request{Customer: c, Contract: &c.Contracts[i]}); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errs
}

func resolves(book *policy.Book, r policy.Request) error {
	res, err := book.Resolve(r)
	if err == nil {
		_, err = res.Ticket.Ready()
	}
	return err
}
