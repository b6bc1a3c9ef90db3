package collector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/rules/window"
)

// recall has agents send again what the history lost: its queue was full, its disk was, or the collector was killed between
// the acknowledgement and the writing. What comes again goes to the history alone where this start has judged it before.
//
//	history drops ─► wanted, by asset ─► history is well again ─► Ack asks ─► replay ─► history
//
// It keeps how far all that was received is written, so that the next start knows what a crash lost.
type recall struct {
	// history is where it goes.
	history interface {
		Append(window.Asset, []window.Block)
		Well() bool
		Settled() bool
	}
	// keep is how long agents keep what was acknowledged; file is where it is remembered.
	keep time.Duration
	file string
	log  *slog.Logger
	now  func() time.Time

	// mu guards what follows.
	mu    sync.Mutex
	wants map[string]*want
	// rounds is the last round of each asset: agents know a request by it.
	rounds map[string]uint32
	// written: everything that was received until then is on disk, or wanted.
	written time.Time

	lost, came prometheus.Counter
	givenUp    prometheus.Counter
}

// stretch is a time of which an asset's samples are wanted.
type stretch struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// lost is when the last of it was found to be.
	lost time.Time
}

// want is what is wanted of one asset.
type want struct {
	stretch
	// asked says that the agent may know, in this round; begun that a report of the stretch has come; cut that not all of it
	// can be had any more.
	asked, begun, cut bool
	round             uint32
	// next was lost after it was asked.
	next *stretch
}

// How recall works.
const (
	// recallFor is how long agents keep what was acknowledged while there is history.
	recallFor = 24 * time.Hour
	// settleFor is how long nothing must have been lost before it is asked for: what is lost while it comes wants another round.
	settleFor = time.Minute
	// madeAfter is how much later than its samples a report may be made.
	madeAfter = 2 * time.Minute
	// flushedAfter is when what was written survives a power cut: Linux writes back after half of it. The log is not synced
	// for every commit, which would cost more than asking again does.
	flushedAfter = time.Minute
	// recallEvery is how often it is looked at and remembered.
	recallEvery = time.Minute
)

func newRecall(r *recall, reg prometheus.Registerer) *recall {
	r.wants, r.rounds = map[string]*want{}, map[string]uint32{}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	r.lost = counter("watchbill_history_wanted_samples_total", "Samples of reports that the history dropped and that agents are asked for again.")
	r.came = counter("watchbill_history_recalled_samples_total", "Samples that agents sent again for the history.")
	r.givenUp = counter("watchbill_history_given_up_total", "Times that samples of an asset were wanted again and its agent held them no more.")
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "watchbill_history_wanted_assets",
		Help: "Assets of which samples are wanted again."}, func() float64 {
		r.mu.Lock()
		defer r.mu.Unlock()
		return float64(len(r.wants))
	}))
	return r
}

// lose notes samples that were not written.
func (r *recall) lose(asset string, from, to time.Time, samples int) {
	r.lost.Add(float64(samples))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(asset, stretch{from, to, r.now()})
}

// add wants one more stretch. The caller holds mu.
func (r *recall) add(asset string, s stretch) {
	w := r.wants[asset]
	switch {
	case w == nil:
		r.wants[asset] = &want{stretch: s}
	case !w.asked:
		w.stretch = w.join(s)
	case w.next == nil:
		w.next = &s
	default:
		*w.next = w.next.join(s)
	}
}

// join is the time from the beginning of the earlier to the end of the later: one stretch for an asset is enough, what is
// there already does no harm.
func (s stretch) join(o stretch) stretch {
	if o.From.Before(s.From) {
		s.From = o.From
	}
	if o.To.After(s.To) {
		s.To = o.To
	}
	if o.lost.After(s.lost) {
		s.lost = o.lost
	}
	return s
}

// Keep implements ingest.Recall.
func (r *recall) Keep() time.Duration { return r.keep }

// Active implements ingest.Recall.
func (r *recall) Active(asset string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.wants[asset]
	return w != nil && w.asked
}

// Wanted implements ingest.Recall.
func (r *recall) Wanted(asset string) (since time.Time, round uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.wants[asset]
	now := r.now()
	if w == nil || !r.history.Well() || !w.asked && now.Sub(w.lost) < settleFor || !r.cut(asset, w, now) {
		return time.Time{}, 0
	}
	if !w.asked {
		w.asked = true
		if !w.lost.IsZero() { // else it is from before this start, which has acknowledged none of it
			r.rounds[asset]++
		}
		w.round = r.rounds[asset]
	}
	return w.From, w.round
}

// cut gives up what agents hold no more; false when nothing is left of it. The caller holds mu.
func (r *recall) cut(asset string, w *want, now time.Time) bool {
	oldest := now.Add(-r.keep)
	if !w.From.Before(oldest) {
		return true
	}
	if w.asked && w.To.After(oldest) { // the agent knows it by its beginning
		return true
	}
	if !w.cut {
		w.cut = true
		r.givenUp.Inc()
	}
	if !w.To.After(oldest) {
		r.over(asset, w)
		return false
	}
	w.From = oldest
	return true
}

