package collector

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// toldOf is somebody told of a ticket: a message in the outbox, a notice that is held for its time, or a draft that waits on
// the ticket.
type toldOf struct {
	ticket *aTicket
	// what happened: of a draft all that its template is for.
	what []string
	text string
	// to are all names by which who is told may be meant.
	to []string
	// notBefore is when it goes out; zero for at once.
	notBefore time.Time
	draft     bool
	// again: it stands for what was held, and was told of then.
	again bool
}

// endOfTime is after everything that is held.
var endOfTime = time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)

// hear notes what the outbox, the tickets and what is held tell since it was heard last.
func (w *world) hear(tx store.Tx) error {
	held, _, err := tx.DueHeld(endOfTime, manyTickets)
	if err != nil {
		return err
	}
	for _, h := range held {
		if err := w.hearHeld(h); err != nil {
			return err
		}
	}
	messages, err := tx.Messages(outbox.Queued, manyTickets)
	if err != nil {
		return err
	}
	slices.SortStableFunc(messages, func(a, b outbox.Message) int { return strings.Compare(a.ID, b.ID) })
	for _, m := range messages {
		if err := w.hearMessage(tx, m); err != nil {
			return err
		}
	}
	for _, c := range w.tickets {
		if err := w.hearDrafts(tx, c); err != nil {
			return err
		}
	}
	return nil
}

// once tells whether something is heard for the first time.
func (w *world) once(id string) bool {
	fresh := !w.met[id]
	w.met[id] = true
	return fresh
}

// hearHeld notes what is held for somebody. Held again for later is the same.
func (w *world) hearHeld(h store.Held) error {
	if !w.once(h.ID) {
		return nil
	}
	var t route.Telling
	if err := json.Unmarshal(h.Body, &t); err != nil {
		return fmt.Errorf("held notice %s: %w", h.ID, err)
	}
	told := toldOf{ticket: w.byID(t.Item.Ticket), what: []string{string(t.What)}, text: t.Text, notBefore: t.NotBefore}
	for _, r := range t.Receivers {
		told.to = append(told.to, w.namesOf(r)...)
	}
	w.told, w.held = append(w.told, told), append(w.held, told)
	return nil
}

// unfold notes each thing that a digest tells as told, unless it was held until then: that was noted when it came about. A
// digest has of every ticket a line, with what happened as words for a kind of event, or as the text of what is told of a
// clock.
func (w *world) unfold(tx store.Tx, digest toldOf, receiver string) error {
	for _, c := range w.tickets {
		line := ""
		for _, l := range strings.Split(digest.text, "\n")[1:] {
			if strings.HasPrefix(l, c.t.Number+" ") || strings.HasPrefix(l, c.t.Number+":") {
				line = l
			}
		}
		_, line, _ = strings.Cut(line, c.t.Title+" (")
		if line == "" {
			continue
		}
		events, err := tx.Timeline(c.t.ID)
		if err != nil {
			return err
		}
		for _, part := range strings.Split(strings.TrimSuffix(line, ")"), "; ") {
			told := toldOf{ticket: c, what: []string{kindOf(events, part)}, text: part, to: digest.to}
			if !slices.ContainsFunc(w.held, func(h toldOf) bool {
				return h.ticket == c && slices.Contains(h.to, receiver) && h.what[0] == told.what[0]
			}) {
				w.told = append(w.told, told)
			}
		}
	}
	return nil
}

// kindOf is the kind of event that a digest says so: by the words of its name, or by its text. A rung has a text of its own.
func kindOf(events []ticket.Event, part string) string {
	for _, e := range slices.Backward(events) {
		if strings.ReplaceAll(string(e.Kind), "_", " ") == part || strings.HasPrefix(e.Text, strings.TrimSuffix(part, "…")) {
			return string(e.Kind)
		}
	}
	return string(ticket.WasTold)
}

