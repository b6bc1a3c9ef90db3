package remote

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/units"
	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"go.yaml.in/yaml/v3"

	"github.com/watchbill/watchbill/collector/policy"
)

// Config is the part of the collector's configuration about samples that are written on to engines elsewhere.
type Config struct {
	// Targets are written to, each for itself; none switches it off.
	Targets []Target `yaml:"remote_write"`
	// Spool bounds what waits for targets on disk.
	Spool Spool `yaml:"remote_write_spool"`
	// External labels are added to every sample that does not have them.
	External map[string]string `yaml:"remote_write_external_labels"`
}

// Spool bounds what waits on disk. Beyond it the oldest samples are dropped first.
type Spool struct {
	Size Bytes           `yaml:"size"`
	Age  policy.Duration `yaml:"age"`
}

// Target is one engine, with the keys of Prometheus' remote_write.
type Target struct {
	URL string `yaml:"url"`
	// Name keeps what waits for a target when other keys change; six digits of its URL's hash when empty.
	Name          string                       `yaml:"name"`
	RemoteTimeout policy.Duration              `yaml:"remote_timeout"`
	Headers       map[string]promconfig.Secret `yaml:"headers"`
	// Message is prometheus.WriteRequest (remote write 1.0) or io.prometheus.write.v2.Request (2.0).
	Message remoteapi.WriteMessageType  `yaml:"protobuf_message"`
	Relabel []Rule                      `yaml:"write_relabel_configs"`
	Queue   Queue                       `yaml:"queue_config"`
	HTTP    promconfig.HTTPClientConfig `yaml:",inline"`

	fault error
}

// Queue says how samples are sent.
type Queue struct {
	MinShards         int `yaml:"min_shards"`
	MaxShards         int `yaml:"max_shards"`
	MaxSamplesPerSend int `yaml:"max_samples_per_send"`
	// BatchSendDeadline is how long a sample may wait for others to be sent with.
	BatchSendDeadline policy.Duration `yaml:"batch_send_deadline"`
	MinBackoff        policy.Duration `yaml:"min_backoff"`
	MaxBackoff        policy.Duration `yaml:"max_backoff"`
	// SampleAgeLimit drops samples that are older; 0 drops none.
	SampleAgeLimit policy.Duration `yaml:"sample_age_limit"`
}

// Rule is one of Prometheus' relabelling rules.
type Rule struct {
	relabel.Config
	fault error
}

// DefaultConfig has no targets, and room for 4 GiB and two days.
func DefaultConfig() Config {
	return Config{Spool: Spool{Size: 4 << 30, Age: policy.Duration(48 * time.Hour)}}
}

// defaultTarget is Prometheus' default, but that redirects are not followed.
func defaultTarget() Target {
	return Target{
		RemoteTimeout: policy.Duration(30 * time.Second),
		Message:       remoteapi.WriteV1MessageType,
		Queue: Queue{
			MinShards: 1, MaxShards: 50, MaxSamplesPerSend: 2000, BatchSendDeadline: policy.Duration(5 * time.Second),
			MinBackoff: policy.Duration(30 * time.Millisecond), MaxBackoff: policy.Duration(5 * time.Second),
		},
	}
}

// UnmarshalYAML reads a target over the defaults.
func (t *Target) UnmarshalYAML(unmarshal func(any) error) error {
	*t = defaultTarget()
	type keys Target // without this method
	if err := unmarshal((*keys)(t)); err != nil {
		return gathered(err, &t.fault)
	}
	t.fault = t.HTTP.Validate() // which also puts older keys into the place of newer ones
	return nil
}

// UnmarshalYAML reads a rule as Prometheus does.
func (r *Rule) UnmarshalYAML(unmarshal func(any) error) error {
	return gathered(unmarshal(&r.Config), &r.fault)
}

// gathered keeps for Validate what would end the reading of the whole file; the YAML package's own faults it gathers itself.
func gathered(err error, fault *error) error {
	if _, ok := errors.AsType[*yaml.TypeError](err); ok {
		return err
	}
	*fault = err
	return nil
}

