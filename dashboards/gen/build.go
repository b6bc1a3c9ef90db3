package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	statpanel "github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// minStep is the least between two points: no exporter of the fleet is read more often than graphs need.
const minStep = "30s"

// tag is on every dashboard: by it they link to each other.
const tag = "watchbill"

// source is the data source that the variable names.
func source() common.DataSourceRef {
	return common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}
}

// json is the dashboard as Grafana reads it, the same bytes every time.
func (b board) json() ([]byte, error) {
	d := dashboard.NewDashboardBuilder(b.title).Uid(b.uid).Description(b.asks).Tags([]string{tag}).Editable().
		Refresh("1m").Time("now-"+b.from, "now").Timezone("browser").Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Link(dashboard.NewDashboardLinkBuilder("Watchbill").Type(dashboard.DashboardLinkTypeDashboards).Tags([]string{tag}).
			AsDropdown(true).IncludeVars(true).KeepTime(true))
	b.variables(d)
	d.Annotation(dashboard.NewAnnotationQueryBuilder().Name("Tickets").Datasource(source()).Enable(true).IconColor("red").
		Expr(query{expr: cmp.Or(b.marks, annotation)}.full()))
	next := place{id: 1}
	for _, r := range b.rows {
		d.WithRow(dashboard.NewRowBuilder(r.question).Id(next.take()).GridPos(next.line()))
		for _, p := range r.panels {
			if len(p.links) == 0 {
				p = p.to(b.leads)
			}
			made, err := p.build(next.take(), next.put(p))
			if err != nil {
				return nil, fmt.Errorf("dashboard %s, panel %q: %w", b.uid, p.title, err)
			}
			d.WithPanel(made)
		}
	}
	made, err := d.Build()
	if err != nil {
		return nil, fmt.Errorf("dashboard %s: %w", b.uid, err)
	}
	return finish(made)
}

// annotation is drawn from a ticket's opening until it is resolved.
const annotation = `watchbill_ticket_opened_timestamp_seconds{$tickets}`

// finish adds what the kit's model has no field for: how the Prometheus data source words annotations.
func finish(d dashboard.Dashboard) ([]byte, error) {
	raw, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	var whole map[string]any
	if err := json.Unmarshal(raw, &whole); err != nil {
		return nil, err
	}
	annotations, _ := whole["annotations"].(map[string]any)
	listed, _ := annotations["list"].([]any)
	if len(listed) != 1 {
		return nil, errors.New("expected one annotation query")
	}
	a, _ := listed[0].(map[string]any)
	a["titleFormat"] = "{{number}}: {{service}} on {{asset}}"
	a["textFormat"] = "{{priority}}, {{state}}, {{customer}} {{site}}, with {{owner}}"
	a["tagKeys"] = "priority,customer,asset"
	a["step"] = minStep
	whole["id"] = nil
	out, err := json.MarshalIndent(whole, "", "  ")
	return append(out, '\n'), err
}

func (b board) variables(d *dashboard.DashboardBuilder) {
	d.WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus"))
	for _, c := range b.chain {
		d.WithVariable(dashboard.NewQueryVariableBuilder(c.name).Label(c.label).Datasource(source()).
			Query(dashboard.StringOrMap{String: cog.ToPtr(fmt.Sprintf("label_values(%s, %s)", matchers.Replace(c.series), c.of))}).
			Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc).
			Multi(true).IncludeAll(true).AllValue(".*").Current(dashboard.VariableOption{
			Text:  dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}},
			Value: dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}}}))
	}
	d.WithVariable(dashboard.NewQueryVariableBuilder("collector").Label("Collector").Datasource(source()).
		Description("Where links to tickets and assets lead: web.external_url of the collector, as it tells itself.").
		Query(dashboard.StringOrMap{String: cog.ToPtr("label_values(watchbill_web_info, url)")}).
		Refresh(dashboard.VariableRefreshOnDashboardLoad).Hide(dashboard.VariableHideHideVariable))
}

// place gives panels numbers and a place in 24 columns, from left to right and line by line.
type place struct{ id, x, y, lowest uint32 }

func (p *place) take() uint32 {
	p.id++
	return p.id - 1
}

// line is the place of a row's title.
func (p *place) line() dashboard.GridPos {
	p.x, p.y = 0, p.lowest
	p.lowest = p.y + 1
	at := dashboard.GridPos{X: 0, Y: p.y, W: 24, H: 1}
	p.y++
	return at
}

func (p *place) put(what panel) dashboard.GridPos {
	if p.x+what.width > 24 {
		p.x, p.y = 0, p.lowest
	}
	at := dashboard.GridPos{X: p.x, Y: p.y, W: what.width, H: what.height}
	p.x += what.width
	p.lowest = max(p.lowest, p.y+what.height)
	return at
}

