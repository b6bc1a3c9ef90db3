// Package notify delivers messages to what people and machines listen on; one file per kind of receiver. A message's
// body is a Notice: what happened, in data, fixed when it was committed. How it looks on a channel is decided here.
package notify

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	promconfig "github.com/prometheus/common/config"

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
	Name    string         `yaml:"name"`
	Webhook *WebhookConfig `yaml:"webhook,omitempty"`
	Mail    *MailConfig    `yaml:"mail,omitempty"`
}

// SetDirectory makes relative paths of the receiver relative to dir: of secrets, passwords, certificates and keys.
func (r *Receiver) SetDirectory(dir string) {
	if w := r.Webhook; w != nil {
		w.SecretFile = promconfig.JoinDir(dir, w.SecretFile)
		if w.HTTP != nil {
			w.HTTP.SetDirectory(dir)
		}
	}
	if m := r.Mail; m != nil {
		m.PasswordFile = promconfig.JoinDir(dir, m.PasswordFile)
		m.TLSConfig.SetDirectory(dir)
	}
}

// Options is what all senders share; the zero value of everything is a default.
type Options struct {
	// ExternalURL is where people and receivers reach this collector; empty when they cannot.
	ExternalURL string
	// Version of this program, for the User-Agent.
	Version string
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
		if r.Name == "" {
			errs = append(errs, fmt.Errorf("%s.name: must not be empty: messages are kept under it", at))
		} else {
			at = fmt.Sprintf("receivers[%q]", r.Name)
		}
		if seen[r.Name] && r.Name != "" {
			errs = append(errs, fmt.Errorf("%s.name: there is another receiver with this name; give each its own", at))
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
	switch {
	case r.Webhook == nil && r.Mail == nil:
		return fmt.Errorf("%s: says nowhere to send to; add a webhook or mail", at)
	case r.Webhook != nil && r.Mail != nil:
		return fmt.Errorf("%s: is a webhook and mail; make two receivers of it", at)
	case r.Mail != nil:
		return prefix(at+".mail.", r.Mail.Validate())
	}
	return prefix(at+".webhook.", r.Webhook.Validate())
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
func (r Receiver) sender(o Options) (outbox.Sender, error) {
	if r.Mail != nil {
		return NewMail(r.Name, *r.Mail, o)
	}
	return NewWebhook(r.Name, *r.Webhook, o)
}
