package ticket

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

var recordVerbs = map[Verb]doing{
	GivePart:   {allows: allowsPart, do: doPart},
	Confirm:    {wants: "what was found, or why there is nothing to do", allows: allowsConfirm, do: doConfirm},
	Tick:       {allows: allowsTick, do: doTick},
	DocumentIt: {wants: "where the changes are documented: a link or a document's name", allows: allowsDocument, do: doDocument},
	Verify: {allows: func(d *draft, _ Action) error {
		switch {
		case d.t.State != Done:
			return d.t.refuse("is %s: it is verified when it is resolved, and before it is closed", d.t.State)
		case d.t.Verified != nil:
			return d.t.refuse("was verified by %s at %s", d.t.Verified.By, clock(d.t.Verified.At))
		case d.by.Kind != Person || strings.TrimSpace(d.by.Name) == "":
			return d.t.refuse("is verified by one named person")
		case d.t.Firing() > 0:
			return d.t.refuse("cannot be verified: %s", stillFires(d.t))
		}
		return nil
	}, do: func(d *draft, a Action) {
		as := d.acting(a, d.wanted(needVerified, func(n Need) []string { return n.Roles }))
		d.add(Event{Kind: Verified, Actor: d.actor(as), Text: a.Text})
		d.tell(Verified, or(a.Text, "verified by "+d.by.Name))
	}},
}

// evidenceWanted are the pieces of evidence that the ticket's type and its gates want.
func (d *draft) evidenceWanted() []string {
	ty, _ := d.terms.Type(d.t.Type)
	out := slices.Clone(ty.Evidence)
	needs, _ := d.asking(func(n Need) bool { return n.Kind == needEvidence })
	for _, n := range needs {
		out = append(out, n.Names...)
	}
	return out
}

func allowsPart(d *draft, a Action) error {
	if err := unshut(d, a); err != nil {
		return err
	}
	pieces := d.evidenceWanted()
	if !slices.Contains(Parts, Part(a.What)) && !slices.Contains(pieces, a.What) {
		known := append(make([]string, 0, len(Parts)+len(pieces)), pieces...)
		for _, p := range Parts {
			known = append(known, string(p))
		}
		return d.t.refuse("has no part %q: say one of %s", a.What, strings.Join(known, ", "))
	}
	for _, e := range a.Evidence {
		if err := d.fitEvidence(a, e); err != nil {
			return err
		}
	}
	if len(a.Evidence) > 0 && a.Text == "" {
		return nil
	}
	if given, none := gives(a.Text); !given && none {
		return d.t.refuse("cannot take %q for %s: it gives no reason, or too short a one: say why in two words or more, as in \"none, because nobody was there\"", a.Text, a.What)
	} else if !given {
		return d.t.refuse("wants words for %s: what is known, or \"none, because …\"", a.What)
	}
	return nil
}

// fitEvidence refuses evidence that is for another part or says nothing.
func (d *draft) fitEvidence(a Action, e Evidence) error {
	if !slices.Contains(Parts, e.Part) {
		return d.t.refuse("cannot take evidence for %q: there are %v", e.Part, Parts)
	}
	if slices.Contains(Parts, Part(a.What)) && e.Part != Part(a.What) {
		return d.t.refuse("cannot take evidence for %s as %s: record each part by itself", e.Part, a.What)
	}
	for _, entry := range e.Entries {
		if given, _ := gives(entry.Text); given || entry.Table != nil || entry.Series != nil {
			return nil
		}
	}
	if given, none := gives(e.None); given && none {
		return nil
	}
	return d.t.refuse("cannot take evidence for %s that says nothing: give entries, or why there are none", e.Part)
}

func doPart(d *draft, a Action) {
	d.evidenceBy(d.by.Actor, a.Evidence)
	if a.Text != "" || !slices.Contains(Parts, Part(a.What)) {
		d.add(Event{Kind: PartGiven, Actor: d.by.Actor, Text: or(a.Text, "attached: "+a.What), Detail: &Detail{What: a.What}})
	}
}

// confirmable are what may be confirmed on the ticket, each with the tick it is kept under.
func (d *draft) confirmable() map[string]string {
	out := map[string]string{}
	for _, p := range prerequisites {
		out[p] = tickPrerequisite + p
	}
	for _, c := range considerations {
		out[c] = tickConsidered + c
	}
	for finding := range mailFindings {
		out[finding] = tickMail + finding
	}
	out[mailNothing] = tickMail + mailNothing
	groups := map[string]string{needPrerequisites: tickPrerequisite, needConsidered: tickConsidered}
	needs, _ := d.asking(func(n Need) bool { return groups[n.Kind] != "" })
	for _, n := range needs {
		for _, name := range n.Names {
			out[name] = groups[n.Kind] + name
		}
	}
	return out
}

