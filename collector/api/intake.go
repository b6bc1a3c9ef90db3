package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// Intakes are what comes in beside the desk and has to be read, as the API asks for them.
type Intakes interface {
	// Intakes are how those of the sets in force stand, by name.
	Intakes(ctx context.Context) ([]policy.IntakeState, error)
	// ReadIntake keeps that one was read now and resolves the ticket about it; store.ErrNotFound when there is none of that
	// name.
	ReadIntake(ctx context.Context, name string, by ticket.By) (policy.IntakeState, error)
}

// IntakeList is every intake that is watched, by name.
type IntakeList struct {
	Intakes []policy.IntakeState `json:"intakes"`
}

// listIntakes lists them to who is of the house: they are no customer's.
func (a *API) listIntakes(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	list := IntakeList{Intakes: []policy.IntakeState{}}
	if !a.rotasInside(a.sight(who)) {
		return list, nil
	}
	all, err := a.o.Desk.Intakes(r.Context())
	if err != nil {
		return nil, fmt.Errorf("list intakes: %w", err)
	}
	list.Intakes = append(list.Intakes, all...)
	return list, nil
}

func (a *API) readIntake(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	name := r.PathValue("name")
	none := refusal(http.StatusNotFound, "not_found", "`watchbill intake list` lists them; a set that a contract in force names has to have it",
		"there is no intake %q", name)
	if !a.rotasInside(a.sight(who)) {
		return nil, none
	}
	state, err := a.o.Desk.ReadIntake(r.Context(), name, actor(who))
	if errors.Is(err, store.ErrNotFound) {
		return nil, none
	}
	return state, err
}
