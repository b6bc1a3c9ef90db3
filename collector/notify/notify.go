// Package notify delivers messages to what people and machines listen on; one file per kind of receiver. A message's
// body is a Notice: what happened, in data, fixed when it was committed. How it looks on a channel is decided here.
package notify

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/outbox"
)

// Notice is what somebody should hear about a ticket: the body of an outbox message.
type Notice struct {
	// What happened: opened, updated, acknowledged, resolved, reopened, closed …
	What string `json:"what"`
	// Text says it in a sentence or two, for people.
	Text string `json:"text"`
	// At is when it happened.
	At     time.Time `json:"at"`
	Ticket Ticket    `json:"ticket"`
	// Alerts are those attached to the ticket, as they stood then.
	Alerts []Alert `json:"alerts"`
	// More is how many alerts fire beside those: the ticket counts them and does not list them.
	More int `json:"more,omitempty"`
	// Record is the incident record as it stood when the ticket opened, for those that show it; left out of any other notice.
	Record []RecordPart `json:"record,omitempty"`
	// Letter: Text is all there is to say, in lines of its own: a message to a client, or one notice in place of many.
	Letter bool `json:"letter,omitempty"`
	// To are the addresses of whom it is for, in place of the recipients of a mail receiver; others do not look at it.
	To []string `json:"to,omitempty"`
}

// Ticket is as much of a ticket as a notice tells. State, Severity and Kind are the words of the ticket and incident
// rooms.
type Ticket struct {
	ID       string    `json:"id"`
	Number   string    `json:"number"`
	Kind     string    `json:"kind"`
	State    string    `json:"state"`
	Severity string    `json:"severity"`
	Priority string    `json:"priority"`
	Customer string    `json:"customer"`
	Site     string    `json:"site,omitempty"`
	Asset    string    `json:"asset,omitempty"`
	Service  string    `json:"service,omitempty"`
	Title    string    `json:"title"`
	Owner    string    `json:"owner,omitempty"`
	OpenedAt time.Time `json:"opened_at"`
	// URL shows the ticket to a person.
	URL string `json:"url,omitempty"`
}

// Alert is one alert of a notice.
type Alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	StartsAt    time.Time         `json:"starts_at"`
	// EndsAt is zero while it fires.
	EndsAt time.Time `json:"ends_at,omitzero"`
	// GeneratorURL shows where the alert comes from.
	GeneratorURL string `json:"generator_url,omitempty"`
}

// RecordPart is one of the five parts of an incident record, in lines.
type RecordPart struct {
	Part string `json:"part"`
	Text string `json:"text"`
}

// Firing tells whether the alert still stood.
func (a Alert) Firing() bool { return a.EndsAt.IsZero() }

// Encode is the notice as an outbox message's body.
func (n Notice) Encode() (json.RawMessage, error) {
	b, err := json.Marshal(n)
	if err != nil {
		return nil, fmt.Errorf("encode notice %q about %s: %w", n.What, n.Ticket.Number, err)
	}
	return b, nil
}

// decode reads the notice that m carries. The error wraps outbox.ErrRefused: no retry makes a body readable.
func decode(m outbox.Message) (Notice, error) {
	var n Notice
	if err := json.Unmarshal(m.Body, &n); err != nil {
		return Notice{}, fmt.Errorf("%w: message %s does not carry a notice: %w", outbox.ErrRefused, m.ID, err)
	}
	return n, nil
}

// Receiver is one receiver of the configuration: a name and exactly one kind.
type Receiver struct {
	Name         string              `yaml:"name"`
	Webhook      *WebhookConfig      `yaml:"webhook,omitempty"`
	Mail         *MailConfig         `yaml:"mail,omitempty"`
	Slack        *SlackConfig        `yaml:"slack,omitempty"`
	Teams        *TeamsConfig        `yaml:"teams,omitempty"`
	PagerDuty    *PagerDutyConfig    `yaml:"pagerduty,omitempty"`
	Alertmanager *AlertmanagerConfig `yaml:"alertmanager,omitempty"`
}

// config is what a kind of receiver is configured with.
type config interface {
	// Validate names every fault at once; it opens no file and repeats nothing secret.
	Validate() error
	setDirectory(dir string)
	sender(name string, o Options) (outbox.Sender, error)
}

