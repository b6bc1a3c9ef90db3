package collector

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// rehearse makes a collector that listens nowhere, keeps nothing and runs nothing: its rooms are called one after the other,
// at the times of now.
func rehearse(ctx context.Context, cfg Config, d fleet.Directory, groups []rules.Group, now func() time.Time) (*Collector, error) {
	c := &Collector{
		cfg: cfg, log: slog.New(slog.DiscardHandler), now: now, reg: prometheus.NewRegistry(), facts: newFacts(),
		started: now(), incarnation: 1, web: nowhere{}, agents: nowhere{}, rehearsal: true,
	}
	var err error
	if c.store, err = store.New(store.NewMemory(), store.Options{Now: now}); err != nil {
		return nil, err
	}
	book, err := loadPolicies(cfg.Policies.Directory)
	if err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		func() error { return c.openFleet(ctx, d) },
		func() error { return c.wire(ctx, groups, book) },
	} {
		if err := step(); err != nil {
			c.Close()
			return nil, err
		}
	}
	c.pipeline.audience.Store(&audience{receivers: []string{rehearsed}})
	return c, nil
}

// rehearsed is the one receiver of a rehearsal. Nothing is sent: what it would be told waits in the outbox.
const rehearsed = "rehearsal"

// nowhere is a listener that nobody reaches.
type nowhere struct{}

func (nowhere) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (nowhere) Close() error              { return nil }
func (nowhere) Addr() net.Addr            { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// play is one ticket test under way.
type play struct {
	run    TicketRun
	file   *ticketFile
	test   *ticketGroup
	groups []rules.Group

	c        *Collector
	sink     *sink
	now      time.Time
	lives    map[string]*testLife
	failures []rules.Failure
}

// testLife is how an asset is.
type testLife struct {
	quiet bool
	// failed are the samplers that cannot look, with their reasons.
	failed  map[string]string
	reports uint64
	first   time.Time
}

// moment is something that happens in a test.
type moment struct {
	at time.Duration
	// rank orders what happens at one time.
	rank int
	do   func(ctx context.Context) error
	what string
	line int
}

// What happens at one time happens in this order.
const (
	lives = iota
	reports
	evaluations
	deeds
	looks
)

func (p *play) perform(ctx context.Context) []rules.Failure {
	p.now, p.lives = p.test.StartTimestamp.From(), map[string]*testLife{}
	cfg := DefaultConfig()
	cfg.Evaluation.Interval, cfg.History.Retention = policy.Duration(p.file.EvaluationInterval), 0
	if p.run.Change != nil {
		p.run.Change(&cfg)
	}
	rules.SetMissing(p.groups, cfg.Rules.Missing)
	c, err := rehearse(ctx, cfg, p.test.directory, p.groups, func() time.Time { return p.now })
	if err != nil {
		p.fail(moment{at: -1, what: "the collector"}, err)
		return p.failures
	}
	defer c.Close()
	p.c = c
	c.silence.instead(p.signs)
	p.sink = c.newSink()
	for _, m := range p.moments() {
		p.now = p.test.StartTimestamp.From().Add(m.at)
		if err := m.do(ctx); err != nil {
			p.fail(m, err)
			break
		}
	}
	return p.failures
}

func (p *play) fail(m moment, err error) {
	p.failures = append(p.failures, rules.Failure{
		File: p.run.File, Test: p.test.title(), Line: m.line, At: m.at, What: m.what, Err: err,
	})
}

// moments are all that happens, in order.
func (p *play) moments() []moment {
	var out []moment
	t, last := p.test, p.test.last()
	for k, every := 0, time.Duration(t.Interval); time.Duration(k)*every <= last; k++ {
		out = append(out, moment{at: time.Duration(k) * every, rank: reports, what: "reports", do: func(ctx context.Context) error {
			return p.report(ctx, k)
		}})
	}
	for at, every := time.Duration(0), time.Duration(p.file.EvaluationInterval); at <= last; at += every {
		out = append(out, moment{at: at, rank: evaluations, what: "evaluation", do: p.evaluate})
	}
	for i, e := range t.Life {
		out = append(out, moment{
			at: time.Duration(e.At), rank: lives, what: fmt.Sprintf("life[%d]", i), line: t.line("life", i),
			do: func(ctx context.Context) error { return p.happen(ctx, e) },
		})
	}
	for i, a := range t.People {
		out = append(out, moment{
			at: time.Duration(a.At), rank: deeds, what: fmt.Sprintf("people[%d]", i), line: t.line("people", i),
			do: func(ctx context.Context) error { return p.act(ctx, a) },
		})
	}
	for i, x := range t.TicketTests {
		m := moment{at: time.Duration(x.EvalTime), rank: looks, what: "tickets", line: t.line("ticket_test", i)}
		m.do = func(ctx context.Context) error { return p.compare(ctx, m, x) }
		out = append(out, m)
	}
	out = slices.DeleteFunc(out, func(m moment) bool { return m.at > last })
	slices.SortStableFunc(out, func(a, b moment) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.rank, b.rank))
	})
	return out
}

func (p *play) life(asset string) *testLife {
	l := p.lives[asset]
	if l == nil {
		l = &testLife{failed: map[string]string{}}
		p.lives[asset] = l
	}
	return l
}

// signs are the signs of life of the hosts that have reported.
func (p *play) signs() []incident.Life {
	var out []incident.Life
	for _, a := range p.test.Assets {
		h, heard := p.c.facts.host(a.Name)
		if !heard || a.Kind == string(fleet.Device) {
			continue
		}
		out = append(out, incident.Life{
			Asset: a.Name, Customer: a.Customer, Site: a.Site, Heard: h.Heard, Word: incident.Report,
			Interval: cmp.Or(h.Interval, time.Duration(p.test.Interval)), Goodbye: h.Goodbye,
		})
	}
	return out
}

