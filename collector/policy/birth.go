package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/ticket"
)

// KnownOf are the facts that a new ticket begins with: what was said, and beside it what the fleet knows at now of the
// customer, of the asset (if it is the customer's) and of the application that the fact "application" names.
func KnownOf(g *fleet.Registry, customer, asset string, said ticket.Facts, now time.Time) ticket.Facts {
	f := ticket.Facts{}
	put := func(name, word string) {
		if word != "" {
			f[name] = word
		}
	}
	c, _ := g.Customer(customer)
	put("department", c.Department)
	if k, ok := g.ContractAt(customer, now); ok {
		put("contract", k.ID)
	}
	if a, ok := g.Asset(asset); ok && a.Customer == customer {
		put("role", a.Role)
		put("criticality", string(a.Criticality))
		put("environment", string(a.Environment))
		put("supplied", string(a.Supplied))
		unsupported(f, "asset "+a.Name, a.SupportEnds, c, now)
	}
	if name := said["application"]; name != "" {
		application(g, f, c, name, said["version"], now)
	}
	maps.Copy(f, said)
	return f
}

// zoneOf is a customer's own zone, UTC when it has none.
func zoneOf(c fleet.Customer) *time.Location {
	if zone, err := fleet.LoadZone(c.Zone); err == nil {
		return zone
	}
	return time.UTC
}

// unsupported says that the maker's support of something has ended.
func unsupported(f ticket.Facts, what string, ends fleet.Date, c fleet.Customer, now time.Time) {
	if ends == "" { // reading a zone costs more than the rest
		return
	}
	if over := ends.Next().Start(zoneOf(c)); over.IsZero() || now.Before(over) {
		return
	}
	f["support"] = "ended"
	f["unsupported"] = fmt.Sprintf("the support of %s ended on %s", what, ends)
}

// application says whether a named application is approved and supported. One of the customer's own that is approved there
// needs no place on the operator's list.
func application(g *fleet.Registry, f ticket.Facts, c fleet.Customer, name, version string, now time.Time) {
	i := slices.IndexFunc(c.Applications, func(a fleet.Application) bool { return strings.EqualFold(a.Name, name) })
	if i >= 0 {
		unsupported(f, name, c.Applications[i].SupportEnds, c, now)
		if c.Applications[i].Approved {
			return
		}
	}
	if _, ok := g.Approved(name, version); !ok {
		f["approved"] = "no"
		f["unsupported"] = strings.TrimSpace(name+" "+version) + " is not on the list of approved software"
	}
}

// OwnerOf is the party that a new ticket of these facts belongs to under r: that of its type, otherwise by the ownership map.
func OwnerOf(b ticket.Birth, r Resolved) string {
	ty, _ := r.Ticket.Type(b.Type)
	if ty.Owner != "" {
		return ty.Owner
	}
	facts := maps.Clone(r.Ticket.Facts)
	if facts == nil {
		facts = ticket.Facts{}
	}
	maps.Copy(facts, b.Facts)
	put := func(name, word string) {
		if word != "" {
			facts[name] = word
		}
	}
	put("type", b.Type)
	facts["kind"] = or(or(b.Kind, ty.Kind), "incident")
	switch {
	case b.Report != nil:
		put("system", b.Report.System)
		put("service", b.Report.Service)
		put("channel", b.Report.Channel)
		if b.Report.By != "" || b.Report.Channel != "" {
			facts["reported"] = "yes"
		}
	case b.Alert.Name != "":
		put("system", b.Alert.System)
		put("service", b.Alert.Service)
		put("severity", string(b.Alert.Severity))
		facts["channel"], facts["detected"] = "detected", "yes"
	case b.Parent != nil:
		put("system", b.Parent.System)
		put("service", b.Parent.Service)
	}
	facts["priority"], _ = r.Ticket.Priority(facts)
	party, _ := route.Owner(facts, r.Route)
	return party
}
