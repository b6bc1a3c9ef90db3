package rules

import (
	"context"
	"fmt"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"
)

// shorthands are what rule files call the template's data by.
const shorthands = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"

// expander expands the templates of a rule's labels and annotations for one result. A template that fails becomes its
// error message, as in Prometheus: an alert with a bad text is better than none.
func (r *Rule) expander(ctx context.Context, in Input, smpl promql.Sample) func(string) string {
	address := ""
	if in.ExternalURL != nil {
		address = in.ExternalURL.String()
	}
	data := template.AlertTemplateData(smpl.Metric.Map(), in.ExternalLabels, address, smpl)
	return func(text string) string {
		if !strings.Contains(text, "{{") {
			return text
		}
		out, err := template.NewTemplateExpander(
			ctx, shorthands+text, "__alert_"+r.Alert, data, model.Time(timestamp.FromTime(in.At)), in.Query,
			in.ExternalURL, nil,
		).Expand()
		if err != nil {
			return fmt.Sprintf("<error expanding template: %s>", err)
		}
		return out
	}
}
