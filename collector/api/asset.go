package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules/window"
)

// AssetState tells whether an asset reports.
type AssetState string

// The states of an asset.
const (
	Reporting AssetState = "reporting"
	// Silent: it should report and does not.
	Silent AssetState = "silent"
	// Never: nothing came since this collector started, and it is not known to be silent: it may be too early for that.
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
	// Criticality, Environment, Supplied and Responsible are as declared, empty when nobody said.
	Criticality string `json:"criticality"`
	Environment string `json:"environment"`
	Supplied    string `json:"supplied"`
	Responsible string `json:"responsible"`
	// SupportEnds is the last day of its maker's support, empty when nobody said. Versions are of what runs on it.
	SupportEnds fleet.Date        `json:"support_ends"`
	Versions    map[string]string `json:"versions"`
	// Declared is false for an asset that only enrolment made.
	Declared bool `json:"declared"`

	State AssetState `json:"state"`
	// LastReportAt is when the last report was received, null when none is known of. Before the first one since this
	// collector started it is the newest that was kept, after which there may have been others for some minutes.
	LastReportAt    *time.Time `json:"last_report_at"`
	IntervalSeconds float64    `json:"interval_seconds"`
	// From is who reports it: "agent", and "remote write by NAME" for programs that write its samples.
	From []string `json:"from"`
	// Failed are the samplers that could not look when they last tried.
	Failed []Source `json:"failed"`
}

// Source is one sampler of an asset.
type Source struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	// At is when it last tried, LastOKAt when it last could look.
	At              time.Time  `json:"at"`
	LastOKAt        *time.Time `json:"last_ok_at"`
	IntervalSeconds float64    `json:"interval_seconds"`
	Series          int        `json:"series"`
	OK              bool       `json:"ok"`
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

func (a *API) listAssets(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	return AssetList{Assets: a.assets(a.sight(who))}, nil
}

// assets is as much of the fleet as the operator sees, as it reports now, by name.
func (a *API) assets(s sight) []Asset {
	reports := map[string]window.AssetStatus{}
	for _, r := range a.o.Window.Assets() {
		reports[r.Name] = r
	}
	list := []Asset{}
	mute := a.mute()
	for _, f := range a.watched() {
		if !s.customer(f.Customer) {
			continue
		}
		list = append(list, a.asset(f, reports[f.Name], mute))
	}
	return list
}

// mute is what alerts of silence are about: hosts, and whole sites.
type mute struct {
	hosts map[string]bool
	sites map[[2]string]bool // customer and site; both empty for everything
	// from are the programs that write an asset.
	from map[string][]string
}

// mute is what is known to be silent, also from before this collector started.
func (a *API) mute() mute {
	m := mute{hosts: map[string]bool{}, sites: map[[2]string]bool{}, from: a.reporters()}
	for _, s := range a.o.Rules.Alerts() {
		if !incident.IsSilence(s.Origin) {
			continue
		}
		if host := s.Alert.Labels.Get("instance"); host != "" {
			m.hosts[host] = true
		} else {
			m.sites[[2]string{s.Alert.Labels.Get("customer"), s.Alert.Labels.Get("site")}] = true
		}
	}
	return m
}

// of tells whether an asset of which nothing came since the start is silent.
func (m mute) of(f fleet.Asset) bool {
	return m.hosts[f.Name] || f.Agent != "" && (m.sites[[2]string{f.Customer, f.Site}] || m.sites[[2]string{}])
}

// asset joins what the fleet says of an asset and what the window saw of it.
func (a *API) asset(f fleet.Asset, rep window.AssetStatus, mute mute) Asset {
	row := Asset{Name: f.Name, Customer: f.Customer, Site: f.Site, Kind: f.Kind, Role: f.Role, Users: f.Users,
		Declared: f.Declared, State: Reporting, LastReportAt: orNull(rep.Received), IntervalSeconds: rep.Interval.Seconds(),
		Failed: []Source{}, Criticality: string(f.Criticality), Environment: string(f.Environment), Supplied: string(f.Supplied), Responsible: f.Responsible,
		SupportEnds: f.SupportEnds, Versions: f.Versions}
	if row.Versions == nil {
		row.Versions = map[string]string{}
	}
	if c, ok := a.o.Fleet.Customer(f.Customer); ok {
		row.CustomerName = c.Name
	}
	if seen, ok := a.o.Fleet.Seen(f.Name); ok && rep.Received.IsZero() {
		row.LastReportAt, row.IntervalSeconds = orNull(seen.HeardAt), seen.Interval.Seconds()
	}
	row.From = mute.reported(f)
	switch {
	case rep.Down, f.Agent == "" && overdue(rep, a.o.Now()), rep.Received.IsZero() && mute.of(f):
		row.State = Silent
	case rep.Received.IsZero():
		row.State = Never
	}
	for _, s := range sources(rep) {
		if !s.OK {
			row.Failed = append(row.Failed, s)
		}
	}
	return row
}

// sources are the samplers that said something live.
func sources(rep window.AssetStatus) []Source {
	out := []Source{}
	for _, b := range rep.Blocks {
		if b.Status != 0 {
			out = append(out, Source{Name: b.Source, Kind: b.Kind, At: b.At, LastOKAt: orNull(b.LastOK),
				IntervalSeconds: b.Interval.Seconds(), Series: b.Series, OK: b.Status != window.Failed, Reason: b.Reason})
		}
	}
	return out
}

func (a *API) showAsset(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	name, s := r.PathValue("name"), a.sight(who)
	for _, f := range a.watched() {
		if f.Name != name || !s.customer(f.Customer) {
			continue
		}
		rep, _ := a.o.Window.Asset(name)
		out := AssetDetail{Asset: a.asset(f, rep, a.mute()), Sources: sources(rep), Tickets: []TicketRow{}}
		err := a.o.Store.View(r.Context(), func(tx store.Tx) error {
			open, err := tx.Tickets(store.TicketFilter{OpenOnly: true, Asset: name, Scope: s.scope(), Order: store.InQueue, Limit: defaultTickets})
			if err != nil {
				return err
			}
			out.Tickets = []TicketRow{}
			for _, t := range open {
				row, err := a.row(tx, s, t)
				if err != nil {
					return err
				}
				out.Tickets = append(out.Tickets, row)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("show asset %s: %w", name, err)
		}
		return out, nil
	}
	return nil, noAsset(name)
}
