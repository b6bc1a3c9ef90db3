package collector

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules"
)

// feeds watches for senders that fall silent. Each has one alert, and so one ticket; of what it alone wrote nothing is known
// meanwhile, which is for the window to say.
type feeds struct {
	senders func() []ingest.RemoteSenderState
	alone   func(sender string) []string
	// known tells whether a sender is an operator still.
	known  func(sender string) bool
	terms  func() ingest.RemoteSilence
	commit func(ctx context.Context, at time.Time, ts []rules.Transition) error
	record func(lbls labels.Labels, at time.Time, v float64) bool
	now    func() time.Time
	// started is when senders could first reach this collector.
	started func() time.Time

	mu     sync.Mutex
	active map[string]*told
}

// restore takes back the alerts that stood when the collector stopped.
func (f *feeds) restore(states []store.AlertState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active = map[string]*told{}
	for _, st := range states {
		if incident.IsFeed(st.Origin) {
			f.active[st.Alert.Labels.Get("sender")] = &told{Transition: rules.Transition{Origin: st.Origin, From: rules.Inactive, Alert: st.Alert}}
		}
	}
}

// look finds which senders are silent now and commits what changed.
func (f *feeds) look(ctx context.Context) error {
	now, terms, started := f.now(), f.terms(), f.started()
	there := map[string]incident.Feed{}
	for _, s := range f.senders() {
		if f.known(s.Name) && !s.Unwatched {
			there[s.Name] = incident.Feed{Sender: s.Name, Asset: ingest.RemotePrefix + s.Name, First: s.First, Heard: s.Heard, Pace: s.Pace}
		}
	}
	standing := f.standing() // who gathers evidence asks for them, too: nothing is held meanwhile
	var ts []rules.Transition
	for name, feed := range there {
		if _, stands := standing[name]; !stands && feed.SilentFor(terms.Paces, terms.Least, started, now) {
			feed.Alone = f.alone(name)
			ts = append(ts, rules.Transition{Origin: incident.FeedOrigin(), From: rules.Inactive, Alert: feed.Silent(now)})
		}
	}
	for name, was := range standing {
		feed, there := there[name]
		if there && !feed.Heard.After(was.Alert.FirstBadAt) {
			continue
		}
		t := rules.Transition{Origin: was.Origin, From: rules.Firing, Alert: was.Alert}
		t.Alert.State, t.Alert.EndedAt, t.Alert.End = rules.Inactive, now, rules.Recovered
		if !there {
			t.Alert.End = rules.SeriesGone // it is no sender any more
		}
		ts = append(ts, t)
	}
	if len(ts) > 0 {
		if err := f.commit(ctx, now, ts); err != nil {
			return err
		}
	}
	f.believe(ts, now)
	return nil
}

// standing are the alerts that stand, by sender.
func (f *feeds) standing() map[string]rules.Transition {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make(map[string]rules.Transition, len(f.active))
	for name, t := range f.active {
		out[name] = t.Transition
	}
	return out
}

// believe takes what is committed for true, and tells the window.
func (f *feeds) believe(ts []rules.Transition, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range ts {
		name := t.Alert.Labels.Get("sender")
		if t.Alert.State == rules.Firing {
			f.active[name] = &told{Transition: t}
			continue
		}
		delete(f.active, name)
		t.Alert.State = rules.Firing // the series was of the firing alert
		f.record(alertSeries(t.Alert), now, math.Float64frombits(value.StaleNaN))
	}
	for _, t := range f.active {
		if now.Sub(t.said) >= sayAgain {
			t.said = now
			f.record(alertSeries(t.Alert), now, 1)
		}
	}
}

// alerts are those that fire now, as the evaluator shows its own.
func (f *feeds) alerts() []evaluate.Standing {
	var out []evaluate.Standing
	for _, t := range f.standing() {
		out = append(out, evaluate.Standing{Origin: t.Origin, Alert: t.Alert})
	}
	return out
}

// newFeeds watches the senders of this collector.
func (c *Collector) newFeeds() *feeds {
	return &feeds{
		senders: func() []ingest.RemoteSenderState { return c.remoteIn.Load().Senders() },
		alone: func(sender string) []string {
			var out []string
			for _, asset := range c.remoteIn.Load().Alone(sender) {
				if a, ok := c.fleet.Asset(asset); !ok || a.Agent == "" {
					out = append(out, asset)
				}
			}
			return out
		},
		known: func(sender string) bool {
			return slices.ContainsFunc(c.fleet.Operators(), func(o fleet.Operator) bool { return o.Name == sender && o.May(fleet.MayFeed) })
		},
		terms:  func() ingest.RemoteSilence { return c.remoteIn.Load().Config().Silence },
		commit: c.pipeline.Commit, record: c.window.AppendRecorded, now: func() time.Time { return c.now() },
		started: func() time.Time { return time.Unix(0, c.listening.Load()) },
	}
}
