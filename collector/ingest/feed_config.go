package ingest

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// FeedConfig is how alerts of other programs are taken: Alertmanager's API at /api/v2/ and its webhook.
type FeedConfig struct {
	// ResolveTimeout is how long an alert that came without an end fires unless it is sent again.
	ResolveTimeout FeedDuration `yaml:"resolve_timeout"`
	// WebhookLapse is the same for what a webhook brings; 0: until it says that it is resolved.
	WebhookLapse FeedDuration `yaml:"webhook_lapse"`
	// ClockSkew is how far the clock of who sends may be from this one.
	ClockSkew FeedDuration `yaml:"clock_skew"`
	// DropLabels are labels by which senders of a pair differ; without them their alerts are one.
	DropLabels []string `yaml:"drop_labels"`
	// CustomerLabel lets the label customer say whose an alert is that is about no asset of the fleet.
	CustomerLabel bool `yaml:"customer_label"`
	// MaxAlerts is how many may stand at a time, AlertsPerRequest and BodyBytes bound one request.
	MaxAlerts        int `yaml:"max_alerts"`
	AlertsPerRequest int `yaml:"alerts_per_request"`
	BodyBytes        int `yaml:"body_bytes"`
	// Mappings say whom and what alerts are about.
	Mappings []Mapping `yaml:"mappings"`
}

// DefaultFeed is what holds where nothing is configured.
func DefaultFeed() FeedConfig {
	return FeedConfig{
		ResolveTimeout: FeedDuration(5 * time.Minute), ClockSkew: FeedDuration(30 * time.Second),
		DropLabels: []string{"replica", "prometheus_replica", "__replica__"},
		MaxAlerts:  20000, AlertsPerRequest: 10000, BodyBytes: 16 << 20,
	}
}

// The most that may be configured: what one request may hold in memory, and all of them.
const (
	maxFeedAlerts = 1_000_000
	maxFeedBody   = 256 << 20
)

// Validate names every fault at once.
func (c FeedConfig) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.ResolveTimeout < FeedDuration(time.Second) {
		fault("feed.resolve_timeout: must be at least 1s, got %v", time.Duration(c.ResolveTimeout))
	}
	if d := c.WebhookLapse; d != 0 && d < FeedDuration(time.Minute) {
		fault("feed.webhook_lapse: must be 0 (until it is resolved) or at least 1m, got %v; Alertmanager repeats every repeat_interval, 4h if not set", time.Duration(d))
	}
	if c.ClockSkew < 0 || c.ClockSkew > FeedDuration(10*time.Minute) {
		fault("feed.clock_skew: must be 0 to 10m, got %v", time.Duration(c.ClockSkew))
	}
	for _, l := range c.DropLabels {
		if l == "" || l == model.AlertNameLabel {
			fault("feed.drop_labels: %q cannot be left out of an alert", l)
		}
	}
	for _, n := range []struct {
		key     string
		n, most int
	}{
		{"max_alerts", c.MaxAlerts, maxFeedAlerts}, {"alerts_per_request", c.AlertsPerRequest, maxFeedAlerts},
		{"body_bytes", c.BodyBytes, maxFeedBody},
	} {
		if n.n < 1 || n.n > n.most {
			fault("feed.%s: must be 1 to %d, got %d", n.key, n.most, n.n)
		}
	}
	return errors.Join(append(errs, validateMappings("feed.mappings", c.Mappings)...)...)
}

// Terms are the times of it.
func (c FeedConfig) Terms() FeedTerms {
	t := FeedTerms{ResolveTimeout: time.Duration(c.ResolveTimeout), WebhookLapse: time.Duration(c.WebhookLapse),
		ClockSkew: time.Duration(c.ClockSkew), Drop: make(map[string]bool, len(c.DropLabels))}
	for _, l := range c.DropLabels {
		t.Drop[l] = true
	}
	return t
}

// FeedDuration is written as Prometheus writes durations: 90s, 5m, 0.
type FeedDuration time.Duration

// UnmarshalYAML reads a Prometheus duration. Its faults are gathered with those of other fields.
func (d *FeedDuration) UnmarshalYAML(n *yaml.Node) error {
	v, err := model.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %q is no duration; write it like 90s, 5m or 4h", n.Line, n.Value)}}
	}
	*d = FeedDuration(v)
	return nil
}
