package ticket

import (
	"encoding/json"
	"fmt"
)

// maxEntries bounds each part of an assembled record; older entries beyond it are counted, not shown.
const maxEntries = 100

// AssembleRecord builds the record from a timeline and its evidence bodies. body reads the body that event seq names
// and reports false for one that was redacted or has expired: then the digest's part says so. Repeats of the same entry
// from the same source are one entry with a count. What people noted and did is part of the actions taken. A body that does not match its digest is an error wrapping ErrChain.
func AssembleRecord(timeline []Event, body func(seq int) ([]byte, bool, error)) (Record, error) {
	parts := map[Part]*PartRecord{}
	for _, p := range Parts {
		parts[p] = &PartRecord{Entries: []Entry{}, None: "nothing was gathered"}
	}
	for _, e := range timeline {
		if e.Evidence == nil {
			if e.Kind == PartGiven {
				recorded(parts, e)
				continue
			}
			if e.IsReply() { // what the customer says is no action of anybody's
				parts[PartSymptoms].add(Entry{Text: e.Text, Source: e.Actor.Name + ", answer", At: e.At})
			} else if told(e) {
				parts[PartActions].add(Entry{Text: e.Text, Source: fmt.Sprintf("%s, %s", e.Actor.Name, e.Kind), At: e.At})
			}
			continue
		}
		p, ok := parts[e.Evidence.Part]
		if !ok {
			return Record{}, fmt.Errorf("%w: event %d has evidence for %q", ErrTimeline, e.Seq, e.Evidence.Part)
		}
		b, ok, err := body(e.Seq)
		if err != nil {
			return Record{}, fmt.Errorf("evidence of event %d: %w", e.Seq, err)
		}
		if !ok {
			p.add(Entry{Text: "evidence was removed", Source: "watchbill", At: e.At})
			continue
		}
		if err := p.fold(e, b); err != nil {
			return Record{}, err
		}
	}
	return Record{
		Time: *parts[PartTime], Symptom: *parts[PartSymptoms], Users: *parts[PartUsers],
		Errors: *parts[PartErrors], Actions: *parts[PartActions],
	}, nil
}

// told is an event by which a person says what was done or seen.
func told(e Event) bool {
	switch e.Kind {
	case Noted, ActionTaken, Resolved:
		return e.Actor.Kind == Person && e.Text != ""
	}
	return false
}

func (p *PartRecord) fold(e Event, body []byte) error {
	if got := sum(body); got != e.Evidence.SHA256 {
		return fmt.Errorf("%w: the evidence of event %d is not the one that was gathered", ErrChain, e.Seq)
	}
	var ev Evidence
	if err := json.Unmarshal(body, &ev); err != nil {
		return fmt.Errorf("evidence of event %d: %w", e.Seq, err)
	}
	for _, entry := range ev.Entries {
		p.add(entry)
	}
	if len(p.Entries) == 0 {
		p.None = ev.None
	}
	return nil
}

// add keeps an entry, folding a repeat into the one that stands.
func (p *PartRecord) add(e Entry) {
	p.None = ""
	for i := range p.Entries {
		old := &p.Entries[i]
		if old.Text == e.Text && old.Source == e.Source {
			e.Times = max(old.Times, 1) + 1
			*old = e
			return
		}
	}
	if len(p.Entries) >= maxEntries {
		last := &p.Entries[maxEntries-1]
		last.Text, last.Source, last.At = "more entries, not shown; the timeline has them", "watchbill", e.At
		last.Table, last.Series = nil, nil
		last.Times++
		return
	}
	p.Entries = append(p.Entries, e)
}
