package store

import "time"

// A decision is asked again by a caller who could not tell whether its commit went through: within seconds, or after
// a restart of an agent that kept its report. A day covers that and what an operator needs to bring a host back;
// afterwards the ticket's version and the events' own keys still refuse what they have seen.
const (
	keepDecisions = 24 * time.Hour
	// pruneDecisions bounds what one Update cleans up. It is more than the one that it adds, so the backlog shrinks.
	pruneDecisions = 4
)

func decisionKey(name string) key { return tableDecision.key().str(name) }

func (x *tx) Decided(name string) (bool, error) {
	_, ok, err := x.bytes(decisionKey(name))
	return ok, err
}

// Decide records a decision and forgets a few that are too old to be asked for.
func (x *tx) Decide(name string) error {
	now := x.now
	if err := x.put(decisionKey(name), now.UTC()); err != nil {
		return err
	}
	if err := x.mark(tableDecisionAge.key().time(now).str(name)); err != nil {
		return err
	}
	old, err := x.keys(tableDecisionAge.key(), tableDecisionAge.key().time(now.Add(-keepDecisions)), false, pruneDecisions)
	if err != nil {
		return err
	}
	for _, k := range old {
		p := split(k)
		p.time()
		if err := x.remove(decisionKey(p.str())); err != nil {
			return err
		}
		if err := x.remove(k); err != nil {
			return err
		}
	}
	return nil
}
