package collector

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/exporter-toolkit/web"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/history/remote"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/rules"
)

// Config is what a collector runs with. Its YAML is strict: an unknown key is an error with its line.
type Config struct {
	Storage struct {
		// Path is the directory of the store, the history and the operator's token.
		Path string `yaml:"path"`
	} `yaml:"storage"`
	// Backup is when the store is copied and where to.
	Backup struct {
		// Every is how often the store is backed up; 0 switches scheduled backups off.
		Every policy.Duration `yaml:"every"`
		// Keep is how many scheduled backups are kept, the newest.
		Keep int `yaml:"keep"`
		// Path is their directory; "backups" in the storage's when empty.
		Path string `yaml:"path"`
	} `yaml:"backup"`
	// Web is the operators' listener.
	Web struct {
		ListenAddress string `yaml:"listen_address"`
		// ConfigFile is a Prometheus web configuration (TLS).
		ConfigFile string `yaml:"config_file"`
		// ExternalURL is where people reach this listener; it stands in messages.
		ExternalURL string `yaml:"external_url"`
	} `yaml:"web"`
	// Agents is the agents' listener (mutual TLS).
	Agents struct {
		ListenAddress string `yaml:"listen_address"`
		// ExternalAddress is the host:port that agents dial; it stands in enrolment tokens.
		ExternalAddress string `yaml:"external_address"`
		// Names are further host names and addresses the listener's certificate is good for.
		Names []string `yaml:"names"`
		// Door bounds connections and handshakes.
		Door ingest.Door `yaml:"door"`
	} `yaml:"agents"`
	// Quotas bound what agents and customers may cost over time.
	Quotas ingest.Quotas `yaml:"quotas"`
	// Backlog bounds what agents may send of their past.
	Backlog ingest.Backlog `yaml:"backlog"`
	Fleet   struct {
		// Directory of YAML with customers, sites and assets.
		Directory string `yaml:"directory"`
	} `yaml:"fleet"`
	Policies struct {
		// Directory of policy sets, beside the shipped ones or in their place; the shipped ones alone when empty.
		Directory string `yaml:"directory"`
	} `yaml:"policies"`
	Rules struct {
		// Packs loads the shipped rules.
		Packs bool     `yaml:"packs"`
		Files []string `yaml:"files"`
		// Missing is what missing series do to alerts of rules that do not say so themselves: freeze or resolve.
		Missing rules.Missing `yaml:"missing"`
	} `yaml:"rules"`
	Evaluation struct {
		// Interval of groups that name none.
		Interval policy.Duration `yaml:"interval"`
	} `yaml:"evaluation"`
	// History is what is kept of the samples.
	History HistoryConfig `yaml:"history"`
	// Remote is who gets the samples, too.
	Remote remote.Config `yaml:",inline"`
	// Query bounds what Prometheus' API may take.
	Query   api.QueryLimits `yaml:"query"`
	Silence struct {
		// Intervals a host may miss, at least Least in all; AfterGoodbye for an agent that stopped in order.
		Intervals    int             `yaml:"intervals"`
		Least        policy.Duration `yaml:"least"`
		AfterGoodbye policy.Duration `yaml:"after_goodbye"`
		// AfterEnrolment is what an agent may take to its first report.
		AfterEnrolment policy.Duration `yaml:"after_enrolment"`
		// Together is how long after one another hosts may fall silent for one cause.
		Together policy.Duration `yaml:"together"`
		// Ping is how silent hosts are asked whether they are there.
		Ping struct {
			// Count of echo requests for a host, 0 for none; Timeout for all of them.
			Count   int             `yaml:"count"`
			Timeout policy.Duration `yaml:"timeout"`
			// Most hosts that are pinged when they fall silent at one moment.
			Most int `yaml:"most"`
		} `yaml:"ping"`
	} `yaml:"silence"`
	// Flapping is when an alert that comes and goes is told as one state.
	Flapping struct {
		// Changes of one alert within Window are flapping, until Stable has brought none; 0 switches it off.
		Changes int             `yaml:"changes"`
		Window  policy.Duration `yaml:"window"`
		Stable  policy.Duration `yaml:"stable"`
	} `yaml:"flapping"`
	// Maintenance are times in which alerts open no tickets.
	Maintenance MaintenancePlan `yaml:"maintenance"`
	// Feed is how alerts of other programs are taken.
	Feed ingest.FeedConfig `yaml:"feed"`
	// RemoteWriteIn is how samples of other programs are taken in.
	RemoteWriteIn ingest.RemoteWriteIn `yaml:"remote_write_in"`
	// Receivers are told about every ticket.
	Receivers []notify.Receiver `yaml:"receivers"`
}

