package incident

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules"
)

// Storm is many incidents of one service that began together: one thing to read instead of thousands. Each asset keeps
// its own ticket; the storm has a ticket too, its head, whose notices stand for all of theirs.
type Storm struct {
	// ID and Number are those of the head's ticket.
	ID     string `json:"id"`
	Number string `json:"number"`
	Reach
	Service string `json:"service"`
	// Severity is the worst of its alerts.
	Severity Severity `json:"severity"`
	// First and Last are when the first and the newest of its tickets were opened.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Assets were ever part of it, Of is how many there are in its reach. Tickets were ever bound to it, a narrower storm
	// counting as one; Standing of them are open.
	Assets   int `json:"assets"`
	Of       int `json:"of"`
	Tickets  int `json:"tickets"`
	Standing int `json:"standing"`
	// Rules and Sites count assets by the rule that found them and by CUSTOMER/SITE; what does not fit counts under Others.
	Rules map[string]int `json:"rules"`
	Sites map[string]int `json:"sites"`
	// Sample are the first assets, by name.
	Sample []string `json:"sample"`
	// Untold counts by kind of event what its tickets would have told people since ToldAt; Told is the sum of what was
	// counted there and has been told since, and Notices how many times it was.
	Untold  map[string]int `json:"untold,omitempty"`
	Told    int            `json:"told,omitempty"`
	ToldAt  time.Time      `json:"told_at"`
	Notices int            `json:"notices"`
	// Into is the wider storm that it became part of, by ID; empty when of none.
	Into string `json:"into,omitempty"`
	// OverAt is zero while it goes on.
	OverAt time.Time `json:"over_at,omitzero"`
}

// Reach is where a storm is: a site, a customer's sites (Site is empty), or the whole fleet (both are).
type Reach struct {
	Customer string `json:"customer,omitempty"`
	Site     string `json:"site,omitempty"`
}

// covers tells whether everything of o is in r.
func (r Reach) covers(o Reach) bool {
	return (r.Customer == "" || r.Customer == o.Customer) && (r.Site == "" || r.Site == o.Site)
}

// String says it to people.
func (r Reach) String() string {
	switch {
	case r.Customer == "":
		return "the whole fleet"
	case r.Site == "":
		return r.Customer
	}
	return r.Customer + ", site " + r.Site
}

// Bounds of what a storm says.
const (
	maxStormSample = 40
	maxStormRules  = 20
	maxStormSites  = 200
	// Others is what the counts of a storm that do not fit stand under.
	Others = "others"
)

// Flip is a ticket that opens, or is opened again, because an alert about its asset fires.
type Flip struct {
	// Key names the incident; Ticket is the ID of its ticket, empty while that is being opened.
	Key    string
	Ticket string
	Reach
	Asset, Service, Rule string
	Severity             Severity
	At                   time.Time
}

// FlipOf is the flip that a firing alert makes, false for one that is about no asset or that nobody is told of.
func FlipOf(a Alert, at time.Time) (Flip, bool) {
	return Flip{
		Key: KeyOf(a).String(), Reach: Reach{a.Customer, a.Site}, Asset: a.Asset, Service: a.Service, Rule: a.Name,
		Severity: a.Severity, At: at,
	}, a.Asset != "" && !Quiet(a)
}

// Begin makes a storm without members, whose head's ticket is id.
func (b Begun) Begin(id, number string, of int, now time.Time) Storm {
	return Storm{
		ID: id, Number: number, Reach: b.Reach, Service: b.Service, Severity: Info, Of: of, ToldAt: now,
		Rules: map[string]int{}, Sites: map[string]int{}, Untold: map[string]int{},
	}
}

// Join counts a flip in whose ticket is being bound to the storm. The counts of tickets are Bind's.
func (s *Storm) Join(f Flip) {
	s.widen(f.At, f.At, f.Severity)
	s.Assets++
	count(s.Rules, f.Rule, 1, maxStormRules)
	count(s.Sites, f.Customer+"/"+f.Site, 1, maxStormSites)
	if len(s.Sample) < maxStormSample && !slices.Contains(s.Sample, f.Asset) {
		s.Sample = append(s.Sample, f.Asset)
	}
}

// widen has the storm begin and end so at the latest and the earliest, and be at least as severe.
func (s *Storm) widen(first, last time.Time, severity Severity) {
	if s.First.IsZero() || first.Before(s.First) {
		s.First = first
	}
	if last.After(s.Last) {
		s.Last = last
	}
	if severity.Rank() < s.Severity.Rank() {
		s.Severity = severity
	}
}

// Take counts a narrower storm in, whose head is being bound to this one.
func (s *Storm) Take(o Storm) {
	s.widen(o.First, o.Last, o.Severity)
	s.Assets += o.Assets
	for _, name := range slices.Sorted(maps.Keys(o.Rules)) {
		count(s.Rules, name, o.Rules[name], maxStormRules)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Sites)) {
		count(s.Sites, name, o.Sites[name], maxStormSites)
	}
	for _, name := range o.Sample {
		if len(s.Sample) < maxStormSample && !slices.Contains(s.Sample, name) {
			s.Sample = append(s.Sample, name)
		}
	}
}

