package collector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// bundlesFor says which evidence helps with which alert: every row counts whose service (or what it begins with, where
// that ends in *) and label the alert has. An agent makes only what is built into it, of what it has itself reported
// (DESIGN D8), so a row too many costs nothing but the asking.
var bundlesFor = []struct {
	service, label string
	// bundle is asked for; its argument is the value of label, where it takes one.
	bundle string
	plain  bool // the bundle takes no argument
}{
	{"filesystem*", "mountpoint", "disk_usage", false},
	{"filesystem*", "mountpoint", "deleted_files", false},
	{"filesystem*", "", "kernel", true},
	{"memory*", "", "processes", true},
	{"memory*", "", "kernel", true},
	{"cpu", "", "processes", true},
	{"processes", "", "processes", true},
	{"file descriptors", "", "processes", true},
	{"file descriptors", "", "sockets", true},
	{"disk*", "", "processes", true},
	{"disk*", "", "kernel", true},
	{"raid*", "", "kernel", true},
	{"hardware", "", "kernel", true},
	{"network*", "", "kernel", true},
	{"connection tracking", "", "sockets", true},
	{"listening sockets", "", "sockets", true},
	{"*", "name", "logs", false},
	{"*", "groupname", "logs", true},
	{"*", "groupname", "kernel", true},
}

// bundleTitles are what the answers are called in a ticket, and the part of the record they belong to.
var bundleTitles = map[string]struct {
	title string
	part  ticket.Part
}{
	"disk_usage":    {"the largest directories and files", ticket.PartSymptoms},
	"deleted_files": {"deleted files that still take room", ticket.PartSymptoms},
	"processes":     {"who uses processor, memory and disks", ticket.PartSymptoms},
	"sockets":       {"who holds how many connections", ticket.PartSymptoms},
	"kernel":        {"the newest messages of the kernel", ticket.PartErrors},
	"logs":          {"the newest errors in log files", ticket.PartErrors},
}

const (
	// askEvery is how soon the same is asked again for want of an answer, askTries how often at most.
	askEvery = time.Minute
	askTries = 3
	// askFresh is how old an answer may be that serves a further alert; askTold how soon one incident is told the same
	// anew: an alert that flaps must not fill its ticket.
	askFresh = 5 * time.Minute
	askTold  = time.Hour
	// askForget is how long an ask is remembered after it was last wanted, askMost how many of one host are.
	askForget = 2 * time.Hour
	askMost   = 32
	// askSlack is by how much an agent's clock may be behind the collector's.
	askSlack = 5 * time.Second
)

// wanted is a bundle that an agent is asked for. It is soft: after a restart, alerts that become pending or begin to fire
// from then on are asked about.
type wanted struct {
	name, argument string
	// told are the incidents it is wanted for, with the time of the newest answer that their ticket has.
	told map[string]time.Time
	// open says that there is no answer yet, or none that is fresh.
	open             bool
	wantedAt, sentAt time.Time
	// since is when it was first asked for, since the answer before.
	since  time.Time
	tries  int
	answer *ingest.Table
}

// asks is what is wanted of each host. The zero value is ready.
type asks struct {
	mu   sync.Mutex
	host map[string][]*wanted
}

// want takes note of what helps with an alert of a host.
func (s *asks) want(a incident.Alert, now time.Time) {
	if a.Asset == "" || a.Expr == "" { // a host that is silent is not asked
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.host == nil {
		s.host = map[string][]*wanted{}
	}
	all := slices.DeleteFunc(s.host[a.Asset], func(w *wanted) bool { return now.Sub(w.wantedAt) > askForget })
	key := incident.KeyOf(a).String()
	for _, q := range helpful(a) {
		i := slices.IndexFunc(all, func(w *wanted) bool { return w.name == q.GetName() && w.argument == q.GetArgument() })
		if i < 0 {
			if len(all) >= askMost {
				continue
			}
			i, all = len(all), append(all, &wanted{name: q.GetName(), argument: q.GetArgument(), told: map[string]time.Time{}})
		}
		all[i].wantFor(key, now)
	}
	s.host[a.Asset] = all
}

func (w *wanted) wantFor(key string, now time.Time) {
	w.wantedAt = now
	told, known := w.told[key]
	if !known {
		w.told[key] = time.Time{}
	}
	fresh := w.answer != nil && now.Sub(w.answer.SampledAt) < askFresh
	if w.open || fresh || now.Sub(told) < askTold {
		return
	}
	w.open, w.tries, w.sentAt, w.since = true, 0, time.Time{}, time.Time{}
}

// helpful is what bundlesFor has for an alert.
func helpful(a incident.Alert) []*wire.BundleRequest {
	var out []*wire.BundleRequest
	for _, row := range bundlesFor {
		prefix, any := strings.CutSuffix(row.service, "*")
		value, has := a.Labels[row.label]
		if row.service != a.Service && !(any && strings.HasPrefix(a.Service, prefix)) || row.label != "" && !has {
			continue
		}
		q := &wire.BundleRequest{Name: row.bundle}
		if !row.plain {
			q.Argument = value
		}
		// A label called name is a unit only when it looks like one.
		if row.bundle == "logs" && !row.plain && path.Ext(value) == "" {
			continue
		}
		if !slices.ContainsFunc(out, func(o *wire.BundleRequest) bool { return o.Name == q.Name && o.Argument == q.Argument }) {
			out = append(out, q)
		}
	}
	return out
}

// ask is what an Ack to this host's agent should ask for now.
func (s *asks) ask(asset string, now time.Time) []*wire.BundleRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*wire.BundleRequest
	for _, w := range s.host[asset] {
		if !w.open || now.Sub(w.sentAt) < askEvery {
			continue
		}
		if w.tries++; w.tries > askTries {
			w.open = false
			continue
		}
		if w.sentAt = now; w.since.IsZero() {
			w.since = now
		}
		out = append(out, &wire.BundleRequest{Name: w.name, Argument: w.argument})
	}
	return out
}

