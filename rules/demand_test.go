package rules

import (
	"slices"
	"strings"
	"testing"
)

func TestDemand(t *testing.T) {
	groups, err := Load(map[string][]byte{"r.yml": []byte(`groups:
- name: g
  query_offset: 1m
  rules:
  - {record: r, expr: 'rate(x[5m])'}
  - alert: A
    expr: max_over_time(r[1h]) > 0 and y offset 10m
    labels: {severity: warning}
    annotations:
      summary: '{{ with query (printf "rate(z{instance=''%s'', job=\"node\"}[2h])" $labels.instance) }}{{ . }}{{ end }} "of all"'
`)})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, sel := range Demand(groups) {
		var ms []string
		for _, m := range sel.Matchers {
			ms = append(ms, m.String())
		}
		got = append(got, strings.Join(ms, ",")+" "+sel.Lookback.String())
	}
	slices.Sort(got)
	want := []string{
		`__name__="r" 1h1m0s`, `__name__="x" 6m0s`, `__name__="y" 11m0s`, `job="node",__name__="z" 2h1m0s`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
