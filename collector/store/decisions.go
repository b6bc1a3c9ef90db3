package store

import "time"

// A decision is asked again by a caller who could not tell whether its commit went through: within seconds, or after
// a restart of an agent that kept its report. A day covers that and what an operator needs to bring a host back;
// afterwards the ticket's version and the events' own keys still refuse what they have seen.
const (
	keepDecisions = 24 * time.Hour
	// pruneDecisions bounds what is cleaned up for every decision. It is more than the one that comes, so the backlog shrinks.
	pruneDecisions = 4
)

func decisionKey(name string) key { return tableDecision.key().str(name) }

func (x *tx) Decided(name string) (bool, error) {
	_, ok, err := x.bytes(decisionKey(name))
	return ok, err
}

// Decide records a decision; forgetDecisions follows at the end of the transaction.
func (x *tx) Decide(name string) error {
	if err := x.put(decisionKey(name), x.now.UTC()); err != nil {
		return err
	}
	x.decided++
	return x.mark(tableDecisionAge.key().time(x.now).str(name))
}

// forgetDecisions forgets a few decisions that are too old to be asked for, for each that was taken.
func (x *tx) forgetDecisions() error {
	if x.decided == 0 {
		return nil
	}
	end := tableDecisionAge.key().time(x.now.Add(-keepDecisions))
	old, err := x.keys(tableDecisionAge.key(), end, false, pruneDecisions*x.decided)
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
