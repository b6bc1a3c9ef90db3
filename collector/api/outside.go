package api

import (
	"maps"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/rules/window"
)

// Feeds tells which assets programs outside write, who, and what they say of metrics.
type Feeds interface {
	State() ingest.RemoteState
	Metadata() map[string]ingest.RemoteMetadata
}

// about is what this collector says of its own metrics and programs outside of theirs, by name.
func (a *API) about() map[string]ingest.RemoteMetadata {
	out := map[string]ingest.RemoteMetadata{}
	if a.o.Feeds != nil {
		maps.Copy(out, a.o.Feeds.Metadata())
	}
	own, _ := a.o.Gatherer.Gather() // what cannot be read has no line here; /metrics says why
	for _, f := range own {
		m := ingest.RemoteMetadata{Type: model.MetricType(strings.ToLower(f.GetType().String())), Unit: f.GetUnit(), Help: f.GetHelp()}
		if f.GetType() == dto.MetricType_UNTYPED {
			m.Type = model.MetricTypeUnknown
		}
		out[f.GetName()] = m
	}
	return out
}

// outside are the assets that programs write, by name.
func (a *API) outside() []ingest.RemoteAssetState {
	if a.o.Feeds == nil {
		return nil
	}
	return a.o.Feeds.State().Assets
}

// watched are the assets of the fleet and those that programs outside brought, by name.
func (a *API) watched() []fleet.Asset {
	all := slices.Clone(a.o.Fleet.Assets())
	for _, o := range a.outside() {
		if !o.Declared {
			all = append(all, fleet.Asset{Name: o.Name, Customer: o.Customer, Site: o.Site, Kind: fleet.Host})
		}
	}
	slices.SortStableFunc(all, func(x, y fleet.Asset) int { return strings.Compare(x.Name, y.Name) })
	return all
}

// reporters are the programs that write each asset.
func (a *API) reporters() map[string][]string {
	out := map[string][]string{}
	for _, o := range a.outside() {
		for _, sender := range slices.Sorted(maps.Keys(o.Senders)) {
			out[o.Name] = append(out[o.Name], "remote write by "+sender)
		}
	}
	return out
}

// reported is by whom an asset is.
func (m mute) reported(f fleet.Asset) []string {
	from := []string{}
	if f.Agent != "" {
		from = append(from, "agent")
	}
	return append(from, m.from[f.Name]...)
}

// overdue tells whether an asset without an agent has missed three of its rows, a minute's at least.
func overdue(rep window.AssetStatus, now time.Time) bool {
	return !rep.Received.IsZero() && now.Sub(rep.Received) > max(3*rep.Interval, time.Minute)
}