func allowsConfirm(d *draft, a Action) error {
	if err := unshut(d, a); err != nil {
		return err
	}
	known := d.confirmable()
	if _, ok := known[a.What]; !ok {
		return d.t.refuse("has nothing %q to confirm: say one of %s", a.What, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	if _, mail := mailFindings[a.What]; mail && foundNothing(a.Text) {
		return d.t.refuse("cannot take %q for %s: say what shows it, the entry, header or bounce; where nothing does, confirm %s", a.Text, a.What, mailNothing)
	}
	if a.Text != "" && letters(a.Text) < 2 {
		return d.t.refuse("cannot take %q for %s: say what was found", a.Text, a.What)
	}
	return nil
}

// foundNothing tells whether what is said of a mail shows nothing.
func foundNothing(text string) bool {
	_, none := gives(text)
	text = strings.ToLower(strings.Trim(strings.TrimSpace(text), ".!"))
	return none || letters(text) < 2 || slices.Contains([]string{"yes", "no", "ok", "true", "found", "done", "checked"}, text) ||
		strings.HasPrefix(text, "nothing") || strings.HasPrefix(text, "not found") || strings.HasPrefix(text, "no evidence")
}

func doConfirm(d *draft, a Action) {
	key := d.confirmable()[a.What]
	if finding, ok := mailFindings[a.What]; ok {
		d.says("the mail fault: "+finding, Facts{factMail: a.What})
	}
	if _, shown := mailFindings[d.t.Facts[factMail]]; a.What == mailNothing && !shown {
		d.says("the mail fault: nothing was found yet", Facts{factMail: mailNothing})
	}
	d.add(Event{Kind: Ticked, Actor: d.by.Actor, Text: a.What + ": " + a.Text, Detail: &Detail{What: key}})
}

// stepsList is what the steps of a type are called where an item is named with its list.
const stepsList = "steps"

// tickItem is a step or an item of a checklist that applies, with the tick it is kept under.
type tickItem struct{ list, name, key string }

// tickable are the steps and items that apply, those of the type first.
func (d *draft) tickable() []tickItem {
	var out []tickItem
	if ty, ok := d.terms.Type(d.t.Type); ok {
		for _, s := range ty.Steps {
			out = append(out, tickItem{stepsList, s, tickStep + s})
		}
	}
	for _, c := range d.t.checklists(d.terms, d.t.conditions(d.terms, d.now)) {
		for _, item := range c.Items {
			out = append(out, tickItem{c.Name, item, c.group() + item})
		}
	}
	return out
}

// ticks are the items that a name stands for: "LIST: ITEM", or ITEM for all lists that have it.
func (d *draft) ticks(name string) []tickItem {
	return slices.DeleteFunc(d.tickable(), func(i tickItem) bool { return name != i.name && name != i.list+": "+i.name })
}

// open are those of some items that nobody ticked yet.
func (d *draft) open(items []tickItem) []tickItem {
	return slices.DeleteFunc(slices.Clone(items), func(i tickItem) bool { _, done := d.t.Ticks[i.key]; return done })
}

// ticksStep tells whether an action ticks a step of the type, which is to say that the work was done.
func (d *draft) ticksStep(a Action) bool {
	return a.Verb == Tick && slices.ContainsFunc(d.open(d.ticks(a.What)), func(i tickItem) bool { return i.list == stepsList && i.key == tickStep+i.name })
}

func allowsTick(d *draft, a Action) error {
	if err := unshut(d, a); err != nil {
		return err
	}
	items := d.ticks(a.What)
	switch {
	case len(d.tickable()) == 0:
		return d.t.refuse("has no steps and no checklist to tick")
	case len(items) == 0:
		return d.t.refuse("has no item %q: %s", a.What, d.unticked())
	case len(d.open(items)) == 0:
		by := d.t.Ticks[items[0].key]
		return d.t.refuse("has %q ticked by %s at %s", a.What, by.By, clock(by.At))
	}
	return nil
}

// unticked says what is left to tick; an item of several lists is named with its list.
func (d *draft) unticked() string {
	left, seen := []string(nil), map[string]int{}
	all := d.tickable()
	for _, i := range all {
		seen[i.name]++
	}
	for _, i := range d.open(all) {
		name := i.name
		if seen[name] > 1 {
			name = i.list + ": " + name
		}
		left = append(left, fmt.Sprintf("%q", name))
	}
	if len(left) == 0 {
		return "everything is ticked"
	}
	slices.Sort(left)
	return "left are " + strings.Join(left, ", ")
}

func doTick(d *draft, a Action) {
	for _, i := range d.open(d.ticks(a.What)) {
		d.add(Event{Kind: Ticked, Actor: d.by.Actor, Text: or(a.Text, "ticked: "+i.name), Detail: &Detail{What: i.key}})
	}
}

func allowsDocument(d *draft, a Action) error {
	if err := unshut(d, a); err != nil {
		return err
	}
	if strings.TrimSpace(a.What) == "" {
		return d.t.refuse("wants the name of the object that was changed")
	}
	if _, again := d.t.Ticks[tickDocument+a.What]; again {
		return nil
	}
	return d.room(len(d.t.Ticks), "documents, ticks and confirmations")
}

func doDocument(d *draft, a Action) {
	d.add(Event{Kind: Ticked, Actor: d.by.Actor, Text: a.What + " is documented: " + a.Text, Detail: &Detail{What: tickDocument + a.What}})
}
