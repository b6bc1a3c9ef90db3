package collector

import (
	"net/netip"
	"sync"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ingest"
)

// hostFacts is what a host last said of itself beside its samples: soft state, told again by the agent after a start.
type hostFacts struct {
	Heard    time.Time
	Interval time.Duration
	Goodbye  string
	// From is the address its last report came from.
	From      netip.Addr
	Inventory *ingest.Inventory
	// Tables by kind.
	Tables map[string]ingest.Table
	// reports are the reports that are here. live says that one was heard live; past is the last of the past that was.
	reports spans
	live    bool
	past    mark
}

// facts keeps hostFacts by asset.
type facts struct {
	mu    sync.RWMutex
	hosts map[string]hostFacts
	// kept is how hosts were seen before the collector stopped, of those that were not heard yet.
	kept map[string]fleet.Seen
	// before are the reports of hosts that were not heard yet which the window took up from the last stop.
	before map[string]spans
	// sharing is how many hosts report from an address, or did before the collector stopped.
	sharing map[netip.Addr]int
}

func newFacts() *facts {
	return &facts{hosts: map[string]hostFacts{}, kept: map[string]fleet.Seen{}, sharing: map[netip.Addr]int{}}
}

// sign is the last sign of life of a host.
type sign struct {
	heard    time.Time
	interval time.Duration
	goodbye  string
	from     netip.Addr
	// alone: no other host reports from that address.
	alone bool
}

// sign is the last sign of life of a host; false when it was not heard since the start: then it says no more than how
// often, and from where, the host reported before.
func (f *facts) sign(asset string) (sign, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	h, ok := f.known(asset)
	return sign{h.Heard, h.Interval, h.Goodbye, h.From, f.sharing[h.From] == 1}, ok
}

// moved notes where a host reports from. The caller holds mu.
func (f *facts) moved(from, to netip.Addr) {
	if from == to {
		return
	}
	if f.sharing[from]--; f.sharing[from] <= 0 {
		delete(f.sharing, from)
	}
	if to.IsValid() {
		f.sharing[to]++
	}
}

// expect says how a host that was not heard yet was seen before the collector stopped.
func (f *facts) expect(asset string, seen fleet.Seen) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moved(f.kept[asset].Address, seen.Address)
	f.kept[asset] = seen
}

// known is what is known of a host. The caller holds mu.
func (f *facts) known(asset string) (hostFacts, bool) {
	h, ok := f.hosts[asset]
	if !ok {
		h.Interval, h.From = f.kept[asset].Interval, f.kept[asset].Address
	}
	return h, ok
}

// learn takes in one report. A late report says nothing about the present.
func (f *facts) learn(r ingest.Report) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h, heard := f.known(r.Asset.Name)
	if !heard {
		h.reports = f.before[r.Asset.Name]
		delete(f.before, r.Asset.Name)
		delete(f.kept, r.Asset.Name)
	}
	defer func() { f.hosts[r.Asset.Name] = h }()
	h.Heard = r.ReceivedAt
	if r.From.IsValid() {
		f.moved(h.From, r.From)
		h.From = r.From
	}
	if r.Replayed {
		// The past comes in order, acknowledged or not: a process that is the next to be heard of was the next there was.
		m := markOf(r)
		m.linked = r.Lane != "" && r.Sequence == 1 && h.past.epoch != 0 && h.past.compare(m) < 0
		h.reports, h.past = h.reports.add(m, missed*h.Interval), m
		return
	}
	h.Goodbye = ""
	if r.Goodbye != nil {
		h.Goodbye = *r.Goodbye
		if h.Goodbye == "" {
			h.Goodbye = "no reason given"
		}
	}
	if d := shortestInterval(r); d > 0 {
		h.Interval = d
	}
	if r.Inventory != nil {
		h.Inventory = r.Inventory
	}
	if len(r.Tables) > 0 {
		tables := make(map[string]ingest.Table, len(h.Tables)+len(r.Tables))
		for k, t := range h.Tables {
			tables[k] = t
		}
		for _, t := range r.Tables {
			tables[t.Kind] = t
		}
		h.Tables = tables
	}
	// When nothing waits, and nothing was ever lost since, all that was made is here.
	m := markOf(r)
	held := r.HeldSince.IsZero() || !r.HeldSince.After(h.reports.last().last.at)
	m.linked = h.live && r.Waiting == 0 && held
	h.reports, h.live = h.reports.add(m, missed*h.Interval), true
}

func markOf(r ingest.Report) mark {
	return mark{epoch: r.Epoch, sequence: r.Sequence, at: r.MadeAt}
}

// missed is how many reports may be missing before a window has a hole: as many as a host may miss before it is silent.
const missed = 3

// completeSince is the time since when the reports of a host are here without a hole. A host's life before its
// enrolment is not a hole: when the reports reach back to that, it is the zero time.
func (f *facts) completeSince(r ingest.Report) time.Time {
	f.mu.RLock()
	defer f.mu.RUnlock()
	h := f.hosts[r.Asset.Name]
	since := h.reports.last().from
	if since.Sub(r.Agent.EnrolledAt) < time.Minute {
		return time.Time{}
	}
	return since
}

// shortestInterval is how often the host reports: its fastest sampler sets the pace.
func shortestInterval(r ingest.Report) time.Duration {
	var d time.Duration
	for _, b := range r.Blocks {
		if b.Interval > 0 && (d == 0 || b.Interval < d) {
			d = b.Interval
		}
	}
	return d
}

func (f *facts) host(asset string) (hostFacts, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.known(asset)
}
