package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/watchbill/watchbill/collector/outbox"
)

const (
	// SourceLabel is on every alert that goes out, with Options.Source as its value: it tells people and routes which Watchbill
	// sends. alert_relabel_configs can take it off.
	SourceLabel = "watchbill_source"
	// InstallationLabel is beside it with Options.Installation, which never changes: so a collector knows its own alerts when an
	// Alertmanager hands them back, whatever it was called when it sent them.
	InstallationLabel = "watchbill_installation"
	// MaxAlertBatch is how many alerts one call carries, as Prometheus' notifier has it.
	MaxAlertBatch = 64
	// defaultResend is how often what stands is said again: Prometheus' --rules.alert.resend-delay.
	defaultResend = time.Minute
)

// AlertmanagerConfig says which Alertmanagers take the alerts of this house: Prometheus' alertmanager_config as far as it
// makes sense for fixed addresses. The zero value of everything but URLs is a default.
type AlertmanagerConfig struct {
	// URLs are the Alertmanagers of one cluster; each gets every alert.
	URLs []string `yaml:"urls"`
	// PathPrefix stands before /api/v2/alerts.
	PathPrefix string `yaml:"path_prefix,omitempty"`
	// Timeout bounds one call; 10 s by default.
	Timeout model.Duration `yaml:"timeout,omitempty"`
	// ResendDelay is how often an alert that stands is said again; 1 m by default.
	ResendDelay model.Duration `yaml:"resend_delay,omitempty"`
	// ExternalLabels are added where an alert has no label of that name.
	ExternalLabels map[string]string `yaml:"external_labels,omitempty"`
	// Relabel changes labels before an alert goes out, or drops it.
	Relabel []*relabel.Config `yaml:"alert_relabel_configs,omitempty"`
	// HTTP is Prometheus' HTTP client configuration: tls_config, basic_auth, authorization, proxy_url …
	HTTP *promconfig.HTTPClientConfig `yaml:"http_config,omitempty"`
}

// Validate names every fault at once. It opens no file.
func (c AlertmanagerConfig) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.URLs) == 0 {
		fault("urls: must name one Alertmanager at least, like http://127.0.0.1:9093")
	}
	for i, u := range c.URLs {
		if why := faultOfURL(u, "http://127.0.0.1:9093"); why != "" {
			fault("urls[%d]: %s", i, why)
		} else if slices.Contains(c.URLs[:i], u) {
			fault("urls[%d]: is there twice", i)
		}
	}
	if c.ResendDelay < 0 {
		fault("resend_delay: must be positive, got %v", c.ResendDelay)
	}
	for _, name := range slices.Sorted(maps.Keys(c.ExternalLabels)) {
		if !model.LegacyValidation.IsValidLabelName(name) || strings.HasPrefix(name, model.ReservedLabelPrefix) {
			fault("external_labels: %q is not a label's name; want letters, digits and _", name)
		}
	}
	for i, r := range c.Relabel {
		if r == nil {
			fault("alert_relabel_configs[%d]: must not be empty", i)
		} else if err := r.Validate(model.UTF8Validation); err != nil {
			fault("alert_relabel_configs[%d]: %w", i, err)
		}
	}
	return errors.Join(append(errs, validateCall(c.Timeout, c.HTTP)...)...)
}

func (c *AlertmanagerConfig) setDirectory(dir string) {
	if c.HTTP != nil {
		c.HTTP.SetDirectory(dir)
	}
}

func (c *AlertmanagerConfig) sender(name string, o Options) (outbox.Sender, error) {
	return NewAlertmanager(name, *c, o)
}

// OutAlert is an alert of this house on its way to an Alertmanager.
type OutAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// StartsAt is when it began to fire, EndsAt when it ended: zero while it fires.
	StartsAt time.Time `json:"starts_at"`
	EndsAt   time.Time `json:"ends_at,omitzero"`
	// Interval is how often its rule is evaluated: an alert that is not said again holds for four times that, or of the resend
	// delay where that is longer.
	Interval     time.Duration `json:"interval,omitempty"`
	GeneratorURL string        `json:"generator_url,omitempty"`
}

// EncodeAlerts is the body of an outbox message that brings alerts to an Alertmanager, at most MaxAlertBatch of them.
func EncodeAlerts(alerts []OutAlert) (json.RawMessage, error) {
	b, err := json.Marshal(alertBatch{alerts})
	if err != nil {
		return nil, fmt.Errorf("encode %d alerts for Alertmanagers: %w", len(alerts), err)
	}
	return b, nil
}

type alertBatch struct {
	Alerts []OutAlert `json:"out_alerts"`
}

// Alertmanager hands alerts to all Alertmanagers of a cluster. One call after the other goes to each, so that none hears of an
// alert's past after its present.
type Alertmanager struct {
	*caller
	name   string
	config AlertmanagerConfig
	peers  []peer
	turn   sync.Mutex
}

// peer is one Alertmanager: host is how errors and metrics call it.
type peer struct{ host, address string }

