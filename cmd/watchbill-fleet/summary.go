package main

import (
	"time"
)

// summary is what a run, or a part of it, amounts to; it is printed as JSON under these names.
type summary struct {
	// Seconds is how long it took, from the start of the run for the last one, from the summary before for others.
	Seconds float64 `json:"seconds"`
	// At is the time since the start of the run.
	At        float64 `json:"at_seconds"`
	Final     bool    `json:"final"`
	Agents    int     `json:"agents"`
	Awake     int     `json:"awake"`
	Connected int64   `json:"connected"`
	Series    int     `json:"series_per_host"`

	Reports          uint64  `json:"reports"`
	Samples          uint64  `json:"samples"`
	SentBytes        uint64  `json:"sent_bytes"`
	ReportsPerSecond float64 `json:"reports_per_second"`
	SamplesPerSecond float64 `json:"samples_per_second"`
	BytesPerSecond   float64 `json:"bytes_per_second"`
	BytesPerSample   float64 `json:"bytes_per_sample"`
	// Latency is from sample to acknowledgement, of live reports; Backlog counts those that came later, out of a spool.
	Latency latency `json:"latency"`

	Connects   uint64 `json:"connects"`
	Superseded uint64 `json:"superseded"`
	Late       uint64 `json:"late"`
	Shapes     uint64 `json:"reports_sent_again_with_shapes"`
	Backlog    uint64 `json:"backlog"`
	Replayed   uint64 `json:"replayed"`
	// Broken is how many hosts have a value fault.
	Broken  int               `json:"broken"`
	Refused map[string]uint64 `json:"refused"`
	Failed  map[string]uint64 `json:"failed"`
	Attacks map[string]uint64 `json:"attacks"`
	Returns []comingBack      `json:"returns"`

	Fleet     *process   `json:"fleet"`
	Collector *collector `json:"collector,omitempty"`
	Peer      *peerUsage `json:"remote_write,omitempty"`
}

// latency is in seconds.
type latency struct {
	P50 float64 `json:"p50_seconds"`
	P99 float64 `json:"p99_seconds"`
	Max float64 `json:"max_seconds"`
}

// comingBack is one return of the fleet, stage by stage.
type comingBack struct {
	// Incarnation of the collector they came to.
	Incarnation uint64 `json:"incarnation"`
	// Lost is when the first agent failed, missing when none did; First when the first had an answer.
	Lost  time.Time `json:"lost,omitzero"`
	First time.Time `json:"first"`
	// Back: had an answer. Live: had a live report accepted. Replayed: of agents with a spool, sent again all that the
	// collector wanted to see; missing when there is none.
	Back     stageTimes  `json:"back"`
	Live     stageTimes  `json:"live"`
	Replayed *stageTimes `json:"replayed,omitempty"`
}

// stageTimes is how many agents came to a stage, and how long the last took that did.
type stageTimes struct {
	Agents   int  `json:"agents"`
	Expected int  `json:"expected"`
	Whole    bool `json:"whole"`
	// FromFirst is from the first answer of the collector, FromLost from the first failure; 0 when nobody came.
	FromFirst float64 `json:"from_first_seconds"`
	FromLost  float64 `json:"from_lost_seconds,omitempty"`
}

// process is what a process used and holds.
type process struct {
	CPUSeconds float64 `json:"cpu_seconds"`
	// CPUPerMillion is processor seconds per million samples.
	CPUPerMillion float64 `json:"cpu_seconds_per_million_samples"`
	RSS           uint64  `json:"rss_bytes"`
	RSSMost       uint64  `json:"rss_most_bytes"`
	// RSSPerHost is what resident memory grew by since the start of the run, for each agent.
	RSSPerHost float64 `json:"rss_growth_per_host_bytes"`
	Error      string  `json:"error,omitempty"`
}

// collector is process and what the collector says of itself.
type collector struct {
	process
	Arrival  latency            `json:"arrival_to_applied"`
	Refusals map[string]float64 `json:"refusals,omitempty"`
	Tickets  float64            `json:"tickets_opened"`
	Heap     float64            `json:"heap_bytes"`
	Routines float64            `json:"goroutines"`
}

// peerUsage is process and what remote write came to.
type peerUsage struct {
	process
	Samples        uint64  `json:"samples"`
	BytesPerSample float64 `json:"bytes_per_sample"`
	Failures       uint64  `json:"failures"`
}

// mark is where a part of a run begins.
type mark struct {
	at                                                                             time.Time
	reports, samples, bytes, connects, superseded, late, shapes, backlog, replayed uint64
	latency                                                                        tally
	fleetCPU, collectorCPU, peerCPU                                                float64
	arrival                                                                        cumulative
	peerSamples, peerBytes                                                         uint64
}

// observer makes summaries of a run. One goroutine uses it.
type observer struct {
	f                      *fleet
	start                  time.Time
	own, collector, remote *meter
}

