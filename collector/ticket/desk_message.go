package ticket

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

var messageVerbs = map[Verb]doing{
	WriteDraft: {wants: "the message", allows: allowsDraft, do: func(d *draft, a Action) {
		dr := Draft{ID: len(d.t.Drafts) + 1, To: strings.TrimSpace(a.To), Template: a.Template, By: d.by.Name, At: d.now, Text: a.Text}
		if a.What != "" {
			old := d.t.Drafts[draftNumber(a.What)-1]
			dr.ID, dr.To, dr.Template = old.ID, or(dr.To, old.To), or(dr.Template, old.Template)
		}
		d.drafted(d.by.Actor, dr)
	}},
	SendDraft: {allows: func(d *draft, a Action) error {
		n := draftNumber(a.What)
		switch {
		case n < 1 || n > len(d.t.Drafts):
			return d.t.refuse("has no draft %q; it has %d, numbered from 1", a.What, len(d.t.Drafts))
		case !d.t.Drafts[n-1].SentAt.IsZero():
			return d.t.refuse("has draft %d sent by %s at %s", n, d.t.Drafts[n-1].SentBy, clock(d.t.Drafts[n-1].SentAt))
		}
		return nil
	}, do: func(d *draft, a Action) {
		dr := d.t.Drafts[draftNumber(a.What)-1]
		dr.SentBy, dr.SentAt, dr.How = d.by.Name, d.now, a.Text
		text := fmt.Sprintf("message %d to %s %s", dr.ID, dr.To, or(dr.How, "sent"))
		d.add(Event{Kind: Sent, Actor: d.by.Actor, Text: text, Detail: &Detail{Draft: &dr}})
		d.tell(Sent, text)
	}},
	Update: {wants: "what stakeholders should know", allows: func(d *draft, a Action) error {
		if err := unshut(d, a); err != nil {
			return err
		}
		if a.What == "" {
			return nil
		}
		return d.oneOf(a.What, "the reason for a late update", "workload", "absence")
	}, do: func(d *draft, a Action) {
		text := a.Text
		if a.What != "" {
			text += " (late because of " + a.What + ")"
		}
		e := Event{Kind: Updated, Actor: d.by.Actor, Text: a.Text}
		if a.What != "" {
			e.Detail = &Detail{What: a.What}
		}
		d.add(e)
		d.tell(Updated, text)
	}},
	Rate: {allows: func(d *draft, a Action) error {
		switch {
		case !d.terms.Rating:
			return d.t.refuse("is not rated: %s does not ask for ratings", or(d.terms.Policy, "its policy"))
		case d.by.Customer == "" && (strings.TrimSpace(a.To) == "" || strings.EqualFold(strings.TrimSpace(a.To), strings.TrimSpace(d.by.Name))):
			return d.t.refuse("is rated by the client, by the link that they were sent or a token of the customer: to record an answer that "+
				"they gave otherwise, say who of the client gave it (rate, by whom); %s", areRoles(d.by))
		case d.by.Customer == "" && d.t.Rating.own():
			return d.t.refuse("was rated %d of 10 by the client (%s, %s): what they are said to have told does not replace what they answered "+
				"themselves; if they think otherwise now, let them answer anew with a token of the customer", d.t.Rating.Score, d.t.Rating.By, clock(d.t.Rating.At))
		}
		return d.t.ratable(a.Score)
	}, do: func(d *draft, a Action) {
		if d.by.Customer == "" { // the client told the desk
			d.rated(d.by.Actor, byDesk, Rating{Score: a.Score, By: strings.TrimSpace(a.To), RecordedBy: d.by.Name, At: d.now, Text: a.Text})
			return
		}
		d.rated(d.by.Actor, byCustomer, Rating{Score: a.Score, By: or(strings.TrimSpace(a.To), d.by.Name), At: d.now, Text: a.Text})
	}},
}

func allowsDraft(d *draft, a Action) error {
	if a.What != "" {
		n := draftNumber(a.What)
		if n < 1 || n > len(d.t.Drafts) {
			return d.t.refuse("has no draft %q; it has %d, numbered from 1", a.What, len(d.t.Drafts))
		}
		if !d.t.Drafts[n-1].SentAt.IsZero() {
			return d.t.refuse("has draft %d sent already: write another", n)
		}
		return nil
	}
	if strings.TrimSpace(a.To) == "" {
		return d.t.refuse("wants to know to whom the message goes: name a person, a contact or an address")
	}
	return d.room(len(d.t.Drafts), "drafts")
}

