package rules

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

func TestTemplateMoves(t *testing.T) {
	for text, want := range map[string]bool{
		``:           false,
		`.Value now`: false,
		`{{ $labels.job }} {{ .Labels.job }} {{ $.Labels.job }}`:               false,
		`{{ $externalLabels.dc }} {{ .ExternalURL }} {{ $externalURL }}`:       false,
		`{{ $labels.query }} {{ .Labels.now }} {{ "now and $value" }}`:         false,
		`{{ with $labels }}{{ .job }} {{ . }}{{ end }}`:                        false,
		`{{ range $k, $v := .Labels }}{{ $k }}={{ $v }}{{ . }}{{ end }}`:       false,
		`{{ $x := .Labels }}{{ $x.job | toUpper }}`:                            false,
		`{{ if eq $labels.a "b" }}c{{ else }}d{{ end }}`:                       false,
		`{{ (index .Labels "job") }}`:                                          false,
		`{{ define "x" }}{{ .job }}{{ . }}{{ end }}{{ template "x" $labels }}`: false,

		`{{ $value }}`:                      true,
		`{{ .Value }}`:                      true,
		`{{ $.Value }}`:                     true,
		`{{ . }}`:                           true,
		`{{ $ }}`:                           true,
		`{{ printf "%v" . }}`:               true,
		`{{ (.).Value }}`:                   true,
		`{{ ($).Value }}`:                   true,
		`{{ $x := . }}{{ $x.Value }}`:       true,
		`{{ with . }}{{ .Value }}{{ end }}`: true,
		`{{ with $labels }}{{ $.Value }}{{ end }}`:             true,
		`{{ with $labels }}{{ $value }}{{ end }}`:              true,
		`{{ with $labels.a }}b{{ else }}{{ . }}{{ end }}`:      true,
		`{{ range $labels }}{{ else }}{{ .Value }}{{ end }}`:   true,
		`{{ if gt $value 3.0 }}a{{ end }}`:                     true,
		`{{ if $labels.a }}{{ .Value }}{{ end }}`:              true,
		`{{ define "x" }}{{ . }}{{ end }}{{ template "x" . }}`: true,
		`{{ define "x" }}{{ now }}{{ end }}{{ tmpl "x" 1 }}`:   true,
		`{{ query "up" | first | value }}`:                     true,
		`{{ now }}`:                                            true,
		`{{ . | printf "%v" }}`:                                true,
		`{{ nothing of this`:                                   true,
	} {
		if got := templateMoves(text); got != want {
			t.Errorf("%s: moves %v, want %v", text, got, want)
		}
	}
}

// TestIDsOfWhatMoves: where IDs answers, the alerts have just these whatever the value is.
func TestIDsOfWhatMoves(t *testing.T) {
	for text, want := range map[string]bool{`{{ $labels.job }}`: true, `{{ . }}`: false, `{{ $ }}`: false} {
		r := mustLoad(t, fmt.Sprintf("groups: [{name: g, rules: [{alert: A, expr: a > 1, labels: {l: '%s'}}]}]", text))[0].Rules[0]
		id := func(v float64) string {
			in := Input{At: time.Unix(0, 0), Result: promql.Vector{{Metric: labels.FromStrings("job", "x"), F: v}}}
			active, _, err := r.Step(t.Context(), nil, in)
			if err != nil || len(active) != 1 {
				t.Fatal(active, err)
			}
			ids := r.IDs(t.Context(), in)
			if (ids != nil) != want {
				t.Errorf("%s: IDs are %v, want some: %v", text, ids, want)
			}
			for own := range active {
				if ids != nil && ids[0] != own {
					t.Errorf("%s: ID is %s, of the alert %s", text, ids[0], own)
				}
				return own
			}
			return ""
		}
		if same := id(2) == id(3); same != want {
			t.Errorf("%s: another value is the same alert: %v, want %v", text, same, want)
		}
	}
}
