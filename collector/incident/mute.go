package incident

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"
)

// Matcher is one condition on an alert's labels, in the form of Alertmanager's API.
type Matcher struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	IsRegex bool   `json:"isRegex"`
	IsEqual bool   `json:"isEqual"`
}

// ParseMatcher reads a condition as Alertmanager writes it: instance=~"web.*".
func ParseMatcher(s string) (Matcher, error) {
	m, err := labels.ParseMatcher(s)
	if err != nil {
		return Matcher{}, err
	}
	return Matcher{
		Name: m.Name, Value: m.Value, IsRegex: m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp,
		IsEqual: m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp,
	}, nil
}

// String is the condition as ParseMatcher reads it.
func (m Matcher) String() string {
	return (&labels.Matcher{Type: m.kind(), Name: m.Name, Value: m.Value}).String()
}

func (m Matcher) kind() labels.MatchType {
	switch {
	case m.IsRegex && m.IsEqual:
		return labels.MatchRegexp
	case m.IsRegex:
		return labels.MatchNotRegexp
	case m.IsEqual:
		return labels.MatchEqual
	}
	return labels.MatchNotEqual
}

// compile makes the conditions ready for use. Those that everything without labels fulfils are refused: they would hold back
// every alert there is.
func compile(all []Matcher) ([]*labels.Matcher, error) {
	if len(all) == 0 {
		return nil, errors.New("at least one matcher required")
	}
	var out []*labels.Matcher
	empty := true
	for i, m := range all {
		if m.Name == "" {
			return nil, fmt.Errorf("invalid label matcher %d: invalid label name %q", i, m.Name)
		}
		c, err := labels.NewMatcher(m.kind(), m.Name, m.Value)
		if err != nil {
			return nil, fmt.Errorf("invalid label matcher %d: invalid regular expression %q: %w", i, m.Value, err)
		}
		empty = empty && c.Matches("")
		out = append(out, c)
	}
	if empty {
		return nil, errors.New("at least one matcher must not match the empty string")
	}
	return out, nil
}