// Bytes is a size, written like 512MiB or 4GiB.
type Bytes int64

// UnmarshalYAML reads a size. Its faults are gathered with those of other fields.
func (b *Bytes) UnmarshalYAML(n *yaml.Node) error {
	v, err := units.ParseBase2Bytes(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %q is no size; write it like 512MiB or 4GiB", n.Line, n.Value)}}
	}
	*b = Bytes(v)
	return nil
}

// MarshalYAML writes a size as it is read.
func (b Bytes) MarshalYAML() (any, error) { return units.Base2Bytes(b).String(), nil }

// SetDirectory makes relative paths relative to dir.
func (c Config) SetDirectory(dir string) {
	for i := range c.Targets {
		c.Targets[i].HTTP.SetDirectory(dir)
	}
}

// ID is the target's name, or what stands for it.
func (t Target) ID() string {
	if t.Name != "" {
		return t.Name
	}
	sum := sha256.Sum256([]byte(t.URL))
	return fmt.Sprintf("%x", sum[:3])
}

// called is how faults name the i-th target.
func (t Target) called(i int) string {
	if t.Name != "" {
		return fmt.Sprintf("remote_write[%d] (%s)", i, t.Name)
	}
	return fmt.Sprintf("remote_write[%d]", i)
}

// shownURL is the target's URL without what may be secret in it.
func (t Target) shownURL() string {
	u, err := url.Parse(t.URL)
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

func (t Target) rules() []*relabel.Config {
	var rules []*relabel.Config
	for _, r := range t.Relabel {
		c := r.Config
		c.NameValidationScheme = model.UTF8Validation
		rules = append(rules, &c)
	}
	return rules
}

func (c Config) externalLabels() labels.Labels { return labels.FromMap(c.External) }

// keyOf is equal for targets that work alike, but for their HTTP clients.
func keyOf(t Target, external map[string]string) string {
	rules, headers := "", ""
	for _, r := range t.Relabel {
		rules += fmt.Sprintf("%q %q %q %d %q %q %q;", r.SourceLabels, r.Separator, r.Regex.String(), r.Modulus, r.TargetLabel, r.Replacement, r.Action)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Headers)) {
		headers += fmt.Sprintf("%q %q;", name, string(t.Headers[name]))
	}
	return fmt.Sprintf("%q %v %q %+v %q %q %v", t.URL, t.RemoteTimeout, t.Message, t.Queue, rules, headers, external)
}

// nameRE is what a target's name may be: it stands in metrics and in the cursors' file.
var nameRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// reserved are headers that are part of the protocol, besides those that Prometheus reserves.
var reserved = []string{"Retry-Attempt", "Transfer-Encoding", "Te", "Trailer", "Upgrade", "Expect", "Accept"}

// Validate names every fault at once.
func (c Config) Validate() error {
	var errs []error
	ids := map[string]int{}
	for i, t := range c.Targets {
		for _, err := range t.faults() {
			errs = append(errs, fmt.Errorf("%s.%w", t.called(i), err))
		}
		if j, taken := ids[t.ID()]; taken {
			errs = append(errs, fmt.Errorf("%s.name: remote_write[%d] has the same; give each target a name of its own", t.called(i), j))
		} else {
			ids[t.ID()] = i
		}
	}
	if c.Spool.Size < 16<<20 {
		errs = append(errs, fmt.Errorf("remote_write_spool.size: must be at least 16MiB, got %d bytes", c.Spool.Size))
	}
	if time.Duration(c.Spool.Age) < time.Minute {
		errs = append(errs, fmt.Errorf("remote_write_spool.age: must be at least 1m, got %v", c.Spool.Age))
	}
	for _, name := range slices.Sorted(maps.Keys(c.External)) {
		if !model.UTF8Validation.IsValidLabelName(name) || name == model.MetricNameLabel {
			errs = append(errs, fmt.Errorf("remote_write_external_labels: %q cannot be a label", name))
		}
		if c.External[name] == "" {
			errs = append(errs, fmt.Errorf("remote_write_external_labels.%s: an empty value is no label; leave it out", name))
		}
	}
	return errors.Join(errs...)
}

