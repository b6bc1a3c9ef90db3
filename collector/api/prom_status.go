package api

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/index"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// engineVersion is the Prometheus whose engine, parser and storage answer: clients go by it when they choose how to ask.
const engineVersion = "3.15.0"

// promTarget is what one sampler or probe produces for one asset, in the form of something that is scraped.
type promTarget struct {
	DiscoveredLabels   labels.Labels `json:"discoveredLabels"`
	Labels             labels.Labels `json:"labels"`
	ScrapePool         string        `json:"scrapePool"`
	ScrapeURL          string        `json:"scrapeUrl"`
	GlobalURL          string        `json:"globalUrl"`
	LastError          string        `json:"lastError"`
	LastScrape         time.Time     `json:"lastScrape"`
	LastScrapeDuration float64       `json:"lastScrapeDuration"`
	Health             string        `json:"health"`
	ScrapeInterval     string        `json:"scrapeInterval"`
	ScrapeTimeout      string        `json:"scrapeTimeout"`
}

// promTargetList is the data of /targets. Nothing is dropped here.
type promTargetList struct {
	Active  []promTarget   `json:"activeTargets"`
	Dropped []promTarget   `json:"droppedTargets"`
	Counts  map[string]int `json:"droppedTargetCounts"`
}

// promTargets lists the blocks of the assets that exist for who asks.
func (a *API) promTargets(c *promCall) (promAnswer, error) {
	out := promTargetList{Active: []promTarget{}, Dropped: []promTarget{}, Counts: map[string]int{}}
	switch strings.ToLower(c.value("state")) {
	case "", "any", "active":
		pool := c.value("scrapePool")
		for _, t := range a.targets(c) {
			if pool == "" || t.ScrapePool == pool {
				out.Active = append(out.Active, t)
			}
		}
	}
	return promAnswer{data: out}, nil
}

// targets are by job, then by asset and source.
func (a *API) targets(c *promCall) []promTarget {
	var out []promTarget
	for _, as := range a.o.Window.Assets() {
		if !c.sight.customer(as.Customer) {
			continue
		}
		for _, b := range as.Blocks {
			out = append(out, targetOf(as, b))
		}
	}
	slices.SortStableFunc(out, func(x, y promTarget) int { return strings.Compare(x.ScrapePool, y.ScrapePool) })
	return out
}

func targetOf(as window.AssetStatus, b window.BlockStatus) promTarget {
	t := promTarget{
		DiscoveredLabels: labels.FromStrings(model.AddressLabel, as.Name, model.JobLabel, b.Job, "__source__", b.Source),
		Labels:           labels.FromStrings(model.InstanceLabel, as.Name, model.JobLabel, b.Job, "customer", as.Customer, "site", as.Site),
		ScrapePool:       b.Job, LastScrape: b.At, Health: "up",
		ScrapeURL:      (&url.URL{Scheme: "agent", Host: as.Name, Path: "/" + b.Source}).String(),
		ScrapeInterval: model.Duration(b.Interval).String(), ScrapeTimeout: model.Duration(b.Interval).String(),
	}
	t.GlobalURL = t.ScrapeURL
	switch {
	case b.Status == 0:
		t.Health = "unknown"
	case as.Down:
		t.Health, t.LastError = "down", "nothing is heard of the asset"
	case b.Status == window.Failed:
		t.Health, t.LastError = "down", b.Reason
	}
	return t
}

func (a *API) promScrapePools(c *promCall) (promAnswer, error) {
	pools := map[string]bool{}
	for _, t := range a.targets(c) {
		pools[t.ScrapePool] = true
	}
	names := slices.AppendSeq([]string{}, maps.Keys(pools))
	slices.Sort(names)
	return promAnswer{data: map[string][]string{"scrapePools": names}}, nil
}

// promTargetMetadata answers none: agents send no help and no types.
func (a *API) promTargetMetadata(c *promCall) (promAnswer, error) {
	if _, err := c.countOf("limit"); err != nil {
		return promAnswer{}, err
	}
	if s := c.value("match_target"); s != "" {
		err := bounded(s)
		if err == nil {
			_, err = rules.NewParser().ParseMetricSelector(s)
		}
		if err != nil {
			return promAnswer{}, badParameter("match_target", err)
		}
	}
	return promAnswer{data: []string{}}, nil
}

// promAlertmanagers answers none: tickets are opened here, and where else alerts go is the house's.
func (a *API) promAlertmanagers(*promCall) (promAnswer, error) {
	return promAnswer{data: map[string][]string{"activeAlertmanagers": {}, "droppedAlertmanagers": {}}}, nil
}

// promBuild says which Prometheus this speaks like, and which program it is.
type promBuild struct {
	Version   string `json:"version"`
	Revision  string `json:"revision"`
	Branch    string `json:"branch"`
	BuildUser string `json:"buildUser"`
	BuildDate string `json:"buildDate"`
	GoVersion string `json:"goVersion"`
}

func (a *API) promBuildInfo(*promCall) (promAnswer, error) {
	return promAnswer{data: promBuild{Version: engineVersion, Revision: a.o.Build.Revision, Branch: "watchbill " + a.o.Build.Version,
		BuildDate: a.o.Build.RevisionTime, GoVersion: a.o.Build.GoVersion}}, nil
}

