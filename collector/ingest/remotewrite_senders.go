package ingest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/watchbill/watchbill/rules/window"
)

// remoteSender is one operator's token that writes.
type remoteSender struct {
	name string

	mu      sync.RWMutex
	aliases map[uint64]*alias
	writers map[string]*writer
	// samples and fresh are what is left of its quotas, which are those of limits.
	samples, fresh *rate.Limiter
	quotas         RemoteQuotas
	unwatched      bool
	// first and heard are when it was first and last heard; paces are the longest times between two requests, of these
	// five minutes and of those before, which began at since.
	first, heard, since time.Time
	paces               [2]time.Duration
}

// paceSpan is over how long the longest time between two requests is looked for.
const paceSpan = 5 * time.Minute

// sender finds or makes a sender.
func (r *Remote) sender(name string, now time.Time) *remoteSender {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.senders[name]
	if s == nil {
		s = newRemoteSender(name, now)
		s.configure(*r.conf.Load())
		r.senders[name] = s
		r.unsaved = true
	}
	return s
}

func newRemoteSender(name string, now time.Time) *remoteSender {
	return &remoteSender{name: name, aliases: map[uint64]*alias{}, writers: map[string]*writer{}, first: now, since: now}
}

// configure puts other quotas into force, and has every series looked at anew.
func (s *remoteSender) configure(c RemoteWriteIn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, _, _ := c.of(s.name)
	s.unwatched = c.Senders[s.name].Unwatched
	if q != s.quotas {
		s.quotas, s.samples, s.fresh = q, per(q.SamplesPerMinute, time.Minute), per(q.NewSeriesPerHour, time.Hour)
	}
	clear(s.aliases)
}

func (s *remoteSender) alias(key uint64) *alias {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if a := s.aliases[key]; a != nil && !a.series.dead.Load() {
		return a
	}
	return nil
}

// room says whether the sender may have one more series.
func (s *remoteSender) room(j *remoteJob, key uint64) why {
	s.mu.RLock()
	n := len(s.aliases)
	_, had := s.aliases[key]
	fresh := s.fresh
	s.mu.RUnlock()
	switch {
	case had:
	case n >= j.quotas.Series:
		return why{reasonSenderSeries, fmt.Sprintf("%s writes %d series already: write fewer, or raise %squotas.series", s.name, n, j.prefix)}
	case wait(fresh, 1, j.now) > 0:
		return why{reasonNewSeries, fmt.Sprintf("%s writes more new series than %squotas.new_series_per_hour allows: look for a label whose "+
			"value changes all the time, or raise it", s.name, j.prefix)}
	}
	return why{}
}

// call notes how the sender names a series, and which of its replicas does.
func (s *remoteSender) call(key uint64, series *remoteSeries, replica string) *alias {
	s.mu.Lock()
	defer s.mu.Unlock()
	by := s.writers[replica]
	if by == nil {
		by = &writer{s, replica}
		s.writers[replica] = by
	}
	a := &alias{series, by}
	s.aliases[key] = a
	return a
}

// afford takes n samples from the quota; it returns how long to wait when there are not so many left.
func (s *remoteSender) afford(n int, now time.Time) time.Duration {
	s.mu.RLock()
	l := s.samples
	s.mu.RUnlock()
	return wait(l, n, now)
}

// giveBack puts samples back that were not taken after all.
func (s *remoteSender) giveBack(n int, now time.Time) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.samples.ReserveN(now, -min(n, s.samples.Burst()))
}

// heardOf notes a request.
func (s *remoteSender) heardOf(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.heard.IsZero() && now.After(s.heard) {
		s.paces[1] = max(s.paces[1], now.Sub(s.heard))
	}
	if now.Sub(s.since) >= paceSpan {
		s.paces[0], s.paces[1], s.since = s.paces[1], 0, now
	}
	if now.After(s.heard) {
		s.heard = now
	}
}