// DefaultConfig is what `up` and `serve` start from: both listeners on loopback, shipped rules, history.
func DefaultConfig() Config {
	var c Config
	c.Storage.Path = DefaultStoragePath()
	c.Backup.Every = policy.Duration(6 * time.Hour)
	c.Backup.Keep = 8
	c.Web.ListenAddress = "127.0.0.1:9720"
	c.Agents.ListenAddress = "127.0.0.1:9721"
	c.Agents.Door = ingest.DefaultDoor()
	c.Quotas = ingest.DefaultQuotas()
	c.Backlog = ingest.DefaultBacklog()
	c.Feed = ingest.DefaultFeed()
	c.RemoteWriteIn = ingest.DefaultRemoteWriteIn()
	c.Rules.Packs = true
	c.Rules.Missing = rules.Freeze
	c.Evaluation.Interval = policy.Duration(5 * time.Second)
	c.History = defaultHistory()
	c.Remote = remote.DefaultConfig()
	c.Query = api.DefaultQueryLimits()
	c.Silence.Intervals = incident.DefaultPatience.Intervals
	c.Silence.Least = policy.Duration(incident.DefaultPatience.Least)
	c.Silence.AfterGoodbye = policy.Duration(incident.DefaultPatience.AfterGoodbye)
	c.Silence.AfterEnrolment = policy.Duration(incident.DefaultPatience.AfterEnrolment)
	c.Silence.Together = policy.Duration(incident.DefaultPatience.Together)
	c.Silence.Ping.Count = 3
	c.Silence.Ping.Timeout = policy.Duration(time.Second)
	c.Silence.Ping.Most = 64
	c.Flapping.Changes = incident.DefaultFlapping.Changes
	c.Flapping.Window = policy.Duration(incident.DefaultFlapping.Window)
	c.Flapping.Stable = policy.Duration(incident.DefaultFlapping.Stable)
	return c
}

// LoadConfig reads a file over DefaultConfig and validates it. Relative paths in it are relative to the file. The error names every
// fault at once, with its line and field; what could be read beside them is there.
func LoadConfig(file string) (Config, error) {
	c, _, err := loadConfig(file)
	return c, err
}

// loadConfig is LoadConfig with the file's form, by which what the configuration names is found in it.
func loadConfig(file string) (Config, form, error) {
	c := DefaultConfig()
	b, err := os.ReadFile(file)
	if err != nil {
		return c, form{}, fmt.Errorf("read configuration: %w", err)
	}
	written, err := formOf(file, b)
	if err != nil {
		return c, written, err
	}
	faults := written.decode(&c)
	c.resolve(filepath.Dir(file))
	faults = append(faults, written.judged(apart(c.Validate()))...)
	return c, written, errors.Join(faults...)
}