// promConfig gives of the configuration what clients read: how often rules are evaluated. The rest is the house's.
func (a *API) promConfig(*promCall) (promAnswer, error) {
	return promAnswer{data: map[string]string{
		"yaml": fmt.Sprintf("global:\n  scrape_interval: %[1]s\n  evaluation_interval: %[1]s\n", model.Duration(a.queries.every))}}, nil
}

func (a *API) promFlags(c *promCall) (promAnswer, error) {
	return promAnswer{data: map[string]string{
		"query.lookback-delta": model.Duration(window.StaleAfter).String(), "query.max-concurrency": strconv.Itoa(c.terms.atOnce()),
		"query.max-samples": strconv.Itoa(c.terms.MaxSamples), "query.timeout": c.terms.Timeout.String(),
		"storage.tsdb.retention.time": model.Duration(a.o.Retention).String(),
	}}, nil
}

// promRuntime is how the program runs.
type promRuntime struct {
	StartTime           time.Time `json:"startTime"`
	CWD                 string    `json:"CWD"`
	Hostname            string    `json:"hostname"`
	ServerTime          time.Time `json:"serverTime"`
	ReloadConfigSuccess bool      `json:"reloadConfigSuccess"`
	LastConfigTime      time.Time `json:"lastConfigTime"`
	CorruptionCount     int64     `json:"corruptionCount"`
	GoroutineCount      int       `json:"goroutineCount"`
	GOMAXPROCS          int       `json:"GOMAXPROCS"`
	GOMEMLIMIT          int64     `json:"GOMEMLIMIT"`
	GOGC                string    `json:"GOGC"`
	GODEBUG             string    `json:"GODEBUG"`
	StorageRetention    string    `json:"storageRetention"`
}

// promRuntimeInfo says to who sees the whole fleet how the program runs, to others what time it is.
func (a *API) promRuntimeInfo(c *promCall) (promAnswer, error) {
	out := promRuntime{StartTime: a.started, ServerTime: a.o.Now().UTC(), StorageRetention: model.Duration(a.o.Retention).String()}
	out.ReloadConfigSuccess, out.LastConfigTime = a.o.Reloads()
	if c.sight.all() {
		out.Hostname, _ = os.Hostname() // it stays empty where the system has none
		out.CWD, out.GoroutineCount, out.GOMAXPROCS = a.o.StoragePath, runtime.NumGoroutine(), runtime.GOMAXPROCS(0)
		out.GOMEMLIMIT, out.GOGC, out.GODEBUG = debug.SetMemoryLimit(-1), os.Getenv("GOGC"), os.Getenv("GODEBUG")
	}
	return promAnswer{data: out}, nil
}

// promCount is one line of a list of /status/tsdb.
type promCount struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

// promHead counts the part of the history that is being written.
type promHead struct {
	NumSeries     uint64 `json:"numSeries"`
	NumLabelPairs int    `json:"numLabelPairs"`
	ChunkCount    int64  `json:"chunkCount"`
	MinTime       int64  `json:"minTime"`
	MaxTime       int64  `json:"maxTime"`
}

// promStorage is the data of /status/tsdb.
type promStorage struct {
	Head    promHead    `json:"headStats"`
	Metrics []promCount `json:"seriesCountByMetricName"`
	Labels  []promCount `json:"labelValueCountByLabelName"`
	Memory  []promCount `json:"memoryInBytesByLabelName"`
	Pairs   []promCount `json:"seriesCountByLabelValuePair"`
}

// maxCounts bounds the lists of /status/tsdb, as in Prometheus.
const maxCounts = 10_000

// promTSDB counts the history for who sees the whole fleet. The counts are of all customers together, so others get none.
func (a *API) promTSDB(c *promCall) (promAnswer, error) {
	limit := 10
	if s := c.value("limit"); s != "" {
		var err error
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 {
			return promAnswer{}, &promError{Type: promBadData, Err: errors.New("limit must be a positive number")}
		}
		if limit > maxCounts {
			return promAnswer{}, promErrorf(promBadData, "limit must not exceed %d", maxCounts)
		}
	}
	out := promStorage{Head: promHead{MinTime: math.MaxInt64, MaxTime: math.MinInt64},
		Metrics: []promCount{}, Labels: []promCount{}, Memory: []promCount{}, Pairs: []promCount{}}
	if !c.sight.all() {
		return promAnswer{data: out}, nil
	}
	if a.o.History == nil {
		c.note(errHistoryOff)
		return promAnswer{data: out}, nil
	}
	st, err := a.o.History.Stats(limit)
	if err != nil {
		return promAnswer{}, &promError{Type: promUnavailable, Err: err, Reason: "storage"}
	}
	out.Head = promHead{NumSeries: st.NumSeries, NumLabelPairs: st.IndexPostingStats.NumLabelPairs, ChunkCount: st.Chunks,
		MinTime: st.MinTime, MaxTime: st.MaxTime}
	out.Metrics = countsOf(st.IndexPostingStats.CardinalityMetricsStats)
	out.Labels = countsOf(st.IndexPostingStats.CardinalityLabelStats)
	out.Memory = countsOf(st.IndexPostingStats.LabelValueStats)
	out.Pairs = countsOf(st.IndexPostingStats.LabelValuePairsStats)
	return promAnswer{data: out}, nil
}

func countsOf(stats []index.Stat) []promCount {
	out := make([]promCount, 0, len(stats))
	for _, s := range stats {
		out = append(out, promCount{s.Name, s.Count})
	}
	return out
}
