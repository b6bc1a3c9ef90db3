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

// expander expands the templates of a rule's labels and annotations, by name, for one result. A template that fails becomes
// its error message, as in Prometheus: an alert with a bad text is better than none. In first_checks what comes from labels
// is quoted for a shell.
func (r *Rule) expander(ctx context.Context, in Input, smpl promql.Sample) func(name, text string) string {
	address := ""
	if in.ExternalURL != nil {
		address = in.ExternalURL.String()
	}
	lbls := smpl.Metric.Map()
	expand := func(text string, lbls map[string]string) string {
		out, err := template.NewTemplateExpander(
			ctx, shorthands+text, "__alert_"+r.Alert, template.AlertTemplateData(lbls, in.ExternalLabels, address, smpl),
			model.Time(timestamp.FromTime(in.At)), in.Query, in.ExternalURL, nil,
		).Expand()
		if err != nil {
			return fmt.Sprintf("<error expanding template: %s>", err)
		}
		return out
	}
	return func(name, text string) string {
		switch {
		case !strings.Contains(text, "{{"):
			return text
		case name == firstChecks:
			return shellQuoted(expand(text, marked(lbls)))
		}
		return expand(text, lbls)
	}
}