func newObserver(f *fleet, start time.Time) *observer {
	return &observer{f: f, start: start, own: own(), collector: newMeter(f.c.collectorPID, f.c.collectorURL), remote: newMeter(f.c.peerPID, "")}
}

// mark is how everything stands now.
func (o *observer) mark(now time.Time) mark {
	s := o.f.shared.stats
	m := mark{
		at: now, reports: s.reports.Load(), samples: s.samples.Load(), bytes: s.sentBytes.Load(), connects: s.connects.Load(),
		superseded: s.superseded.Load(), late: s.late.Load(), shapes: s.shapes.Load(),
		backlog: s.backlog.Load(), replayed: s.replayed.Load(),
		latency: s.latency.take(), fleetCPU: o.own.used, collectorCPU: o.collector.used, peerCPU: o.remote.used,
		arrival: o.collector.now.arrival,
	}
	if p := o.f.shared.peer; p != nil {
		m.peerSamples, m.peerBytes = p.samples.Load(), p.bytes.Load()
	}
	return m
}

// between is what happened from one mark to another.
func (o *observer) between(from, to mark) summary {
	st := o.f.shared.stats
	d := max(to.at.Sub(from.at).Seconds(), 1e-9)
	l := to.latency.since(from.latency)
	s := summary{
		Seconds: d, At: to.at.Sub(o.start).Seconds(), Agents: len(o.f.people), Awake: st.awake(),
		Connected: st.connected.Load(), Series: o.f.c.series, Broken: o.f.broken,
		Reports: to.reports - from.reports, Samples: to.samples - from.samples, SentBytes: to.bytes - from.bytes,
		Connects: to.connects - from.connects, Superseded: to.superseded - from.superseded, Late: to.late - from.late,
		Shapes: to.shapes - from.shapes, Backlog: to.backlog - from.backlog, Replayed: to.replayed - from.replayed,
		Latency: latency{l.quantile(0.5).Seconds(), l.quantile(0.99).Seconds(), l.most.Seconds()},
	}
	s.ReportsPerSecond, s.SamplesPerSecond, s.BytesPerSecond = float64(s.Reports)/d, float64(s.Samples)/d, float64(s.SentBytes)/d
	s.BytesPerSample = ratio(float64(s.SentBytes), float64(s.Samples))
	s.Refused, s.Failed, s.Attacks = st.reasons()
	for _, r := range st.returns() {
		s.Returns = append(s.Returns, r.times())
	}
	own := o.process(o.own, to.fleetCPU-from.fleetCPU, s.Samples)
	s.Fleet = &own
	if o.collector.wanted() {
		s.Collector = &collector{
			process:  o.process(o.collector, to.collectorCPU-from.collectorCPU, s.Samples),
			Refusals: o.collector.refused, Tickets: o.collector.tickets, Heap: o.collector.now.heap, Routines: o.collector.now.goroutines,
		}
		a := to.arrival.since(from.arrival)
		s.Collector.Arrival = latency{a.quantile(0.5).Seconds(), a.quantile(0.99).Seconds(), a.quantile(1).Seconds()}
	}
	if p := o.f.shared.peer; p != nil {
		n := to.peerSamples - from.peerSamples
		s.Peer = &peerUsage{process: o.process(o.remote, to.peerCPU-from.peerCPU, n), Samples: n,
			BytesPerSample: ratio(float64(to.peerBytes-from.peerBytes), float64(n)), Failures: p.failures.Load()}
		if err := p.lastError(); err != nil {
			s.Peer.Error = err.Error()
		}
	}
	return s
}

func (o *observer) process(m *meter, cpu float64, samples uint64) process {
	p := process{CPUSeconds: cpu, CPUPerMillion: ratio(cpu*1e6, float64(samples)), RSS: m.last.rss, RSSMost: m.most}
	p.RSSPerHost = ratio(float64(m.last.rss)-float64(m.first.rss), float64(len(o.f.people)))
	if m.lastErr != nil {
		p.Error = m.lastErr.Error()
	}
	return p
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// times is r with how long everything took.
func (r returned) times() comingBack {
	c := comingBack{Incarnation: r.incarnation, Lost: r.lost, First: r.first, Back: r.at(stageBack), Live: r.at(stageLive)}
	if again := r.at(stageReplayed); again.Expected > 0 {
		c.Replayed = &again
	}
	return c
}

func (r returned) at(s stage) stageTimes {
	x := r.stages[s]
	t := stageTimes{Agents: x.agents, Expected: x.expected, Whole: x.whole}
	if x.last.IsZero() {
		return t
	}
	t.FromFirst = x.last.Sub(r.first).Seconds()
	if !r.lost.IsZero() {
		t.FromLost = x.last.Sub(r.lost).Seconds()
	}
	return t
}
