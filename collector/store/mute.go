package store

import (
	"errors"

	"github.com/watchbill/watchbill/collector/ticket"
)

// This file keeps what format 3 brought: silences, the alerts they hold back, and alerts that other programs sent, and alerts that
// a ticket counts and does not list.

// nothingToBring is the step from format 2 to 3: its tables are new and empty. It is a format of its own because a release
// that overlooks them would tell people what somebody silenced, and would never open the tickets that wait for its end.
func nothingToBring(*tx, key) (key, error) { return nil, nil }

func silenceKey(id string) key { return tableSilence.key().str(id) }

func (x *tx) PutSilence(s Silence) error {
	if s.ID == "" || len(s.Body) == 0 {
		return errors.New("keep a silence: it has an ID and says something")
	}
	return x.put(silenceKey(s.ID), s)
}

func (x *tx) DeleteSilence(id string) error { return x.remove(silenceKey(id)) }
func (x *tx) Silences() ([]Silence, error)  { return all[Silence](x, tableSilence) }

func mutedKey(alertID string) key { return tableMuted.key().str(alertID) }

func (x *tx) PutMuted(m Muted) error {
	if m.ID == "" || len(m.Body) == 0 {
		return errors.New("keep a muted alert: it has an ID and says what mutes it")
	}
	return x.put(mutedKey(m.ID), m)
}

func (x *tx) Unmute(alertID string) error { return x.remove(mutedKey(alertID)) }
func (x *tx) Muted(alertID string) (Muted, bool, error) {
	return load[Muted](x, mutedKey(alertID))
}
func (x *tx) AllMuted() ([]Muted, error) { return all[Muted](x, tableMuted) }

func fedKey(id string) key { return tableFed.key().str(id) }

func (x *tx) PutFed(f Fed) error {
	if f.ID == "" || len(f.Body) == 0 {
		return errors.New("keep a fed alert: it has an ID and says something")
	}
	return x.put(fedKey(f.ID), f)
}

func (x *tx) DeleteFed(id string) error { return x.remove(fedKey(id)) }
func (x *tx) Fed() ([]Fed, error)       { return all[Fed](x, tableFed) }

func countedKey(ticketID, alertID string) key { return tableCounted.key().str(ticketID).str(alertID) }

func (x *tx) PutCounted(c ticket.Counted) error {
	if c.Alert == "" || c.Ticket == "" {
		return errors.New("keep a counted alert: it has an ID and a ticket")
	}
	return x.put(countedKey(c.Ticket, c.Alert), c)
}

func (x *tx) DropCounted(ticketID, alertID string) error {
	return x.remove(countedKey(ticketID, alertID))
}

func (x *tx) Counted(ticketID, alertID string) (ticket.Counted, bool, error) {
	return load[ticket.Counted](x, countedKey(ticketID, alertID))
}

func (x *tx) CountedOf(ticketID string) ([]ticket.Counted, error) {
	return under[ticket.Counted](x, tableCounted.key().str(ticketID))
}
