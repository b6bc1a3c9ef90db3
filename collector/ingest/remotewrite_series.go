package ingest

import (
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/watchbill/watchbill/rules/window"
)

// writer is who writes a series: a sender, and of an HA pair under one token which of the two, by the labels that were
// dropped.
type writer struct {
	sender  *remoteSender
	replica string
}

// remoteSeries is one series as it is written. Its fields belong to its asset's lock.
type remoteSeries struct {
	asset *remoteAsset
	// group is where it is written in rows, at slot; nil while it is in none.
	group *remoteGroup
	slot  int
	// labels are as a layout has them, whole with the asset's own: as the history has them.
	labels, whole labels.Labels
	target        *remoteTarget
	hash          uint64
	// by is who writes it, heard when that was, in Unix nanoseconds by our clock.
	by    *writer
	heard int64
	// newest and last are its newest sample; rowAt and value are of the newest that stood in a row.
	newest, rowAt int64
	last, value   float64
	// missed counts the rows in a row that it was not in.
	missed int
	// dead says that the asset has let go of it.
	dead atomic.Bool
}

// alias is a series as one writer names it.
type alias struct {
	series *remoteSeries
	by     *writer
}

// remoteAsset is one asset as far as it is written from outside.
type remoteAsset struct {
	mu sync.Mutex
	// instance is as the sender that brought it names it; declared that the fleet has it.
	instance, brought string
	window.Asset
	declared bool
	gone     bool
	series   map[uint64]*remoteSeries
	groups   []*remoteGroup
	// targets are all, plain those of each job that are not apart.
	targets map[targetKey]*remoteTarget
	plain   map[string]*remoteTarget
	// by is when each sender wrote it last.
	by map[string]time.Time
	// kinds are the jobs that the asset's agent reports, as of looked.
	kinds  []string
	looked time.Time
	// newest is the time of the newest row, pace the shortest of its groups'.
	newest int64
	pace   time.Duration
	// resumed says that the window had it from before this start, until the first row.
	resumed bool
	made    int
}

// remoteGroup is series that come together, at the same times: what one target shows at one scrape. They are written row by
// row, as one source of the window.
type remoteGroup struct {
	asset  *remoteAsset
	source string
	target *remoteTarget
	// scrape says that it is what Prometheus says about the scrape itself: it stands when the scrape failed.
	scrape bool
	series []*remoteSeries
	layout *window.Layout
	// changed says that the layout is not that of the series any more.
	changed bool
	rows    []*remoteRow
	// newest is the time of the newest row that was applied; gaps are the times between the last ones.
	newest int64
	gaps   [3]time.Duration
	// values is memory for a block.
	values []float64
}

// remoteRow is a row that is not whole yet.
type remoteRow struct {
	t      int64
	began  time.Time
	values []float64
	have   []bool
	count  int
}

// The bounds of rows that are not whole.
const (
	// quiet is how long a row waits for the rest of its series: they may come in other requests, of other shards.
	quiet = 500 * time.Millisecond
	// maxRows is how many rows of one group may wait.
	maxRows = 4
	// away is after how many rows that it was not in nobody waits for a series any more.
	away = 2
)

const (
	never       = int64(-1 << 62)
	jobLabel    = "job"
	remoteBlock = "remote write "
	scrapeBlock = " (scrape)"
)

// aboutScrape tells the series that Prometheus writes about a scrape.
func aboutScrape(name string) bool { return name == "up" || strings.HasPrefix(name, "scrape_") }

// pace is the usual time between two rows: the middle one of the last three; 0 while nothing is known.
func (g *remoteGroup) pace() time.Duration {
	all := g.gaps
	slices.Sort(all[:])
	switch {
	case all[0] > 0:
		return all[1]
	case all[1] > 0:
		return all[1]
	}
	return all[2]
}

// passed notes a row at t.
func (g *remoteGroup) passed(t int64) {
	if g.newest != never {
		copy(g.gaps[:], g.gaps[1:])
		g.gaps[2] = time.Duration(t-g.newest) * time.Millisecond
	}
	g.newest = t
	if p := g.pace(); p > 0 && (g.asset.pace == 0 || p < g.asset.pace) {
		g.asset.pace = p
	}
}

