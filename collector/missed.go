package collector

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/history"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// maxMissedCurves bounds the curves of one ticket about what nobody saw.
const maxMissedCurves = 12

// missed reads what the ticket of an asset is to say of what a review found, which may take as long as evidence may, and
// returns what brings it there, unless it is nothing, in one transaction with what else has to be done then.
func (p *pipeline) missed(ctx context.Context, u evaluate.Unseen) (tell func(ctx context.Context, then func(store.Tx) error) error, err error) {
	now := p.now()
	if u, err = p.setApart(ctx, u); err != nil {
		return nil, err
	}
	m := missedOf(u)
	something := m.Alerts > 0 || m.Unjudged != ""
	a := incident.Unseen(m)
	var ev []ticket.Evidence
	if something {
		looking, cancel := context.WithTimeout(ctx, evidenceBudget)
		defer cancel()
		ev = p.evidence.missed(looking, a, u, now)
	}
	return func(ctx context.Context, then func(store.Tx) error) error {
		var did outcome
		err := p.store.Update(ctx, "unseen-"+a.ID, func(tx store.Tx) error {
			did = outcome{}
			if err := then(tx); err != nil || !something {
				return err
			}
			if len(p.mutes.muter.Load().By(a, now)) > 0 { // it is over: what ended while it was muted opens nothing
				p.mutes.counts.muted.Add(1)
				return nil
			}
			return p.fire(tx, a, ev, now, &did)
		})
		if err != nil {
			return fmt.Errorf("tell what happened to %s while nobody could see it: %w", m.Asset, err)
		}
		p.done(did)
		if something {
			p.log.Info("what happened while nobody could see", "asset", m.Asset, "customer", m.Customer, "from", m.From,
				"to", m.To, "alerts", m.Alerts)
		}
		return nil
	}, nil
}

// missedOf is what a ticket is told of a review.
func missedOf(u evaluate.Unseen) incident.Missed {
	return incident.Missed{
		Asset: u.Asset.Name, Customer: u.Asset.Customer, Site: u.Asset.Site, From: u.From, To: u.To,
		Alerts: len(u.Found) + u.More, Unjudged: u.Unjudged,
	}
}

// setApart leaves out what was told before, for agents send again what they do not know to be acknowledged: after a crash of
// theirs up to 64 reports, which a collector that started anew cannot tell from those that nobody had. It moves to u.Live
// what the live rules have told, too, although it is over by now: it went on when its asset could be seen again, and ended
// before its review did.
func (p *pipeline) setApart(ctx context.Context, u evaluate.Unseen) (evaluate.Unseen, error) {
	found, about := u.Found, incident.Unseen(missedOf(u))
	u.Found, u.Live = nil, slices.Clone(u.Live)
	err := p.store.View(ctx, func(tx store.Tx) error {
		past := bygones{p: p, tx: tx, known: map[string]bygone{}}
		before, err := past.of(about)
		if err != nil {
			return err
		}
		reviewed := slices.DeleteFunc(slices.Clone(before.alerts), func(b incident.Alert) bool { return !incident.Quiet(b) })
		for _, e := range found {
			a := episode{p.alertOf(rules.Transition{Origin: e.Origin, Alert: e.Alert})}
			live, err := past.firings(a.Alert)
			switch {
			case err != nil:
				return err
			case slices.ContainsFunc(live, a.endsWith) || slices.ContainsFunc(reviewed, a.endsIn):
			case slices.ContainsFunc(live, a.wentOnAs):
				u.Live = append(u.Live, e)
			default:
				u.Found = append(u.Found, e)
			}
		}
		return nil
	})
	return u, err
}

// episode is an alert as it fired last within a time that is told of afterwards.
type episode struct{ incident.Alert }

// endsWith tells whether its end was seen live: rules that are judged on the same reports end an alert at the same time.
// When it began says less, for what comes again may begin in its middle.
func (e episode) endsWith(live incident.Alert) bool {
	return !e.EndedAt.IsZero() && e.EndedAt.Equal(live.EndedAt)
}

// endsIn tells whether its end is in a time that was told of before.
func (e episode) endsIn(told incident.Alert) bool {
	return !e.EndedAt.IsZero() && !e.EndedAt.Before(told.FiredAt) && !e.EndedAt.After(told.EndedAt)
}

// wentOnAs tells whether an alert fired live after it began and before it ended.
func (e episode) wentOnAs(live incident.Alert) bool {
	return !live.FiredAt.Before(e.ActiveAt) && (e.EndedAt.IsZero() || live.FiredAt.Before(e.EndedAt))
}

// bygone is what the tickets of one incident, and those that took them over, say of alerts: each that the timelines have, and the
// last, which they have not while a ticket flaps.
type bygone struct {
	tickets []ticket.Ticket
	alerts  []incident.Alert
}

// bygones reads what was told of incidents, of each once.
type bygones struct {
	p     *pipeline
	tx    store.Tx
	known map[string]bygone
}

