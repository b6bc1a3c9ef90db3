package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// OnCall is who is on call, as the API asks it.
type OnCall interface {
	// Rotas are those in force, with the overrides that people made.
	Rotas() route.Rotas
	Overrides() []route.Override
	// Override puts somebody else on call for a while; what is wrong with it wraps ticket.ErrRefused. DropOverride takes one
	// back; store.ErrNotFound when there is none of that ID.
	Override(ctx context.Context, o route.Override, by ticket.By) (route.Override, error)
	DropOverride(ctx context.Context, id string) error
}

// Duty is one stretch of a rota: a person's, or a gap.
type Duty struct {
	// Person is the ID of who is on call, Name their name; both empty in a gap.
	Person string    `json:"person"`
	Name   string    `json:"name"`
	From   time.Time `json:"from"`
	Until  time.Time `json:"until"`
	// Override is the ID of the one by which they are, empty for a turn of theirs.
	Override string `json:"override"`
	// Gap says why nobody is, empty where somebody is. Planned: the rota is not for these hours.
	Gap     string `json:"gap"`
	Planned bool   `json:"planned"`
}

// RotaDuty is a rota: who is on call now, and who comes then.
type RotaDuty struct {
	Rota string `json:"rota"`
	Zone string `json:"zone"`
	// Now is who is on call, or the gap; Next what follows, in order, for two weeks or until the time asked for.
	Now  Duty   `json:"now"`
	Next []Duty `json:"next"`
}

// OnCallList is every rota in force, by name.
type OnCallList struct {
	At    time.Time  `json:"at"`
	Rotas []RotaDuty `json:"rotas"`
}

// Override puts somebody else on call for a while.
type Override struct {
	ID     string    `json:"id"`
	Rota   string    `json:"rota"`
	Person string    `json:"person"`
	From   time.Time `json:"from"`
	Until  time.Time `json:"until"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// OverrideList is every override that was made, the newest first.
type OverrideList struct {
	Overrides []Override `json:"overrides"`
}

// OverrideRequest asks for an override.
type OverrideRequest struct {
	Rota string `json:"rota"`
	// Person is the ID of one of the fleet's people.
	Person string    `json:"person"`
	From   time.Time `json:"from,omitzero"` // now when left out
	Until  time.Time `json:"until"`
	Reason string    `json:"reason,omitempty"`
}

const (
	// lookAhead is how far lists of duty go when nobody says; maxAhead bounds what may be asked for.
	lookAhead = 14 * 24 * time.Hour
	maxAhead  = 366 * 24 * time.Hour
)

// rotasInside refuses rotas to who is not of the house: who is on call there is not theirs to know.
func (a *API) rotasInside(s sight) bool { return s.all() && s.inside() }

func (a *API) showOnCall(r *http.Request, who fleet.Operator) (any, error) {
	q, err := query(r, "at", "until")
	if err != nil {
		return nil, err
	}
	now := a.o.Now()
	at, err := instantOf(q, "at", now)
	if err != nil {
		return nil, err
	}
	until, err := instantOf(q, "until", at.Add(lookAhead))
	if err != nil {
		return nil, err
	}
	if !until.After(at) || until.Sub(at) > maxAhead {
		return nil, badRequest("say a time after `at`, a year later at most", "until: got %s", until.Format(time.RFC3339))
	}
	out := OnCallList{At: at.UTC(), Rotas: []RotaDuty{}}
	if !a.rotasInside(a.sight(who)) {
		return out, nil
	}
	rotas := a.o.OnCall.Rotas()
	for _, name := range sortedKeys(rotas) {
		out.Rotas = append(out.Rotas, a.duty(rotas[name], at, until))
	}
	return out, nil
}

// duty is a rota's shifts and gaps from at on, as one row of stretches.
func (a *API) duty(rota route.Rota, at, until time.Time) RotaDuty {
	out := RotaDuty{Rota: rota.Name, Zone: rota.Zone, Next: []Duty{}}
	var all []Duty
	for _, s := range rota.Shifts(at, until) {
		d := Duty{Person: s.Person, From: s.From.UTC(), Until: s.Until.UTC(), Override: s.Override}
		if p, ok := a.o.Fleet.Person(s.Person); ok {
			d.Name = p.Name
		}
		all = append(all, d)
	}
	for _, g := range rota.Gaps(at, until) {
		all = append(all, Duty{From: g.From.UTC(), Until: g.Until.UTC(), Gap: g.Reason, Planned: g.Planned})
	}
	slices.SortStableFunc(all, func(x, y Duty) int { return x.From.Compare(y.From) })
	if len(all) > 0 {
		out.Now, out.Next = all[0], all[1:]
	}
	return out
}

func overrideRow(o route.Override) Override {
	return Override{ID: o.ID, Rota: o.Rota, Person: o.Person, From: o.From, Until: o.Until, By: o.By, At: o.At, Reason: o.Reason}
}

func (a *API) listOverrides(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	list := OverrideList{Overrides: []Override{}}
	if !a.rotasInside(a.sight(who)) {
		return list, nil
	}
	for _, o := range a.o.OnCall.Overrides() {
		list.Overrides = append(list.Overrides, overrideRow(o))
	}
	slices.SortStableFunc(list.Overrides, func(x, y Override) int { return y.At.Compare(x.At) })
	return list, nil
}

func (a *API) addOverride(r *http.Request, who fleet.Operator) (any, error) {
	var in OverrideRequest
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if !a.rotasInside(a.sight(who)) {
		return nil, refusal(http.StatusNotFound, "not_found", "`watchbill oncall show` lists them", "there is no rota %q", in.Rota)
	}
	if in.From.IsZero() {
		in.From = a.o.Now()
	}
	o, err := a.o.OnCall.Override(r.Context(), route.Override{Rota: in.Rota, Person: in.Person, From: in.From, Until: in.Until, Reason: in.Reason}, actor(who))
	if errors.Is(err, ticket.ErrRefused) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("override rota %s: %w", in.Rota, err)
	}
	return created{overrideRow(o)}, nil
}

func (a *API) dropOverride(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	none := refusal(http.StatusNotFound, "not_found", "`watchbill oncall overrides` lists them", "there is no override %q", id)
	if !a.rotasInside(a.sight(who)) {
		return nil, none
	}
	err := a.o.OnCall.DropOverride(r.Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, none
	}
	if err != nil {
		return nil, fmt.Errorf("drop override %s: %w", id, err)
	}
	return Removed{Removed: id}, nil
}
