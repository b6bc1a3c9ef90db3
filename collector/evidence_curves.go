package collector

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"github.com/watchbill/watchbill/collector/history"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// historyOff is why a ticket has no curve of what only the history keeps.
const historyOff = "history is switched off (history.retention is 0)"

// curves are the last hour of the series behind the alert, or the reason why there are none.
func (g gatherer) curves(ctx context.Context, a incident.Alert, now time.Time) []ticket.Entry {
	from := g.history.Queryable
	source, short, least := "history", "the series is younger than two samples", 2
	if g.history == nil {
		least = 3 // the two last are in every window
		source, short = "window", historyOff+", the window holds a curve only of series that a rule looks back on, which these are not, "+
			"and the agent's spool is not asked"
		from = func() storage.Queryable { return g.window }
	} else if err := g.history.Behind(); err != nil {
		short = err.Error()
	}
	none := func(why string) []ticket.Entry {
		return []ticket.Entry{{Text: "no curve of the last hour: " + why, Source: source, At: now}}
	}
	if g.history == nil && g.window == nil {
		return none(historyOff)
	}
	sels, err := selectors(a)
	if err != nil {
		return none(err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, curveBudget)
	defer cancel()
	var out []ticket.Entry
	seen := map[uint64]bool{}
	for _, sel := range sels {
		found, err := history.Curves(ctx, from(), sel, now.Add(-time.Hour), now, curvePoints)
		if err != nil {
			return append(out, none(err.Error())...)
		}
		for _, c := range found {
			if h := c.Labels.Hash(); len(out) < maxCurves && !seen[h] && compatible(c.Labels, a.Labels) && len(c.Points) >= least {
				seen[h] = true
				out = append(out, curveFrom(source, c, now))
			}
		}
	}
	if len(out) == 0 {
		return none(short)
	}
	return out
}

// selectors are the matchers of the expression's series, narrowed to the alert's asset.
func selectors(a incident.Alert) ([][]*labels.Matcher, error) {
	expr, err := rules.NewParser().ParseExpr(a.Expr)
	if err != nil {
		return nil, fmt.Errorf("read the rule's expression again: %w", err)
	}
	sels := parser.ExtractSelectors(expr)
	if a.Asset == "" {
		return sels, nil
	}
	for i := range sels {
		m, err := labels.NewMatcher(labels.MatchEqual, "instance", a.Asset)
		if err != nil {
			return nil, err
		}
		sels[i] = append(sels[i], m)
	}
	return sels, nil
}

// compatible tells whether a series can be behind an alert: no label that both have differs.
func compatible(series labels.Labels, alert map[string]string) bool {
	same := true
	series.Range(func(l labels.Label) {
		if v, ok := alert[l.Name]; ok && l.Name != labels.AlertName && v != l.Value {
			same = false
		}
	})
	return same
}

// curveFrom is a curve with where it is from. A window has no more of it than rules look back on, and says so.
func curveFrom(source string, c history.Curve, now time.Time) ticket.Entry {
	e := curveEntry(c, now)
	if source != e.Source {
		e.Text = fmt.Sprintf("the last %v of %s, which is what rules look back on: history is switched off",
			now.Sub(c.Points[0].T).Round(time.Second), e.Series.Name)
		e.Source = source
	}
	return e
}

func curveEntry(c history.Curve, now time.Time) ticket.Entry {
	s := &ticket.Series{Name: seriesName(c.Labels), Points: make([][2]float64, len(c.Points))}
	for i, p := range c.Points {
		s.Points[i] = [2]float64{float64(p.T.UnixMilli()) / 1000, p.V}
	}
	return ticket.Entry{Text: "the last hour of " + s.Name, Source: "history", At: now, Series: s}
}

// seriesName is a series as people write it, without what the ticket says of the asset anyway.
func seriesName(l labels.Labels) string {
	name := l.Get(model.MetricNameLabel)
	short := labels.NewBuilder(l).Del(model.MetricNameLabel, "instance", "job", "customer", "site").Labels()
	if short.IsEmpty() {
		return name
	}
	return name + strings.ReplaceAll(short.String(), ", ", ",")
}