// resolve makes relative paths relative to dir, those of receivers too. The Prometheus web configuration does so itself with
// the paths that are in it.
func (c *Config) resolve(dir string) {
	paths := []*string{&c.Storage.Path, &c.Backup.Path, &c.Web.ConfigFile, &c.Fleet.Directory, &c.Policies.Directory}
	for i := range c.Rules.Files {
		paths = append(paths, &c.Rules.Files[i])
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	c.Remote.SetDirectory(dir)
	for i := range c.Receivers {
		c.Receivers[i].SetDirectory(dir)
	}
}

// Validate names every fault at once; it changes nothing.
func (c Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Storage.Path == "" {
		fault("storage.path: must name a directory")
	}
	if every := time.Duration(c.Backup.Every); every != 0 && every < time.Minute {
		fault("backup.every: must be 0 (off) or at least 1m, got %v", every)
	}
	if c.Backup.Keep < 1 {
		fault("backup.keep: must be at least 1, got %d", c.Backup.Keep)
	}
	c.validateAddresses(fault)
	if err := web.Validate(c.Web.ConfigFile); err != nil { // else a start would say so, when the rest already runs
		fault("web.config_file: %w; it is a Prometheus web configuration, and its certificate and key have to be there", err)
	}
	errs = append(errs, c.Agents.Door.Validate(), c.Quotas.Validate(), c.Backlog.Validate(), c.Feed.Validate(), c.Remote.Validate())
	errs = append(errs, c.Query.Validate(), c.RemoteWriteIn.Validate())
	if c.Evaluation.Interval <= 0 {
		fault("evaluation.interval: must be positive, got %v", time.Duration(c.Evaluation.Interval))
	}
	c.History.validate(fault)
	if !c.Rules.Missing.Valid() {
		fault("rules.missing: want %s or %s, got %q", rules.Freeze, rules.Resolve, c.Rules.Missing)
	}
	c.validateSilence(fault)
	errs = append(errs, c.Maintenance.Validate())
	if err := notify.Validate(c.Receivers); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c Config) validateAddresses(fault func(format string, args ...any)) {
	for _, l := range []struct{ key, addr string }{
		{"web.listen_address", c.Web.ListenAddress}, {"agents.listen_address", c.Agents.ListenAddress},
	} {
		if _, _, err := net.SplitHostPort(l.addr); err != nil {
			fault("%s: want host:port, got %q", l.key, l.addr)
		}
	}
	if a := c.Agents.ExternalAddress; a != "" {
		if _, _, err := net.SplitHostPort(a); err != nil {
			fault("agents.external_address: want host:port, got %q", a)
		}
	}
	if c.Web.ExternalURL == "" {
		return
	}
	if u, err := url.Parse(c.Web.ExternalURL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		fault("web.external_url: want http://HOST:PORT or https://HOST:PORT, with a path if there is one, got %q: links in messages begin with it",
			c.Web.ExternalURL)
	}
}

func (c Config) validateSilence(fault func(format string, args ...any)) {
	if c.Silence.Intervals < 1 {
		fault("silence.intervals: must be at least 1, got %d", c.Silence.Intervals)
	}
	for _, d := range []struct {
		key string
		d   policy.Duration
	}{
		{"least", c.Silence.Least}, {"after_goodbye", c.Silence.AfterGoodbye}, {"after_enrolment", c.Silence.AfterEnrolment},
		{"together", c.Silence.Together},
	} {
		if d.d <= 0 {
			fault("silence.%s: must be positive, got %v", d.key, d.d)
		}
	}
	p := c.Silence.Ping
	if p.Count < 0 || p.Count > maxPings {
		fault("silence.ping.count: must be 0 (off) to %d, got %d", maxPings, p.Count)
	}
	if p.Count != 0 && (p.Most < 1 || p.Most > maxPinged) {
		fault("silence.ping.most: must be 1 to %d, got %d", maxPinged, p.Most)
	}
	switch {
	case p.Count == 0:
	case p.Timeout < policy.Duration(100*time.Millisecond) || time.Duration(p.Timeout) > reachBudget:
		fault("silence.ping.timeout: must be 100ms to %v, got %v", reachBudget, time.Duration(p.Timeout))
	case p.Count <= maxPings && time.Duration(p.Timeout) <= time.Duration(p.Count-1)*pingEvery:
		fault("silence.ping.timeout: must be more than %v, which %d requests take to be sent, got %v",
			time.Duration(p.Count-1)*pingEvery, p.Count, time.Duration(p.Timeout))
	}
	switch f := c.Flapping; {
	case f.Changes == 0:
	case f.Changes < 2 || f.Changes > maxFlapping:
		fault("flapping.changes: must be 0 (off) or 2 to %d, got %d", maxFlapping, f.Changes)
	case f.Window <= 0 || f.Stable <= 0:
		fault("flapping.window and flapping.stable: must be positive, got %v and %v", f.Window, f.Stable)
	}
}

// maxPings and maxPinged bound silence.ping: who is asked for long, or with many others, holds up the ticket.
const (
	maxPings  = 10
	maxPinged = 1000
)

func (c Config) pinging() pingTerms {
	p := c.Silence.Ping
	return pingTerms{Count: p.Count, Timeout: time.Duration(p.Timeout), Most: p.Most}
}

// maxFlapping bounds flapping.changes: a ticket remembers no more of its alerts' changes than it needs.
const maxFlapping = 20

func (c Config) flapping() incident.Flapping {
	f := c.Flapping
	return incident.Flapping{Changes: f.Changes, Window: time.Duration(f.Window), Stable: time.Duration(f.Stable)}
}

func (c Config) patience() incident.Patience {
	return incident.Patience{
		Intervals: c.Silence.Intervals, Least: time.Duration(c.Silence.Least), AfterGoodbye: time.Duration(c.Silence.AfterGoodbye),
		AfterEnrolment: time.Duration(c.Silence.AfterEnrolment), Together: time.Duration(c.Silence.Together),
	}
}

// BackupPath is the directory of scheduled backups.
func (c Config) BackupPath() string {
	if c.Backup.Path != "" {
		return c.Backup.Path
	}
	return filepath.Join(c.Storage.Path, BackupsName)
}
