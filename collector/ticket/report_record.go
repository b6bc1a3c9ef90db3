package ticket

import (
	"slices"
	"time"
)

// factUsers is who is affected, where the report says it as a fact.
const factUsers = "affected-users"

// brought puts into the record what a person's report brings by itself: when it was received and how, what was said, and
// who is affected where that was. Each is signed by who said it. A part that comes with evidence of its own is left to
// that, but for the symptoms, of which the title is one.
func (d *draft) brought(b Birth) {
	r := b.Report
	if r == nil || r.By == "" && r.Channel == "" {
		return
	}
	has := func(p Part) bool {
		return slices.ContainsFunc(b.Evidence, func(e Evidence) bool { return e.Part == p })
	}
	if !has(PartTime) {
		d.records(b.actor(), PartTime, d.receipt(*r))
	}
	d.records(b.actor(), PartSymptoms, b.Title)
	if r.Said != "" && r.Said != b.Title {
		d.records(b.actor(), PartSymptoms, r.Said)
	}
	if users := or(r.Users, b.Facts[factUsers]); users != "" && !has(PartUsers) {
		d.records(b.actor(), PartUsers, users)
	}
}

// receipt says when a report was received, over what and from whom.
func (d *draft) receipt(r Report) string {
	text := "received " + d.t.Received().UTC().Format(time.RFC3339)
	if r.Channel != "" {
		text += " over " + r.Channel
	}
	if r.By != "" {
		text += ", reported by " + r.By
	}
	return text
}

// records gives a part of the record words, where they say anything.
func (d *draft) records(who Actor, p Part, text string) {
	if given, none := gives(text); given && !none {
		d.add(Event{Kind: PartGiven, Actor: who, Text: short(text, MaxText), Detail: &Detail{What: string(p)}})
	}
}
