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
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/collector/outbox"
)

// pagerDutyURL is where PagerDuty takes events.
const pagerDutyURL = "https://events.pagerduty.com/v2/enqueue"

// PagerDutyConfig says which PagerDuty service is paged. The zero value of everything but the key is a default.
type PagerDutyConfig struct {
	// RoutingKey is the integration key of the service; or RoutingKeyFile, whose content is read for every event.
	RoutingKey     promconfig.Secret `yaml:"routing_key,omitempty"`
	RoutingKeyFile string            `yaml:"routing_key_file,omitempty"`
	// URL takes events; PagerDuty's own in the United States by default.
	URL string `yaml:"url,omitempty"`
	// Severities say how severe a ticket is to PagerDuty (critical, error, warning, info), by its priority or its severity.
	Severities map[string]string `yaml:"severities,omitempty"`
	// Timeout bounds one call; 10 s by default.
	Timeout model.Duration `yaml:"timeout,omitempty"`
	// HTTP is Prometheus' HTTP client configuration: proxy_url, tls_config …
	HTTP *promconfig.HTTPClientConfig `yaml:"http_config,omitempty"`
}

// pagerDutySeverities are PagerDuty's words.
var pagerDutySeverities = []string{"critical", "error", "warning", "info"}

// Validate names every fault at once; it opens no file.
func (c PagerDutyConfig) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case c.RoutingKey != "" && c.RoutingKeyFile != "":
		fault("routing_key, routing_key_file: set one of them, not both")
	case c.RoutingKey == "" && c.RoutingKeyFile == "":
		fault("routing_key, routing_key_file: set one of them, to the integration key of a service (Events API v2)")
	}
	if why := faultOfURL(cmp.Or(c.URL, pagerDutyURL), pagerDutyURL); why != "" {
		fault("url: %s", why)
	}
	for _, word := range slices.Sorted(maps.Keys(c.Severities)) {
		if !slices.Contains(pagerDutySeverities, c.Severities[word]) {
			fault("severities: %s: want one of %s, got %q", word, strings.Join(pagerDutySeverities, ", "), c.Severities[word])
		}
	}
	return errors.Join(append(errs, validateCall(c.Timeout, c.HTTP)...)...)
}

func (c *PagerDutyConfig) setDirectory(dir string) {
	c.RoutingKeyFile = promconfig.JoinDir(dir, c.RoutingKeyFile)
	if c.HTTP != nil {
		c.HTTP.SetDirectory(dir)
	}
}

func (c *PagerDutyConfig) sender(name string, o Options) (outbox.Sender, error) {
	return NewPagerDuty(name, *c, o)
}

// PagerDuty sends events to a service. The ticket's ID is the key by which PagerDuty knows them to be about one thing, so that a
// repeat does nothing.
type PagerDuty struct {
	*caller
	config PagerDutyConfig
}

// NewPagerDuty makes the sender of the receiver called name. It reads the key and the certificates that c names.
func NewPagerDuty(name string, c PagerDutyConfig, o Options) (*PagerDuty, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("pagerduty %s: %w", name, err)
	}
	c.URL = cmp.Or(c.URL, pagerDutyURL)
	call, err := newCaller("pagerduty "+name, c.Timeout, c.HTTP, o)
	if err != nil {
		return nil, err
	}
	p := &PagerDuty{call, c}
	_, err = p.key()
	return p, err
}

func (p *PagerDuty) key() ([]byte, error) {
	return secretOf(p.receiver, "routing_key_file", p.config.RoutingKey, p.config.RoutingKeyFile)
}

// Send sends one event. nil means that PagerDuty took it.
func (p *PagerDuty) Send(ctx context.Context, m outbox.Message) error {
	n, err := decode(m)
	if err != nil {
		return err
	}
	key, err := p.key()
	if err != nil {
		return err
	}
	e := p.event(m, n)
	e.RoutingKey = string(key)
	body, err := e.fit()
	if err != nil {
		return fmt.Errorf("%w: render message %s: %w", outbox.ErrRefused, m.ID, err)
	}
	return p.post(ctx, p.config.URL, body, nil, judge)
}

// PagerDuty's bounds: of a summary in characters, of an event in bytes
// (https://developer.pagerduty.com/docs/send-alert-event).
const (
	pagerDutySummary = 1024
	maxPagerDuty     = 512 * 1024
)

// pagerDutyEvent is an event of the Events API v2.
type pagerDutyEvent struct {
	RoutingKey string            `json:"routing_key"`
	Action     string            `json:"event_action"`
	Key        string            `json:"dedup_key"`
	Payload    *pagerDutyPayload `json:"payload,omitempty"`
	Links      []pagerDutyLink   `json:"links,omitempty"`
	Client     string            `json:"client,omitempty"`
	ClientURL  string            `json:"client_url,omitempty"`
}

type pagerDutyPayload struct {
	Summary   string           `json:"summary"`
	Source    string           `json:"source"`
	Severity  string           `json:"severity"`
	Timestamp time.Time        `json:"timestamp"`
	Component string           `json:"component,omitempty"`
	Group     string           `json:"group,omitempty"`
	Class     string           `json:"class,omitempty"`
	Details   pagerDutyDetails `json:"custom_details"`
}

type pagerDutyLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

// pagerDutyDetails are what an engineer reads first, in bounds.
type pagerDutyDetails struct {
	Ticket      string            `json:"ticket"`
	What        string            `json:"what"`
	Text        string            `json:"text"`
	Customer    string            `json:"customer"`
	Site        string            `json:"site,omitempty"`
	Asset       string            `json:"asset,omitempty"`
	Service     string            `json:"service,omitempty"`
	Priority    string            `json:"priority,omitempty"`
	State       string            `json:"state"`
	Owner       string            `json:"owner,omitempty"`
	Since       string            `json:"since,omitempty"`
	Record      map[string]string `json:"record,omitempty"`
	FirstChecks []string          `json:"first_checks,omitempty"`
	Firing      []string          `json:"firing,omitempty"`
	Over        []string          `json:"over,omitempty"`
	Cut         string            `json:"cut,omitempty"`
	Message     string            `json:"message"`
}

// event is what a notice is to PagerDuty. A letter, as a digest, is about no incident of its own: it becomes an event of its
// own that tells and asks for nothing.
func (p *PagerDuty) event(m outbox.Message, n Notice) pagerDutyEvent {
	e := pagerDutyEvent{Action: actionOf(n), Key: cmp.Or(n.Ticket.ID, m.ID)}
	if n.Letter {
		e.Key = m.ID
	}
	if len(e.Key) > 255 {
		e.Key = safeID(e.Key + "!")
	}
	if e.Action != "trigger" {
		return e
	}
	t := n.Ticket
	e.Client, e.ClientURL = "Watchbill", p.options.ExternalURL
	if webLink(t.URL) {
		e.Links = []pagerDutyLink{{t.URL, "Open " + tame(t.Number, 40)}}
	}
	e.Payload = &pagerDutyPayload{
		Summary: tame(cmp.Or(subject(t), n.Text), pagerDutySummary), Source: tame(cmp.Or(t.Asset, t.Customer, "watchbill"), maxLine),
		Severity: p.severity(n), Timestamp: n.At, Component: tame(t.Asset, maxLine),
		Group: tame(strings.TrimSuffix(t.Customer+"/"+t.Site, "/"), maxLine), Class: tame(t.Service, maxLine),
		Details: detailsOf(m, n, p.options.Now()),
	}
	return e
}

// actionOf is what a notice asks of PagerDuty, by where the ticket stands: whatever is told of one that is over, nobody is
// paged for it.
func actionOf(n Notice) string {
	switch {
	case n.Letter:
		return "trigger"
	case n.Ticket.State == "resolved", n.Ticket.State == "closed":
		return "resolve"
	case n.What == "acknowledged":
		return "acknowledge"
	}
	return "trigger"
}

// severity is PagerDuty's word for how severe a ticket is: what the configuration says of its priority, else of its severity;
// else its severity where PagerDuty knows the word, and error for what people report.
func (p *PagerDuty) severity(n Notice) string {
	if n.Letter {
		return "info"
	}
	for _, word := range []string{n.Ticket.Priority, n.Ticket.Severity} {
		if s := p.config.Severities[word]; s != "" {
			return s
		}
	}
	if slices.Contains(pagerDutySeverities, n.Ticket.Severity) {
		return n.Ticket.Severity
	}
	return "error"
}

func detailsOf(m outbox.Message, n Notice, now time.Time) pagerDutyDetails {
	t := n.Ticket
	d := pagerDutyDetails{
		Ticket: tame(t.Number, 40), What: tame(n.What, 40), Text: tame(n.Text, maxLine), Customer: tame(t.Customer, maxLine),
		Site: tame(t.Site, maxLine), Asset: tame(t.Asset, maxLine), Service: tame(t.Service, maxLine),
		Priority: tame(t.Priority, maxLine), State: tame(t.State, maxLine), Owner: tame(t.Owner, maxLine),
		Since: since(n, now), Message: tame(m.ID, 200),
	}
	if n.Letter {
		d.Text, d.Since = letterText(n.Text), ""
		return d
	}
	firing, ended := split(n.Alerts)
	d.FirstChecks = firstChecks(firing)
	if len(firing) > 0 {
		d.Firing = listingOf("Firing", firing).lines
	}
	if more := n.moreText(); more != "" {
		d.Firing = append(d.Firing, more)
	}
	if len(ended) > 0 {
		d.Over = listingOf("Over", ended).lines
	}
	for _, part := range n.Record {
		if d.Record == nil {
			d.Record = map[string]string{}
		}
		d.Record[tame(part.Part, 40)] = letterText(part.Text)
	}
	return d
}

// fit is the event in bytes, without the record where PagerDuty would not take it otherwise.
func (e pagerDutyEvent) fit() ([]byte, error) {
	b, err := json.Marshal(e)
	if err != nil || len(b) <= maxPagerDuty || e.Payload == nil {
		return b, err
	}
	e.Payload.Details.Record = nil
	e.Payload.Details.Cut = "the incident record was too large for PagerDuty: the ticket has it"
	return json.Marshal(e)
}

// webLink tells whether an address is one of the web, which a person may be shown as a link.
func webLink(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
