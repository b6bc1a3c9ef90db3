package api

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
)

// MaintenanceWindow is a maintenance window of the configuration in force, and when it holds.
type MaintenanceWindow struct {
	Name    string `json:"name"`
	Comment string `json:"comment"`
	// Matchers are all fulfilled by the alerts that it keeps from tickets.
	Matchers []string `json:"matchers"`
	// Zone is the one in which its times are read, and in which From and Until are told.
	Zone string `json:"zone"`
	// Active tells that it holds at the time asked for. From is then null; else it is when it begins next, null when it does
	// not come within four years. Until is when it ends then, null when no end is in sight.
	Active bool       `json:"active"`
	From   *time.Time `json:"from"`
	Until  *time.Time `json:"until"`
	// Held is how many firing alerts have no ticket now because of it, whatever time was asked for.
	Held int `json:"held"`
}

// MaintenanceList is every maintenance window at a time: those that hold, the first to end before others, then those to
// come in their order, then those that are over.
type MaintenanceList struct {
	At      time.Time           `json:"at"`
	Windows []MaintenanceWindow `json:"windows"`
}

func (a *API) listMaintenance(r *http.Request, who fleet.Operator) (any, error) {
	q, err := query(r, "at")
	if err != nil {
		return nil, err
	}
	at, err := instantOf(q, "at", a.o.Now())
	if err != nil {
		return nil, err
	}
	alerts, err := a.standingAlerts(r.Context(), who)
	if err != nil {
		return nil, err
	}
	held := map[string]int{}
	for _, row := range alerts.Alerts {
		for _, by := range row.MutedBy {
			if by.ID == "" && row.Held() {
				held[by.Name]++
			}
		}
	}
	s := a.sight(who)
	list := MaintenanceList{At: at.UTC(), Windows: []MaintenanceWindow{}}
	for _, w := range a.o.Silencer.Maintenance() {
		if s.silence(incident.Muting{Matchers: w.Matchers}) { // it exists for whom a silence of its matchers would
			list.Windows = append(list.Windows, windowRow(w, at, held[w.Name]))
		}
	}
	slices.SortStableFunc(list.Windows, byWindow)
	return list, nil
}

func windowRow(w incident.Window, at time.Time, held int) MaintenanceWindow {
	zone := zoneOf(w)
	row := MaintenanceWindow{Name: w.Name, Comment: w.Comment, Matchers: []string{}, Zone: zone.String(), Active: w.Active(at), Held: held}
	for _, m := range w.Matchers {
		row.Matchers = append(row.Matchers, m.String())
	}
	from, until, comes := w.Next(at)
	if !comes {
		return row
	}
	if !row.Active {
		row.From = orNull(from.In(zone))
	}
	if !until.IsZero() {
		row.Until = orNull(until.In(zone))
	}
	return row
}

// zoneOf is the zone of a window's times; UTC where they name none, or several.
func zoneOf(w incident.Window) *time.Location {
	zone := time.UTC
	for i, t := range w.Times {
		if t.Location == nil || t.Location.Location == nil || i > 0 && t.Location.String() != zone.String() {
			return time.UTC
		}
		zone = t.Location.Location
	}
	return zone
}

// byWindow is the order of MaintenanceList.
func byWindow(x, y MaintenanceWindow) int {
	rank := func(w MaintenanceWindow) int {
		switch {
		case w.Active:
			return 0
		case w.From != nil:
			return 1
		}
		return 2
	}
	end := func(t *time.Time) time.Time {
		if t == nil {
			return time.Unix(1<<40, 0) // no end in sight comes last
		}
		return *t
	}
	return cmp.Or(cmp.Compare(rank(x), rank(y)), end(x.From).Compare(end(y.From)), end(x.Until).Compare(end(y.Until)), strings.Compare(x.Name, y.Name))
}