// RemoteSenderState is how a sender was heard, as far as it is kept.
type RemoteSenderState struct {
	Name string `json:"name"`
	// First and Heard are when it was first and last heard, Pace its usual time between two requests.
	First time.Time     `json:"first"`
	Heard time.Time     `json:"heard"`
	Pace  time.Duration `json:"pace"`
	// Unwatched: nobody is told when it falls silent.
	Unwatched bool `json:"-"`
}

// RemoteAssetState is an asset that is written from outside.
type RemoteAssetState struct {
	Instance string `json:"instance"`
	Name     string `json:"name"`
	Customer string `json:"customer"`
	Site     string `json:"site,omitempty"`
	Declared bool   `json:"declared,omitempty"`
	// Jobs have, for each, the instance whose series say nothing of it.
	Jobs map[string]string `json:"jobs,omitempty"`
	// Apart have, for each, the instances that their series say by exported_instance.
	Apart map[string][]string `json:"apart,omitempty"`
	// Senders are who wrote it last, and when.
	Senders map[string]time.Time `json:"senders"`
}

// RemoteState is who writes, and what.
type RemoteState struct {
	Senders []RemoteSenderState `json:"senders"`
	Assets  []RemoteAssetState  `json:"assets"`
}

// State is who writes, and what, by name.
func (r *Remote) State() RemoteState {
	st := RemoteState{Senders: r.Senders(), Assets: []RemoteAssetState{}}
	_, assets := r.all()
	for _, a := range assets {
		a.mu.Lock()
		plain, apart := a.jobs()
		st.Assets = append(st.Assets, RemoteAssetState{Instance: a.instance, Name: a.Name, Customer: a.Customer, Site: a.Site,
			Declared: a.declared, Jobs: plain, Apart: apart, Senders: maps.Clone(a.by)})
		a.mu.Unlock()
	}
	slices.SortFunc(st.Assets, func(a, b RemoteAssetState) int { return strings.Compare(a.Name, b.Name) })
	return st
}

// Senders is who writes, by name.
func (r *Remote) Senders() []RemoteSenderState {
	out := []RemoteSenderState{}
	senders, _ := r.all()
	for _, s := range senders {
		s.mu.RLock()
		out = append(out, RemoteSenderState{Name: s.name, First: s.first, Heard: s.heard, Pace: max(s.paces[0], s.paces[1]),
			Unwatched: s.unwatched})
		s.mu.RUnlock()
	}
	slices.SortFunc(out, func(a, b RemoteSenderState) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Alone are the assets that a sender alone writes, by name.
func (r *Remote) Alone(sender string) []string {
	var out []string
	_, assets := r.all()
	for _, a := range assets {
		a.mu.Lock()
		if _, writes := a.by[sender]; writes && len(a.by) == 1 {
			out = append(out, a.Name)
		}
		a.mu.Unlock()
	}
	slices.Sort(out)
	return out
}

// Config is what is in force.
func (r *Remote) Config() RemoteWriteIn { return *r.conf.Load() }

func (r *Remote) all() (senders []*remoteSender, assets []*remoteAsset) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.senders {
		senders = append(senders, s)
	}
	for _, a := range r.assets {
		assets = append(assets, a)
	}
	return senders, assets
}

// Resume takes up who wrote what when the collector stopped. Call it before anything is taken in, and after the window's
// snapshot was.
func (r *Remote) Resume(st RemoteState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range st.Senders {
		one := newRemoteSender(s.Name, s.First)
		one.heard, one.since, one.paces[0] = s.Heard, r.o.Now(), s.Pace
		one.configure(*r.conf.Load())
		r.senders[s.Name] = one
	}
	for _, a := range st.Assets {
		who, declared := r.declared(a.Instance)
		if !declared {
			if a.Declared {
				continue
			}
			who = window.Asset{Name: a.Name, Customer: a.Customer, Site: a.Site}
		}
		one := r.newAsset(who, declared, a)
		for name, at := range a.Senders {
			one.by[name], one.brought = at, name
		}
	}
}
