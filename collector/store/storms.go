package store

import (
	"errors"
	"fmt"

	"github.com/watchbill/watchbill/collector/incident"
)

func stormKey(id string) key      { return tableStorm.key().str(id) }
func stormGoingKey(id string) key { return tableStormGoing.key().str(id) }

// stormMemberKey sorts the members that stand before the others.
func stormMemberKey(storm, ticketID string, stands bool) key {
	after := uint64(1)
	if stands {
		after = 0
	}
	return tableStormMember.key().str(storm).num(after).str(ticketID)
}

func (x *tx) PutStorm(s incident.Storm) error {
	if s.ID == "" {
		return errors.New("keep a storm: it has no ticket")
	}
	index := x.mark
	if !s.OverAt.IsZero() {
		index = x.remove
	}
	return errors.Join(x.put(stormKey(s.ID), s), index(stormGoingKey(s.ID)))
}

func (x *tx) Storm(id string) (incident.Storm, error) {
	s, ok, err := load[incident.Storm](x, stormKey(id))
	if err == nil && !ok {
		err = fmt.Errorf("storm of ticket %q: %w", id, ErrNotFound)
	}
	return s, err
}

func (x *tx) Storms() ([]incident.Storm, error) {
	going, err := x.keys(tableStormGoing.key(), tableStormGoing.key().after(), false, DefaultLimit)
	var out []incident.Storm
	for _, k := range going {
		s, err := must[incident.Storm](x, stormKey(split(k).str()))
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, err
}

func (x *tx) PutStormMember(storm, ticketID string, stands bool) error {
	return errors.Join(x.remove(stormMemberKey(storm, ticketID, !stands)), x.mark(stormMemberKey(storm, ticketID, stands)))
}

func (x *tx) DropStormMember(storm, ticketID string) error {
	return errors.Join(x.remove(stormMemberKey(storm, ticketID, true)), x.remove(stormMemberKey(storm, ticketID, false)))
}

func (x *tx) StormMembers(storm string, limit int) ([]string, error) {
	under := tableStormMember.key().str(storm)
	found, err := x.keys(under, under.after(), false, atMost(limit))
	var out []string
	for _, k := range found {
		p := split(k)
		_, _ = p.str(), p.num()
		out = append(out, p.str())
	}
	return out, err
}