// hear takes in the answers of a report. A report may have been overtaken by a newer one; what was made before it was
// asked for answers something else. To hear one twice changes nothing: that its tickets have it is what learn sees to.
func (s *asks) hear(r ingest.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range r.Bundles {
		for _, w := range s.host[r.Asset.Name] {
			old := w.since.IsZero() || b.Table.SampledAt.Before(w.since.Add(-askSlack)) ||
				w.answer != nil && !b.Table.SampledAt.After(w.answer.SampledAt)
			if w.name == b.Name && w.argument == b.Argument && !old {
				w.answer, w.open = &b.Table, false
			}
		}
	}
}

// news are the answers that an incident has not been told of.
type news struct {
	name, argument, key string
	table               ingest.Table
}

func (s *asks) untold(asset string) []news {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []news
	for _, w := range s.host[asset] {
		if w.answer == nil {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(w.told)) {
			if w.told[key].Before(w.answer.SampledAt) {
				out = append(out, news{w.name, w.argument, key, *w.answer})
			}
		}
	}
	return out
}

func (s *asks) tell(asset string, n news) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.host[asset] {
		if _, ok := w.told[n.key]; ok && w.name == n.name && w.argument == n.argument {
			w.told[n.key] = n.table.SampledAt
		}
	}
}

// wantAll asks about alerts that have just become pending or begun to fire, and brings to tickets that have just opened
// what has already been answered.
func (p *pipeline) wantAll(ctx context.Context, ts []rules.Transition, now time.Time) {
	fired := map[string]bool{}
	for _, t := range ts {
		if t.From == t.Alert.State || t.Alert.State == rules.Inactive {
			continue
		}
		a := p.alertOf(t)
		p.asks.want(a, now)
		if t.Alert.State == rules.Firing {
			fired[a.Asset] = true
		}
	}
	for _, asset := range slices.Sorted(maps.Keys(fired)) {
		if err := p.learn(ctx, asset); err != nil {
			p.log.Error("evidence that an agent gathered did not reach its ticket; it does with the next answer", "asset", asset, "err", err)
		}
	}
}

// learn adds what a host's agent answered to the open tickets that it is wanted for, each answer once.
func (p *pipeline) learn(ctx context.Context, asset string) error {
	for _, n := range p.asks.untold(asset) {
		open, err := p.openTicket(ctx, n.key)
		if errors.Is(err, store.ErrNotFound) {
			continue // the alert is pending: the ticket is told when it opens
		}
		if err != nil {
			return err
		}
		evidence := []ticket.Evidence{bundleEvidence(asset, n)}
		var did outcome
		now := p.now()
		err = p.store.Update(ctx, learnID(open, n), func(tx store.Tx) error {
			did = outcome{}
			t, ok, err := tx.OpenTicket(n.key)
			if err != nil || !ok || t.ID != open {
				return err // it was closed meanwhile
			}
			c, err := t.Learn(evidence, now)
			return p.append(tx, c, err, &did)
		})
		if err != nil {
			return fmt.Errorf("add %s of %s to its ticket: %w", n.name, asset, err)
		}
		p.asks.tell(asset, n)
		p.done(did)
	}
	return nil
}

// openTicket is the ID of the open ticket of an incident; store.ErrNotFound when none is open.
func (p *pipeline) openTicket(ctx context.Context, key string) (id string, err error) {
	err = p.store.View(ctx, func(tx store.Tx) error {
		t, ok, err := tx.OpenTicket(key)
		if err == nil && !ok {
			err = store.ErrNotFound
		}
		id = t.ID
		return err
	})
	return id, err
}

// learnID names the adding of one answer to one ticket for good.
func learnID(ticketID string, n news) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%d", ticketID, n.name, n.argument, n.table.SampledAt.UnixNano()))
	return "bundle-" + hex.EncodeToString(h[:16])
}

// bundleEvidence is an answer as a ticket keeps it.
func bundleEvidence(asset string, n news) ticket.Evidence {
	known := bundleTitles[n.name] // only what is in bundlesFor is ever asked for
	title := known.title
	switch {
	case n.argument != "" && n.name == "logs":
		title += ", and what they say of " + n.argument
	case n.argument != "":
		title += " of " + n.argument
	}
	e := tableEntry(title, n.table)
	e.Source = "agent on " + asset + ", " + n.name
	if len(n.table.Rows) == 0 {
		e.Text, e.Table = title+": none, because "+or(n.table.NoneBecause, "the agent gave no reason"), nil
	}
	return ticket.Evidence{Part: known.part, Entries: []ticket.Entry{e}, Salt: newSalt()}
}
