package ticket

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Verb is what a person can do to a ticket.
type Verb string

// The verbs.
const (
	Ack     Verb = "ack"
	Start   Verb = "start"
	Note    Verb = "note"
	Did     Verb = "action"
	Resolve Verb = "resolve"
	Close   Verb = "close"
	Reopen  Verb = "reopen"
)

// Verbs is all of them.
var Verbs = []Verb{Ack, Start, Note, Did, Resolve, Close, Reopen}

// Action is one thing a person does.
type Action struct {
	Verb Verb
	// Text is required for note, action, resolve and reopen.
	Text string
}

// MaxText bounds what one action says, in bytes.
const MaxText = 16 << 10

// ErrRefused marks an action that the ticket's state or the action itself does not allow; nothing was changed.
var ErrRefused = errors.New("refused")

// Act is what an action by a person changes. The error wraps ErrRefused and says what to do instead.
func (t Ticket) Act(a Action, by Actor, now time.Time) (Change, error) {
	text := strings.TrimSpace(a.Text)
	if err := t.allows(a.Verb, text); err != nil {
		return Change{}, err
	}
	d := begin(t, now)
	switch a.Verb {
	case Ack:
		d.add(Event{Kind: Acknowledged, Actor: by, Text: text})
		d.tell(Acknowledged, or(text, "acknowledged by "+by.Name))
	case Start:
		d.add(Event{Kind: Started, Actor: by, Text: text})
	case Note:
		d.add(Event{Kind: Noted, Actor: by, Text: text})
	case Did:
		d.add(Event{Kind: ActionTaken, Actor: by, Text: text})
	case Resolve:
		d.add(Event{Kind: Resolved, Actor: by, Text: text})
		d.tell(Resolved, text)
	case Close:
		d.add(Event{Kind: Closed, Actor: by, Text: text})
		d.tell(Closed, or(text, "closed by "+by.Name))
	case Reopen:
		d.add(Event{Kind: Reopened, Actor: by, Text: text})
		d.tell(Reopened, text)
	}
	return d.change()
}

// allows refuses what the lifecycle does not have.
func (t Ticket) allows(v Verb, text string) error {
	if len(text) > MaxText {
		return fmt.Errorf("%w: the text has %d bytes, at most %d are kept: shorten it", ErrRefused, len(text), MaxText)
	}
	switch v {
	case Ack:
		switch t.State {
		case New, Again:
			return nil
		case Done, Shut:
			return t.refuse("is %s; reopen it first", t.State)
		}
		return t.refuse("was acknowledged by %s at %s", t.AcknowledgedBy, t.AcknowledgedAt.Format(time.RFC3339))
	case Start:
		switch t.State {
		case InProgress:
			return t.refuse("is in progress already")
		case Done, Shut:
			return t.refuse("is %s; reopen it first", t.State)
		}
	case Note, Did:
		return t.wants(text, "what to write down")
	case Resolve:
		if !t.State.Open() {
			return t.refuse("is %s already", t.State)
		}
		return t.wants(text, "what resolved it")
	case Close:
		if t.State == Shut {
			return t.refuse("is closed already")
		}
		if t.State != Done {
			return t.refuse("is %s; resolve it first, saying what resolved it", t.State)
		}
		if t.Firing() > 0 {
			return t.refuse("cannot be closed: %s", stillFires(t))
		}
	case Reopen:
		if t.State.Open() {
			return t.refuse("is open (%s)", t.State)
		}
		return t.wants(text, "why it is reopened")
	default:
		return fmt.Errorf("%w: %q is nothing a ticket knows; it knows %s", ErrRefused, v, verbList())
	}
	return nil
}

func (t Ticket) refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s %s", ErrRefused, t.Number, fmt.Sprintf(format, args...))
}

func (t Ticket) wants(text, what string) error {
	if text == "" {
		return fmt.Errorf("%w: say %s", ErrRefused, what)
	}
	return nil
}

func verbList() string {
	names := make([]string, len(Verbs))
	for i, v := range Verbs {
		names[i] = string(v)
	}
	return strings.Join(names, ", ")
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
