package ticket

import "strings"

var moneyVerbs = map[Verb]doing{
	Charge: {allows: func(d *draft, a Action) error {
		if err := unshut(d, a); err != nil {
			return err
		}
		if d.by.Kind != Person {
			return d.t.refuse("is marked as chargeable or not by a person")
		}
		if err := d.oneOf(a.What, "chargeable", "yes", "no"); err != nil {
			return err
		}
		if ty, ok := d.terms.Type(d.t.Type); ok && (ty.Chargeable == "always" || ty.Chargeable == "never") && (ty.Chargeable == "always") != (a.What == "yes") {
			return d.t.refuse("is of type %s, which is %s chargeable: nobody marks it otherwise", ty.Name, ty.Chargeable)
		}
		if d.t.Chargeable == a.What {
			return d.t.refuse("is marked chargeable: %s already", a.What)
		}
		if d.t.worked() && d.t.chargeable(d.terms) != "" {
			return d.t.refuse("is worked on and is chargeable: %s: that is marked before work starts, and stays. What is charged otherwise is a ticket of its own", d.t.chargeable(d.terms))
		}
		return nil
	}, do: func(d *draft, a Action) {
		d.says(or(a.Text, "chargeable: "+a.What), Facts{factChargeable: a.What})
	}},
	Order: {allows: func(d *draft, a Action) error {
		if err := unshut(d, a); err != nil {
			return err
		}
		if given, none := gives(a.What); !given || none {
			return d.t.refuse("cannot take %q as an order number", a.What)
		}
		return nil
	}, do: func(d *draft, a Action) {
		d.add(Event{Kind: Ordered, Actor: d.by.Actor, Text: or(a.Text, "order number "+a.What), Detail: &Detail{What: strings.TrimSpace(a.What)}})
	}},
	GiveEstimate: {allows: func(d *draft, a Action) error {
		if err := unshut(d, a); err != nil {
			return err
		}
		if a.Quote == nil || strings.TrimSpace(a.Quote.Price) == "" {
			return d.t.refuse("wants the price of the estimate")
		}
		return nil
	}, do: func(d *draft, a Action) {
		d.add(Event{Kind: Estimated, Actor: d.by.Actor, Text: or(a.Text, "estimate: "+a.Quote.Price), Detail: &Detail{Quote: d.priced(a)}})
		d.tell(Estimated, "estimate: "+a.Quote.Price)
	}},
	GiveQuote: {allows: func(d *draft, a Action) error {
		if err := unshut(d, a); err != nil {
			return err
		}
		if a.Quote == nil {
			return d.t.refuse("wants price, exceptions, terms and ETA of the quote")
		}
		if lacks := lacksInQuote(*a.Quote); len(lacks) > 0 {
			return d.t.refuse("has a quote without %s: say each, exceptions may be \"none\"", strings.Join(lacks, ", "))
		}
		return nil
	}, do: func(d *draft, a Action) {
		as := d.acting(a, d.wanted(needQuote, quoters))
		d.add(Event{Kind: Quoted, Actor: d.actor(as), Text: or(a.Text, "quote: "+a.Quote.Price), Detail: &Detail{Quote: d.priced(a)}})
		d.tell(Quoted, "quote: "+a.Quote.Price)
	}},
}

// priced is the quote of an action, signed.
func (d *draft) priced(a Action) *Quote {
	q := *a.Quote
	q.By, q.At = d.by.Name, d.now
	return &q
}
