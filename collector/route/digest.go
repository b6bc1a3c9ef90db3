package route

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/watchbill/watchbill/collector/ticket"
)

// Digested is what a telling that stands for many says of itself.
const Digested ticket.Kind = "digest"

// Bounds of digests.
const (
	// Window is how long after something was told to an addressee more is gathered for them before it is told, as one.
	Window = time.Minute
	// MaxNamed is how many tickets a digest names; the others are counted.
	MaxNamed = 40
	// maxTitle bounds a title in a digest, in runes.
	maxTitle = 120
)

// Page is when an addressee was last told of anything, and of something urgent by itself.
type Page struct {
	Told   time.Time `json:"told,omitzero"`
	Urgent time.Time `json:"urgent,omitzero"`
}

// Pages remembers pages by Telling.To. Without it (a restart) no more happens than that something is told sooner.
type Pages map[string]Page

// With is p with what others remember, of each the later instants, without those that no longer matter at now. Neither is
// changed.
func (p Pages) With(others Pages, now time.Time) Pages {
	out := make(Pages, len(p)+len(others))
	for _, pages := range []Pages{p, others} {
		for to, page := range pages {
			was := out[to]
			if recent(page.Told, now) && page.Told.After(was.Told) {
				was.Told = page.Told
			}
			if recent(page.Urgent, now) && page.Urgent.After(was.Urgent) {
				was.Urgent = page.Urgent
			}
			if was != (Page{}) {
				out[to] = was
			}
		}
	}
	return out
}

// Round is what Digest made of what waits.
type Round struct {
	// Send goes out now: tellings as they are, and digests (What is Digested) that stand for all in their Of.
	Send []Telling
	// Keep waits on. With Send, and what the digests in it stand for, it is all that waited: nothing is dropped.
	Keep []Telling
	// Next is when something of Keep goes out; zero when nothing is kept.
	Next time.Time
	// Pages are for the next round: those given, with what Send adds to them, without those that no longer matter.
	Pages Pages
}

// Digest makes one notice of the many that wait for the same addressee.
//
//	the first urgent one within a Window          goes out at once, by itself
//	others, when nothing was told for a Window    go out now: one as it is, several as one digest
//	others, when something was                    wait until that was a Window ago, and no longer (Telling.Until)
//	others, beside one whose wait is over         go out now with it, as one digest
//
// Nobody waits longer than a Window beside quiet hours (NotBefore), which are kept; urgent ones have none: whatever is told
// meanwhile puts off no end of a wait, so a storm without end is a digest for each Window. A digest names
// the tickets worst first (urgent ones, then those of which a clock was missed, then those of which a rung of a ladder is
// told, then by rank of priority, age and number), up to MaxNamed, and counts the rest by priority. Of clocks and rungs it
// says which, and when they are due. Drafts and what goes outside are never digested.
func Digest(waiting []Telling, pages Pages, now time.Time) Round {
	r := Round{Pages: Pages{}}
	for to, p := range pages {
		if recent(p.Told, now) || recent(p.Urgent, now) {
			r.Pages[to] = p
		}
	}
	groups := map[string][]*Telling{}
	var order []string
	for _, one := range waiting {
		t := &one
		switch {
		case !t.Urgent && t.NotBefore.After(now):
			r.keep(t, t.NotBefore)
		case t.Draft != nil || t.External:
			r.Send = append(r.Send, *t)
		default:
			to := t.To()
			if groups[to] == nil {
				order = append(order, to)
			}
			groups[to] = append(groups[to], t)
		}
	}
	for _, to := range order {
		r.group(to, groups[to], now)
	}
	return r
}

// recent tells whether an instant is within a window before now. One that lies ahead (the machine's clock was put back) is
// not.
func recent(at, now time.Time) bool {
	since := now.Sub(at)
	return !at.IsZero() && since >= 0 && since < Window
}

func (r *Round) keep(t *Telling, until time.Time) {
	r.Keep, r.Next = append(r.Keep, *t), sooner(r.Next, until)
}

// wait keeps a telling until the end of its wait: of the one it was given first.
func (r *Round) wait(t *Telling, until time.Time) {
	if t.Until.IsZero() || until.Before(t.Until) {
		t.Until = until
	}
	r.keep(t, t.Until)
}

// waited tells whether the wait of a telling is over.
func (t *Telling) waited(now time.Time) bool { return !t.Until.IsZero() && !t.Until.After(now) }

