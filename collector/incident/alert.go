// Package incident turns alerts into incidents: one cause, one incident, one open ticket. It is pure.
package incident

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/rules"
)

// Severity of an alert, as rules label it.
type Severity string

// The severities, worst first.
const (
	Critical Severity = "critical"
	Warning  Severity = "warning"
	Info     Severity = "info"
)

// SeverityOf is the severity for a word of anybody's: of a rule's label or of an alert from outside. What nobody knows is a
// warning: it is neither lost nor does it wake anybody by itself.
func SeverityOf(word string) Severity {
	switch strings.ToLower(word) {
	case "critical", "crit", "page", "pager", "error", "err", "fatal", "emergency", "emerg", "alert", "major", "high", "disaster", "p1", "sev1":
		return Critical
	case "info", "information", "informational", "none", "notice", "debug", "low", "ok", "p4", "p5", "sev4":
		return Info
	}
	return Warning
}

// ServiceOf is the service of a rule's alert: the rule's label of that name; for rules of others, which have none, the job that
// reports the series.
func ServiceOf(service, job string) string {
	if service == UnseenService { // tickets of that incident page nobody: a rule's alert does not belong there
		return service + " (rule)"
	}
	return cmp.Or(service, job, "general")
}

// Rank orders severities: 0 is the worst. A severity unknown to this house ranks as a warning.
func (s Severity) Rank() int {
	switch s {
	case Critical:
		return 0
	case Info:
		return 2
	}
	return 1
}

// Alert is a firing or ended alert with the asset it is about, as incidents and tickets see it.
type Alert struct {
	// ID is the alert's identity over all its changes: rules.AlertID for ours.
	ID   string `json:"id"`
	Name string `json:"name"`
	// Source is who says so: "rule GROUP/NAME", "watchbill" for silence, a peer's name for alerts from outside.
	Source   string   `json:"source"`
	Expr     string   `json:"expr,omitempty"`
	Severity Severity `json:"severity"`
	Service  string   `json:"service"`
	System   string   `json:"system,omitempty"`
	Customer string   `json:"customer"`
	Site     string   `json:"site,omitempty"`
	Asset    string   `json:"asset,omitempty"`

	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Value       rules.Value       `json:"value"`

	// FirstBadAt is the time of the sample, ActiveAt of the evaluation that found it, FiredAt when `for` had passed.
	FirstBadAt time.Time `json:"first_bad_at"`
	ActiveAt   time.Time `json:"active_at"`
	FiredAt    time.Time `json:"fired_at"`
	// EndedAt is zero while it fires.
	EndedAt time.Time `json:"ended_at,omitzero"`
	End     End       `json:"end,omitempty"`
}

// End says why an alert ended.
type End = rules.End

// The ways an alert ends, for rooms that do not know rules.
const (
	Recovered  = rules.Recovered
	SeriesGone = rules.SeriesGone
	RuleGone   = rules.RuleGone
	// Superseded: a broader cause explains the alert and has a ticket of its own. Only silence ends so.
	Superseded End = "superseded"
)

// maxTitle bounds Title, in characters.
const maxTitle = 160

// Particulars are the labels that tell an alert from others of its incident, as name="value" in order; empty for none.
func (a Alert) Particulars() string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(a.Labels)) {
		if !slices.Contains([]string{"alertname", "customer", "site", "instance", "service", "system", "severity"}, k) {
			out = append(out, fmt.Sprintf("%s=%q", k, a.Labels[k]))
		}
	}
	return strings.Join(out, " ")
}

// Title is the one line that a ticket of the alert is known by: its summary, or what it is called and on which asset.
func (a Alert) Title() string {
	title := strings.Join(strings.Fields(a.Annotations["summary"]), " ")
	if title == "" {
		title = a.Name
		if a.Asset != "" {
			title += " on " + a.Asset
		}
	}
	if r := []rune(title); len(r) > maxTitle {
		title = string(r[:maxTitle-1]) + "…"
	}
	return title
}

// Silence tells whether the house itself says by this alert that an asset, a site or everything is not heard of.
func (a Alert) Silence() bool { return a.Source == ours && isSilence(a.Name) }

// Ours tells whether the house itself says so: it is neither of a rule nor of another program.
func (a Alert) Ours() bool { return a.Source == ours }

// Firing tells whether the alert still stands.
func (a Alert) Firing() bool { return a.EndedAt.IsZero() }

// Key names an incident. At most one ticket is open per key.
type Key struct {
	Customer string `json:"customer"`
	// Scope is what the incident is about: asset/NAME, site/ID, fleet; external/NAME of what another program says by an alert of
	// that name of neither asset nor site; of a storm's own storm/site/ID, storm/customer,
	// storm/fleet.
	Scope   string `json:"scope"`
	Service string `json:"service"`
}

// String is the key in one line, unambiguous: "acme asset/web1 filesystem".
func (k Key) String() string {
	return fmt.Sprintf("%s %s %s", escape(k.Customer), escape(k.Scope), escape(k.Service))
}

func escape(s string) string {
	if !strings.ContainsAny(s, "% ") {
		return s
	}
	return strings.NewReplacer("%", "%25", " ", "%20").Replace(s)
}

// Availability is the service of every incident about something not being there.
const Availability = "availability"

// OwnCustomer is whom an alert concerns that is about nobody's asset: the operator.
const OwnCustomer = "operator"

// ours is the Source of the house's own alerts.
const ours = "watchbill"

// AboutLife tells whether an alert says that its asset, site or everything is not heard of: one of silence, or one of a
// rule about `up` of one asset, which the house writes and which is 0 for as long as an asset is silent.
func (a Alert) AboutLife() bool {
	if a.Source == ours {
		return isSilence(a.Name)
	}
	return a.Asset != "" && rules.AboutUp(a.Expr)
}

// KeyOf is the key of the incident that an alert belongs to: what it is about and its service. Whatever says that an asset
// is not heard of belongs to one incident, of the service Availability: silence and a rule about `up` are two witnesses of
// one cause. Alerts of other programs that are about no place have nothing in common but a service, which is often none that
// anybody named: there each name is an incident of its own.
func KeyOf(a Alert) Key {
	k := Key{Customer: a.Customer, Service: a.Service}
	if a.AboutLife() {
		k.Service = Availability
	}
	switch {
	case isStorm(a):
		k.Scope = "storm/" + stormScope(a)
	case a.Asset != "":
		k.Scope = "asset/" + a.Asset
	case a.Site != "":
		k.Scope = "site/" + a.Site
	case a.Fed():
		k.Scope = "external/" + a.Name
	default:
		k.Scope = "fleet"
	}
	return k
}
