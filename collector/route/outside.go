package route

import (
	"fmt"
	"slices"

	"github.com/watchbill/watchbill/collector/ticket"
)

// This file words what leaves the house: messages by template, and the letters to those whom an internal rule means and who
// are not of the house. Internal words stay inside.

// stranger is somebody whom an internal rule means and who is not of the house.
type stranger struct {
	person Person
	rule   NoticeRule
}

// stranger notes somebody who is to have the letter of the rule that is being heard.
func (h *hearing) stranger(p Person) {
	h.strangers = append(h.strangers, stranger{p, h.rule})
}

// reporter adds who reported it, where they are of the house. Who is nobody's contact is not known to be of it.
func (h *hearing) reporter(why string) bool {
	p, ok := h.a.Directory.Person(h.t.Reporter)
	if !ok || h.t.Reporter == "" {
		return false
	}
	if h.a.Directory.Side(p) == Unplaced {
		h.stranger(p)
		return true
	}
	return h.person(p, why)
}

// letters adds what goes to strangers, one message for each rule, and says for those inside what became of it. Who has been
// told, or has had a message about the same thing, gets none.
func (h *hearing) letters(n ticket.Notice) (said string) {
	all := h.strangers
	for len(all) > 0 {
		var to []Person
		var others []stranger
		for _, s := range all {
			if s.rule.Name == all[0].rule.Name {
				to = append(to, s.person)
			} else {
				others = append(others, s)
			}
		}
		said += h.outward(all[0].rule.Name, all[0].rule.Letter, to, "", n)
		all = others
	}
	return said
}

// external adds what one rule with a template says to people outside, and says for those inside what became of it. What was
// detected and reported by nobody has no reporter to write to.
func (h *hearing) external(r NoticeRule, n ticket.Notice) string {
	var to []Person
	for _, target := range r.To {
		to = append(to, h.outsiders(target)...)
	}
	if len(to) == 0 && h.facts["detected"] != "" && !slices.ContainsFunc(r.To, func(t Target) bool { return t.Person != "reporter" }) {
		return "" // nobody reported it, so there is nobody to write to
	}
	return h.outward(r.Name, r.Template, to, describe(r.To)+" (no addressee: choose one)", n)
}

// outward is one message by a template to those of some people who were not told yet: where drafts are wanted, or there is
// no way to them or no wording, a draft for all. nobody is whom it is for where that is nobody; empty for no draft then.
func (h *hearing) outward(rule, template string, people []Person, nobody string, n ticket.Notice) string {
	text, problem := h.render(template, n)
	var to []Person
	for _, p := range people {
		if h.met(p) || p.key() == "" {
			continue
		}
		h.outer[p.key()] = true
		if !h.a.Terms.Drafts && problem == "" && len(p.Receivers) > 0 {
			h.sent = append(h.sent, Telling{Person: p, Receivers: p.Receivers, External: true, Text: text, Why: "notice " + rule})
			continue
		}
		to = append(to, p)
	}
	whom := addresses(to)
	if len(to) == 0 {
		if nobody == "" || slices.ContainsFunc(people, h.met) {
			return ""
		}
		whom = nobody
	}
	h.sent = append(h.sent, Telling{External: true, Text: text, Why: "notice " + rule, Draft: &ticket.Draft{
		To: whom, Template: template, Text: text, By: "watchbill", At: h.now}})
	h.reach([]Target{{Role: roleSends}}, "a draft waits")
	if template == "" {
		return fmt.Sprintf("\nA message to %s waits to be sent.%s", whom, problem)
	}
	return fmt.Sprintf("\nA message to %s (%s) waits to be sent.%s", whom, template, problem)
}