// over ends a want. The caller holds mu.
func (r *recall) over(asset string, w *want) {
	delete(r.wants, asset)
	if w.next != nil {
		r.wants[asset] = &want{stretch: *w.next}
	}
}

// Again implements ingest.Recall.
func (r *recall) Again(p ingest.Report) {
	r.mu.Lock()
	w := r.wants[p.Asset.Name]
	var blocks []window.Block
	if w != nil {
		for _, b := range p.Blocks {
			if !b.At.Before(w.From) && !b.At.After(w.To) {
				blocks = append(blocks, b)
			}
		}
	}
	r.mu.Unlock()
	r.history.Append(p.Asset, blocks)
	r.heard(p)
}

// heard takes note of how far a replay is. It is told of every report, when the history has it.
func (r *recall) heard(p ingest.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.wants[p.Asset.Name]
	if w == nil || !w.asked {
		return
	}
	if p.Lane == wire.LaneReplay && !p.MadeAt.Before(w.From) {
		switch behind := p.MadeAt.After(w.To.Add(madeAfter)); {
		case behind && w.begun: // a replay is in the order of time
			r.over(p.Asset.Name, w)
			return
		case !behind:
			w.begun = true
			for _, b := range p.Blocks {
				if b.Status == window.OK && !b.At.Before(w.From) && !b.At.After(w.To) {
					r.came.Add(float64(len(b.Values)))
				}
			}
		}
	}
	if !p.ReplayedSince.IsZero() && !p.ReplayedSince.After(w.From) {
		if p.HeldSince.After(w.From) && !w.cut {
			r.givenUp.Inc()
		}
		r.over(p.Asset.Name, w)
	}
}

// savedWants is what outlives the process.
type savedWants struct {
	Written time.Time          `json:"written"`
	Wanted  map[string]stretch `json:"wanted"`
}

// load takes up what the last start wanted, and wants of these assets what was received between its last word and now.
// Without a word there was no history, and nothing is wanted.
func (r *recall) load(assets []string) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written = now
	text, err := os.ReadFile(r.file)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var was savedWants
	if err == nil {
		err = json.Unmarshal(text, &was)
	}
	if err != nil {
		r.log.Warn("what history wants again was not taken up; charts may lack what was lost before this start", "file", r.file, "err", err)
		return
	}
	for _, asset := range assets {
		if s, ok := was.Wanted[asset]; ok {
			r.add(asset, stretch{From: s.From, To: s.To})
		}
		if !was.Written.IsZero() {
			r.add(asset, stretch{From: was.Written, To: now})
		}
	}
	for asset, w := range r.wants {
		r.cut(asset, w, now)
	}
}

// Run looks at what is wanted, and remembers it, until ctx ends.
func (r *recall) Run(ctx context.Context) error {
	said := false
	return every(ctx, recallEvery, func() {
		err := r.look()
		if err != nil && !said {
			r.log.Warn("what history wants again could not be kept for the next start; trying again", "err", err)
		}
		said = err != nil
	})
}

// look gives up what is too old, and remembers the rest.
func (r *recall) look() error {
	now := r.now()
	settled := r.history.Settled()
	r.mu.Lock()
	for asset, w := range r.wants {
		if !w.asked || !w.To.After(now.Add(-r.keep)) {
			r.cut(asset, w, now)
		}
	}
	if settled && r.written.Before(now.Add(-flushedAfter)) {
		r.written = now.Add(-flushedAfter)
	}
	r.mu.Unlock()
	return r.save()
}

// closed says that the history was closed in order: what is not wanted is on disk.
func (r *recall) closed() error {
	r.mu.Lock()
	r.written = r.now()
	r.mu.Unlock()
	return r.save()
}

// save writes the file anew.
func (r *recall) save() error {
	r.mu.Lock()
	is := savedWants{Written: r.written, Wanted: map[string]stretch{}}
	for asset, w := range r.wants {
		s := w.stretch
		if w.next != nil {
			s = s.join(*w.next)
		}
		is.Wanted[asset] = s
	}
	r.mu.Unlock()
	text, err := json.Marshal(is)
	if err != nil {
		return err
	}
	draft := r.file + ".new"
	if err := os.WriteFile(draft, text, 0o600); err != nil {
		return fmt.Errorf("keep what history wants: %w", errors.Join(err, os.Remove(draft)))
	}
	return os.Rename(draft, r.file)
}

// openRecall makes what asks again for what history loses, before the history is opened.
func (c *Collector) openRecall(dir string, retention time.Duration) {
	c.recall = newRecall(&recall{
		keep: min(recallFor, max(retention, 30*time.Minute)), file: filepath.Join(dir, "wanted.json"), log: c.log.With("part", "history"),
		now: func() time.Time { return c.now() },
	}, c.reg)
}

// recalls is the recall as ingest takes it: nothing when there is no history.
func (c *Collector) recalls() ingest.Recall {
	if c.recall == nil {
		return nil
	}
	return c.recall
}

// takeUpRecall begins with what the last start left.
func (c *Collector) takeUpRecall() {
	c.recall.history = c.history
	var assets []string
	for _, a := range c.fleet.Agents() {
		if a.RevokedAt.IsZero() {
			assets = append(assets, a.Asset)
		}
	}
	c.recall.load(assets)
}