// draftNumber reads the number of a draft, 0 for what is none.
func draftNumber(what string) int {
	n, err := strconv.Atoi(strings.TrimSpace(what))
	if err != nil {
		return 0
	}
	return n
}

func (d *draft) drafted(who Actor, dr Draft) {
	text := fmt.Sprintf("draft %d to %s", dr.ID, dr.To)
	d.add(Event{Kind: Drafted, Actor: who, Text: text, Detail: &Detail{Draft: &dr}})
	d.tell(Drafted, text)
}

// AddDraft keeps a message that a rule of the policy wrote from a template, for the owning department to send. Beyond the
// drafts that a ticket keeps it is refused, wrapping ErrRefused.
func (t Ticket) AddDraft(to, template, text string, now time.Time) (Change, error) {
	d := begin(t, now)
	if err := d.room(len(t.Drafts), "drafts"); err != nil {
		return Change{}, err
	}
	d.drafted(house, Draft{ID: len(t.Drafts) + 1, To: to, Template: template, Text: text, By: house.Name, At: d.now})
	return d.change()
}

// How an answer came: by the link that is good for one, of a person of the customer, or noted at the desk.
const (
	byLink     = "link"
	byCustomer = "customer"
	byDesk     = "desk"
)

// own tells an answer that the client gave themselves, by link or token. One that was kept before it was noted how it came
// is taken for their own, so that nobody of the house can write over it.
func (r *Rating) own() bool { return r != nil && r.How != byDesk }

// ratable refuses a score that is none, and a ticket whose work is not done.
func (t Ticket) ratable(score int) error {
	switch {
	case score < 0 || score > 10:
		return t.refuse("cannot be rated %d: say a number from 0 (not likely at all to recommend the service) to 10 (very likely)", score)
	case t.State != Shut:
		return t.refuse("is %s: it is rated when it is closed", t.State)
	}
	return nil
}

func (d *draft) rated(who Actor, how string, r Rating) {
	if r.How = how; how != byDesk { // the person of the desk is not who answered
		r.Person = who.Person
	}
	text := fmt.Sprintf("rated %d of 10 by %s (%s)", r.Score, r.By, how)
	if r.RecordedBy != "" {
		text = fmt.Sprintf("rated %d of 10 by %s (told %s)", r.Score, r.By, r.RecordedBy)
	}
	if r.Text != "" {
		text += ": " + r.Text
	}
	d.add(Event{Kind: Rated, Actor: who, Text: text, Detail: &Detail{What: how, Rating: &r}})
	d.tell(Rated, text)
}

// AskRating keeps the digest of the token of a link by which the reporter may answer once. Whoever closes the ticket in
// the store calls it in the same transaction, when the terms say that a rating is asked for, and puts the token into the
// message; the token itself is kept nowhere. See RatingDigestOf. Nothing changes for a ticket that is not closed, was
// merged, or that nobody reported.
func (t Ticket) AskRating(digest string, terms Terms, now time.Time) (Change, error) {
	d := begin(t, now)
	if terms.Rating && t.State == Shut && t.Merged == nil && t.Reporter != "" && digest != "" {
		d.add(Event{Kind: RatingAsked, Actor: house, Text: t.Reporter + " is asked for a rating", Detail: &Detail{What: digest}})
	}
	return d.change()
}

// RatingDigestOf is the lower-case hexadecimal SHA-256 of a token.
func RatingDigestOf(token string) string {
	h := sha256.Sum256([]byte(token))
	return hex.EncodeToString(h[:])
}

// RateByLink takes the answer of whoever has the token of the link, once. The error wraps ErrRefused; it is the same for a
// token that was used and one that never was.
func (t Ticket) RateByLink(token string, score int, text string, now time.Time) (Change, error) {
	got := RatingDigestOf(token)
	if t.RatingDigest == "" || subtle.ConstantTimeCompare([]byte(got), []byte(t.RatingDigest)) != 1 {
		return Change{}, fmt.Errorf("%w: this link was used already, or is none: tell the service desk your answer instead", ErrRefused)
	}
	if err := t.ratable(score); err != nil {
		return Change{}, err
	}
	if text = strings.TrimSpace(text); len(text) > MaxText {
		return Change{}, t.refuse("cannot take %d bytes with a rating: at most %d are kept", len(text), MaxText)
	}
	d := begin(t, now)
	d.rated(Actor{Kind: Person, Name: t.Reporter}, byLink, Rating{Score: score, By: t.Reporter, At: d.now, Text: text})
	return d.change()
}
