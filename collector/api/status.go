package api

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/history/remote"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules"
)

// Status is the collector at a glance.
type Status struct {
	Build         Build     `json:"build"`
	Incarnation   uint64    `json:"incarnation"`
	StartedAt     time.Time `json:"started_at"`
	UptimeSeconds float64   `json:"uptime_seconds"`
	StoragePath   string    `json:"storage_path"`
	AgentAddress  string    `json:"agent_address"`
	// NotReady lists why the collector should not be asked yet.
	NotReady []string `json:"not_ready"`
	Counts   Counts   `json:"counts"`
	// RemoteWrite are the engines that samples are written on to, for who sees all.
	RemoteWrite []remote.Status `json:"remote_write"`
}

// Counts is how much of everything there is.
type Counts struct {
	OpenTickets   int `json:"open_tickets"`
	PendingAlerts int `json:"pending_alerts"`
	FiringAlerts  int `json:"firing_alerts"`
	// Assets by state: reporting, silent, never.
	Assets         map[AssetState]int `json:"assets"`
	QueuedMessages int                `json:"queued_messages"`
	BuriedMessages int                `json:"buried_messages"`
	// ParkedMessages were queued in a backup that was restored; a person sends or drops them.
	ParkedMessages int `json:"parked_messages"`
}

func (a *API) showStatus(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	now := a.o.Now()
	if s := a.sight(who); !s.all() {
		counts, err := a.countsOf(r, s)
		if err != nil {
			return nil, fmt.Errorf("count: %w", err)
		}
		return Status{Build: Build{Version: a.o.Build.Version}, StartedAt: a.started, UptimeSeconds: now.Sub(a.started).Seconds(),
			NotReady: orEmpty(a.o.Ready()), Counts: counts, RemoteWrite: []remote.Status{}}, nil
	}
	c, err := a.gauges.read(r.Context())
	if err != nil {
		return nil, err
	}
	return Status{
		Build: a.o.Build, Incarnation: a.o.Incarnation, StartedAt: a.started,
		UptimeSeconds: now.Sub(a.started).Seconds(), StoragePath: a.o.StoragePath, AgentAddress: a.o.AgentAddress,
		NotReady: orEmpty(a.o.Ready()), Counts: c.counts(), RemoteWrite: orEmpty(a.o.Engines()),
	}, nil
}

// countsOf counts what exists for an operator who does not see all.
func (a *API) countsOf(r *http.Request, s sight) (Counts, error) {
	c := Counts{Assets: map[AssetState]int{Reporting: 0, Silent: 0, Never: 0}}
	for _, as := range a.assets(s) {
		c.Assets[as.State]++
	}
	err := a.o.Store.View(r.Context(), func(tx store.Tx) error {
		c.OpenTickets, c.PendingAlerts, c.FiringAlerts = 0, 0, 0
		open, err := tx.Tickets(store.TicketFilter{OpenOnly: true, Scope: s.scope(), Limit: countLimit})
		if err != nil {
			return err
		}
		c.OpenTickets = len(open)
		standing, err := a.standing(tx)
		for _, al := range standing {
			if !s.customer(al.Alert.Labels.Get("customer")) {
				continue
			}
			switch al.Alert.State {
			case rules.Pending:
				c.PendingAlerts++
			case rules.Firing:
				c.FiringAlerts++
			}
		}
		return err
	})
	return c, err
}

// healthy answers as long as the process does.
func (a *API) healthy(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("Watchbill is healthy.\n"))
}

// ready answers 200, or 503 with a line for every reason why not.
func (a *API) ready(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	reasons := a.o.Ready()
	if len(reasons) == 0 {
		_, _ = w.Write([]byte("Watchbill is ready.\n"))
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte("Watchbill is not ready:\n"))
	for _, why := range reasons {
		_, _ = w.Write([]byte("  " + why + "\n"))
	}
}

// Reloaded is the answer to a reload that went well.
type Reloaded struct {
	Reloaded bool `json:"reloaded"`
	// NextStart are the keys of the configuration that differ from what runs and take effect at the next start.
	NextStart []string `json:"next_start"`
	// Warnings are what should be mended about rules, policies and contracts that are in force now, each with file and line:
	// of each those that a check finds fault with first, a hundred at most; and what the client owner has yet to approve.
	Warnings []string `json:"warnings"`
}

func (a *API) reload(r *http.Request, who fleet.Operator) (any, error) {
	if err := decode(r, &struct{}{}); err != nil {
		return nil, err
	}
	out, err := a.o.Reload(r.Context())
	if err != nil {
		a.o.Logger.Warn("reload refused, what ran goes on", "by", who.Name, "err", err)
		e := refusal(http.StatusUnprocessableEntity, "reload_failed",
			"mend every fault and reload again; until then what ran before goes on", "nothing was reloaded")
		e.Details = faults(err)
		return nil, e
	}
	a.o.Logger.Info("reloaded", "by", who.Name)
	out.NextStart, out.Warnings = orEmpty(out.NextStart), orEmpty(out.Warnings)
	return out, nil
}

// faults lists what errors.Join joined; an error that adds words of its own stays whole.
func faults(err error) []string {
	var many interface{ Unwrap() []error }
	if errors.As(err, &many) {
		parts := many.Unwrap()
		if errors.Join(parts...).Error() == err.Error() {
			var out []string
			for _, e := range parts {
				out = append(out, faults(e)...)
			}
			return out
		}
	}
	return []string{err.Error()}
}