// hearMessage notes a message of the outbox. One that was held before was told of then.
func (w *world) hearMessage(tx store.Tx, m outbox.Message) error {
	sum := sha256.Sum256([]byte(m.Receiver))
	toAll := strings.HasSuffix(m.ID, "-"+hex.EncodeToString(sum[:4])) // as messageID has it
	if !w.once(m.ID) || toAll && m.Receiver != everyReceiver {
		return nil
	}
	if i := strings.LastIndexByte(m.ID, '-'); strings.Contains(m.ID, "-held-") && w.met[m.ID[:i]] {
		return nil
	}
	var n notify.Notice
	if err := json.Unmarshal(m.Body, &n); err != nil {
		return fmt.Errorf("message %s: %w", m.ID, err)
	}
	told := toldOf{ticket: w.byID(m.Ticket), what: []string{m.What}, text: n.Text, to: w.namesOf(m.Receiver),
		again: m.What == string(route.Digested)}
	if told.again {
		if err := w.unfold(tx, told, m.Receiver); err != nil {
			return err
		}
	}
	if m.NextAt.After(m.CreatedAt) {
		told.notBefore = m.NextAt
	}
	if toAll {
		told.to = append([]string{"all"}, told.to...)
		for _, a := range w.addresses {
			if len(a.receivers) > 0 && !slices.ContainsFunc(a.receivers, func(r string) bool { return !w.p.fleet.Outward(r) }) {
				continue // nothing internal goes to a client
			}
			told.to = append(told.to, slices.Concat(a.names, a.receivers)...)
		}
	}
	w.told = append(w.told, told)
	return nil
}

// hearDrafts notes the messages to clients that rules wrote and that wait on a ticket.
func (w *world) hearDrafts(tx store.Tx, c *aTicket) error {
	for _, d := range c.t.Drafts {
		if d.By != "watchbill" || !w.once(fmt.Sprintf("%s draft %d", c.t.ID, d.ID)) {
			continue
		}
		r, err := w.p.TermsOf(tx, c.t)
		if err != nil {
			return err
		}
		told := toldOf{ticket: c, text: d.Text, to: []string{d.To, "draft:" + d.To}, draft: true}
		for _, n := range r.Route.Notices {
			if n.Template == d.Template {
				told.what = append(told.what, n.On...)
			}
		}
		w.told = append(w.told, told)
	}
	return nil
}

// namesOf are a receiver and all whom it reaches.
func (w *world) namesOf(receiver string) []string {
	names := []string{receiver}
	for _, a := range w.addresses {
		if slices.Contains(a.receivers, receiver) {
			names = append(names, a.names...)
		}
	}
	return names
}

// matches tells whether somebody told is the one that is wanted.
func (l looking) matches(want policy.ToldWant, got toldOf) bool {
	like := func(want string, any []string) bool {
		return want == "" || slices.ContainsFunc(any, func(s string) bool { return policy.Like(want, s) })
	}
	if want.Ticket != "" && want.Ticket != got.ticket.name || !like(want.What, got.what) || !like(want.Text, []string{got.text}) {
		return false
	}
	if want.Draft != nil && *want.Draft != got.draft || !like(want.To, got.to) {
		return false
	}
	if want.NotBefore == "" {
		return true
	}
	at, err := l.w.s.Time(want.NotBefore, l.step.When)
	return err == nil && at.Equal(got.notBefore)
}

// told looks at who was told since the last step that asked.
func (l looking) told(x *policy.Expectation) {
	if x.Told == nil && x.NotTold == nil && !x.AllTold {
		return
	}
	wanted := make([]bool, len(l.w.told))
	for _, want := range x.Told {
		found := false
		for i, got := range l.w.told {
			if l.matches(want, got) {
				found, wanted[i] = true, true
			}
		}
		if !found {
			l.fail("told", want.String(), l.heard())
		}
	}
	for _, not := range x.NotTold {
		if i := slices.IndexFunc(l.w.told, func(got toldOf) bool { return l.matches(not, got) }); i >= 0 {
			l.fail("told", "nobody by "+not.String(), l.w.told[i].String())
		}
	}
	for i, got := range l.w.told {
		if x.AllTold && !wanted[i] && !got.again {
			l.fail("told", "nobody else", got.String())
		}
	}
	l.w.told = nil
}

// String says who was told.
func (t toldOf) String() string {
	to := strings.Join(t.to, "/")
	if len(t.to) > 0 && t.to[0] == "all" {
		to = "all"
	}
	s := fmt.Sprintf("%s %s %s %q", t.ticket.name, strings.Join(t.what, "/"), to, t.text)
	if t.draft {
		s += " as a draft"
	}
	if !t.notBefore.IsZero() {
		s += " not before " + t.notBefore.Format(time.RFC3339)
	}
	return s
}

// heard is everything that was told since the last step that asked.
func (l looking) heard() string {
	said := make([]string, len(l.w.told))
	for i, t := range l.w.told {
		said[i] = t.String()
	}
	return strings.Join(said, " | ")
}
