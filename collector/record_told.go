package collector

import (
	"fmt"
	"strings"

	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/ticket"
)

// maxRecordLines bounds each part of an incident record that a notice carries; the ticket has the rest.
const maxRecordLines = 20

// recordOf is the incident record with which a ticket opened, for receivers that show it; nil for any other change. It is made
// of what the change itself carries: nothing is read for it.
func recordOf(c ticket.Change) []notify.RecordPart {
	if c.Before != 0 {
		return nil
	}
	rec, err := ticket.AssembleRecord(c.Events, func(seq int) ([]byte, bool, error) {
		body, ok := c.Bodies[seq]
		return body, ok, nil
	})
	if err != nil { // what opens was assembled just now; the notice goes out all the same
		return nil
	}
	var out []notify.RecordPart
	for i, p := range []ticket.PartRecord{rec.Time, rec.Symptom, rec.Users, rec.Errors, rec.Actions} {
		out = append(out, notify.RecordPart{Part: string(ticket.Parts[i]), Text: partText(p)})
	}
	return out
}

// partText is one part in lines, each with who says so.
func partText(p ticket.PartRecord) string {
	if len(p.Entries) == 0 {
		return p.None
	}
	var b strings.Builder
	for i, e := range p.Entries {
		if i == maxRecordLines {
			fmt.Fprintf(&b, "and %d more, in the ticket\n", len(p.Entries)-i)
			break
		}
		fmt.Fprintf(&b, "%s (%s)\n", e.Text, e.Source)
		if e.Table == nil {
			continue
		}
		for j, row := range e.Table.Rows {
			if j == maxRecordLines {
				fmt.Fprintf(&b, "  and %d rows more, in the ticket\n", len(e.Table.Rows)-j)
				break
			}
			b.WriteString("  " + strings.Join(row, " | ") + "\n")
		}
	}
	return strings.TrimRight(b.String(), "\n")
}