// group decides on what is ready for one addressee.
func (r *Round) group(to string, ready []*Telling, now time.Time) {
	page := r.Pages[to]
	told := page.Told
	slices.SortStableFunc(ready, worstFirst)
	if ready[0].Urgent && !recent(page.Urgent, now) {
		r.Send = append(r.Send, *ready[0])
		page.Urgent = now
		if !recent(told, now) { // otherwise others wait for that window's end already
			page.Told = now
		}
		ready = ready[1:]
	}
	switch {
	case len(ready) == 0:
	case recent(told, now) && !slices.ContainsFunc(ready, func(t *Telling) bool { return t.waited(now) }):
		for _, t := range ready {
			r.wait(t, told.Add(Window))
		}
	case len(ready) == 1:
		r.Send, page.Told = append(r.Send, *ready[0]), now
	default:
		r.Send, page.Told = append(r.Send, digest(ready, now)), now
	}
	if page != (Page{}) {
		r.Pages[to] = page
	}
}

// weight is the less the worse what happened is, the priority of its ticket apart.
func (t *Telling) weight() int {
	switch t.What {
	case ticket.ClockBreached:
		return 0
	case ticket.WasTold:
		return 1
	}
	return 2
}

// short is what happened, as a digest's line has it: of clocks the first line of what is told, which names the clock or the
// rung and when it is due.
func (t *Telling) short() string {
	if ofClock(t.What) && t.What != ticket.ClockMet && t.Text != "" {
		text, _, _ := strings.Cut(t.Text, "\n")
		return oneLine(text)
	}
	return strings.ReplaceAll(oneLine(string(t.What)), "_", " ")
}

// worstFirst orders tellings as a digest names them; among alike those of one ticket the newest comes first.
func worstFirst(a, b *Telling) int {
	if a.Urgent != b.Urgent {
		if a.Urgent {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.weight(), b.weight()), cmp.Compare(a.Item.Rank, b.Item.Rank), a.Item.OpenedAt.Compare(b.Item.OpenedAt),
		cmp.Compare(a.Item.Number, b.Item.Number), cmp.Compare(a.Item.Ticket, b.Item.Ticket), b.At.Compare(a.At))
}

// digest is one telling in place of many for the same addressee, worst first. It is about the worst of their tickets.
func digest(all []*Telling, now time.Time) Telling {
	out := *all[0]
	out.What, out.At, out.Of, out.Also = Digested, now, make([]Telling, len(all)), nil
	out.NotBefore, out.Until = time.Time{}, time.Time{}
	out.Receivers = nil
	happened := map[string][]string{}
	var order []Item
	for i, t := range all {
		out.Of[i] = *t
		for _, name := range t.Receivers {
			if !slices.Contains(out.Receivers, name) {
				out.Receivers = append(out.Receivers, name)
			}
		}
		for _, p := range t.Also {
			if !slices.ContainsFunc(out.Also, func(other Person) bool { return other.key() == p.key() }) {
				out.Also = append(out.Also, p)
			}
		}
		said := happened[t.Item.Ticket]
		if said == nil {
			order = append(order, t.Item)
		}
		if what := t.short(); !slices.Contains(said, what) {
			happened[t.Item.Ticket] = append(said, what)
		}
	}
	named := order[:min(len(order), MaxNamed)]
	out.Text = fmt.Sprintf("%d notices about %s:", len(all), tickets(len(order)))
	for _, item := range named {
		out.Text += "\n" + item.line(happened[item.Ticket])
	}
	out.Text += counted(order[len(named):])
	out.Why = "many notices at the same time"
	return out
}

func tickets(n int) string {
	if n == 1 {
		return "one ticket"
	}
	return fmt.Sprintf("%d tickets", n)
}

// counted says how many tickets a digest does not name, by priority.
func counted(rest []Item) string {
	if len(rest) == 0 {
		return ""
	}
	of := map[string]int{}
	var priorities []string
	for _, item := range rest {
		if of[item.Priority]++; of[item.Priority] == 1 {
			priorities = append(priorities, item.Priority)
		}
	}
	for i, p := range priorities {
		priorities[i] = fmt.Sprintf("%d %s", of[p], cmp.Or(oneLine(p), "without priority"))
	}
	return fmt.Sprintf("\nand %d more, not named here: %s. They are in the queue", len(rest), strings.Join(priorities, ", "))
}

// line names a ticket and what happened to it, the worst and then the newest first: WB-1001 P1 web1: disk full (response was
// due Tue 24 Nov 11:00 GMT and is not met; acknowledged; opened).
func (i Item) line(happened []string) string {
	words := slices.DeleteFunc([]string{oneLine(i.Number), oneLine(i.Priority), oneLine(i.Asset)},
		func(w string) bool { return w == "" })
	return fmt.Sprintf("%s: %s (%s)", strings.Join(words, " "), oneLine(i.Title), strings.Join(happened, "; "))
}

// oneLine is text as it may stand within a line: without line breaks, control and formatting characters, and no longer than
// maxTitle runes.
func oneLine(text string) string {
	var b strings.Builder
	n := 0
	for _, word := range strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}) {
		if n > 0 {
			b.WriteByte(' ')
			n++
		}
		for _, r := range word {
			if n >= maxTitle {
				return b.String() + "…"
			}
			b.WriteRune(r)
			n++
		}
	}
	return b.String()
}