// row finds or makes the row at t, in order of time.
func (g *remoteGroup) row(t int64, now time.Time) *remoteRow {
	i, have := g.find(t)
	if !have {
		g.rows = slices.Insert(g.rows, i, &remoteRow{t: t, began: now})
	}
	return g.rows[i]
}

func (g *remoteGroup) find(t int64) (int, bool) {
	return slices.BinarySearchFunc(g.rows, t, func(r *remoteRow, t int64) int {
		switch {
		case r.t < t:
			return -1
		case r.t > t:
			return 1
		}
		return 0
	})
}

func (r *remoteRow) set(slot int, v float64) {
	for len(r.values) <= slot {
		r.values, r.have = append(r.values, 0), append(r.have, false)
	}
	if !r.have[slot] {
		r.have[slot] = true
		r.count++
	}
	r.values[slot] = v
}

// ends tells whether the first that is in the row ended with it.
func (r *remoteRow) ends() bool {
	i := slices.Index(r.have, true)
	return i >= 0 && value.IsStaleNaN(r.values[i])
}

// whole tells whether all that is waited for is in the row. A group's first row is never: nobody knows what else comes.
func (g *remoteGroup) whole(r *remoteRow) bool {
	if g.newest == never || r.count == 0 {
		return false
	}
	if !g.scrape && r.ends() && g.target.up.t != r.t {
		return false // whether that is because the scrape failed is still to come
	}
	if r.count >= len(g.series) {
		return true
	}
	for i, s := range g.series {
		if s.missed < away && (i >= len(r.have) || !r.have[i]) {
			return false
		}
	}
	return true
}

// join puts a series into the group that has a row at t, or into one of its own. It tells whether the sample at t can
// stand in a row: of a group that wrote that time already the series is from the next one on.
func (a *remoteAsset) join(s *remoteSeries, t int64) bool {
	job, scrape := s.target.job, aboutScrape(s.labels.Get(model.MetricNameLabel))
	for _, g := range a.groups {
		if g.target != s.target || g.scrape != scrape {
			continue
		}
		if _, open := g.find(t); open || g.newest == t {
			g.add(s)
			return open
		}
	}
	g := &remoteGroup{asset: a, target: s.target, scrape: scrape, newest: never}
	if scrape {
		g.source = remoteBlock + job + scrapeBlock
	} else {
		g.source = remoteBlock + job
	}
	for slices.ContainsFunc(a.groups, func(o *remoteGroup) bool { return o.source == g.source }) {
		a.made++
		g.source = strings.TrimSuffix(remoteBlock+job, scrapeBlock) + " " + strconv.Itoa(a.made)
		if scrape {
			g.source += scrapeBlock
		}
	}
	a.groups = append(a.groups, g)
	g.add(s)
	return true
}

func (g *remoteGroup) add(s *remoteSeries) {
	s.group, s.slot, s.missed = g, len(g.series), 0
	g.series, g.changed = append(g.series, s), true
}

// drop takes series out of the group, and out of the rows that wait.
func (g *remoteGroup) drop(gone func(*remoteSeries) bool) {
	keep := g.series[:0:0]
	for _, s := range g.series {
		if gone(s) {
			s.group, s.rowAt = nil, never
			continue
		}
		keep = append(keep, s)
	}
	if len(keep) == len(g.series) {
		return
	}
	for _, r := range g.rows {
		next := &remoteRow{t: r.t, began: r.began}
		for at, s := range keep {
			if s.slot < len(r.have) && r.have[s.slot] {
				next.set(at, r.values[s.slot])
			}
		}
		*r = *next
	}
	for at, s := range keep {
		s.slot = at
	}
	g.series, g.changed = keep, true
}

// sum tells series apart by their labels, with a seed that nobody outside knows.
func sum(seed maphash.Seed, lbls labels.Labels) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	lbls.Range(func(l labels.Label) {
		h.WriteString(l.Name)
		h.WriteByte(0xff)
		h.WriteString(l.Value)
		h.WriteByte(0xff)
	})
	return h.Sum64()
}