// NewAlertmanager makes the sender of the receiver called name. It reads the certificates that c names.
func NewAlertmanager(name string, c AlertmanagerConfig, o Options) (*Alertmanager, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("alertmanager %s: %w", name, err)
	}
	c.ResendDelay = cmp.Or(c.ResendDelay, model.Duration(defaultResend))
	call, err := newCaller("alertmanager "+name, c.Timeout, c.HTTP, o)
	if err != nil {
		return nil, err
	}
	a := &Alertmanager{caller: call, name: name, config: c}
	for _, s := range c.URLs {
		u, err := url.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("alertmanager %s: urls: %w", name, withoutURL(err))
		}
		a.peers = append(a.peers, peer{u.Host, u.JoinPath(c.PathPrefix, "/api/v2/alerts").String()})
	}
	return a, nil
}

// ResendDelay is how often an alert that stands is to be said again.
func (a *Alertmanager) ResendDelay() time.Duration { return time.Duration(a.config.ResendDelay) }

// Send brings the alerts of a message. nil means that one Alertmanager at least took them: the others hear of what stands, and
// of what ended, by the resends.
func (a *Alertmanager) Send(ctx context.Context, m outbox.Message) error {
	var batch alertBatch
	if err := json.Unmarshal(m.Body, &batch); err != nil {
		return fmt.Errorf("%w: message %s does not carry alerts: %w", outbox.ErrRefused, m.ID, err)
	}
	if batch.Alerts == nil { // a notice that was written for a receiver of another kind
		return fmt.Errorf("%w: message %s does not carry alerts but a notice: give it a receiver of another kind", outbox.ErrRefused, m.ID)
	}
	a.turn.Lock()
	defer a.turn.Unlock()
	return a.push(ctx, batch.Alerts)
}

// Resend says again what stands. Which alerts these are is asked when it is this call's turn, so that none of them has ended
// by what was sent before. It returns how many were to be said.
func (a *Alertmanager) Resend(ctx context.Context, standing func() []OutAlert) (int, error) {
	a.turn.Lock()
	defer a.turn.Unlock()
	alerts := standing()
	return len(alerts), a.push(ctx, alerts)
}

// push makes one call to every Alertmanager, to all at once.
func (a *Alertmanager) push(ctx context.Context, alerts []OutAlert) error {
	out := a.render(alerts, a.options.Now())
	if len(out) == 0 {
		return nil
	}
	body, err := json.Marshal(out)
	if err != nil {
		return fmt.Errorf("%w: render %d alerts: %w", outbox.ErrRefused, len(out), err)
	}
	errs := make([]error, len(a.peers))
	var calls sync.WaitGroup
	for i, p := range a.peers {
		calls.Go(func() {
			began := a.options.Now()
			errs[i] = a.post(ctx, p.address, body, nil, judge)
			a.options.Alerts.count(a.name, p.host, len(out), a.options.Now().Sub(began), errs[i])
		})
	}
	calls.Wait()
	return verdict(a.peers, errs)
}

// verdict is nil when one took it, a refusal when all refused, and else the failure of one that may take it later.
func verdict(peers []peer, errs []error) error {
	if slices.Contains(errs, nil) {
		return nil
	}
	var later, all []error
	for i, err := range errs {
		err = fmt.Errorf("%s: %w", peers[i].host, err)
		all = append(all, err)
		if !errors.Is(err, outbox.ErrRefused) {
			later = append(later, err)
		}
	}
	if len(later) > 0 {
		return errors.Join(later...)
	}
	return errors.Join(all...)
}

// wireAlert is Alertmanager's postableAlert (API v2).
type wireAlert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// render is alerts as an Alertmanager takes them at now. What fires holds until four times the longer of its interval and the
// resend delay have passed (Prometheus, rules/alerting.go: sendAlerts).
func (a *Alertmanager) render(alerts []OutAlert, now time.Time) []wireAlert {
	var out []wireAlert
	lb := labels.NewBuilder(labels.EmptyLabels())
	for _, al := range alerts {
		lb.Reset(labels.FromMap(al.Labels))
		for name, value := range a.config.ExternalLabels {
			if lb.Get(name) == "" {
				lb.Set(name, value)
			}
		}
		if a.options.Source != "" {
			lb.Set(SourceLabel, a.options.Source)
		}
		if a.options.Installation != "" {
			lb.Set(InstallationLabel, a.options.Installation)
		}
		if !relabel.ProcessBuilder(lb, a.config.Relabel...) {
			continue
		}
		w := wireAlert{Labels: lb.Labels().Map(), Annotations: notNil(al.Annotations), StartsAt: al.StartsAt, EndsAt: al.EndsAt,
			GeneratorURL: al.GeneratorURL}
		switch {
		case len(w.Labels) == 0:
			continue
		case al.EndsAt.IsZero():
			w.EndsAt = now.Add(4 * max(al.Interval, a.ResendDelay()))
		case al.EndsAt.Before(al.StartsAt): // which an Alertmanager refuses
			w.EndsAt = al.StartsAt
		}
		out = append(out, w)
	}
	return out
}