// faults are what is wrong with a target, each beginning with the key.
func (t Target) faults() []error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if err := t.urlFault(); err != nil {
		fault("url: %w", err)
	}
	if t.Name != "" && !nameRE.MatchString(t.Name) {
		fault("name: want up to 63 letters, digits, `_`, `.` and `-`, got %q", t.Name)
	}
	if t.RemoteTimeout < policy.Duration(time.Millisecond) {
		fault("remote_timeout: must be positive, got %v", t.RemoteTimeout)
	}
	if err := t.Message.Validate(); err != nil {
		fault("protobuf_message: want %s or %s, got %q", remoteapi.WriteV1MessageType, remoteapi.WriteV2MessageType, t.Message)
	}
	errs = append(errs, t.headerFaults()...)
	for i, r := range t.Relabel {
		err := r.fault
		if err == nil {
			err = r.Config.Validate(model.UTF8Validation)
		}
		if err != nil {
			fault("write_relabel_configs[%d]: %w", i, err)
		}
	}
	if t.fault != nil {
		fault("http client: %w", t.fault)
	}
	if t.HTTP.FollowRedirects {
		fault("follow_redirects: cannot be true: a redirected write becomes a read, and its samples are lost; set url to where the target is")
	}
	return append(errs, t.Queue.faults()...)
}

// urlFault is what is wrong with the URL.
func (t Target) urlFault() error {
	u, err := url.Parse(t.URL)
	switch {
	case t.URL == "":
		return errors.New("must be where the target takes remote write, like https://mimir.example/api/v1/push")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Fragment != "":
		return errors.New("want an http or https URL with a host")
	case u.User != nil:
		return errors.New("must not hold a password; use basic_auth")
	}
	return nil
}

// headerFaults are what is wrong with the headers, in the order of their names.
func (t Target) headerFaults() (errs []error) {
	names := slices.Collect(maps.Keys(t.Headers))
	if t.HTTP.HTTPHeaders != nil {
		names = slices.AppendSeq(names, maps.Keys(t.HTTP.HTTPHeaders.Headers))
	}
	slices.Sort(names)
	for _, name := range names {
		key := http.CanonicalHeaderKey(name)
		if _, is := promconfig.ReservedHeaders[key]; is || slices.Contains(reserved, key) {
			errs = append(errs, fmt.Errorf("headers.%s: is part of the protocol and cannot be set; for who is writing use basic_auth, authorization or oauth2", name))
		} else if !headerName.MatchString(name) || strings.ContainsAny(string(t.Headers[name]), "\r\n\x00") {
			errs = append(errs, fmt.Errorf("headers.%s: cannot be a header", name))
		}
	}
	return errs
}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// The bounds of queue_config.
const (
	maxShards  = 1000
	maxPerSend = 100_000
)

func (q Queue) faults() []error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("queue_config."+format, args...)) }
	if q.MinShards < 1 || q.MinShards > q.MaxShards {
		fault("min_shards: must be 1 to max_shards (%d), got %d", q.MaxShards, q.MinShards)
	}
	if q.MaxShards < 1 || q.MaxShards > maxShards {
		fault("max_shards: must be 1 to %d, got %d", maxShards, q.MaxShards)
	}
	if q.MaxSamplesPerSend < 1 || q.MaxSamplesPerSend > maxPerSend {
		fault("max_samples_per_send: must be 1 to %d, got %d", maxPerSend, q.MaxSamplesPerSend)
	}
	if q.BatchSendDeadline <= 0 {
		fault("batch_send_deadline: must be positive, got %v", q.BatchSendDeadline)
	}
	if q.MinBackoff <= 0 || q.MinBackoff > q.MaxBackoff {
		fault("min_backoff: must be positive and at most max_backoff (%v), got %v", q.MaxBackoff, q.MinBackoff)
	}
	if q.SampleAgeLimit < 0 {
		fault("sample_age_limit: must be 0 (off) or positive, got %v", q.SampleAgeLimit)
	}
	return errs
}
