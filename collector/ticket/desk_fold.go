package ticket

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// maxPart bounds what the projection keeps of a part of the record, in bytes; the timeline has it whole.
const maxPart = 200

// foldDesk folds what the desk's verbs and evidence add to the work on a ticket.
func (t *Ticket) foldDesk(e Event) error {
	t.begun(e)
	switch e.Kind {
	case Opened, FactsChanged, Rebased:
		t.Chargeable, t.Unsupported = t.Facts[factChargeable], unsupported(t.Facts)
	case EvidenceAdded:
		if e.Evidence != nil {
			t.keepPart(e.Evidence.Part, e.Evidence.Summary)
		}
	case Noted, ActionTaken:
		if !e.IsReply() {
			t.acted(e)
		}
	case Resolved:
		t.Verified = nil
		t.acted(e)
	case Reopened:
		t.Verified, t.RatingDigest = nil, ""
		if t.Facts[factDeclined] != "" {
			t.Facts = maps.Clone(t.Facts)
			delete(t.Facts, factDeclined)
		}
	case Refused:
		t.Refusals++
	case Verified:
		t.Verified = &Signature{By: e.Actor.Name, At: e.At}
	case WasTold:
		return t.remember(e)
	default:
		return t.foldDetail(e)
	}
	return nil
}

// foldDetail folds the events that are nothing without their detail.
func (t *Ticket) foldDetail(e Event) error {
	d := e.Detail
	if d == nil {
		d = &Detail{}
	}
	ok := true
	switch e.Kind {
	case PartGiven:
		if ok = d.What != ""; ok {
			t.givePart(e)
		}
	case Ticked:
		if ok = d.What != ""; ok {
			t.tick(d.What, e)
		}
	case Approved:
		if ok = d.Approval != nil; ok {
			t.Approvals = append(slices.Clip(t.Approvals), *d.Approval)
		}
	case WaiverGiven:
		if ok = d.Waiver != nil; ok {
			t.Waivers = append(slices.Clip(t.Waivers), *d.Waiver)
		}
	case Estimated:
		ok, t.Estimate = d.Quote != nil, d.Quote
	case Quoted:
		ok, t.Quote = d.Quote != nil, d.Quote
	case Ordered:
		ok, t.Order = d.What != "", d.What
	case Drafted, Sent:
		if ok = d.Draft != nil && d.Draft.ID > 0 && d.Draft.ID <= len(t.Drafts)+1; ok {
			t.putDraft(*d.Draft)
		}
	case Rated:
		if ok = d.Rating != nil; ok {
			t.Rating = d.Rating
			if d.What == byLink {
				t.RatingDigest = ""
			}
		}
	case Escalated:
		if ok = d.Told != nil; ok {
			t.Told = append(slices.Clip(t.Told), *d.Told)
		}
	case RatingAsked:
		ok, t.RatingDigest = d.What != "", d.What
	default:
		return nil
	}
	if !ok {
		return fmt.Errorf("%w: event %d (%s) does not say what it is about", ErrTimeline, e.Seq, e.Kind)
	}
	return nil
}

// begun keeps when a person first worked on it. A request that is declined is not worked on.
func (t *Ticket) begun(e Event) {
	if e.Actor.Kind != Person || !t.BegunAt.IsZero() {
		return
	}
	switch {
	case e.Kind == Started, e.Kind == ActionTaken, e.Kind == Resolved && t.Facts[factDeclined] != yes,
		e.Kind == WaitOver && t.State == InProgress:
		t.BegunAt = e.At
	}
}

// worked tells whether work on the ticket has begun. One that was kept before that was noted is told by what it has.
func (t Ticket) worked() bool { return !t.BegunAt.IsZero() || !t.StartedAt.IsZero() }

// acted keeps the first that a person did or wrote as actions taken; the timeline has the others.
func (t *Ticket) acted(e Event) {
	if !told(e) {
		return
	}
	if old := t.Parts[PartActions]; old != "" {
		if _, none := gives(old); !none {
			return
		}
	}
	t.keepPart(PartActions, e.Text)
}

// keepPart keeps what a part of the record says, in short: a reason why there is nothing does not replace what is there.
func (t *Ticket) keepPart(p Part, text string) {
	given, none := gives(text)
	if !given || none && t.Parts[p] != "" {
		return
	}
	text = short(text, maxPart)
	if t.Parts[p] == text {
		return
	}
	parts := maps.Clone(t.Parts)
	if parts == nil {
		parts = map[Part]string{}
	}
	parts[p] = text
	t.Parts = parts
}

// givePart folds what a person recorded: a part of the record, or a piece of evidence that the type wants.
func (t *Ticket) givePart(e Event) {
	if p := Part(e.Detail.What); slices.Contains(Parts, p) {
		t.keepPart(p, e.Text)
		return
	}
	t.tick(tickEvidence+e.Detail.What, e)
	if _, none := gives(e.Text); none {
		t.tick(tickUnknown+e.Detail.What, e)
	} else {
		delete(t.Ticks, tickUnknown+e.Detail.What) // a clone of its own since the tick above
	}
}

func (t *Ticket) tick(key string, e Event) {
	ticks := maps.Clone(t.Ticks)
	if ticks == nil {
		ticks = map[string]Signature{}
	}
	ticks[key] = Signature{By: e.Actor.Name, At: e.At}
	t.Ticks = ticks
}

// putDraft keeps a draft in the place of its number.
func (t *Ticket) putDraft(dr Draft) {
	drafts := slices.Clone(t.Drafts)
	if dr.ID > len(drafts) {
		t.Drafts = append(drafts, dr)
		return
	}
	drafts[dr.ID-1] = dr
	t.Drafts = drafts
}

// short is the beginning of a text, in whole characters.
func short(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	cut := limit - len("…")
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// recorded puts what a person recorded into the part it belongs to; evidence that a type wants is what was done.
func recorded(parts map[Part]*PartRecord, e Event) {
	p, text := PartActions, e.Text
	if e.Detail != nil && slices.Contains(Parts, Part(e.Detail.What)) {
		p = Part(e.Detail.What)
	} else if e.Detail != nil {
		text = e.Detail.What + ": " + text
	}
	if _, none := gives(text); none {
		if part := parts[p]; len(part.Entries) == 0 {
			part.None = text
		}
		return
	}
	parts[p].add(Entry{Text: text, Source: e.Actor.Name + ", recorded", At: e.At})
}

// HasEvidence tells whether each of some pieces of evidence was attached. What was said to be unknown, with why, lets a
// ticket be resolved and is no evidence.
func (t Ticket) HasEvidence(pieces []string) bool {
	for _, name := range pieces {
		_, given := t.Ticks[tickEvidence+name]
		if _, unknown := t.Ticks[tickUnknown+name]; !given || unknown {
			return false
		}
	}
	return true
}
