package collector

import (
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/rules"
)

// alertOf is a rule's alert as incidents see it: with the asset, customer and site it is about. What the labels do not
// say the fleet says of their instance.
func (p *pipeline) alertOf(t rules.Transition) incident.Alert {
	l := t.Alert.Labels
	a := incident.Alert{
		ID: t.ID(), Name: t.Origin.Name, Source: sourceOf(t.Origin), Expr: t.Origin.Expr,
		Severity: incident.SeverityOf(l.Get("severity")), Service: incident.ServiceOf(l.Get("service"), l.Get("job")), System: l.Get("system"),
		Customer: l.Get("customer"), Site: l.Get("site"), Asset: l.Get("instance"),
		Labels: l.Map(), Annotations: t.Alert.Annotations.Map(), Value: t.Alert.Value,
		FirstBadAt: t.Alert.FirstBadAt, ActiveAt: t.Alert.ActiveAt, FiredAt: t.Alert.FiredAt,
		EndedAt: t.Alert.EndedAt, End: t.Alert.End,
	}
	if as, ok := p.fleet.Asset(a.Asset); ok {
		a.Customer, a.Site = as.Customer, as.Site
	}
	if a.Customer == "" {
		a.Customer = incident.OwnCustomer
	}
	return a
}

func sourceOf(o rules.Origin) string {
	if incident.IsFed(o) {
		return o.Group
	}
	if o.Expr == "" {
		return "watchbill"
	}
	return "rule " + o.Group + "/" + o.Name
}
