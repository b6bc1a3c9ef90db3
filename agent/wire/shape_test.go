package wire_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/agent/wire"
)

// shapeOf writes a shape as given, right or wrong: one symbol per text, in the order they come.
func shapeOf(series ...[]string) *wire.Shape {
	s := &wire.Shape{}
	for _, labels := range series {
		row := &wire.Series{}
		for _, text := range labels {
			row.Labels = append(row.Labels, uint32(len(s.Symbols)))
			s.Symbols = append(s.Symbols, text)
		}
		s.Series = append(s.Series, row)
	}
	return s
}

func named(name string, labels ...string) []string {
	return append([]string{"__name__", name}, labels...)
}

// The formula of ShapeID is a protocol: both sides compute it, and stores keep it.
func TestShapeIDIsFixed(t *testing.T) {
	for name, c := range map[string]struct {
		series [][]wire.Label
		want   string
	}{
		// printf 'watchbill shape v1\n\0' | sha256sum
		"empty": {nil, "7cad7eeb25489aba45912b4eda819f434b7b844e33c27f9b5d6195c53c67bf57"},
		// printf 'watchbill shape v1\n\1\2\10__name__\2up\1a\1b' | sha256sum
		"one": {[][]wire.Label{{{Name: "__name__", Value: "up"}, {Name: "a", Value: "b"}}}, "14f107f1bd60dc76bd633b097f862b0c8e7a63d1a9319ea00aa4b5af7c04b3a9"},
	} {
		t.Run(name, func(t *testing.T) {
			id := wire.ShapeID(c.series)
			if got := hex.EncodeToString(id[:]); got != c.want {
				t.Errorf("id %s, want %s", got, c.want)
			}
		})
	}
}

func TestShapeIDTellsLayoutsApart(t *testing.T) {
	l := func(name, value string) wire.Label { return wire.Label{Name: name, Value: value} }
	seen := map[[32]byte]int{}
	for i, series := range [][][]wire.Label{
		{}, {{}}, {{}, {}},
		{{l("a", "b")}}, {{l("ab", "")}}, {{l("", "ab")}},
		{{l("a", "b"), l("c", "d")}}, {{l("a", "b")}, {l("c", "d")}}, {{l("c", "d")}, {l("a", "b")}},
		{{l("a", "b\x01c\x01d")}}, {{l("a", strings.Repeat("x", 5000))}}, {{l("a", strings.Repeat("x", 5001))}},
	} {
		id := wire.ShapeID(series)
		if j, ok := seen[id]; ok {
			t.Errorf("layouts %d and %d have one id", i, j)
		}
		seen[id] = i
	}
}

func TestReadShapeRefuses(t *testing.T) {
	small := wire.DefaultLimits()
	small.SeriesPerBlock, small.Symbols, small.LabelsPerSeries, small.LabelsPerShape = 4, 12, 4, 8
	small.ShapeBytes, small.LabelNameBytes, small.LabelValueBytes = 200, 20, 40
	many := func(n int, labels ...string) *wire.Shape {
		var series [][]string
		for i := range n {
			series = append(series, named(fmt.Sprintf("m%d", i), labels...))
		}
		return shapeOf(series...)
	}
	spelled := shapeOf(named("a", "x", strings.Repeat("v", 40)))
	for range 3 { // the same two symbols again: cheap on the line, not spelled out
		spelled.Series = append(spelled.Series, spelled.Series[0])
	}
	for name, c := range map[string]struct {
		shape  *wire.Shape
		reason string
	}{
		"fine":                {shapeOf(named("a"), named("a", "b", "c"), named("b:c")), ""},
		"no series":           {&wire.Shape{}, ""},
		"capital labels":      {shapeOf([]string{"Zone", "1", "__name__", "m"}), ""},
		"odd labels":          {shapeOf([]string{"__name__", "a", "b"}), wire.ReasonMalformed},
		"symbol out of range": {&wire.Shape{Symbols: []string{"a"}, Series: []*wire.Series{{Labels: []uint32{0, 1}}}}, wire.ReasonMalformed},
		"no such symbols":     {&wire.Shape{Series: []*wire.Series{{Labels: []uint32{0, 1 << 31}}}}, wire.ReasonMalformed},
		"series twice":        {shapeOf(named("a", "b", "c"), named("a", "b", "c")), wire.ReasonDuplicateSeries},
		"series descend":      {shapeOf(named("b"), named("a")), wire.ReasonMalformed},
		"labels descend":      {shapeOf(named("a", "c", "1", "b", "2")), wire.ReasonBadLabel},
		"label twice":         {shapeOf(named("a", "b", "1", "b", "2")), wire.ReasonDuplicateLabel},
		"empty value":         {shapeOf(named("a", "b", "")), wire.ReasonBadLabel},
		"empty name":          {shapeOf([]string{"", "x", "__name__", "a"}), wire.ReasonBadLabel},
		"no metric name":      {shapeOf([]string{"a", "b"}), wire.ReasonBadLabel},
		"no labels":           {shapeOf([]string{}), wire.ReasonBadLabel},
		"metric name":         {shapeOf(named("a-b")), wire.ReasonBadLabel},
		"UTF-8 label name":    {shapeOf(named("a", "ü", "1")), wire.ReasonBadLabel},
		"not UTF-8":           {shapeOf(named("a", "b", "\xff")), wire.ReasonBadText},
		"customer":            {shapeOf(named("a", "customer", "x")), wire.ReasonReservedLabel},
		"site":                {shapeOf(named("a", "site", "x")), wire.ReasonReservedLabel},
		"instance":            {shapeOf(named("a", "instance", "x")), wire.ReasonReservedLabel},
		"job":                 {shapeOf(named("a", "job", "x")), wire.ReasonReservedLabel},
		"alertname":           {shapeOf([]string{"__name__", "a", "alertname", "x"}), wire.ReasonReservedLabel},
		"underscores":         {shapeOf(named("a", "__address__", "x")), wire.ReasonBadLabel},
		"underscores before":  {shapeOf([]string{"__address__", "x", "__name__", "a"}), wire.ReasonReservedLabel},
		"long name":           {shapeOf(named("a", strings.Repeat("n", 21), "x")), wire.ReasonOversized},
		"long value":          {shapeOf(named("a", "b", strings.Repeat("v", 41))), wire.ReasonOversized},
		"many series":         {many(5), wire.ReasonOversized},
		"many symbols":        {many(3, "a", "1", "b", "2"), wire.ReasonOversized},
		"many labels":         {shapeOf(named("a", "b", "1", "c", "1", "d", "1", "e", "1")), wire.ReasonOversized},
		"many bytes":          {spelled, wire.ReasonOversized},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := wire.ReadShape(c.shape, small)
			if got := reasonOf(t, err); got != c.reason {
				t.Errorf("reason %q, want %q (%v)", got, c.reason, err)
			}
		})
	}
}