// kind is a kind of receiver by its key in the configuration.
type kind struct {
	key string
	config
}

// kinds are those that the receiver is: one, when it is right.
func (r Receiver) kinds() []kind {
	all := []kind{
		{"webhook", r.Webhook}, {"mail", r.Mail}, {"slack", r.Slack}, {"teams", r.Teams}, {"pagerduty", r.PagerDuty},
		{"alertmanager", r.Alertmanager},
	}
	given := []bool{
		r.Webhook != nil, r.Mail != nil, r.Slack != nil, r.Teams != nil, r.PagerDuty != nil, r.Alertmanager != nil,
	}
	var out []kind
	for i, k := range all {
		if given[i] {
			out = append(out, k)
		}
	}
	return out
}

// TakesNotices tells whether people or desks listen there, who hear of tickets: all but an Alertmanager, which takes alerts.
func (r Receiver) TakesNotices() bool { return r.Alertmanager == nil }

// SetDirectory makes relative paths of the receiver relative to dir: of secrets, passwords, certificates and keys.
func (r *Receiver) SetDirectory(dir string) {
	for _, k := range r.kinds() {
		k.setDirectory(dir)
	}
}

// Options is what all senders share; the zero value of everything is a default.
type Options struct {
	// ExternalURL is where people and receivers reach this collector; empty when they cannot.
	ExternalURL string
	// Version of this program, for the User-Agent.
	Version string
	// Source names this collector among others that send alerts to the same place: the value of SourceLabel.
	Source string
	// Installation names it for good: the value of InstallationLabel.
	Installation string
	// Alerts counts what goes to Alertmanagers; nil counts nothing.
	Alerts *AlertMetrics
	// Now is the clock; time.Now by default.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	o.Version = cmp.Or(o.Version, "dev")
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Validate names every fault of the receivers at once; it opens no file and calls nobody.
func Validate(receivers []Receiver) error {
	var errs []error
	seen := map[string]bool{}
	for i, r := range receivers {
		at := fmt.Sprintf("receivers[%d]", i)
		switch {
		case r.Name == "":
			errs = append(errs, fmt.Errorf("%s.name: must not be empty: messages are kept under it", at))
		case seen[r.Name]:
			errs = append(errs, fmt.Errorf("%s.name: there is another receiver with the name %q; give each its own", at, r.Name))
		default:
			at = fmt.Sprintf("receivers[%q]", r.Name)
		}
		seen[r.Name] = true
		if err := r.validate(at); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// validate checks that there is one kind, and that it is right.
func (r Receiver) validate(at string) error {
	kinds := r.kinds()
	switch len(kinds) {
	case 0:
		return fmt.Errorf("%s: says nowhere to send to; add a webhook, mail, slack, teams, pagerduty or alertmanager", at)
	case 1:
		return prefix(at+"."+kinds[0].key+".", kinds[0].Validate())
	}
	var keys []string
	for _, k := range kinds {
		keys = append(keys, k.key)
	}
	return fmt.Errorf("%s: is %s; make two receivers of it, or as many as there are", at, strings.Join(keys, " and "))
}

// prefix puts where in front of every error that errors.Join put into err.
func prefix(where string, err error) error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return fmt.Errorf("%s%w", where, err)
	}
	var errs []error
	for _, e := range joined.Unwrap() {
		errs = append(errs, fmt.Errorf("%s%w", where, e))
	}
	return errors.Join(errs...)
}

// New makes the senders of receivers, by name. It reads the files they name, and names every fault at once; it starts
// nothing and calls nobody.
func New(receivers []Receiver, o Options) (map[string]outbox.Sender, error) {
	if err := Validate(receivers); err != nil {
		return nil, err
	}
	senders := map[string]outbox.Sender{}
	var errs []error
	for _, r := range receivers {
		s, err := r.sender(o)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		senders[r.Name] = s
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return senders, nil
}

// sender makes the sender of the kind that r is.
func (r Receiver) sender(o Options) (outbox.Sender, error) { return r.kinds()[0].sender(r.Name, o) }