// of is what was told of an alert's incident.
func (r bygones) of(a incident.Alert) (bygone, error) {
	key := incident.KeyOf(a).String()
	if all, ok := r.known[key]; ok {
		return all, nil
	}
	tickets, err := r.tx.TicketsByKey(key, maxPast)
	if err != nil {
		return bygone{}, err
	}
	all := bygone{tickets: tickets}
	for _, t := range tickets {
		into, merged, err := r.p.mergedInto(r.tx, t)
		if err != nil {
			return bygone{}, err
		}
		if merged {
			all.tickets = append(all.tickets, into)
		}
	}
	for _, t := range all.tickets {
		line, err := r.tx.Timeline(t.ID)
		if err != nil {
			return bygone{}, err
		}
		all.alerts = append(all.alerts, t.Alerts...)
		for _, e := range line {
			if e.Alert != nil {
				all.alerts = append(all.alerts, *e.Alert)
			}
			all.alerts = append(all.alerts, e.Alerts...)
		}
	}
	r.known[key] = all
	return all, nil
}

// firings are those of an alert that were told, the last one of which tickets count it and do not list it.
func (r bygones) firings(a incident.Alert) (out []incident.Alert, err error) {
	all, err := r.of(a)
	if err != nil {
		return nil, err
	}
	for _, b := range all.alerts {
		if b.ID == a.ID {
			out = append(out, b)
		}
	}
	for _, t := range all.tickets {
		c, ok, err := r.tx.Counted(t.ID, a.ID)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, incident.Alert{FiredAt: c.FiredAt, EndedAt: c.EndedAt})
		}
	}
	return out, nil
}

// missed fills the five parts for what a review found.
func (g gatherer) missed(ctx context.Context, a incident.Alert, u evaluate.Unseen, now time.Time) []ticket.Evidence {
	host, heard := g.facts.host(a.Asset)
	seen := g.events(ctx, a.Asset, now)
	out := []ticket.Evidence{
		g.missedTime(a, u, now),
		g.missedSymptoms(u, now),
		g.users(a, host, heard),
		g.errors(a, host, heard, seen),
		g.actions(a, host, heard, seen, now),
	}
	for i := range out {
		out[i].Salt = newSalt()
	}
	return out
}

func (g gatherer) missedTime(a incident.Alert, u evaluate.Unseen, now time.Time) ticket.Evidence {
	say := g.clock(a.Customer)
	return ticket.Evidence{Part: ticket.PartTime, Entries: []ticket.Entry{
		{Text: fmt.Sprintf("nobody could see %s from %s to %s", a.Asset, say(u.From), say(u.To)), Source: "reports of " + a.Asset, At: u.From},
		{Text: fmt.Sprintf("%d reports about that time came afterwards and were judged as of their own times, apart from the live alerts", u.Reports),
			Source: "watchbill", At: now},
		{Text: "brought to a ticket " + say(now), Source: "watchbill", At: now},
	}}
}

func (g gatherer) missedSymptoms(u evaluate.Unseen, now time.Time) ticket.Evidence {
	ev := ticket.Evidence{Part: ticket.PartSymptoms}
	add := func(text, source string, at time.Time) {
		ev.Entries = append(ev.Entries, ticket.Entry{Text: text, Source: source, At: at})
	}
	curves := 0
	for _, e := range u.Found {
		source := sourceOf(e.Origin)
		add(missedText(e), source, e.Since)
		for _, c := range e.Curves {
			if curves++; curves <= maxMissedCurves {
				ev.Entries = append(ev.Entries, missedCurve(e, c))
			}
		}
	}
	if u.More > 0 {
		add(fmt.Sprintf("%d more alerts came and went", u.More), "rules", u.To)
	}
	for _, e := range u.Live {
		add(fmt.Sprintf("%s began at %s and went on when the host could be seen again: it is in a ticket of its own", e.Origin.Name, shortly(e.Since)), sourceOf(e.Origin), e.Since)
	}
	if u.Unjudged != "" {
		add("not all could be judged: "+u.Unjudged, "watchbill", now)
	}
	return ev
}

// missedText is an episode in one line: what, from when to when, how bad.
func missedText(e evaluate.Episode) string {
	text := e.Origin.Name
	if s := oneLine(e.Alert.Annotations.Get("summary")); s != "" {
		text += ": " + s
	}
	text += fmt.Sprintf("; from %s", shortly(e.Since))
	switch end := e.Alert.EndedAt; {
	case end.IsZero():
		text += " on, and it was over when the host could be seen again"
	case e.Times > 1:
		text += fmt.Sprintf(" to %s, %d times", shortly(end), e.Times)
	default:
		text += fmt.Sprintf(" to %s (%s)", shortly(end), end.Sub(e.Since).Round(time.Second))
	}
	return text + fmt.Sprintf("; worst value %s at %s; %s", readable(float64(e.Worst)), shortly(e.WorstAt), oneLine(e.Origin.Expr))
}

func shortly(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }

func missedCurve(e evaluate.Episode, c evaluate.Curve) ticket.Entry {
	points := make([]history.Point, len(c.Points))
	for i, p := range c.Points {
		points[i] = history.Point{T: p.T, V: p.V}
	}
	entry := curveEntry(history.Curve{Labels: c.Labels, Points: history.Thin(points, curvePoints)}, e.WorstAt)
	entry.Text, entry.Source = fmt.Sprintf("%s around that time", entry.Series.Name), "agent's late reports"
	return entry
}
