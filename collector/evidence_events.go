package collector

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// errors is what else reports a failure: units, samplers, events.
func (g gatherer) errors(a incident.Alert, host hostFacts, heard bool, seen seenEvents) ticket.Evidence {
	ev := ticket.Evidence{Part: ticket.PartErrors, Entries: unmapped(a)}
	var clean []string
	switch t, ok := host.Tables["failed_units"]; {
	case a.Asset == "":
	case !ok:
		why, _ := g.unheard(a.Asset, heard, "failed_units")
		clean = append(clean, "failed units are unknown: "+why)
	case len(t.Rows) == 0:
		clean = append(clean, or(t.NoneBecause, "no systemd unit has failed"))
	default:
		ev.Entries = append(ev.Entries, tableEntry("failed units", t))
	}
	for _, f := range g.failing(a.Asset) {
		ev.Entries = append(ev.Entries, ticket.Entry{Text: fmt.Sprintf("sampler %s fails: %s", f.Source, f.Reason),
			Source: "agent on " + a.Asset, At: f.Since})
	}
	if seen.why != "" {
		clean = append(clean, seen.why)
	}
	ev.Entries = append(ev.Entries, entriesOf(seen.found, isError)...)
	for _, kind := range []string{"kernel_messages", "log_files"} {
		if t, ok := host.Tables[kind]; ok && len(t.Rows) == 0 && t.NoneBecause != "" {
			clean = append(clean, strings.ReplaceAll(kind, "_", " ")+": "+t.NoneBecause)
		}
	}
	if heard {
		clean = append(clean, "every sampler works")
	}
	if seen.why == "" && (heard || len(seen.found) > 0) {
		clean = append(clean, "no error event came in 24 h")
	}
	if len(ev.Entries) == 0 {
		ev.None = "none, because " + or(strings.Join(clean, "; "), "the alert is about no host")
	}
	return ev
}

// actions is what was already done about it, by machines and, through earlier tickets, by people.
func (g gatherer) actions(a incident.Alert, host hostFacts, heard bool, events seenEvents, now time.Time) ticket.Evidence {
	ev := ticket.Evidence{Part: ticket.PartActions}
	if inv := host.Inventory; inv != nil && !inv.BootedAt.IsZero() {
		if at := inv.BootedAt; now.Sub(at) < eventsBack {
			ev.Entries = append(ev.Entries, ticket.Entry{At: at, Source: "agent on " + a.Asset,
				Text: fmt.Sprintf("%s was booted at %s", a.Asset, at.UTC().Format("2006-01-02 15:04:05 UTC"))})
		}
	}
	for _, line := range lookedAt(a) {
		ev.Entries = append(ev.Entries, ticket.Entry{Text: line, Source: "watchbill", At: a.FiredAt})
	}
	ev.Entries = append(ev.Entries, entriesOf(events.found, isAction)...)
	if len(ev.Entries) == 0 {
		seen := "no restart, reboot or local remedy was seen in 24 h"
		if !heard && a.Asset != "" {
			why, _ := g.unheard(a.Asset, heard, "")
			seen = "whether anything was restarted is unknown: " + why
		}
		ev.None = "none, because " + or(events.why, seen) + "; nobody has written any down yet"
	}
	return ev
}

// withHistory adds to the actions part what resolved earlier tickets of the same incident.
func withHistory(ev []ticket.Evidence, past []ticket.Ticket) []ticket.Evidence {
	out := append([]ticket.Evidence(nil), ev...)
	for i := range out {
		if out[i].Part != ticket.PartActions {
			continue
		}
		entries := append([]ticket.Entry(nil), out[i].Entries...)
		for _, t := range past {
			text := fmt.Sprintf("%s, the same incident, opened %s", t.Number, t.OpenedAt.UTC().Format("2006-01-02 15:04 UTC"))
			if t.Resolution != "" {
				text += fmt.Sprintf(", was resolved by %s: %s", t.ResolvedBy.Name, t.Resolution)
			}
			entries = append(entries, ticket.Entry{Text: text, Source: "tickets", At: t.UpdatedAt})
		}
		none := ""
		if len(entries) == 0 {
			none = out[i].None + "; no earlier ticket of this incident"
		}
		out[i] = ticket.Evidence{Part: out[i].Part, Entries: entries, None: none, Salt: out[i].Salt} // encoded anew
	}
	return out
}

// seenEvents are the newest events of an asset; why says why they are not known.
type seenEvents struct {
	found []store.HostEvent
	why   string
}

func (g gatherer) events(ctx context.Context, asset string, now time.Time) seenEvents {
	if asset == "" {
		return seenEvents{}
	}
	var found []store.HostEvent
	err := g.store.View(ctx, func(tx store.Tx) (err error) {
		found, err = tx.Events(asset, now.Add(-eventsBack), eventsRead)
		return err
	})
	if err != nil {
		return seenEvents{why: "the events could not be read: " + err.Error()}
	}
	return seenEvents{found: found}
}

// entriesOf are the newest events of some kinds, of which there are maxEvents at most.
func entriesOf(events []store.HostEvent, of func(kind string) bool) []ticket.Entry {
	var out []ticket.Entry
	more := 0
	for _, e := range events {
		switch {
		case !of(e.Kind):
		case len(out) < maxEvents:
			out = append(out, eventEntry(e))
		default:
			more++
		}
	}
	if more > 0 {
		last := out[len(out)-1]
		out = append(out, ticket.Entry{Text: fmt.Sprintf("and %d older such events within 24 h", more), Source: last.Source, At: last.At})
	}
	return out
}

// isError is about what went wrong.
func isError(kind string) bool {
	return strings.HasSuffix(kind, "_failed") || strings.HasPrefix(kind, "kernel_") ||
		kind == "clock_stepped" || kind == "spool_dropped" || kind == "log_error"
}

// isAction is about what somebody or something did to the host.
func isAction(kind string) bool {
	for _, prefix := range []string{"package_", "port_", "session_"} {
		if strings.HasPrefix(kind, prefix) {
			return true
		}
	}
	return kind == "host_rebooted" || strings.HasSuffix(kind, "_restarted") || kind == "action_taken"
}

func eventEntry(e store.HostEvent) ticket.Entry {
	return ticket.Entry{Text: e.Text, Source: fmt.Sprintf("agent on %s, %s", e.Asset, e.Kind), At: e.At}
}
