package ingest

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/watchbill/watchbill/rules/window"
)

// remoteTarget is the series of an asset that have one job and came under one instance: what an exporter shows, mostly.
// Several of an asset, like web1:9100 and web1:9104, have jobs of their own as a rule, and are told apart by these. Of two
// that have the same job the first has its series under the asset's name alone; those of the other say, as a scrape has it,
// by exported_instance what they came under. Its fields belong to its asset's lock.
type remoteTarget struct {
	job string
	// instance is empty while only the window, of before this start, tells of it.
	instance string
	apart    bool
	// heard is when it was heard last, in Unix nanoseconds by our clock.
	heard int64
	// up is what `up` said last.
	up point
}

type targetKey struct{ job, instance string }

// target finds or makes a target; fresh says that it was not known by this instance. What a URL names is always apart: its
// path is not in the asset's name.
func (a *remoteAsset) target(key targetKey, now time.Time) (t *remoteTarget, fresh bool) {
	if t := a.targets[key]; t != nil {
		return t, false
	}
	t = a.plain[key.job]
	if t != nil && t.instance == "" && !isURL(key.instance) {
		delete(a.targets, targetKey{job: t.job})
		t.instance = key.instance
	} else {
		t = &remoteTarget{job: key.job, instance: key.instance, apart: t != nil || isURL(key.instance), heard: now.UnixNano()}
	}
	a.keepTarget(t)
	return t, true
}

func (a *remoteAsset) keepTarget(t *remoteTarget) {
	a.targets[targetKey{t.job, t.instance}] = t
	if !t.apart {
		a.plain[t.job] = t
	}
}

// resumeTarget is the target of a series that the window has from before this start.
func (a *remoteAsset) resumeTarget(lbls labels.Labels, now time.Time) *remoteTarget {
	t := &remoteTarget{job: lbls.Get(jobLabel), heard: now.UnixNano()}
	plain := a.plain[t.job]
	for name := exported + instanceLabel; lbls.Has(name); name = exported + name {
		said := lbls.Get(name)
		if was := a.targets[targetKey{t.job, said}]; was != nil && was.apart {
			return was
		}
		// Where nothing was kept of the job, what names the asset is taken for a target's and not for the sender's own.
		if unknown := plain == nil || plain.instance == ""; unknown && (bare(said) == a.Name || strings.ToLower(bare(said)) == a.Name) {
			t.instance, t.apart = said, true
			break
		}
	}
	if plain != nil && !t.apart {
		return plain
	}
	a.keepTarget(t)
	return t
}

// resumeTargets takes up the targets that are known from before this start.
func (a *remoteAsset) resumeTargets(was RemoteAssetState, now time.Time) {
	for job, instance := range was.Jobs {
		a.target(targetKey{job, instance}, now)
	}
	for job, all := range was.Apart {
		for _, instance := range all {
			a.keepTarget(&remoteTarget{job: job, instance: instance, apart: true, heard: now.UnixNano()})
		}
	}
}

// jobs are, for each job, the instance whose target is not apart, and those whose targets are.
func (a *remoteAsset) jobs() (plain map[string]string, apart map[string][]string) {
	plain, apart = map[string]string{}, map[string][]string{}
	for _, t := range a.targets {
		switch {
		case t.apart:
			apart[t.job] = append(apart[t.job], t.instance)
		case t.instance != "":
			plain[t.job] = t.instance
		}
	}
	for _, all := range apart {
		slices.Sort(all)
	}
	return plain, apart
}

// tidyTargets forgets targets that nobody writes any more. It returns those that need not be apart any longer.
func (a *remoteAsset) tidyTargets(now time.Time) (again map[*remoteTarget]bool) {
	live := make(map[*remoteTarget]bool, len(a.groups))
	for _, g := range a.groups {
		live[g.target] = true
	}
	freed := false
	for key, t := range a.targets {
		if live[t] || now.Sub(time.Unix(0, t.heard)) <= forgetSeries {
			continue
		}
		delete(a.targets, key)
		if !t.apart {
			delete(a.plain, t.job)
			freed = true
		}
	}
	if !freed {
		return nil
	}
	again = map[*remoteTarget]bool{}
	for key, t := range a.targets {
		if t.apart && a.plain[t.job] == nil && !isURL(t.instance) {
			again[t] = true
			delete(a.targets, key)
		}
	}
	return again
}

// ended tells the history of series of an agent's that ended when the asset was written from outside: it was moved.
func (r *Remote) ended(done window.Applied) {
	if len(done.Ended) == 0 {
		return
	}
	out := make([]RemoteSample, 0, len(done.Ended))
	for _, e := range done.Ended {
		out = append(out, RemoteSample{e.Labels, e.At.UnixMilli(), math.Float64frombits(value.StaleNaN)})
	}
	r.o.Keep(out)
}

// forget has the window let go of an asset, and tells the history of what its agent had: it is the last to know of it.
func (r *Remote) forget(name string, now time.Time) {
	var out []RemoteSample
	for _, l := range r.o.Window.Forget(name) {
		out = append(out, RemoteSample{l, now.UnixMilli(), math.Float64frombits(value.StaleNaN)})
	}
	r.o.Keep(out)
}

// end tells the history that series go on under other labels, if at all, from the time on at which their next samples
// were due: else both would be seen for as long as a last value stands. The caller holds the asset.
func (r *Remote) end(all []*remoteSeries, now time.Time) {
	var out []RemoteSample
	for _, s := range all {
		if s.newest <= now.Add(-window.StaleAfter).UnixMilli() || value.IsStaleNaN(s.last) {
			continue
		}
		at := s.newest + max(s.pace().Milliseconds(), 1)
		out = append(out, RemoteSample{s.whole, at, math.Float64frombits(value.StaleNaN)})
	}
	r.o.Keep(out)
}