func count(in map[string]int, name string, n, most int) {
	if _, known := in[name]; !known && len(in) >= most {
		name = Others
	}
	in[name] += n
}

// Again is the storm that begins where s was over, with s's head and tickets.
func (s Storm) Again(of int, now time.Time) Storm {
	b := Begun{Reach: s.Reach, Service: s.Service}
	out := b.Begin(s.ID, s.Number, of, now)
	out.Tickets, out.Standing, out.Told, out.Untold = s.Tickets, s.Standing, s.Told, s.Untold
	return out
}

// Bind counts a ticket that is bound to the storm or leaves it (by is 1 or -1), and whether it stood before and stands
// after that.
func (s *Storm) Bind(by int, stood, stands bool) {
	s.Tickets += by
	if stood {
		s.Standing--
	}
	if stands {
		s.Standing++
	}
}

// Fold keeps that a ticket of the storm would have told people of an event of this kind.
func (s *Storm) Fold(kind string) {
	if s.Untold == nil {
		s.Untold = map[string]int{}
	}
	s.Untold[kind]++
}

// Tell notes that the head's ticket tells of the storm now, all that was folded included.
func (s *Storm) Tell(now time.Time) {
	for _, n := range s.Untold {
		s.Told += n
	}
	s.Untold, s.ToldAt = nil, now
	s.Notices++
}

// Title is the one line that a storm's ticket is known by. It holds no counts: they grow.
func (s Storm) Title() string {
	return fmt.Sprintf("Storm: many %s alerts at the same time, %s", s.Service, s.Reach)
}

// Text says to people how far the storm has come and what happened to its tickets since the last notice.
func (s Storm) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d assets (%s), %s. ", s.Assets, max(s.Of, s.Assets), s.Reach, s.stand())
	fmt.Fprintf(&b, "First at %s, last at %s. ", clock(s.First), clock(s.Last))
	fmt.Fprintf(&b, "Rules: %s. ", most(s.Rules, 5))
	fmt.Fprintf(&b, "Sites: %s. ", most(s.Sites, 5))
	fmt.Fprintf(&b, "Assets: %s", strings.Join(s.Sample, ", "))
	if more := s.Assets - len(s.Sample); more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	b.WriteString(". ")
	if len(s.Untold) > 0 {
		fmt.Fprintf(&b, "Told here and not one by one: %s. ", most(s.Untold, 10))
	}
	fmt.Fprintf(&b, "Each has a ticket of its own: `watchbill ticket list --storm %s`.", s.Number)
	return b.String()
}

// stand says how many tickets are open.
func (s Storm) stand() string {
	if s.Standing == s.Tickets {
		return "all of their tickets are open"
	}
	return fmt.Sprintf("%d of %d tickets are open", s.Standing, s.Tickets)
}

// most lists the greatest counts, greatest first, and counts the others.
func most(counts map[string]int, n int) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if d := counts[b] - counts[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var said []string
	rest := 0
	for i, name := range names {
		if i < n {
			said = append(said, fmt.Sprintf("%s %d", strings.ReplaceAll(name, "_", " "), counts[name]))
		} else {
			rest += counts[name]
		}
	}
	if rest > 0 {
		said = append(said, fmt.Sprintf("%d elsewhere", rest))
	}
	return strings.Join(said, ", ")
}

// storm is the name of the alert that a storm's head holds.
const stormName = "Storm"

func isStorm(a Alert) bool { return a.Source == "watchbill" && a.Name == stormName }

// Alert is what the head's ticket holds: it fires until the storm is over.
func (s Storm) Alert() Alert {
	lbls := map[string]string{labels.AlertName: stormName, "service": s.Service, "severity": string(s.Severity)}
	customer := s.Customer
	if customer == "" {
		customer = OwnCustomer
	}
	lbls["customer"] = customer
	if s.Site != "" {
		lbls["site"] = s.Site
	}
	a := Alert{
		Name: stormName, Source: "watchbill", Severity: s.Severity, Service: s.Service, Customer: customer, Site: s.Site,
		Labels: lbls, Value: rules.Value(s.Assets),
		Annotations: map[string]string{
			"summary":      s.Title(),
			"description":  s.Text(),
			"first_checks": "Look for what they share: a change, a network, a storage, a certificate, a time server. The tickets of the assets say more of each.",
		},
		FirstBadAt: s.First, ActiveAt: s.First, FiredAt: s.Last, EndedAt: s.OverAt,
	}
	if s.Customer == "" {
		a.Labels["reach"] = "fleet"
	}
	if !s.OverAt.IsZero() {
		a.End = Recovered
	}
	a.ID = "storm-" + KeyOf(a).String()
	return a
}

// stormScope is the reach of a storm's alert as a part of its key.
func stormScope(a Alert) string {
	switch {
	case a.Labels["reach"] == "fleet":
		return "fleet"
	case a.Site != "":
		return "site/" + a.Site
	}
	return "customer"
}
