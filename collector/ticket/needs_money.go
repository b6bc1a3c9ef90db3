package ticket

import "strings"

// quoter is the role that issues quotes where no gate names another.
const quoter = "it-ops-manager"

var moneyNeeds = []NeedKind{
	{Kind: needCharge, Asks: "a person marked whether it is chargeable, where its type leaves that to one", Gives: Charge,
		check: func(q asked) []string {
			if q.t.chargeable(q.terms) != "" {
				return nil
			}
			return []string{"chargeable: mark whether it is charged for before work starts (charge yes, or charge no)"}
		}},
	{Kind: needOrder, Asks: "an order number, when the ticket is chargeable", Gives: Order, check: func(q asked) []string {
		if q.t.chargeable(q.terms) != "yes" || q.t.Order != "" {
			return nil
		}
		return []string{"order: it is chargeable: get an order number and put it on the ticket (order)"}
	}},
	{Kind: needEstimate, Asks: "an estimate, when one was requested", Gives: GiveEstimate, check: func(q asked) []string {
		if q.facts[factEstimate] != "requested" || q.t.Estimate != nil || q.t.Quote != nil {
			return nil
		}
		return []string{"estimate: one was requested: give it (estimate)"}
	}},
	{Kind: needQuote, Asks: "a quote with price, exceptions, terms and ETA", Roles: "who issues quotes; " + quoter + " when empty",
		Gives: GiveQuote, check: func(q asked) []string {
			who := anyRole(quoters(q.n))
			if q.t.Quote == nil {
				return []string{"quote: a quote by " + who + " with price, exceptions, terms and ETA (quote)"}
			}
			var out []string
			for _, f := range lacksInQuote(*q.t.Quote) {
				out = append(out, f+": the quote does not say it; "+who+" quotes anew")
			}
			return out
		}},
}

func quoters(n Need) []string {
	if len(n.Roles) == 0 {
		return []string{quoter}
	}
	return n.Roles
}

// lacksInQuote are the fields that a quote does not fill: exceptions may be "none", but are said.
func lacksInQuote(q Quote) []string {
	var out []string
	for _, f := range []struct{ name, text string }{
		{"price", q.Price}, {"exceptions", q.Exceptions}, {"terms", q.Terms}, {"eta", q.ETA},
	} {
		if strings.TrimSpace(f.text) == "" {
			out = append(out, f.name)
		}
	}
	return out
}