// report brings in report number k of every asset that speaks.
func (p *play) report(ctx context.Context, k int) error {
	for i := range p.test.Assets {
		a := &p.test.Assets[i]
		l := p.life(a.Name)
		if blocks := p.blocks(a, l, k); len(blocks) > 0 && !l.quiet {
			if err := p.bring(ctx, a, blocks, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *play) blocks(a *testAsset, l *testLife, k int) []window.Block {
	var out []window.Block
	for _, s := range a.samplers {
		series, values, has := s.at(k)
		if !has {
			continue
		}
		b := window.Block{Source: s.source, Kind: s.job, At: p.now, Interval: time.Duration(p.test.Interval)}
		if why, failed := l.failed[s.source]; failed {
			b.Status, b.Reason = window.Failed, why
		} else {
			b.Status, b.Layout, b.Values = window.OK, layoutOf(series), values
		}
		out = append(out, b)
	}
	return out
}

func layoutOf(series []labels.Labels) *window.Layout {
	h := sha256.New()
	for _, l := range series {
		fmt.Fprintf(h, "%d:%s", len(l.String()), l)
	}
	out := &window.Layout{Series: series}
	h.Sum(out.ID[:0])
	return out
}

// bring is a report's way in.
func (p *play) bring(ctx context.Context, a *testAsset, blocks []window.Block, goodbye *string) error {
	l := p.life(a.Name)
	if l.reports == 0 {
		l.first = p.now
	}
	l.reports++
	return p.sink.Apply(ctx, ingest.Report{
		Agent: fleet.Agent{ID: a.Name, Asset: a.Name, Customer: a.Customer, Site: a.Site, EnrolledAt: l.first},
		Asset: window.Asset{Name: a.Name, Customer: a.Customer, Site: a.Site},
		Epoch: 1, Sequence: l.reports, MadeAt: p.now, ReceivedAt: p.now, Blocks: blocks, Goodbye: goodbye,
	})
}

// happen is an event in the life of an asset.
func (p *play) happen(ctx context.Context, e lifeEvent) error {
	l := p.life(e.Asset)
	switch e.Event {
	case lifeGoodbye:
		l.quiet = true
		return p.bring(ctx, p.test.byName[e.Asset], nil, &e.Text)
	case lifeSilent:
		l.quiet = true
	case lifeBack:
		l.quiet = false
	case lifeFailed:
		l.failed[e.Source] = or(e.Text, "no reason given")
	case lifeMended:
		delete(l.failed, e.Source)
	}
	return nil
}

// evaluate does what the collector does by itself: rules, silence, deadlines.
func (p *play) evaluate(ctx context.Context) error {
	err := errors.Join(p.c.silence.look(ctx), p.c.evaluator.EvaluateOnce(ctx, p.now))
	for err == nil {
		var next time.Time
		if next, err = p.c.pipeline.elapse(ctx); next.IsZero() || next.After(p.now) {
			break
		}
	}
	return err
}

// act does what a person does.
func (p *play) act(ctx context.Context, a personAct) error {
	all, err := p.tickets(ctx)
	if err != nil {
		return err
	}
	slices.Reverse(all)
	i := slices.IndexFunc(all, func(t ticket.Ticket) bool { return t.Asset == a.Asset && t.Service == a.Service })
	if i < 0 {
		return fmt.Errorf("there is no ticket of asset %q and service %q yet: want one to %s", a.Asset, a.Service, a.Verb)
	}
	by := ticket.By{Actor: ticket.Actor{Kind: ticket.Person, Name: "somebody"}}
	_, err = p.c.pipeline.Act(ctx, all[i].ID, ticket.Action{Verb: a.Verb, Text: a.Text}, by)
	return err
}

// tickets are all of them, oldest first.
func (p *play) tickets(ctx context.Context) (all []ticket.Ticket, err error) {
	err = p.c.store.View(ctx, func(tx store.Tx) (err error) {
		all, err = tx.Tickets(store.TicketFilter{Limit: 100_000})
		return err
	})
	slices.SortStableFunc(all, func(a, b ticket.Ticket) int {
		return cmp.Or(cmp.Compare(len(a.Number), len(b.Number)), strings.Compare(a.Number, b.Number))
	})
	return all, err
}

// told is what is told of tickets, by ticket and in order.
func (p *play) told(ctx context.Context) (map[string][]string, error) {
	out := map[string][]string{}
	err := p.c.store.View(ctx, func(tx store.Tx) error {
		all, err := tx.Messages(outbox.Queued, 100_000)
		slices.SortFunc(all, func(a, b outbox.Message) int { return strings.Compare(a.ID, b.ID) })
		for _, m := range all {
			out[m.Ticket] = append(out[m.Ticket], m.What)
		}
		return err
	})
	return out, err
}

// compare compares the tickets there are with those that are expected.
func (p *play) compare(ctx context.Context, m moment, x ticketTest) error {
	all, err := p.tickets(ctx)
	if err != nil {
		return err
	}
	told, err := p.told(ctx)
	if err != nil {
		return err
	}
	var there []foundTicket
	for _, t := range all {
		there = append(there, found(t, told[t.ID], p.test.StartTimestamp.From()))
	}
	want, got := compareTickets(x.ExpTickets, there)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		p.failures = append(p.failures, rules.Failure{
			File: p.run.File, Test: p.test.title(), Line: m.line, At: m.at, What: m.what, Want: want, Got: got,
		})
	}
	return nil
}