// shape is what the builders of all kinds of panel have.
type shape[B any] interface {
	Id(uint32) B
	Title(string) B
	Description(string) B
	Datasource(common.DataSourceRef) B
	GridPos(dashboard.GridPos) B
	Interval(string) B
	Unit(string) B
	Decimals(float64) B
	Min(float64) B
	Max(float64) B
	NoValue(string) B
	Mappings([]dashboard.ValueMapping) B
	Thresholds(cog.Builder[dashboard.ThresholdsConfig]) B
	DataLinks([]cog.Builder[dashboard.DashboardLink]) B
	WithTarget(cog.Builder[variants.Dataquery]) B
}

// fill sets what all kinds have. Builders are changed in place.
func fill[B shape[B]](b B, p panel, id uint32, at dashboard.GridPos) B {
	b.Id(id).Title(p.title).Description(p.asks).Datasource(source()).GridPos(at).Interval(minStep).Unit(p.unit).
		Thresholds(dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(p.thresholds()))
	if p.decimals != nil {
		b.Decimals(*p.decimals)
	}
	if p.floor != nil {
		b.Min(*p.floor)
	}
	if p.ceiling != nil {
		b.Max(*p.ceiling)
	}
	if p.empty != "" {
		b.NoValue(p.empty)
	}
	if len(p.words) > 0 {
		options := map[string]dashboard.ValueMappingResult{}
		for value, word := range p.words {
			options[value] = dashboard.ValueMappingResult{Text: cog.ToPtr(word)}
		}
		b.Mappings([]dashboard.ValueMapping{{ValueMap: &dashboard.ValueMap{Type: dashboard.MappingTypeValueToText, Options: options}}})
	}
	var links []cog.Builder[dashboard.DashboardLink]
	for _, l := range p.links {
		links = append(links, dashboard.NewDashboardLinkBuilder(l.title).Type(dashboard.DashboardLinkTypeLink).Url(l.url).TargetBlank(true))
	}
	if len(links) > 0 {
		b.DataLinks(links)
	}
	for i, one := range p.queries {
		b.WithTarget(p.target(i, one))
	}
	return b
}

// thresholds begin with what is fine.
func (p panel) thresholds() []dashboard.Threshold {
	out := []dashboard.Threshold{{Color: "green"}}
	for _, s := range p.steps {
		if s.from == lowest {
			out[0].Color = s.colour
			continue
		}
		out = append(out, dashboard.Threshold{Value: cog.ToPtr(s.from), Color: s.colour})
	}
	return out
}

// target is a query; graphs ask for the time shown, the others for its end.
func (p panel) target(i int, one query) *prometheus.DataqueryBuilder {
	t := prometheus.NewDataqueryBuilder().Expr(one.full()).LegendFormat(one.legend).RefId(string(rune('A' + i))).
		Datasource(source()).EditorMode(prometheus.QueryEditorModeCode)
	switch p.kind {
	case graph:
		t.Range().Format(prometheus.PromQueryFormatTimeSeries)
	case listing:
		t.Instant().Format(prometheus.PromQueryFormatTable)
	default:
		t.Instant().Format(prometheus.PromQueryFormatTimeSeries)
	}
	return t
}

func (p panel) build(id uint32, at dashboard.GridPos) (cog.Builder[dashboard.Panel], error) {
	last := common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})
	switch p.kind {
	case graph:
		return p.graph(fill(timeseries.NewPanelBuilder(), p, id, at)), nil
	case stat:
		return fill(statpanel.NewPanelBuilder(), p, id, at).ReduceOptions(last).GraphMode(common.BigValueGraphModeNone).
			ColorMode(common.BigValueColorModeValue), nil
	case bars:
		return fill(bargauge.NewPanelBuilder(), p, id, at).ReduceOptions(last).Orientation(common.VizOrientationHorizontal).
			DisplayMode(common.BarGaugeDisplayModeBasic), nil
	case listing:
		return p.listing(fill(table.NewPanelBuilder(), p, id, at)), nil
	}
	return nil, fmt.Errorf("there is no kind of panel %q", p.kind)
}

func (p panel) graph(b *timeseries.PanelBuilder) *timeseries.PanelBuilder {
	b.LineWidth(1).FillOpacity(10).ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	if len(p.steps) > 0 {
		b.ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashed))
	}
	if p.stacked {
		b.FillOpacity(40).Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal))
	}
	return b
}

// listing orders and names the columns and hides the others.
func (p panel) listing(b *table.PanelBuilder) *table.PanelBuilder {
	var names []string
	order, renamed := map[string]int{}, map[string]string{}
	for i, c := range p.columns {
		names = append(names, c.label)
		order[c.label], renamed[c.label] = i, c.name
	}
	if p.order != "" {
		b.SortBy([]cog.Builder[common.TableSortByFieldState]{common.NewTableSortByFieldStateBuilder().DisplayName(p.order)})
	}
	b.WithTransformation(dashboard.DataTransformerConfig{Id: "filterFieldsByName",
		Options: map[string]any{"include": map[string]any{"pattern": "^(" + strings.Join(names, "|") + ")$"}}})
	return b.WithTransformation(dashboard.DataTransformerConfig{Id: "organize",
		Options: map[string]any{"indexByName": order, "renameByName": renamed}})
}
