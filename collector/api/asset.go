package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/store"
)

// AssetState tells whether an asset reports.
type AssetState string

// The states of an asset.
const (
	Reporting AssetState = "reporting"
	// Silent: it reported to this collector, but its last report is too old.
	Silent AssetState = "silent"
	// Never: nothing came since this collector started.
	Never AssetState = "never"
)

// Asset is what is watched, and how it is doing.
type Asset struct {
	Name         string          `json:"name"`
	Customer     string          `json:"customer"`
	CustomerName string          `json:"customer_name"`
	Site         string          `json:"site"`
	Kind         fleet.AssetKind `json:"kind"`
	Role         string          `json:"role"`
	// Users is the declared number of people who depend on it, 0 when nobody declared one.
	Users int `json:"users"`
	// Declared is false for an asset that only enrolment made.
	Declared bool `json:"declared"`

	State AssetState `json:"state"`
	// LastReportAt is when the last report was received, null when none was.
	LastReportAt    *time.Time `json:"last_report_at"`
	IntervalSeconds float64    `json:"interval_seconds"`
	// Failed are the samplers that could not look when they last tried.
	Failed []Source `json:"failed"`
}

// Source is one sampler of an asset.
type Source struct {
	Name string    `json:"name"`
	Kind string    `json:"kind"`
	At   time.Time `json:"at"`
	OK   bool      `json:"ok"`
	// Reason says why it failed, empty when it did not.
	Reason string `json:"reason"`
}

// AssetList is the whole fleet, by name.
type AssetList struct {
	Assets []Asset `json:"assets"`
}

// AssetDetail is one asset with every sampler and its open tickets.
type AssetDetail struct {
	Asset
	Sources []Source    `json:"sources"`
	Tickets []TicketRow `json:"tickets"`
}

func (a *API) listAssets(r *http.Request, _ fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	return AssetList{Assets: a.assets()}, nil
}

func (a *API) reports() map[string]Report {
	all := map[string]Report{}
	a.o.Window.Reports(func(asset string, r Report) { all[asset] = r })
	return all
}

// assets is the fleet as it reports now, by name.
func (a *API) assets() []Asset {
	reports := a.reports()
	now := a.o.Now()
	list := []Asset{}
	for _, f := range a.o.Fleet.Assets() {
		list = append(list, a.asset(f, reports[f.Name], now))
	}
	return list
}

func (a *API) asset(f fleet.Asset, rep Report, now time.Time) Asset {
	row := Asset{Name: f.Name, Customer: f.Customer, Site: f.Site, Kind: f.Kind, Role: f.Role, Users: f.Users,
		Declared: f.Declared, State: Never, LastReportAt: orNull(rep.Received), IntervalSeconds: rep.Interval.Seconds(),
		Failed: []Source{}}
	if c, ok := a.o.Fleet.Customer(f.Customer); ok {
		row.CustomerName = c.Name
	}
	switch {
	case rep.Received.IsZero():
	case now.Sub(rep.Received) > a.o.SilentAfter(rep.Interval):
		row.State = Silent
	default:
		row.State = Reporting
	}
	for _, s := range rep.Sources {
		if !s.OK {
			row.Failed = append(row.Failed, s)
		}
	}
	return row
}

func (a *API) showAsset(r *http.Request, _ fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	name := r.PathValue("name")
	for _, f := range a.o.Fleet.Assets() {
		if f.Name != name {
			continue
		}
		rep := a.reports()[name]
		out := AssetDetail{Asset: a.asset(f, rep, a.o.Now()), Sources: orEmpty(rep.Sources), Tickets: []TicketRow{}}
		err := a.o.Store.View(r.Context(), func(tx store.Tx) error {
			open, err := tx.Tickets(store.TicketFilter{OpenOnly: true, Asset: name, Limit: defaultTickets})
			for _, t := range open {
				out.Tickets = append(out.Tickets, ticketRow(t))
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("show asset %s: %w", name, err)
		}
		return out, nil
	}
	return nil, refusal(http.StatusNotFound, "not_found", "`watchbill asset list` lists them", "there is no asset %q", name)
}
