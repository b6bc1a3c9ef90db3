package collector

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules"
)

// This file sets the stage of a scenario: a pipeline over a store in memory, with the fleet and the policies in force.

// everyReceiver is a receiver of nobody's own: what reaches it is told to all of the configuration.
const everyReceiver = "every receiver"

// countedEngine counts what is written, so that what did not change need not be read again.
type countedEngine struct {
	*store.Memory
	writes int
}

// Update implements store.Engine.
func (e *countedEngine) Update(ctx context.Context, fn func(store.KV) error) error {
	e.writes++
	return e.Memory.Update(ctx, fn)
}

// clock is the scenario's.
func (w *world) clock() time.Time { return w.now }

// start makes the pipeline, of what the store has: at the beginning, and when the collector comes back. What it kept in
// memory is gone then.
func (w *world) start(ctx context.Context) error {
	s, err := store.New(w.engine, store.Options{Now: w.clock})
	if err != nil {
		return err
	}
	d, err := w.declared()
	if err != nil {
		return err
	}
	w.fleet = fleet.NewRegistry(store.Keeper(s), fleet.Options{})
	if err := w.fleet.SetDirectory(d); err != nil {
		return err
	}
	w.p = &pipeline{store: s, fleet: w.fleet, wake: func() {}, metrics: newMetrics(prometheus.NewRegistry()),
		log: slog.New(&w.complaints), now: w.clock}
	if err := w.p.agree(ctx, w.premise.Book()); err != nil {
		return err
	}
	w.p.evidence = gatherer{facts: newFacts(), fleet: w.fleet, store: s, zones: w.p.zones,
		failing: func(string) []failing { return nil }, standing: func() []rules.Transition { return nil }}
	w.p.tell(w.configured())
	return nil
}

// declare puts what is in force now into force, as a reload does.
func (w *world) declare() error {
	d, err := w.declared()
	if err != nil {
		return err
	}
	if err := w.fleet.SetDirectory(d); err != nil {
		return err
	}
	w.p.agreements.load(w.premise.Book())
	w.p.oncall.stale()
	w.p.tell(w.configured())
	return nil
}

// declared is the directory in force. Contracts that the collector would not take are refused as soon as one is needed.
func (w *world) declared() (fleet.Directory, error) {
	d, err := w.premise.Directory()
	w.addresses, w.refused = addressesOf(d), errors.Join(checkContracts(w.premise.Book(), running(d, w.now))...)
	return d, err
}

// configured is a configuration that has every receiver which the directory and the sets name.
func (w *world) configured() Config {
	cfg := DefaultConfig()
	cfg.Web.ExternalURL = "https://watch.example"
	names := []string{everyReceiver}
	for _, a := range w.addresses {
		names = append(names, a.receivers...)
	}
	for _, s := range w.premise.Book().Sets() {
		names = append(names, recipients(s)...)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		cfg.Receivers = append(cfg.Receivers, notify.Receiver{Name: name})
	}
	return cfg
}

// recipients are the receivers that a set names.
func recipients(s policy.Set) []string {
	var out []string
	add := func(to []policy.Recipient) {
		for _, r := range to {
			if r.Receiver != "" && r.Receiver != "all" {
				out = append(out, r.Receiver)
			}
		}
	}
	for _, n := range s.Notices {
		add(n.To)
	}
	for _, r := range s.Ladder {
		add(r.To)
	}
	return out
}

// address is somebody with the receivers that reach them.
type address struct {
	names     []string
	receivers []string
}

// addressesOf are all people of a directory.
func addressesOf(d fleet.Directory) []address {
	var out []address
	add := func(p route.Person) {
		var names []string
		for _, n := range []string{p.ID, p.Name, p.Email} {
			if n != "" {
				names = append(names, n)
			}
		}
		out = append(out, address{names, p.Receivers})
	}
	contacts := func(all []fleet.Contact) {
		for _, c := range all {
			add(route.Person{Name: c.Name, Email: c.Email, Receivers: c.Receivers})
		}
	}
	for _, p := range d.People {
		add(route.Person{ID: p.ID, Name: p.Name, Email: p.Email, Receivers: p.Receivers})
	}
	contacts(d.Contacts)
	for _, dep := range d.Departments {
		contacts(dep.Contacts)
	}
	for _, c := range d.Customers {
		contacts(c.Contacts)
	}
	return out
}

// complaints are what the pipeline logs as an error: in a scenario nothing may go wrong unseen.
type complaints struct{ said []string }

// Enabled implements slog.Handler.
func (*complaints) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }

// Handle implements slog.Handler.
func (c *complaints) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	c.said = append(c.said, text)
	return nil
}

// WithAttrs implements slog.Handler; WithGroup too.
func (c *complaints) WithAttrs([]slog.Attr) slog.Handler { return c }

// WithGroup implements slog.Handler.
func (c *complaints) WithGroup(string) slog.Handler { return c }
