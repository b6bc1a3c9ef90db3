package ingest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"
)

// RemoteWriteIn is how remote write is taken in: the bounds of one request, which asset a series belongs to, what a sender
// may cost, and when its silence is told. The names in the tags are keys of the configuration under remote_write_in.
type RemoteWriteIn struct {
	Limits RemoteLimits `yaml:"limits"`
	Quotas RemoteQuotas `yaml:"quotas"`
	Keying RemoteKeying `yaml:"keying"`
	// Silence is when a sender that was heard steadily is taken to be silent.
	Silence RemoteSilence `yaml:"silence"`
	// Senders are what single senders have instead, by the name of their operator; what is left out is as above.
	Senders map[string]RemoteSender `yaml:"senders"`
}

// RemoteLimits bound one request.
type RemoteLimits struct {
	// BodyBytes as they come over the line, DecodedBytes when they are unpacked, Series of one request.
	BodyBytes    int `yaml:"body_bytes"`
	DecodedBytes int `yaml:"decoded_bytes"`
	Series       int `yaml:"series"`
	// Labels of a series, and how long their names and values may be, in bytes.
	Labels          int `yaml:"labels"`
	LabelNameBytes  int `yaml:"label_name_bytes"`
	LabelValueBytes int `yaml:"label_value_bytes"`
	// AtOnce is how many requests are worked on at a time; who comes then waits, and is told to come later.
	AtOnce int `yaml:"at_once"`
}

// RemoteQuotas bound one sender over time.
type RemoteQuotas struct {
	SamplesPerMinute int `yaml:"samples_per_minute"`
	// Series that are being written, and NewSeriesPerHour those that were not before.
	Series           int `yaml:"series"`
	NewSeriesPerHour int `yaml:"new_series_per_hour"`
	// Assets are those that the fleet does not declare.
	Assets int `yaml:"assets"`
}

// RemoteKeying says which asset a series belongs to.
type RemoteKeying struct {
	InstanceLabel string `yaml:"instance_label"`
	// DropLabels are taken off: what tells the replicas of an HA pair apart. Of two who write one series then, one wins.
	DropLabels []string `yaml:"drop_labels"`
	// Customer has the assets that the fleet does not declare; the operator when empty. CustomerLabel names a label whose
	// value, when it is a customer's ID, is the customer instead: only for senders that may speak for every customer.
	Customer      string `yaml:"customer"`
	CustomerLabel string `yaml:"customer_label"`
}

// RemoteSilence is when a sender is silent: after Paces of its usual time between two requests, at least Least.
type RemoteSilence struct {
	Paces int           `yaml:"paces"`
	Least time.Duration `yaml:"least"`
}

// RemoteSender is what one sender has instead; zero is as of everybody. Silent false is nothing to be told of.
type RemoteSender struct {
	Quotas RemoteQuotas `yaml:"quotas"`
	Keying RemoteKeying `yaml:"keying"`
	// Unwatched senders may fall silent without an alert: those that come now and then.
	Unwatched bool `yaml:"unwatched"`
}

// DefaultRemoteWriteIn fits a Prometheus with a few hundred targets several times over.
func DefaultRemoteWriteIn() RemoteWriteIn {
	return RemoteWriteIn{
		Limits: RemoteLimits{
			BodyBytes: 16 << 20, DecodedBytes: 32 << 20, Series: 50_000, Labels: 64, LabelNameBytes: 256, LabelValueBytes: 4096,
			AtOnce: 4,
		},
		Quotas:  RemoteQuotas{SamplesPerMinute: 6_000_000, Series: 500_000, NewSeriesPerHour: 1_000_000, Assets: 5000},
		Keying:  RemoteKeying{InstanceLabel: "instance"},
		Silence: RemoteSilence{Paces: 3, Least: time.Minute},
	}
}

func (l *RemoteLimits) all() []named {
	return []named{
		{"body_bytes", &l.BodyBytes}, {"decoded_bytes", &l.DecodedBytes}, {"series", &l.Series}, {"labels", &l.Labels},
		{"label_name_bytes", &l.LabelNameBytes}, {"label_value_bytes", &l.LabelValueBytes}, {"at_once", &l.AtOnce},
	}
}

func (q *RemoteQuotas) all() []named {
	return []named{
		{"samples_per_minute", &q.SamplesPerMinute}, {"series", &q.Series}, {"new_series_per_hour", &q.NewSeriesPerHour},
		{"assets", &q.Assets},
	}
}

// Validate names every fault at once, by key.
func (c RemoteWriteIn) Validate() error {
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("remote_write_in."+format, args...))
	}
	least := func(where string, all []named, least int) {
		for _, f := range all {
			if *f.value < least {
				fault("%s.%s: must be at least %d, got %d", where, f.name, least, *f.value)
			}
		}
	}
	least("limits", c.Limits.all(), 1)
	least("quotas", c.Quotas.all(), 1)
	if c.Keying.InstanceLabel == "" {
		fault("keying.instance_label: must name a label, like instance")
	}
	if c.Silence.Paces < 1 {
		fault("silence.paces: must be at least 1, got %d", c.Silence.Paces)
	}
	if c.Silence.Least < time.Second {
		fault("silence.least: must be at least 1s, got %v", c.Silence.Least)
	}
	c.Keying.faults("keying", fault)
	for _, name := range slices.Sorted(maps.Keys(c.Senders)) {
		own := c.Senders[name]
		least("senders."+name+".quotas", own.Quotas.all(), 0)
		own.Keying.faults("senders."+name+".keying", fault)
	}
	return errors.Join(errs...)
}

func (k RemoteKeying) faults(where string, fault func(string, ...any)) {
	for _, l := range k.DropLabels {
		if l == "" || l == model.MetricNameLabel || l == "job" {
			fault("%s.drop_labels: %q cannot be dropped: series would not be told apart", where, l)
		}
	}
}

// of is what one sender has.
func (c RemoteWriteIn) of(sender string) (q RemoteQuotas, k RemoteKeying, prefix string) {
	own, ok := c.Senders[sender]
	if !ok {
		return c.Quotas, c.Keying, "remote_write_in."
	}
	q, k = own.Quotas, own.Keying
	general := c.Quotas.all()
	for n, f := range q.all() {
		*f.value = cmp.Or(*f.value, *general[n].value)
	}
	k.InstanceLabel = cmp.Or(k.InstanceLabel, c.Keying.InstanceLabel)
	k.Customer = cmp.Or(k.Customer, c.Keying.Customer)
	k.CustomerLabel = cmp.Or(k.CustomerLabel, c.Keying.CustomerLabel)
	if k.DropLabels == nil {
		k.DropLabels = c.Keying.DropLabels
	}
	return q, k, "remote_write_in.senders." + sender + "."
}
