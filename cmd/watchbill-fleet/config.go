package main

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"time"
)

// config is what a run is asked for.
type config struct {
	dir      string
	agents   int // 0: all that are prepared
	interval time.Duration
	duration time.Duration
	// phases is over how long the first reports are spread.
	phases   time.Duration
	flatOut  bool
	lifeOnly bool
	series   int
	churn    float64 // share of series per hour
	events   float64 // per host and hour
	faults   []fault
	spooled  float64 // share of agents with a spool on disk
	sources  int     // 0: as many as are needed
	seed     uint64
	attacks  float64 // per second
	wire     int     // version of the reports' encoding
	goodbye  bool

	collectorURL string
	collectorPID int
	peerURL      string
	peerPID      int

	every       time.Duration
	output      string
	allowRemote bool
}

// Bounds of a run, so that one that is forgotten ends.
const (
	minInterval = 100 * time.Millisecond
	maxInterval = time.Hour
	maxDuration = 24 * time.Hour
	maxAttacked = 1000
)

// validate names every fault at once.
func (c config) validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	share := func(flag string, v float64) {
		if math.IsNaN(v) || v < 0 || v > 1 {
			fault("--%s %g: want a share from 0 to 1", flag, v)
		}
	}
	if c.dir == "" {
		fault("--dir: name the directory that `watchbill-fleet prepare` filled")
	}
	if c.agents < 0 || c.agents > maxAgents {
		fault("--agents %d: want 1 to %d, or 0 for all that are prepared", c.agents, maxAgents)
	}
	if c.interval < minInterval || c.interval > maxInterval {
		fault("--interval %v: want %v to %v", c.interval, minInterval, maxInterval)
	}
	if c.duration <= 0 || c.duration > maxDuration {
		fault("--duration %v: want more than 0 and at most %v: a run ends by itself", c.duration, maxDuration)
	}
	if c.phases < 0 || c.phases > maxInterval {
		fault("--spread %v: want 0 to %v", c.phases, maxInterval)
	}
	if c.series < minSeries || c.series > maxSeries {
		fault("--series %d: want %d to %d", c.series, minSeries, maxSeries)
	}
	share("spool", c.spooled)
	if c.churn < 0 || c.churn > 100 || math.IsNaN(c.churn) {
		fault("--churn %g: want a share of the series per hour, 0 to 100", c.churn)
	}
	if c.events < 0 || c.events > 3600 || math.IsNaN(c.events) {
		fault("--events %g: want events per host and hour, 0 to 3600", c.events)
	}
	if c.sources < 0 || c.sources > maxSources {
		fault("--sources %d: want 1 to %d addresses, or 0 for one per %d agents", c.sources, maxSources, agentsPerSource)
	}
	if c.attacks <= 0 || c.attacks > maxAttacked {
		fault("--hostile-rate %g: want attacks per second, more than 0 and at most %d", c.attacks, maxAttacked)
	}
	if c.wire != 0 && c.wire != 1 {
		fault("--wire %d: want 0 or 1, the versions there are", c.wire)
	}
	if c.every < time.Second {
		fault("--every %v: want at least a second", c.every)
	}
	if c.output != "text" && c.output != "json" {
		fault("--output %q: want text or json", c.output)
	}
	errs = append(errs, c.checkModes(), c.checkTargets())
	return errors.Join(errs...)
}

// checkModes refuses what does not go together.
func (c config) checkModes() error {
	var errs []error
	if c.flatOut && c.spooled > 0 {
		errs = append(errs, errors.New("--flat-out and --spool: an agent with a spool is paced by its interval"))
	}
	if c.lifeOnly && c.peerURL != "" {
		errs = append(errs, errors.New("--no-samples and --remote-write: there is nothing to write"))
	}
	for _, f := range c.faults {
		if c.duration > 0 && f.after >= c.duration {
			errs = append(errs, fmt.Errorf("--fault %s: the run ends after %v, before it begins", f, c.duration))
		}
	}
	return errors.Join(errs...)
}

// checkTargets refuses what is not on this machine, unless that is wanted.
func (c config) checkTargets() error {
	var errs []error
	for _, t := range []struct{ flag, value string }{{"collector-url", c.collectorURL}, {"remote-write", c.peerURL}} {
		if t.value == "" {
			continue
		}
		u, err := url.Parse(t.value)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			errs = append(errs, fmt.Errorf("--%s %q: want http://HOST:PORT…", t.flag, t.value))
			continue
		}
		if c.allowRemote {
			continue
		}
		port := u.Port()
		if port == "" {
			port = u.Scheme
		}
		if err := onLoopback(u.Hostname() + ":" + port); err != nil {
			errs = append(errs, fmt.Errorf("--%s: %w", t.flag, err))
		}
	}
	return errors.Join(errs...)
}