// Errors about a limit say what was found, what is allowed and what to raise.
func TestOversizedSaysWhatToDo(t *testing.T) {
	small := wire.DefaultLimits()
	small.SeriesPerBlock = 1
	_, err := wire.ReadShape(shapeOf(named("a"), named("b")), small)
	for _, want := range []string{"2", "at most 1", "limits.series_per_block"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func TestLimitsValidate(t *testing.T) {
	if err := wire.DefaultLimits().Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	bad := wire.DefaultLimits()
	bad.Blocks, bad.WordBytes = 0, -1
	err := bad.Validate()
	for _, want := range []string{"limits.blocks", "limits.word_bytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
	if err := (wire.Limits{}).Validate(); err == nil || strings.Count(err.Error(), "\n") != 22 {
		t.Errorf("an empty set of 23 limits gave: %v", err)
	}
}

// Who gathers series of others asks beforehand; the answer must be what ReadShape will say.
func TestNamesAreWhatReadShapeTakes(t *testing.T) {
	for name, want := range map[string]struct{ metric, label, reserved bool }{
		"node_load1":    {true, true, false},
		"_":             {true, true, false},
		"A9":            {true, true, false},
		"job:up:sum":    {true, false, false},
		":":             {true, false, false},
		"9lives":        {false, false, false},
		"":              {false, false, false},
		"größe":         {false, false, false},
		"a b":           {false, false, false},
		"a-b":           {false, false, false},
		"customer":      {true, true, true},
		"site":          {true, true, true},
		"instance":      {true, true, true},
		"job":           {true, true, true},
		"alertname":     {true, true, true},
		"Job":           {true, true, false},
		"__name__":      {true, true, true},
		"__tmp":         {true, true, true},
		"_tmp":          {true, true, false},
		"customer_name": {true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := wire.MetricName(name); got != want.metric {
				t.Errorf("as the name of a metric: %v", got)
			}
			if got := wire.LabelName(name); got != want.label {
				t.Errorf("as the name of a label: %v", got)
			}
			if got := wire.ReservedLabel(name); got != want.reserved {
				t.Errorf("reserved: %v", got)
			}
			takes := func(series ...string) bool {
				_, err := wire.ReadShape(shapeOf(series), wire.DefaultLimits())
				return err == nil
			}
			if got := takes(named(name)...); got != want.metric {
				t.Errorf("ReadShape takes it as the name of a metric: %v", got)
			}
			label := append(named("up"), name, "x") // labels ascend: after __name__
			if name < "__name__" {
				label = append([]string{name, "x"}, named("up")...)
			}
			if got := takes(label...); got != (want.label && !want.reserved) {
				t.Errorf("ReadShape takes it as the name of a label: %v", got)
			}
		})
	}
}
