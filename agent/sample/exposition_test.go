package sample

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/agent/wire"
)

func TestParseExposition(t *testing.T) {
	type labels = []wire.Label
	tests := []struct {
		name, text string
		want       []wire.Sample
		bad        string // in the error
	}{
		{"nothing", "", nil, ""},
		{"blank lines and remarks", "\n  \n# a remark\n#\n# HELPER x\n", nil, ""},
		{"plain", "a 1\n", []wire.Sample{{Name: "a", Value: 1}}, ""},
		{"blanks everywhere", " a\t{ x = \"1\" , y=\"2\" , }  -1.5e3 \n", []wire.Sample{{Name: "a", Labels: labels{{Name: "x", Value: "1"}, {Name: "y", Value: "2"}}, Value: -1500}}, ""},
		{"no labels in braces", "a{} 1\n", []wire.Sample{{Name: "a", Value: 1}}, ""},
		{"escapes", `a{x="\\\"\n,}{="} 1` + "\n", []wire.Sample{{Name: "a", Labels: labels{{Name: "x", Value: "\\\"\n,}{="}}, Value: 1}}, ""},
		{"infinities", "a +Inf\nb -Inf\nc NaN\n", []wire.Sample{{Name: "a", Value: math.Inf(1)}, {Name: "b", Value: math.Inf(-1)}, {Name: "c", Value: math.NaN()}}, ""},
		{"colon in a name", "a:b 1\n", []wire.Sample{{Name: "a:b", Value: 1}}, ""},
		{"help and type", "# HELP a says it all\n# TYPE a counter\na 1\n", []wire.Sample{{Name: "a", Value: 1}}, ""},
		{"torn", "a 1\nb 2", nil, "last line has no end"},
		{"not UTF-8", "a{x=\"\xff\"} 1\n", nil, "UTF-8"},
		{"no value", "a\n", nil, "line 1: a: want a number"},
		{"no number", "\na x\n", nil, "line 2: a: want a number"},
		{"too large", "a 1e400\n", nil, "want a number"},
		{"hexadecimal", "a 0x1p3\n", nil, "want a number"},
		{"underscore", "a 1_000\n", nil, "want a number"},
		{"time stamp", "a 1 1763763400000\n", nil, "time stamps"},
		{"name begins with a digit", "1a 1\n", nil, "no metric name"},
		{"name with a dash", "a-b 1\n", nil, "no metric name"},
		{"label with a colon", "a{b:c=\"1\"} 1\n", nil, "want a label"},
		{"label without quotes", "a{b=1} 1\n", nil, "double quotes"},
		{"label without end", "a{b=\"1} 1\n", nil, "no closing quote"},
		{"label ends in a backslash", "a{b=\"\\\n", nil, "backslash"},
		{"unknown escape", `a{b="\t"} 1` + "\n", nil, "no escape"},
		{"braces without end", "a{b=\"1\"\n", nil, "want a comma"},
		{"label twice", "a{b=\"1\",b=\"2\"} 1\n", nil, "twice"},
		{"series twice", "a{b=\"1\",c=\"2\"} 1\na{c=\"2\",b=\"1\"} 2\n", nil, "line 2: the series"},
		{"series twice but for an empty label", "a 1\na{b=\"\"} 2\n", nil, "twice"},
		{"type twice", "# TYPE a gauge\n# TYPE a gauge\n", nil, "TYPE of a"},
		{"type too late", "a 1\n# TYPE a gauge\n", nil, "TYPE of a"},
		{"unknown type", "# TYPE a guage\n", nil, "guage"},
		{"help twice", "# HELP a x\n# HELP a y\n", nil, "second HELP"},
		{"help of nothing", "# HELP 1 x\n", nil, "no metric name"},
		{"value too long", "a{b=\"" + strings.Repeat("x", 1025) + "\"} 1\n", nil, "1025 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseExposition(tt.text)
			if tt.bad != "" {
				if err == nil || !strings.Contains(err.Error(), tt.bad) {
					t.Fatalf("error %v, want one with %q", err, tt.bad)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got, cmpopts.EquateNaNs()); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// FuzzParseExposition holds the parser to Prometheus' own: what ours takes, theirs takes too and reads the same, but for
// what theirs asks of histograms and summaries; and whatever ours takes, a report can carry.
func FuzzParseExposition(f *testing.F) {
	for _, seed := range []string{
		"a 1\n", "# HELP a b\n# TYPE a gauge\na{b=\"c\\n\",d=\"\"} NaN\na{b=\"d\"} -0\n", "a{b=\"\\\\\"} +Inf\n", "a 1 2\n", "a{,} 1\n",
		"# TYPE a summary\na{quantile=\"0.5\"} 1\na_sum 2\n", "\ta 1e400\n", "a{a=\"1\"}1\n", "#\n# TYPE\n", "a\r 1\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseExposition(text)
		if err != nil || strings.Contains(text, "TYPE") {
			return
		}
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(text))
		if err != nil {
			return // a blank at a line's end, for one, is taken here and refused there; nothing is misread by that
		}
		want := map[string]float64{}
		for name, f := range families {
			for _, m := range f.Metric {
				s := wire.Sample{Name: name}
				for _, l := range m.Label {
					s.Labels = append(s.Labels, wire.Label{Name: l.GetName(), Value: l.GetValue()})
				}
				want[seriesKey(s)] = m.Untyped.GetValue()
			}
		}
		if d := cmp.Diff(want, byKey(got), cmpopts.EquateNaNs()); d != "" {
			t.Errorf("(-Prometheus +ours):\n%s\n%q", d, text)
		}
		for i := range got {
			got[i].Labels = nil // reserved ones are refused elsewhere
			_, err := wire.NewBuilder(wire.DefaultLimits()).Block("node", "textfile", time.Unix(1763763400, 0), time.Second, got[i:i+1])
			if e := new(wire.Error); errors.As(err, &e) && e.Reason != wire.ReasonReservedLabel {
				t.Errorf("a report does not take %v: %v", got[i], err)
			}
		}
	})
}

func byKey(samples []wire.Sample) map[string]float64 {
	out := map[string]float64{}
	for _, s := range samples {
		out[seriesKey(s)] = s.Value
	}
	return out
}
