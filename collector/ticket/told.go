package ticket

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
)

// maxTold bounds how many tellings a ticket's projection keeps that no clock needs any more; the timeline has them all.
// Those of clocks that run are all kept, as many as their ladder has rungs.
const maxTold = 64

// WereTold records that steps of a ladder were told, each in an event of its own: it is told once, for the record says so.
// Nobody hears of the record.
func (t Ticket) WereTold(told []Told, now time.Time) (Change, error) {
	d := begin(t, now)
	for _, one := range told {
		text := fmt.Sprintf("told %s: %s", one.Step, strings.Join(one.To, ", "))
		if len(one.To) == 0 {
			text = "told " + one.Step
		}
		d.add(Event{Kind: WasTold, Actor: house, Text: text, Detail: &Detail{What: one.Step, Told: &one}})
	}
	return d.change()
}

// AckLadder records that a person acknowledged what a ladder told: each step is kept quiet until its AckUntil. text is what
// they said to it, which may be nothing. Nobody hears of the record.
func (t Ticket) AckLadder(told []Told, by By, text string, now time.Time) (Change, error) {
	if len(text) > MaxText {
		return Change{}, t.refuse("cannot take %d bytes as text: at most %d are kept: shorten it", len(text), MaxText)
	}
	d := begin(t, now)
	for _, one := range told {
		said := fmt.Sprintf("acknowledged %s: quiet until %s", one.Step, one.AckUntil.UTC().Format(time.RFC3339))
		if text != "" {
			said += ": " + text
		}
		d.add(Event{Kind: WasTold, Actor: by.whole().Actor, Text: said, Detail: &Detail{What: one.Step, Told: &one}})
	}
	return d.change()
}

// KeepUndrafted writes a message that a rule of the policy made down in the timeline, where a ticket has as many drafts as it
// keeps: it is not lost, and a person sends it by hand. Nobody is told of the record.
func (t Ticket) KeepUndrafted(to, template, text string, now time.Time) (Change, error) {
	d := begin(t, now)
	d.add(Event{Kind: Noted, Actor: house, Text: fmt.Sprintf("a message to %s (%s) is no draft, for the ticket has %d of them: send it by hand.\n%s",
		to, or(template, "without a template"), len(t.Drafts), text)})
	return d.change()
}

// remember folds a telling: of each step the newest is kept.
func (t *Ticket) remember(e Event) error {
	if e.Detail == nil || e.Detail.Told == nil {
		return fmt.Errorf("%w: event %d tells nobody", ErrTimeline, e.Seq)
	}
	told := *e.Detail.Told
	kept := slices.DeleteFunc(slices.Clone(t.Told), func(old Told) bool { return old.Step == told.Step })
	if len(kept) >= maxTold {
		if i := slices.IndexFunc(kept, func(old Told) bool { return !t.needed(old) }); i >= 0 {
			kept = slices.Delete(kept, i, i+1)
		}
	}
	t.Told = append(kept, told)
	return nil
}

// needed tells whether a telling is of a clock that runs, and of its run of now: if it were forgotten the ladder would tell
// it again.
func (t *Ticket) needed(told Told) bool {
	name, _, rung := strings.Cut(told.Step, "/")
	return rung && slices.ContainsFunc(t.Clocks, func(c sla.Clock) bool {
		return c.Name == name && !c.Ended() && !told.At.Before(c.Start) && !told.At.Before(c.ReopenedAt)
	})
}