// Muting is what Alertmanager calls a silence (here Silence is that of a host): somebody's word that alerts of some labels
// open no tickets for a while.
type Muting struct {
	ID       string    `json:"id"`
	Matchers []Matcher `json:"matchers"`
	// It holds from StartsAt until EndsAt, that instant not included.
	StartsAt  time.Time `json:"startsAt"`
	EndsAt    time.Time `json:"endsAt"`
	UpdatedAt time.Time `json:"updatedAt"`
	// CreatedBy is who it is from, UpdatedBy the operator whose token last changed it.
	CreatedBy   string            `json:"createdBy"`
	UpdatedBy   string            `json:"updatedBy,omitempty"`
	Comment     string            `json:"comment"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Bound is whose alerts it holds back at most, whatever its matchers say; nil for everybody's.
	Bound *Bound `json:"bound,omitempty"`
}

// Bound is as far as somebody's word reaches: the customers that a department owns at the time of the alert and the one that
// it is, or one customer. The zero value reaches nobody.
type Bound struct {
	Department string `json:"department,omitempty"`
	Customer   string `json:"customer,omitempty"`
}

// Covers tells whether alerts of a customer, whom a department owns, are within b; without a bound all are.
func (b *Bound) Covers(customer, department string) bool {
	switch {
	case b == nil:
		return true
	case *b == Bound{}, b.Customer != "" && b.Customer != customer:
		return false
	}
	return b.Department == "" || b.Department == department || b.Department == customer
}

// same tells whether o reaches just as far by the same words.
func (b *Bound) same(o *Bound) bool {
	if b == nil || o == nil {
		return b == o
	}
	return *b == *o
}

// String names it for a person, empty for everybody.
func (b *Bound) String() string {
	switch {
	case b == nil:
		return ""
	case b.Customer != "":
		return "customer " + b.Customer
	}
	return "department " + b.Department
}

// MutingState is where a Muting stands in time, by Alertmanager's words.
type MutingState string

// The states.
const (
	MutingActive  MutingState = "active"
	MutingPending MutingState = "pending"
	MutingExpired MutingState = "expired"
)

// KeepExpired is how long a Muting is kept after its end: Alertmanager's default retention.
const KeepExpired = 120 * time.Hour

// MaxMutings is how many are kept, expired ones included.
const MaxMutings = 10_000

// ErrNoMuting: there is no Muting of that ID. The text is Alertmanager's.
var ErrNoMuting = errors.New("silence not found")

// State is where it stands at now.
func (m Muting) State(now time.Time) MutingState {
	switch {
	case now.Before(m.StartsAt):
		return MutingPending
	case now.Before(m.EndsAt):
		return MutingActive
	}
	return MutingExpired
}

// Forgotten tells whether it ended so long ago that it is kept no more.
func (m Muting) Forgotten(now time.Time) bool { return now.Sub(m.EndsAt) >= KeepExpired }

// Validate says what is wrong with it, by Alertmanager's texts.
func (m Muting) Validate() error {
	if _, err := compile(m.Matchers); err != nil {
		return fmt.Errorf("invalid silence: %w", err)
	}
	if m.EndsAt.Before(m.StartsAt) {
		return errors.New("invalid silence: end time must not be before start time")
	}
	return nil
}

// Expired is m ended at now, or as it was when it had ended before.
func (m Muting) Expired(now time.Time) Muting {
	switch m.State(now) {
	case MutingExpired:
		return m
	case MutingPending:
		m.StartsAt = now
	}
	m.EndsAt, m.UpdatedAt = now, now
	return m
}

// SetMuting is what is to be kept when next is asked for, as Alertmanager decides it: an update keeps its ID as long as the
// past stays what it was; otherwise the one before expires and a new one takes its place, under the ID fresh. all is what is
// kept now. The first of what it returns is the one that was asked for.
func SetMuting(all []Muting, next Muting, fresh string, now time.Time) ([]Muting, error) {
	if next.StartsAt.IsZero() {
		next.StartsAt = now
	}
	if err := next.Validate(); err != nil {
		return nil, err
	}
	next.UpdatedAt = now
	i := slices.IndexFunc(all, func(m Muting) bool { return m.ID == next.ID })
	if next.ID != "" && i < 0 {
		return nil, ErrNoMuting
	}
	if i >= 0 && next.updates(all[i], now) {
		return []Muting{next}, nil
	}
	if len(all) >= MaxMutings {
		return nil, fmt.Errorf("exceeded maximum number of silences: %d (limit: %d)", len(all), MaxMutings)
	}
	next.ID = fresh
	if next.StartsAt.Before(now) {
		next.StartsAt = now
	}
	out := []Muting{next}
	if i >= 0 && all[i].State(now) != MutingExpired {
		was := all[i].Expired(now)
		was.UpdatedBy = next.UpdatedBy
		out = append(out, was)
	}
	return out, nil
}

// updates tells whether m can take the place of was without changing what was muted when.
func (m Muting) updates(was Muting, now time.Time) bool {
	if !slices.Equal(m.Matchers, was.Matchers) || !m.Bound.same(was.Bound) {
		return false
	}
	switch was.State(now) {
	case MutingActive:
		return was.StartsAt.Unix() == m.StartsAt.Unix() && !m.EndsAt.Before(now)
	case MutingPending:
		return !m.StartsAt.Before(now)
	}
	return false
}

// MayMatchCustomer tells whether alerts of a customer can fulfil all that is asked of their customer.
func (m Muting) MayMatchCustomer(id string) bool {
	for _, one := range m.Matchers {
		if one.Name != "customer" {
			continue
		}
		if c, err := labels.NewMatcher(one.kind(), one.Name, one.Value); err != nil || !c.Matches(id) {
			return false
		}
	}
	return true
}
